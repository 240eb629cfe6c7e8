//! What goes out when and over which connection, and what became of it. No I/O: bytes go into the lanes' buffers, time comes
//! in as an argument.
//!
//! Nothing here is done per request that can be done per batch: no task, no timer, no allocation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crossbeam_channel::Sender;
use protocol::codec::Fixed;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::{Frame, FrameTooLong, MessageType, frame_header};
use protocol::request::REQUEST_BYTES;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::answers::Answers;
use super::source::Source;
use crate::measure::Meter;
use crate::measure::saturation::is_for_load;
use crate::schedule::Schedule;

/// Requests that are put onto one connection before the next one's turn: about what a packet holds.
const REQUESTS_IN_A_ROW: u32 = 4;

/// How the traffic behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Requests that a connection may have unanswered.
    pub outstanding: u32,
    /// Share of requests that are sent twice.
    pub duplicates: f64,
    /// Decides which.
    pub seed: u64,
}

/// One connection.
#[derive(Default)]
pub struct Lane {
    /// Frames that wait to be written.
    pub output: Vec<u8>,
    /// Whoever writes them, while it sleeps.
    pub waker: Option<Waker>,
    unanswered: u32,
    waits_for_work: bool,
    has_news: bool,
    dead: bool,
}

/// What becomes of a request after its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    No,
    AfterAnswer,
}

/// A request on its way.
#[derive(Clone, Copy)]
struct Flight {
    place: u32,
    due_ns: u64,
    repeat: Repeat,
}

/// A request that is to be sent once more, over another connection than this.
struct Again {
    place: u32,
    not_over: u32,
}

/// What requests had to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Room on a connection.
    Room,
    /// A request to send.
    Requests,
}

/// Until when whatever was due had to wait, through no fault of the sending thread.
#[derive(Clone, Copy)]
struct HeldUp {
    until_ns: u64,
    by: By,
}

/// All traffic of one thread.
pub struct Traffic {
    schedule: Schedule,
    source: Source,
    manner: Manner,
    random: StdRng,
    lanes: Vec<Lane>,
    idle: VecDeque<u32>,
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
    again: VecDeque<Again>,
    /// Answers still expected per place.
    expected: Vec<u8>,
    held_up: Option<HeldUp>,
    news: Vec<u32>,
    stopped: bool,
    workshops: Vec<Sender<Arc<Answers>>>,
    /// What is measured.
    pub meter: Meter,
    /// What came back.
    pub answers: Answers,
}

impl Traffic {
    /// Traffic over `lanes` connections.
    pub fn new(
        schedule: Schedule,
        source: Source,
        manner: Manner,
        lanes: usize,
        meter: Meter,
        answers: Answers,
    ) -> Self {
        Self {
            schedule,
            expected: vec![0; source.places()],
            source,
            random: StdRng::seed_from_u64(manner.seed),
            manner,
            lanes: (0..lanes).map(|_| Lane { waits_for_work: true, ..Lane::default() }).collect(),
            idle: (0..lanes as u32).collect(),
            flights: Vec::new(),
            free: Vec::new(),
            again: VecDeque::new(),
            held_up: None,
            news: Vec::new(),
            stopped: false,
            workshops: Vec::new(),
            meter,
            answers,
        }
    }

    /// Sends everything that is due and has room.
    pub fn offer(&mut self, now_ns: u64) {
        let mut in_a_row = 0;
        while !self.stopped {
            let due_ns = match self.schedule.next_due_ns() {
                Some(due) if due > now_ns => return,
                Some(due) => due,
                None => now_ns,
            };
            let Some(lane) = self.idle.front().copied() else {
                self.held_up = Some(HeldUp { until_ns: now_ns, by: By::Room });
                return;
            };
            let Some((lane, place, repeat)) = self.choose(lane) else {
                self.held_up = Some(HeldUp { until_ns: now_ns, by: By::Requests });
                let computed_too_slowly = self.schedule.next_due_ns().is_none() && !self.source.is_exhausted();
                self.meter.waited_for_requests += u64::from(computed_too_slowly);
                return;
            };
            let held_up = self.held_up.filter(|held_up| due_ns <= held_up.until_ns).map(|held_up| held_up.by);
            self.meter.waited_for_room += u64::from(held_up == Some(By::Room));
            self.meter.waited_for_requests += u64::from(held_up == Some(By::Requests));
            let lag_ns = held_up.is_none().then(|| now_ns - due_ns);
            self.meter.sent(now_ns, repeat.is_none(), lag_ns);
            self.send(lane, Flight { place, due_ns, repeat: repeat.unwrap_or(Repeat::No) });
            self.schedule.take();
            in_a_row += 1;
            if in_a_row == REQUESTS_IN_A_ROW {
                in_a_row = 0;
                self.idle.rotate_left(usize::from(!self.idle.is_empty()));
            }
        }
    }

    /// What goes out next, and over which connection: `lane`, unless a repeat has to take another one. A new request comes
    /// with what becomes of it after its answer.
    fn choose(&mut self, lane: u32) -> Option<(u32, u32, Option<Repeat>)> {
        if let Some(again) = self.again.front() {
            let (place, not_over) = (again.place, again.not_over);
            if not_over == lane && self.idle.len() > 1 {
                self.idle.swap(0, 1);
            }
            let lane = self.idle[0];
            if lane != not_over || self.lanes.len() == 1 {
                self.again.pop_front();
                return Some((lane, place, None));
            }
        }
        let place = self.source.take_next()?;
        self.expected[place as usize] = 1;
        let mut repeat = Repeat::No;
        if self.manner.duplicates > 0.0 && self.random.random::<f64>() < self.manner.duplicates {
            self.expected[place as usize] = 2;
            if self.random.random::<bool>() {
                self.again.push_back(Again { place, not_over: self.idle[0] });
            } else {
                repeat = Repeat::AfterAnswer;
            }
        }
        Some((self.idle[0], place, Some(repeat)))
    }

    fn send(&mut self, index: u32, flight: Flight) {
        let id = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() as u32 - 1
        });
        self.flights[id as usize] = Some(flight);
        let lane = &mut self.lanes[index as usize];
        lane.output.extend_from_slice(&frame_header(id, REQUEST_BYTES));
        lane.output.extend_from_slice(self.source.request(flight.place));
        lane.unanswered += 1;
        if !lane.has_news {
            lane.has_news = true;
            self.news.push(index);
        }
        if lane.unanswered == self.manner.outstanding {
            lane.waits_for_work = false;
            self.idle.pop_front();
        }
    }

    /// Takes all complete frames at the beginning of what lane `index` received; how many bytes they are.
    ///
    /// # Errors
    /// [`FrameTooLong`]: the server cannot be understood any more.
    pub fn receive(&mut self, index: u32, input: &[u8], now_ns: u64) -> Result<usize, FrameTooLong> {
        let mut used = 0;
        while let Some(frame) = Frame::first(&input[used..])? {
            used += frame.bytes();
            self.take_answer(index, &frame, now_ns);
        }
        let lane = &mut self.lanes[index as usize];
        if used > 0 && !lane.waits_for_work && !lane.dead && lane.unanswered < self.manner.outstanding {
            lane.waits_for_work = true;
            // In front: what this connection is given now leaves together.
            self.idle.push_front(index);
        }
        Ok(used)
    }

    fn take_answer(&mut self, index: u32, frame: &Frame<'_>, now_ns: u64) {
        let flight = self.flights.get_mut(frame.request_id as usize).and_then(Option::take);
        let Some(flight) = flight else {
            self.meter.strays += 1;
            return;
        };
        self.free.push(frame.request_id);
        let lane = &mut self.lanes[index as usize];
        lane.unanswered = lane.unanswered.saturating_sub(1);
        let place = flight.place as usize;
        self.expected[place] = self.expected[place].saturating_sub(1);
        match MessageType::of(frame.message) {
            Ok(MessageType::Response) => self.meter.answered(flight.due_ns, now_ns),
            _ => {
                let code = ErrorMessage::decode(frame.message).map(|error| error.code());
                self.meter.refused(code.unwrap_or(ErrorCode::Malformed), now_ns);
            }
        }
        self.answers.push(flight.place, self.expected[place] == 0, frame.message);
        if flight.repeat == Repeat::AfterAnswer && !self.stopped {
            self.again.push_back(Again { place: flight.place, not_over: index });
        }
    }

    /// Wakes whoever writes the lanes that have something new, but for `own`, who is awake.
    pub fn wake(&mut self, own: Option<u32>) {
        for index in self.news.drain(..) {
            let lane = &mut self.lanes[index as usize];
            lane.has_news = false;
            if Some(index) != own
                && let Some(waker) = &lane.waker
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Wakes everybody, so that they notice the end.
    pub fn wake_all(&mut self) {
        self.lanes.iter().filter_map(|lane| lane.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    /// A connection.
    pub fn lane(&mut self, index: u32) -> &mut Lane {
        &mut self.lanes[index as usize]
    }

    /// A connection is lost; what it had not answered will not be answered.
    pub fn bury(&mut self, index: u32) {
        self.lanes[index as usize].dead = true;
        self.idle.retain(|lane| *lane != index);
    }

    /// Whether any connection lives.
    pub fn is_alive(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.dead)
    }

    /// When the next request is due; `None` where it always is.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.schedule.next_due_ns()
    }

    /// Whether nothing can be sent for want of requests, now and for ever.
    pub fn is_exhausted(&self) -> bool {
        self.source.is_exhausted() && self.again.is_empty()
    }

    /// Sends nothing more, but for what became due since it was last offered; how many requests were due by then and had to
    /// stay.
    pub fn stop(&mut self, now_ns: u64) -> u64 {
        if self.schedule.next_due_ns().is_some() {
            self.offer(now_ns);
        }
        self.stopped = true;
        let mut unsent = 0;
        while self.schedule.next_due_ns().is_some_and(|due| due < now_ns) {
            self.schedule.take();
            unsent += 1;
        }
        unsent
    }

    /// Requests sent and not answered.
    pub fn unanswered(&self) -> u64 {
        (self.flights.len() - self.free.len()) as u64
    }

    /// Places of the requests that were sent and not answered.
    pub fn unanswered_places(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.flights.iter().flatten().map(|flight| flight.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Passes the answers on to the workshops, if there are any.
    pub fn forward(&mut self) {
        if !self.workshops.is_empty() && !self.answers.is_empty() {
            let answers = Arc::new(std::mem::take(&mut self.answers));
            for workshop in &self.workshops {
                // A workshop ends after the traffic does.
                let _ = workshop.send(Arc::clone(&answers));
            }
        }
    }

    /// Has answers passed on instead of kept.
    pub fn with_workshops(mut self, workshops: Vec<Sender<Arc<Answers>>>) -> Self {
        self.workshops = workshops;
        self
    }

    /// Answers in clear that mean too much load.
    pub fn refused_for_load(&self) -> u64 {
        let of_load = |code: &u16| ErrorCode::from_number(*code).is_some_and(is_for_load);
        self.meter.refused.iter().filter(|(code, _)| of_load(code)).map(|(_, count)| count).sum()
    }

    /// Ends: what was sent, measured and answered.
    pub fn into_parts(mut self) -> (Source, Meter, Answers) {
        self.meter.finish();
        (self.source, self.meter, self.answers)
    }
}

#[cfg(test)]
mod tests;
