//! Requests on line: threads that open and judge answers, and make each instrument's next request from what they say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use protocol::limits::VALID_UNTIL_AHEAD_MAX_MS;
use protocol::request::REQUEST_BYTES;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tps::pipeline::clock::wall_clock;

use super::answers::Answers;
use super::source::Made;
use crate::check::Tally;
use crate::check::judge::{Judge, Settled};
use crate::file::World;
use crate::file::records::{Batch, Meta, Standing};
use crate::mix::{Kind, Mix};
use crate::prepare::draw_kind;
use crate::prepare::maker::{Maker, REQUESTS_AT_ONCE, Wanted};
use crate::secrets::random;

/// How long a request made on line can be used: it leaves soon.
const VALID_MS: u64 = VALID_UNTIL_AHEAD_MAX_MS / 3 * 2;

/// A request on its way, with its instrument.
struct Place {
    request: [u8; REQUEST_BYTES],
    meta: Meta,
    standing: Standing,
}

/// One thread's part of all places: those whose number divided by the number of threads leaves its own.
pub struct Workshop {
    world: World,
    maker: Maker,
    judge: Judge,
    mix: Mix,
    places: Vec<Place>,
    thread: u32,
    threads: u32,
    first: HashMap<u32, Vec<Vec<u8>>>,
    mixing: StdRng,
    secret: StdRng,
}

/// What a workshop leaves behind.
pub struct Finished {
    /// What its judge found.
    pub tally: Tally,
    /// Its instruments and how they stand.
    pub standings: Vec<(u32, Standing)>,
}

impl Workshop {
    /// The workshop number `thread` of `threads`, over the places of `batch`.
    ///
    /// # Errors
    /// Where the server's key is of no use.
    pub fn new(
        world: &World,
        mix: Mix,
        batch: &Batch,
        standings: &[Standing],
        (thread, threads): (u32, u32),
        seed: u64,
    ) -> anyhow::Result<Self> {
        let places = (thread as usize..batch.len()).step_by(threads as usize).map(|place| {
            let mut request = [0; REQUEST_BYTES];
            request.copy_from_slice(batch.request(place));
            let meta = batch.metas[place].clone();
            Place { request, standing: standings[meta.instrument as usize], meta }
        });
        Ok(Self {
            world: world.clone(),
            maker: Maker::new(world)?,
            judge: Judge::new(world),
            mix,
            places: places.collect(),
            thread,
            threads,
            first: HashMap::new(),
            mixing: StdRng::seed_from_u64(seed.wrapping_add(u64::from(thread))),
            secret: StdRng::from_seed(random()),
        })
    }

    /// Works until no answers come any more; makes nothing more once `stop` is set.
    pub fn run(&mut self, answers: &Receiver<Arc<Answers>>, made: &Sender<Vec<Made>>, stop: &AtomicBool) {
        // Nobody takes requests any more after the end.
        let hand_over = |finished: Vec<Made>| drop(made.send(finished));
        let mut settled = Vec::with_capacity(REQUESTS_AT_ONCE);
        while let Ok(arrived) = answers.recv() {
            self.work_on(&arrived, &mut settled, stop, &hand_over);
            // What came meanwhile fills the group.
            for arrived in answers.try_iter() {
                self.work_on(&arrived, &mut settled, stop, &hand_over);
            }
            if !settled.is_empty() {
                hand_over(self.make(&std::mem::take(&mut settled)));
            }
        }
    }

    /// Judges answers, and makes requests whenever there are enough to make them at once.
    fn work_on(
        &mut self,
        arrived: &Answers,
        settled: &mut Vec<u32>,
        stop: &AtomicBool,
        hand_over: &impl Fn(Vec<Made>),
    ) {
        let (thread, threads) = (self.thread, self.threads);
        for entry in arrived.entries().iter().filter(|entry| entry.place % threads == thread) {
            let message = arrived.message(entry);
            if !entry.last {
                self.first.entry(entry.place).or_default().push(message.to_vec());
                continue;
            }
            let judged = self.settle(entry.place, message);
            if stop.load(Ordering::Relaxed) {
                continue;
            }
            match judged {
                Settled::Unknown => {}
                Settled::Refused => hand_over(vec![self.again(entry.place)]),
                Settled::Yes => settled.push(entry.place),
            }
            if settled.len() == REQUESTS_AT_ONCE {
                hand_over(self.make(&std::mem::take(settled)));
            }
        }
    }

    fn settle(&mut self, number: u32, message: &[u8]) -> Settled {
        let place = &mut self.places[(number / self.threads) as usize];
        let Some(first) = self.first.remove(&number) else {
            return self.judge.settle(&place.request, &place.meta, &mut place.standing, &[message]);
        };
        let all: Vec<&[u8]> = first.iter().map(Vec::as_slice).chain([message]).collect();
        self.judge.settle(&place.request, &place.meta, &mut place.standing, &all)
    }

    /// The same request once more.
    fn again(&self, number: u32) -> Made {
        Made { place: number, bytes: self.places[(number / self.threads) as usize].request }
    }

    /// The next requests of these places, which are settled.
    fn make(&mut self, settled: &[u32]) -> Vec<Made> {
        let wanted = settled.iter().map(|number| {
            let place = &self.places[(number / self.threads) as usize];
            let kind = draw_kind(&self.mix, &place.standing, &mut self.mixing);
            Wanted { instrument: place.meta.instrument, standing: place.standing, kind }
        });
        let wanted: Vec<Wanted> = wanted.collect();
        let batch = self.maker.make(&wanted, wall_clock().plus(VALID_MS), &mut self.secret);
        for (index, number) in settled.iter().enumerate() {
            let place = &mut self.places[(number / self.threads) as usize];
            place.request.copy_from_slice(batch.request(index));
            place.meta = batch.metas[index].clone();
        }
        settled.iter().map(|number| self.again(*number)).collect()
    }

    /// Ends: `unanswered` requests leave their instruments lost.
    pub fn finish(mut self, unanswered: &[u32]) -> Finished {
        for number in unanswered.iter().filter(|number| **number % self.threads == self.thread) {
            let place = &mut self.places[(number / self.threads) as usize];
            let amount_units = if place.meta.kind == Kind::Paid { self.world.amount_units } else { 0 };
            // What did come of it may be judged; it is not enough.
            match self.first.remove(number) {
                Some(first) => {
                    let all: Vec<&[u8]> = first.iter().map(Vec::as_slice).collect();
                    self.judge.settle(&place.request, &place.meta, &mut place.standing, &all);
                    self.judge.tally.unanswered += 1;
                }
                None => self.judge.abandon(amount_units, &mut place.standing),
            }
        }
        // Repeats that were never sent: the first answer is all there is.
        for (number, first) in std::mem::take(&mut self.first) {
            let place = &mut self.places[(number / self.threads) as usize];
            let all: Vec<&[u8]> = first.iter().map(Vec::as_slice).collect();
            self.judge.settle(&place.request, &place.meta, &mut place.standing, &all);
        }
        let standings = self.places.iter().map(|place| (place.meta.instrument, place.standing)).collect();
        Finished { tally: self.judge.tally, standings }
    }
}
