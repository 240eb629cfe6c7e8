//! The checks after a run.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::sending::{Sent, Share};
use super::{Plan, Session};
use crate::check::books::{Books, Expected, compare, compare_account};
use crate::check::judge::Judge;
use crate::check::{Problems, Tally};
use crate::file::World;
use crate::file::records::Standing;
use crate::mix::Kind;
use crate::report::model::Checks;
use crate::send::answers::Entry;

/// Accounts whose balance is looked up one by one: the server searches all instruments for each.
const ACCOUNTS_LOOKED_UP: usize = 5;

/// Judges every answer, and brings the standings up to date.
pub fn judge(session: &mut Session, plan: &Plan, sent: &mut Sent) -> Tally {
    let mut tally = Tally::default();
    for share in &mut sent.shares {
        if plan.workshops > 0 {
            for finished in std::mem::take(&mut share.finished) {
                tally.append(finished.tally);
                for (instrument, standing) in finished.standings {
                    session.standings[instrument as usize] = standing;
                }
            }
        } else {
            tally.append(judge_share(&session.file.header.world, share, &mut session.standings));
        }
    }
    tally.check_payment_ids();
    tally
}

/// The answers to one request after the other.
fn by_place(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|left, right| left.place == right.place)
}

fn judge_share(world: &World, share: &mut Share, standings: &mut [Standing]) -> Tally {
    share.answers.sort_by_place();
    let entries = share.answers.entries();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut parts = Vec::with_capacity(threads);
    let mut from = 0;
    for thread in 1..=threads {
        // Answers to one request stay together.
        let mut to = (entries.len() * thread / threads).max(from);
        while to > from && to < entries.len() && entries[to - 1].place == entries[to].place {
            to += 1;
        }
        parts.push(&entries[from..to]);
        from = to;
    }
    let before = &*standings;
    let judged: Vec<(Tally, Vec<(u32, Standing)>)> = std::thread::scope(|scope| {
        let working: Vec<_> =
            parts.into_iter().map(|part| scope.spawn(|| judge_part(world, share, before, part))).collect();
        working.into_iter().map(|working| working.join().expect("a thread of ours does not panic")).collect()
    });
    let mut tally = Tally::default();
    for (found, after) in judged {
        tally.append(found);
        for (instrument, standing) in after {
            standings[instrument as usize] = standing;
        }
    }
    let mut judge = Judge::new(world);
    for place in &share.unanswered {
        let meta = &share.metas[*place as usize];
        let amount_units = if meta.kind == Kind::Paid { world.amount_units } else { 0 };
        let answered = entries.binary_search_by_key(place, |entry| entry.place).is_ok();
        // Of a request that was sent twice, one answer may have come.
        if answered {
            judge.tally.unanswered += 1;
        } else {
            judge.abandon(amount_units, &mut standings[meta.instrument as usize]);
        }
    }
    tally.append(judge.tally);
    tally
}

fn judge_part(world: &World, share: &Share, before: &[Standing], entries: &[Entry]) -> (Tally, Vec<(u32, Standing)>) {
    let mut judge = Judge::new(world);
    let mut after = Vec::with_capacity(entries.len());
    let mut messages = Vec::new();
    for answers in by_place(entries) {
        let place = answers[0].place as usize;
        let meta = &share.metas[place];
        let mut standing = before[meta.instrument as usize];
        messages.clear();
        messages.extend(answers.iter().map(|entry| share.answers.message(entry)));
        let at = place * protocol::request::REQUEST_BYTES;
        let request = &share.bytes[at..at + protocol::request::REQUEST_BYTES];
        judge.settle(request, meta, &mut standing, &messages);
        after.push((meta.instrument, standing));
    }
    (judge.tally, after)
}

/// Compares the server's books with what the answers say.
pub fn check(session: &mut Session, plan: &Plan, before: Option<Books>, sent: &Sent, tally: &mut Tally) -> Checks {
    let mut problems = std::mem::take(&mut tally.problems);
    if tally.unanswered > 0 {
        problems.add(format!("{} requests were not answered", tally.unanswered));
    }
    if sent.meter.strays > 0 {
        problems.add(format!("{} answers came that answer nothing that was asked", sent.meter.strays));
    }
    let mut checks = Checks {
        answers_opened: tally.answers,
        proofs_verified: tally.proofs,
        repeats_identical: tally.repeats,
        ..Checks::default()
    };
    let expected = Expected { paid_units: tally.paid_units, unknown_units: tally.unknown_units };
    if let Some(before) = before
        && let Err(error) = ask_server(session, plan, (&before, &expected), sent, &mut checks, &mut problems)
    {
        problems.add(format!("the server cannot be asked any more: {error:#}"));
    }
    checks.passed = problems.count == 0;
    checks.problems = problems;
    checks
}

fn ask_server(
    session: &mut Session,
    plan: &Plan,
    (before, expected): (&Books, &Expected),
    sent: &Sent,
    checks: &mut Checks,
    problems: &mut Problems,
) -> anyhow::Result<()> {
    let Some(server) = session.server.as_mut() else { return Ok(()) };
    let world = &session.file.header.world;
    compare(before, &server.books(world.merchant, world.asset)?, expected, problems);
    checks.books_compared = true;
    for index in looked_up(sent, plan.seed) {
        checks.accounts_compared += u64::from(look_up(server, world, &session.standings, index, problems)?);
    }
    if plan.audit {
        server.audit()?.into_iter().for_each(|difference| problems.add(difference));
        checks.audited = true;
    }
    Ok(())
}

/// Some of the instruments that paid.
fn looked_up(sent: &Sent, seed: u64) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut chosen = Vec::new();
    for share in &sent.shares {
        let taken = &share.metas[..share.taken as usize];
        chosen.extend(taken.sample(&mut random, ACCOUNTS_LOOKED_UP).map(|meta| meta.instrument));
    }
    chosen.truncate(ACCOUNTS_LOOKED_UP);
    chosen
}

/// Compares one account; false where what it should hold is unknown.
fn look_up(
    server: &mut crate::server::Server,
    world: &World,
    standings: &[Standing],
    instrument: u32,
    problems: &mut Problems,
) -> anyhow::Result<bool> {
    let number = u64::from(instrument) / world.per_account;
    let first = (number * world.per_account) as usize;
    let sharing = &standings[first..(first + world.per_account as usize).min(standings.len())];
    if sharing.iter().any(|standing| standing.lost) {
        return Ok(false);
    }
    let spent: u64 = sharing.iter().map(|standing| standing.spent_units).sum();
    let account = world.seed.account(number).to_string();
    let expected = i128::from(world.opening_units) - i128::from(spent);
    compare_account(&account, server.balance(&account)?, expected, problems);
    Ok(true)
}
