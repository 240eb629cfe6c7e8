//! K-07 within the server: whatever becomes of the thread of the jobs, payments go on.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use common::*;
use protocol::response::{Reason, open};
use tps::admin::AdminError;
use tps::jobs::deferred::DeferredVerification;
use tps::jobs::{Job, Jobs, Pause};
use tps::pipeline::verify::{SignatureCheck, SignatureRule};
use tps::pipeline::{Engine, EngineConfig};

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fails,
    Hangs,
    Panics,
}

struct Doomed {
    fate: Fate,
    begun: Sender<()>,
    /// Holds a job that hangs until the test has seen enough.
    release: Mutex<Receiver<()>>,
}

impl Job for Doomed {
    fn name(&self) -> &'static str {
        "doomed"
    }

    fn step(&mut self, _: &Engine) -> Result<Pause, AdminError> {
        let _ = self.begun.send(());
        match self.fate {
            Fate::Fails => Err(AdminError::refused("it always fails")),
            Fate::Hangs => {
                let _ = self.release.lock().unwrap().recv();
                Ok(Pause::None)
            }
            Fate::Panics => panic!("it always does"),
        }
    }
}

fn pay(engine: &Engine, customer: &mut Customer) {
    let content = customer.content(1);
    let request = customer.request(&content);
    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
    assert_eq!(opened.answer.reason, Reason::Paid);
    verifier().verify(&opened.proof_bytes).unwrap();
    customer.take(&content, &opened.answer);
}

// spec: K-07
#[test]
fn payments_go_on_whatever_becomes_of_the_jobs() {
    for fate in [Fate::Fails, Fate::Hangs, Fate::Panics] {
        let engine = Arc::new(engine(EngineConfig::default()));
        let mut customer = customers(&engine, 1_000, 1).remove(0);
        let ((begun, begins), (free, release)) = (channel(), channel());
        let job = Doomed { fate, begun, release: Mutex::new(release) };
        let jobs = Jobs::start(Arc::clone(&engine), vec![Box::new(job)]).unwrap();
        begins.recv().unwrap();
        for _ in 0..20 {
            pay(&engine, &mut customer);
        }
        assert_eq!(total(&engine), 0, "{fate:?}");
        drop(free);
        drop(jobs);
        Arc::into_inner(engine).unwrap().drain();
    }
}

// spec: K-07
#[test]
fn payments_go_on_while_deferred_verification_is_stopped_and_it_catches_up() {
    let check = SignatureCheck::Deferred;
    let default = EngineConfig::default();
    let engine = engine(EngineConfig { signatures: SignatureRule { check, ..default.signatures }, ..default });
    let mut job = DeferredVerification::start(&engine, check).unwrap().unwrap();
    let mut group = customers(&engine, 1_000, 2);
    // Nobody runs the job.
    pay(&engine, &mut group[0]);
    let honest = group[1].seed;
    group[1].seed = random();
    pay(&engine, &mut group[1]);
    group[1].seed = honest;
    pay(&engine, &mut group[0]);
    while job.step(&engine).unwrap() == Pause::None {}
    let id = group[1].instrument;
    assert!(engine.read(move |book| book.instrument(id).unwrap().held).remove(0), "found once it runs again");
    engine.drain();
}
