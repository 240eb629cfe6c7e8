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
use crate::prepare::maker::Maker;
use crate::secrets::random;

/// How long a request made on line can be used: it leaves soon.
const VALID_MS: u64 = VALID_UNTIL_AHEAD_MAX_MS / 3 * 2;
/// Requests that are handed over at a time.
const HANDED_OVER_AT_ONCE: usize = 16;

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
        for arrived in answers {
            let mut finished = Vec::new();
            let (thread, threads) = (self.thread, self.threads);
            for entry in arrived.entries().iter().filter(|entry| entry.place % threads == thread) {
                let message = arrived.message(entry);
                if !entry.last {
                    self.first.entry(entry.place).or_default().push(message.to_vec());
                    continue;
                }
                let settled = self.settle(entry.place, message);
                if stop.load(Ordering::Relaxed) {
                    continue;
                }
                finished.extend(self.next(entry.place, settled));
                if finished.len() == HANDED_OVER_AT_ONCE {
                    // Nobody takes it any more after the end.
                    let _ = made.send(std::mem::take(&mut finished));
                }
            }
            if !finished.is_empty() {
                let _ = made.send(finished);
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

    fn next(&mut self, number: u32, settled: Settled) -> Option<Made> {
        let place = &mut self.places[(number / self.threads) as usize];
        match settled {
            Settled::Unknown => return None,
            Settled::Refused => {}
            Settled::Yes => {
                let index = place.meta.instrument;
                let kind = draw_kind(&self.mix, &place.standing, &mut self.mixing);
                let instrument = self.world.seed.instrument(u64::from(index), self.world.per_account);
                let valid_until = wall_clock().plus(VALID_MS);
                let next = (index, &instrument);
                let (bytes, meta) = self.maker.make(next, &place.standing, kind, valid_until, &mut self.secret);
                place.request.copy_from_slice(&bytes);
                place.meta = meta;
            }
        }
        Some(Made { place: number, bytes: place.request })
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
