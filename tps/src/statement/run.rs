//! Making statements, in steps of a bounded size: fix the range, name everybody, walk over log and journal, then write pile after
//! pile. Nothing waits for a shard but the first step, and that one asks it for an answer and no work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::AccountId;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use serde_json::json;

use super::fold::{Balances, Period, Sum, Title};
use super::output::Output;
use super::range::Range;
use super::sort::{Entry, Pile, Piles};
use super::text::{Format, Writer, named};
use super::walk::{Scope, Walk};
use crate::admin::AdminError;
use crate::data_directory::Realm;
use crate::jobs::Pause;
use crate::pipeline::Engine;
use crate::store::Reader;

/// Accounts named in one step, and entries of a pile read in one step.
const ENTRIES_PER_STEP: usize = 4_096;
/// Files written in one step.
const FILES_PER_STEP: usize = 512;
/// How soon the range is tried again while payments of before its end are under way.
const AGAIN: Duration = Duration::from_millis(20);

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Of whom.
    pub scope: Scope,
    /// Of when.
    pub period: Period,
    /// With every single movement.
    pub with_lines: bool,
    /// How.
    pub format: Format,
    /// The new directory.
    pub directory: PathBuf,
}

/// One pile being written. It is read twice: for the sums, which stand first, and for the lines.
struct Writing {
    pile: PathBuf,
    from: Pile,
    balances: BTreeMap<Party, Balances>,
    stage: Stage,
}

enum Stage {
    Summing,
    /// Heads are written up to this party.
    Heads(Option<Party>),
    /// Whose lines have begun.
    Lines(BTreeSet<Party>),
    /// Tails are written up to this party.
    Tails(Option<Party>),
}

enum Phase {
    Fixing,
    Naming(Range, Piles, Option<AccountId>),
    Walking(Range, Piles, Box<Walk>),
    Writing(Range, VecDeque<PathBuf>, Option<Writing>),
}

/// Statements being made.
pub struct Run {
    order: Order,
    realm: Realm,
    log: Arc<dyn Reader>,
    output: Option<Output>,
    phase: Phase,
    statements: u64,
    /// Sums over everybody of a kind, for the summary.
    totals: BTreeMap<&'static str, Balances>,
}

impl Run {
    /// Makes the directory. The statements are made of what `log` reads, which must go back to the beginning.
    ///
    /// # Errors
    /// [`AdminError`] where that is impossible.
    pub fn start(order: Order, realm: Realm, log: Arc<dyn Reader>) -> Result<Self, AdminError> {
        let output = Some(Output::create(&order.directory)?);
        Ok(Self { order, realm, log, output, phase: Phase::Fixing, statements: 0, totals: BTreeMap::new() })
    }

    /// Statements written so far.
    pub fn statements(&self) -> u64 {
        self.statements
    }

    /// Does one step; `None` once everything is written.
    ///
    /// # Errors
    /// [`AdminError`]; the run must be dropped then, and its directory is gone with it.
    pub fn step(&mut self, engine: &Engine) -> Result<Option<Pause>, AdminError> {
        let log = Arc::clone(&self.log);
        let reader = log.as_ref();
        let phase = std::mem::replace(&mut self.phase, Phase::Fixing);
        self.phase = match phase {
            Phase::Fixing => match Range::fix(engine, self.order.period)? {
                Some(range) => self.named(range, reader)?,
                None => return Ok(Some(Pause::For(AGAIN))),
            },
            Phase::Naming(range, mut piles, from) => match self.name_accounts(reader, &mut piles, from)? {
                Some(next) => Phase::Naming(range, piles, Some(next)),
                None => Phase::Walking(range, piles, Box::new(Walk::new(range, self.order.scope, self.realm.shards))),
            },
            Phase::Walking(range, mut piles, mut walk) => {
                if walk.step(reader, &mut |time, movement| piles.take(time, movement))? {
                    Phase::Walking(range, piles, walk)
                } else {
                    Phase::Writing(range, piles.finish()?.into(), None)
                }
            }
            Phase::Writing(range, mut left, writing) => {
                let writing = match (writing, left.pop_front()) {
                    (Some(writing), next) => {
                        next.into_iter().for_each(|next| left.push_front(next));
                        writing
                    }
                    (None, Some(pile)) => {
                        let from = Pile::open(&pile)?;
                        Writing { pile, from, balances: BTreeMap::new(), stage: Stage::Summing }
                    }
                    (None, None) => {
                        self.finish(range)?;
                        return Ok(None);
                    }
                };
                let writing = self.write(range, writing)?;
                Phase::Writing(range, left, writing)
            }
        };
        Ok(Some(Pause::None))
    }

    /// Names those who get a statement whether anything moved or not.
    fn named(&self, range: Range, reader: &dyn Reader) -> Result<Phase, AdminError> {
        let directory = self.output.as_ref().map(Output::unsorted).unwrap_or_default();
        let mut piles = Piles::new(&directory, range.period, self.order.with_lines);
        let first_asset = self.realm.assets.first().map_or(Asset::USD6, |asset| asset.code);
        let title = |party, asset| Title { party, asset, kind: None };
        match self.order.scope {
            Scope::Account(id) => {
                let mut asset = first_asset;
                reader.visit_accounts(id, &mut |account| {
                    if account.id == id {
                        asset = account.asset;
                    }
                    ControlFlow::Break(())
                })?;
                piles.name(title(Party::Customer(id), asset))?;
            }
            Scope::Merchant(id) => piles.name(title(Party::Merchant(id), first_asset))?,
            Scope::All => {
                for merchant in reader.registry()?.merchants {
                    piles.name(title(Party::Merchant(merchant.id), first_asset))?;
                }
                return Ok(Phase::Naming(range, piles, None));
            }
        }
        Ok(Phase::Walking(range, piles, Box::new(Walk::new(range, self.order.scope, self.realm.shards))))
    }

    /// Names a page of accounts; where the next page begins.
    fn name_accounts(
        &self,
        reader: &dyn Reader,
        piles: &mut Piles,
        from: Option<AccountId>,
    ) -> Result<Option<AccountId>, AdminError> {
        let (mut left, mut next, mut outcome) = (ENTRIES_PER_STEP, None, Ok(()));
        reader.visit_accounts(from.unwrap_or(AccountId::ZERO), &mut |account| {
            if left == 0 {
                next = Some(account.id);
                return ControlFlow::Break(());
            }
            left -= 1;
            outcome = piles.name(Title { party: Party::Customer(account.id), asset: account.asset, kind: None });
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome.map(|()| next)
    }

    fn writer(&self, period: Period) -> Writer<'_> {
        Writer { realm: &self.realm, period, format: self.order.format, with_lines: self.order.with_lines }
    }

    fn append(&self, texts: &BTreeMap<Party, String>) -> Result<(), AdminError> {
        match &self.output {
            Some(output) => output.append(texts, self.order.format),
            None => Ok(()),
        }
    }

    fn write(&mut self, range: Range, mut writing: Writing) -> Result<Option<Writing>, AdminError> {
        let writer = self.writer(range.period);
        let mut texts: BTreeMap<Party, String> = BTreeMap::new();
        writing.stage = match writing.stage {
            Stage::Summing => match sum(&mut writing.from, &mut writing.balances)? {
                true => Stage::Summing,
                false => Stage::Heads(None),
            },
            Stage::Heads(after) => {
                let mut last = None;
                for (party, balances) in page(&writing.balances, after) {
                    let tail = if self.order.with_lines { "" } else { writer.tail() };
                    texts.insert(*party, writer.head(*party, balances)? + tail);
                    last = Some(*party);
                }
                match last {
                    Some(last) => Stage::Heads(Some(last)),
                    None if self.order.with_lines => {
                        writing.from = Pile::open(&writing.pile)?;
                        Stage::Lines(BTreeSet::new())
                    }
                    None => return self.count(&writing.balances).map(|()| None),
                }
            }
            Stage::Lines(mut begun) => {
                let mut more = true;
                for _ in 0..ENTRIES_PER_STEP {
                    match writing.from.read()? {
                        Some(Entry::Line(line)) => {
                            let first = begun.insert(line.movement.party);
                            texts.entry(line.movement.party).or_default().push_str(&writer.line(&line, first));
                        }
                        Some(Entry::Sum(..)) => {}
                        None => {
                            more = false;
                            break;
                        }
                    }
                }
                if more { Stage::Lines(begun) } else { Stage::Tails(None) }
            }
            Stage::Tails(after) => {
                texts.extend(page(&writing.balances, after).map(|(party, _)| (*party, writer.tail().to_owned())));
                match texts.last_key_value() {
                    Some((last, _)) => Stage::Tails(Some(*last)),
                    None => return self.count(&writing.balances).map(|()| None),
                }
            }
        };
        self.append(&texts)?;
        Ok(Some(writing))
    }

    /// Adds a pile's statements to the summary.
    fn count(&mut self, written: &BTreeMap<Party, Balances>) -> Result<(), AdminError> {
        self.statements += written.len() as u64;
        for (party, balances) in written {
            let totals = self.totals.entry(named(*party).0).or_default();
            for (asset, balance) in balances {
                let total = totals.entry(*asset).or_default();
                total.add(None, Sum { count: 0, units: balance.opening })?;
                balance.moved().try_for_each(|(kind, sum)| total.add(Some(kind), sum))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, range: Range) -> Result<(), AdminError> {
        let mut summary = json!({
            "realm": self.realm.realm, "from_ms": range.period.from, "until_ms": range.period.until,
            "last_batch": range.batch, "last_commit": range.commit, "statements": self.statements,
        });
        let writer = self.writer(range.period);
        for (kind, balances) in &self.totals {
            summary[format!("{kind}s")] = writer.json_balances(balances)?;
        }
        self.output.take().map_or(Ok(()), |output| output.keep(&summary))
    }
}

/// Adds entries of a pile to balances; whether there is more.
fn sum(from: &mut Pile, balances: &mut BTreeMap<Party, Balances>) -> Result<bool, AdminError> {
    for _ in 0..ENTRIES_PER_STEP {
        match from.read()? {
            Some(Entry::Sum(title, sum)) => {
                let balances = balances.entry(title.party).or_default();
                balances.entry(title.asset).or_default().add(title.kind, sum)?;
            }
            Some(Entry::Line(_)) => {}
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// Parties after `after`, as many as are written in one step.
fn page(balances: &BTreeMap<Party, Balances>, after: Option<Party>) -> impl Iterator<Item = (&Party, &Balances)> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    balances.range((start, Bound::Unbounded)).take(FILES_PER_STEP)
}
