//! Random histories: commits and restarts in any order, compared with the model after each.

use proptest::prelude::*;

use super::model::Model;
use super::sample::Draw;
use super::{GENESIS, MemoryStore, OnCrashDisk, Subject};

#[derive(Debug, Clone, Copy)]
enum Step {
    Commit { seed: u64, most: u64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<u64>(), 0..5u64).prop_map(|(seed, most)| Step::Commit { seed, most }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..20)
}

fn follow(mut subject: impl Subject, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Commit { seed, most } => {
                let changes = Draw::new(seed).changes(most);
                subject.store().commit(&changes).unwrap();
                model.commits.push(changes);
            }
            Step::Restart => subject.restart(),
        }
        model.check(subject.store().reader().as_ref());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_follows_the_model(steps in steps()) {
        follow(MemoryStore::new(GENESIS), &steps);
    }

    #[test]
    fn crash_disk_follows_the_model(steps in steps()) {
        follow(OnCrashDisk::new(), &steps);
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_follows_the_model(steps in steps()) {
        follow(super::OnRocks::new(), &steps);
    }
}
