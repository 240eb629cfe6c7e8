//! Orders for statements: taken, carried out, failed, taken back, remembered.

use std::sync::Arc;

use protocol::time::Timestamp;
use tps::jobs::{Job, Jobs, Pause};
use tps::pipeline::Engine;
use tps::statement::walk::Scope;
use tps::statement::{Progress, StatementDesk, StatementJob};

use crate::equal::world;
use crate::{job, moment, order};

#[test]
fn orders_that_fail_or_are_taken_back_leave_nothing_and_others_go_on() {
    let (engine, _, _) = world(1);
    let directory = tempfile::tempdir().unwrap();
    let (desk, path) = (Arc::new(StatementDesk::default()), |name: &str| directory.path().join(name));
    let mut job = job(&desk, &engine, directory.path());
    let all = (Timestamp(0), moment(&engine));
    let run = |job: &mut StatementJob, number: u64| {
        for _ in 0..1_000 {
            if desk.one(number).unwrap().progress.is_ended() {
                break;
            }
            let _ = job.step(&engine).unwrap();
        }
        desk.one(number).unwrap().progress
    };
    std::fs::write(path("file"), "in the way").unwrap();
    let blocked = desk.order(order(Scope::All, all, &path("file"))).unwrap();
    let future = (engine.now().plus(1_000_000), Timestamp(u64::MAX));
    let early = desk.order(order(Scope::All, future, &path("early"))).unwrap();
    let waiting = desk.order(order(Scope::All, all, &path("waiting"))).unwrap();
    let good = desk.order(order(Scope::All, all, &path("good"))).unwrap();
    assert!(matches!(run(&mut job, blocked.number), Progress::Failed { .. }));
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "in the way");
    let Progress::Failed { error } = run(&mut job, early.number) else { panic!("a period in the future") };
    assert!(error.message.contains("not in the future"), "{error}");
    assert!(matches!(desk.cancel(waiting.number).unwrap().progress, Progress::Failed { .. }));
    assert_eq!(run(&mut job, good.number), Progress::Done { statements: 5 });

    let running = desk.order(order(Scope::All, all, &path("running"))).unwrap();
    for _ in 0..3 {
        let _ = job.step(&engine).unwrap();
    }
    assert!(path("running").exists());
    assert_eq!(desk.cancel(running.number).unwrap().progress, Progress::Running);
    assert!(matches!(run(&mut job, running.number), Progress::Failed { .. }));
    let mut left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["data", "file", "good"]);
    assert!(desk.one(99).is_err());
    engine.drain();
}

/// Somebody waits for an order that has not ended, however many others end meanwhile.
#[test]
fn an_order_is_not_forgotten_before_it_has_ended() {
    let (engine, ..) = world(1);
    let directory = tempfile::tempdir().unwrap();
    let desk = Arc::new(StatementDesk::default());
    let mut job = job(&desk, &engine, directory.path());
    let wanted = |name: &str| order(Scope::All, (Timestamp(0), engine.now()), &directory.path().join(name));
    let running = desk.order(wanted("running")).unwrap().number;
    let _ = job.step(&engine).unwrap();
    for _ in 0..200 {
        let other = desk.order(wanted("other")).unwrap().number;
        desk.cancel(other).unwrap();
    }
    assert_eq!(desk.one(running).unwrap().progress, Progress::Running);
    assert!(desk.all().len() <= 80, "and not all that have ended are remembered");
    drop(job);
    engine.drain();
}

struct Panicking;

impl Job for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn step(&mut self, _: &Engine) -> Result<Pause, tps::admin::AdminError> {
        panic!("on purpose")
    }
}

#[test]
fn a_job_that_panics_stops_no_other() {
    let (engine, ..) = world(1);
    let (engine, directory) = (Arc::new(engine), tempfile::tempdir().unwrap());
    let desk = Arc::new(StatementDesk::default());
    let ordered =
        desk.order(order(Scope::All, (Timestamp(0), moment(&engine)), &directory.path().join("all"))).unwrap();
    let jobs: Vec<Box<dyn Job>> = vec![Box::new(Panicking), Box::new(job(&desk, &engine, directory.path()))];
    let jobs = Jobs::start(Arc::clone(&engine), jobs).unwrap();
    let began = std::time::Instant::now();
    while !desk.one(ordered.number).unwrap().progress.is_ended() {
        assert!(began.elapsed().as_secs() < 60, "the thread of the jobs is gone");
        std::thread::yield_now();
    }
    drop(jobs);
    Arc::into_inner(engine).unwrap().drain();
}
