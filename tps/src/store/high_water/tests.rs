use std::time::{Duration, Instant};

use super::*;

fn point(number: u64) -> Point {
    Point { number, chain: *blake3::hash(&number.to_le_bytes()).as_bytes() }
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("high-water");
    (directory, path)
}

fn alter(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_bytes_are_frozen() {
    let point = Point { number: 0x0102_0304_0506_0708, chain: [0xcc; 32] };
    let chain = "cc".repeat(32);
    let checksum = "4daa9b40d95a537dd9ca44706e6f70312d41eb482b260f3d3cfb75036caad82a";
    assert_eq!(hex::encode(point.encode()), format!("5155495448574d310807060504030201{chain}{checksum}"));
}

#[test]
fn marks_round_trip_and_new_ones_replace_old_ones() {
    let (_directory, path) = directory();
    for number in [0, 7, u64::MAX, 3] {
        create(&path, point(number)).unwrap();
        assert_eq!(read(&path).unwrap(), point(number));
    }
}

#[test]
fn one_damaged_slot_is_survived_and_two_are_told() {
    let (_directory, path) = directory();
    assert!(matches!(read(&path), Err(StoreError::HighWaterMarkLost { .. })), "missing");
    for offset in [0, 7, 8, 15, 16, 47, 48, 79] {
        create(&path, point(5)).unwrap();
        alter(&path, offset);
        assert_eq!(read(&path).unwrap(), point(5), "the other slot holds");
        alter(&path, SLOT_BYTES as usize + offset);
        assert!(matches!(read(&path), Err(StoreError::HighWaterMarkLost { .. })), "byte {offset}");
    }
    for length in [0, 1, 79, 4096] {
        create(&path, point(5)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(read(&path).is_ok(), length >= RECORD_BYTES, "{length} bytes left");
    }
}

#[test]
fn the_mark_follows_is_never_ahead_and_is_complete_at_the_end() {
    let (_directory, path) = directory();
    let mark = HighWaterMark::start(&path, point(10)).unwrap();
    assert_eq!(read(&path).unwrap(), point(10));
    let mut changes = 0;
    let (mut number, mut seen) = (10, point(10));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        number += 1;
        mark.publish(point(number)).unwrap();
        let found = read(&path).unwrap();
        assert!(found.number <= number && found.number >= seen.number);
        assert_eq!(found, point(found.number));
        changes += u32::from(found != seen);
        seen = found;
    }
    assert!((1..=30).contains(&changes), "{changes} writes in half a second");
    drop(mark);
    assert_eq!(read(&path).unwrap(), point(number));
}

#[test]
fn the_mark_is_written_soon_after_a_single_commit() {
    let (_directory, path) = directory();
    let mark = HighWaterMark::start(&path, point(0)).unwrap();
    let mut waits: Vec<Duration> = (1..=20)
        .map(|number| {
            mark.publish(point(number)).unwrap();
            let start = Instant::now();
            while read(&path).unwrap().number < number {
                assert!(start.elapsed() < Duration::from_secs(20), "the mark does not follow");
                std::thread::sleep(Duration::from_millis(1));
            }
            start.elapsed()
        })
        .collect();
    waits.sort();
    assert!(waits[10] <= Duration::from_millis(TRAIL_MAX_MS), "the median of {waits:?}");
}

#[test]
fn commits_wait_for_a_mark_that_trails_too_far() {
    let (_directory, path) = directory();
    let mark = HighWaterMark::start(&path, point(0)).unwrap();
    for number in 1..=4 * TRAIL_COMMITS_MAX {
        mark.publish(point(number)).unwrap();
        if number % 1_000 == 0 {
            let state = mark.shared.state();
            assert!(state.latest.number - state.marked <= TRAIL_COMMITS_MAX);
        }
    }
}

#[test]
fn a_mark_that_cannot_be_written_ends_the_commits() {
    let (_directory, path) = directory();
    let state = State { latest: point(1), marked: 1, stopping: false, failure: None };
    let shared =
        Shared { state: Mutex::new(state), published: Condvar::new(), hurry: Condvar::new(), written: Condvar::new() };
    create(&path, point(1)).unwrap();
    // Opened for reading only: writing fails.
    let (shared, file) = (Arc::new(shared), File::open(&path).unwrap());
    let for_thread = Arc::clone(&shared);
    let thread = std::thread::spawn(move || follow(&for_thread, &file));
    let mark = HighWaterMark { path, shared, thread: Some(thread) };
    let start = Instant::now();
    let mut number = 2;
    while mark.publish(point(number)).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "the failure is not told");
        number += 1;
    }
    assert!(matches!(mark.publish(point(number + 1)), Err(StoreError::WriteFailed { .. })));
}
