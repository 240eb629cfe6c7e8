//! Processes that end without warning. The test program runs itself again as the process to be ended.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::super::super::tests::model::Model;
use super::*;

/// Names the directory in which the child commits.
const CHILD_VARIABLE: &str = "QUITTANCE_STORE_TEST_DIRECTORY";

/// The child: commits until it is killed or a write fails, and tells every commit after it returned.
#[test]
#[ignore = "run by the other tests of this file as a process of its own"]
fn child() {
    let Some(directory) = std::env::var_os(CHILD_VARIABLE) else { return };
    let mut store = RocksStore::open(Path::new(&directory)).unwrap();
    let mut out = std::io::stdout();
    let first = store.reader().last_commit().unwrap() + 1;
    for number in first.. {
        match store.commit(&changes(number)) {
            Ok(receipt) => writeln!(out, "committed {}", receipt.number()).unwrap(),
            Err(error) => {
                writeln!(out, "failed {error}").unwrap();
                let again = store.commit(&changes(number)).unwrap_err();
                writeln!(out, "then {again:?}").unwrap();
                return;
            }
        }
    }
}

fn spawn(mut command: Command, directory: &Path) -> Child {
    let module = module_path!().split_once("::").unwrap().1;
    command
        .args(["--ignored", "--exact", "--nocapture", &format!("{module}::child")])
        .env(CHILD_VARIABLE, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Number in a line of the child, if it tells a commit.
fn committed(line: &str) -> Option<u64> {
    // The test harness writes its own text in front of the first one.
    line.rsplit_once("committed ")?.1.parse().ok()
}

// spec: K-62
#[test]
fn whatever_was_told_before_a_kill_is_there() {
    let mut subject = OnRocks::new();
    let mut told = 0;
    for round in 1..=4 {
        subject.close();
        let mut child = spawn(Command::new(std::env::current_exe().unwrap()), &subject.path);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut in_this_round = 0;
        for line in lines {
            if let Some(number) = committed(&line.unwrap()) {
                told = number;
                in_this_round += 1;
            }
            if in_this_round == 1 {
                assert!(matches!(subject.open(), Err(StoreError::InUse { .. })), "the child has it open");
            }
            if in_this_round == 37 * round {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(in_this_round >= 37 * round);
        subject.open().unwrap();
        let found = subject.store().reader().last_commit().unwrap();
        assert!(found == told || found == told + 1, "{found} found, {told} told");
        Model { commits: (1..=found).map(changes).collect() }.check(subject.store().reader().as_ref());
        told = found;
    }
}

#[test]
fn a_failing_write_is_told_and_ends_the_writing() {
    let mut subject = OnRocks::new();
    subject.close();
    // Files may not grow beyond 200 kB: what a full disk looks like, without filling one.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let mut child = spawn(command, &subject.path);
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    child.wait().unwrap();
    let told = lines.iter().filter_map(|line| committed(line)).max().unwrap();
    assert!(lines.iter().any(|line| line.starts_with("failed writing to ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("then Broken")), "{lines:?}");
    subject.open().unwrap();
    let found = subject.store().reader().last_commit().unwrap();
    assert!(found == told || found == told + 1, "{found} found, {told} told");
    Model { commits: (1..=found).map(changes).collect() }.check(subject.store().reader().as_ref());
}
