use super::*;
use crate::schedule::{Arrivals, Rate};

const MS: u64 = 1_000_000;

fn traffic(rate: Rate, requests: usize, lanes: usize, outstanding: u32, duplicates: f64) -> Traffic {
    let bytes = (0..requests).flat_map(|number| [number as u8; REQUEST_BYTES]).collect();
    let manner = Manner { outstanding, duplicates, seed: 9 };
    let schedule = Schedule::new(rate, Arrivals::Constant, 1);
    Traffic::new(schedule, Source::prepared(bytes), manner, lanes, Meter::new(0..u64::MAX), Answers::default())
}

/// What a lane was given to send: request ids and first bytes.
fn sent(traffic: &mut Traffic, lane: u32) -> Vec<(u32, u8)> {
    let output = std::mem::take(&mut traffic.lane(lane).output);
    let mut rest = &output[..];
    let mut found = Vec::new();
    while let Some(frame) = Frame::first(rest).unwrap() {
        found.push((frame.request_id, frame.message[0]));
        rest = &rest[frame.bytes()..];
    }
    found
}

fn answer(traffic: &mut Traffic, lane: u32, id: u32, now_ns: u64) {
    let message = MessageType::Response.prefix();
    let frame = [&frame_header(id, message.len())[..], &message].concat();
    assert_eq!(traffic.receive(lane, &frame, now_ns), Ok(frame.len()));
}

#[test]
fn requests_go_out_when_they_are_due_and_not_before() {
    let mut traffic = traffic(Rate::PerSecond(1_000.0), 10, 1, 100, 0.0);
    traffic.offer(MS - 1);
    assert!(sent(&mut traffic, 0).is_empty());
    traffic.offer(3 * MS);
    assert_eq!(sent(&mut traffic, 0).len(), 3);
    assert_eq!(traffic.next_due_ns(), Some(4 * MS));
    assert_eq!(traffic.meter.lag_us.max(), 2_000, "the first was two milliseconds late, by the generator's own fault");
}

#[test]
fn what_has_no_room_waits_and_its_latency_counts_from_the_schedule() {
    let mut traffic = traffic(Rate::PerSecond(1_000.0), 10, 2, 1, 0.0);
    traffic.offer(2 * MS);
    let (first, second) = (sent(&mut traffic, 0), sent(&mut traffic, 1));
    assert_eq!((first.len(), second.len()), (1, 1), "one each");
    traffic.offer(5 * MS);
    assert!(sent(&mut traffic, 0).is_empty() && sent(&mut traffic, 1).is_empty());
    answer(&mut traffic, 1, second[0].0, 50 * MS);
    traffic.offer(50 * MS);
    assert_eq!(sent(&mut traffic, 1).len(), 1);
    assert_eq!(traffic.meter.waited_for_room, 1);
    let lags = traffic.meter.lag_us.len();
    assert_eq!(lags, 2, "a request without room says nothing about the generator");
    answer(&mut traffic, 1, second[0].0, 53 * MS);
    assert!((49_900..=50_100).contains(&traffic.meter.latency_us.max()), "due at 3 ms, answered at 53 ms");
    assert_eq!(traffic.stop(60 * MS), 55, "due at 5 to 59 ms and not sent");
    assert_eq!(sent(&mut traffic, 1).len(), 1, "there was room for what was due at 4 ms");
    traffic.offer(70 * MS);
    assert!(sent(&mut traffic, 1).is_empty(), "nothing goes out after the end");
    assert_eq!(traffic.unanswered(), 2);
}

#[test]
fn a_closed_loop_keeps_every_connection_full() {
    let mut traffic = traffic(Rate::Max, 100, 3, 4, 0.0);
    traffic.offer(0);
    let ids: Vec<Vec<(u32, u8)>> = (0..3).map(|lane| sent(&mut traffic, lane)).collect();
    assert!(ids.iter().all(|ids| ids.len() == 4));
    answer(&mut traffic, 2, ids[2][0].0, MS);
    answer(&mut traffic, 2, ids[2][1].0, MS);
    traffic.offer(MS);
    assert_eq!(sent(&mut traffic, 2).len(), 2);
    assert!(sent(&mut traffic, 0).is_empty());
    assert_eq!(traffic.meter.sent, 14);
}

#[test]
fn repeats_are_the_same_bytes_over_another_connection() {
    let mut traffic = traffic(Rate::Max, 40, 2, 1_000, 1.0);
    traffic.offer(0);
    let mut first: Vec<Vec<(u32, u8)>> = vec![sent(&mut traffic, 0), sent(&mut traffic, 1)];
    let at_once: usize = first.iter().map(Vec::len).sum::<usize>() - 40;
    assert!((8..=32).contains(&at_once), "about half are repeated at once: {at_once}");
    for now in 1..4 {
        for lane in 0..2u32 {
            for (id, _) in std::mem::take(&mut first[lane as usize]) {
                answer(&mut traffic, lane, id, now);
            }
        }
        traffic.offer(now);
        first = vec![sent(&mut traffic, 0), sent(&mut traffic, 1)];
    }
    assert_eq!((traffic.meter.sent, traffic.meter.repeats, traffic.unanswered()), (80, 40, 0));
    assert!(traffic.is_exhausted());
    let mut per_place = [0; 40];
    let mut last = [0; 40];
    for entry in traffic.answers.entries() {
        per_place[entry.place as usize] += 1;
        last[entry.place as usize] += u32::from(entry.last);
    }
    assert_eq!((per_place, last), ([2; 40], [1; 40]), "two answers each, of which the second is the last");
}

#[test]
fn answers_in_clear_and_strays_are_counted() {
    let mut traffic = traffic(Rate::Max, 1, 1, 1, 0.0);
    traffic.offer(0);
    let (id, _) = sent(&mut traffic, 0)[0];
    let message = ErrorMessage::new(ErrorCode::Overloaded, 50).to_bytes();
    let frame = [&frame_header(id, message.len())[..], &message].concat();
    assert_eq!(traffic.receive(0, &frame[..5], 1), Ok(0), "an incomplete frame waits");
    traffic.receive(0, &frame, 1).unwrap();
    assert_eq!((traffic.refused_for_load(), traffic.meter.answered, traffic.unanswered()), (1, 0, 0));
    traffic.receive(0, &frame, 1).unwrap();
    assert_eq!(traffic.meter.strays, 1);
    assert!(traffic.receive(0, &[0xff; 6], 1).is_err());
    traffic.bury(0);
    assert!(!traffic.is_alive());
}
