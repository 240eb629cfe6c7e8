//! What the log costs on the disk: payments in the ledger, the index that refunds are found by, and the payments in the archive.
//!
//!     cargo run --release -p tps --example log_size -- 100000
//!
//! The ledger is a real one of RocksDB; its payments hold random bytes wherever real ones do.

use std::path::Path;
use std::time::Instant;

use protocol::ids::{InstrumentId, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber};
use protocol::ledger::instrument::Place;
use protocol::money::{Amount, Asset};
use protocol::pin::ModifierPart;
use protocol::proof::BatchHeader;
use protocol::request::PaymentKind;
use protocol::response::Reason;
use protocol::session::AgreementPublic;
use protocol::signature::SigningKey;
use protocol::time::Timestamp;
use tps::archive::{Archiving, Pruning, SEGMENT_BYTES_MAX, segments};
use tps::desk::records::PairRecord;
use tps::jobs::cursor::Cursor;
use tps::keys::KeyRing;
use tps::pipeline::{Engine, EngineConfig};
use tps::settlement::records::SettlementCycle;
use tps::store::desk::DeskRecord;
use tps::store::records::{BatchRecord, Changes, PaymentRecord};
use tps::store::rocksdb::RocksStore;
use tps::store::{Genesis, Store};

const REALM: RealmId = RealmId([7; 16]);
/// A batch of a busy worker.
const BATCH: u16 = 128;

struct Draw(blake3::OutputReader);

impl Draw {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    fn below(&mut self, end: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % end
    }

    /// One of `number` ids.
    fn id(&mut self, number: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(&self.below(number).to_le_bytes()).as_bytes()[..16]);
        id
    }

    fn payment(&mut self, time: Timestamp) -> anyhow::Result<PaymentRecord> {
        Ok(PaymentRecord {
            instrument: InstrumentId(self.id(10_000)),
            count: self.below(1_000),
            reason: Reason::Paid,
            balance: i128::from(self.below(1_000_000_000)),
            customer_part: ModifierPart(self.below(u64::MAX)),
            processor_part: ModifierPart(self.below(u64::MAX)),
            payment: PaymentId(self.bytes()),
            merchant: MerchantId(self.id(1_000)),
            number: TransactionNumber(self.bytes()),
            amount: Amount::new(1 + self.below(100_000))?,
            asset: Asset::USD6,
            quote_digest: QuoteDigest(self.bytes()),
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            opening: self.bytes(),
            other_commitment: self.bytes(),
            valid_until: time.plus(self.below(600_000)),
            session_key: KeyId([3; 8]),
            route: 0,
            ephemeral: AgreementPublic(self.bytes()),
            signature: self.bytes(),
        })
    }
}

fn disk_bytes(path: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The index of payments by merchant and number, as the desk writes it.
fn index(store: &mut RocksStore, last: Place) -> anyhow::Result<()> {
    let mut records = Vec::new();
    store.reader().for_each_payment(&mut |place, payment| {
        let PaymentRecord { merchant, number, instrument, asset, amount, .. } = *payment;
        records.push(PairRecord { merchant, number, place: place.into(), instrument, asset, amount }.entry());
    })?;
    for chunk in records.chunks(2_048) {
        store.commit(&Changes { desk: chunk.to_vec(), ..Changes::default() })?;
    }
    store.commit(&Changes { desk: vec![Cursor::new("pairs", last, 0).entry()], ..Changes::default() })?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let payments: u64 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let (ledger, archive) = (directory.path().join("ledger"), directory.path().join("archive"));
    let mut store = RocksStore::create(&ledger, Genesis { realm: REALM })?;
    let empty = disk_bytes(&ledger)?;
    let mut draw = Draw(blake3::Hasher::new().update(b"log size").finalize_xof());
    let batches = payments.div_ceil(u64::from(BATCH));
    for number in 1..=batches {
        let time = Timestamp(1_700_000_000_000 + number * 10);
        let header = BatchHeader::new(REALM, KeyId([5; 8]), time, BATCH, draw.bytes());
        let leaves = (0..BATCH).map(|_| draw.bytes()).collect();
        let mut changes = Changes { clock: time, ..Changes::default() };
        changes.batches.push((number, BatchRecord { header, signature: draw.bytes(), leaves }));
        for index in 0..BATCH {
            changes.payments.push((Place { batch: number, index }, draw.payment(time)?));
        }
        store.commit(&changes)?;
    }
    let last = Place { batch: batches, index: BATCH - 1 };
    let cycle = SettlementCycle::new(1, (Timestamp(1), Timestamp(1_800_000_000_000)), Place::default(), last).closed();
    store.commit(&Changes { desk: vec![cycle.entry()], ..Changes::default() })?;
    drop(store);

    // Recovery writes out what was in the log of the database.
    let mut store = RocksStore::open(&ledger)?;
    let without_index = disk_bytes(&ledger)?;
    index(&mut store, last)?;
    drop(store);
    let store = Box::new(RocksStore::open(&ledger)?);
    let engine = Engine::start(store, KeyRing::administration_keys(REALM)?, EngineConfig::default())?;
    let number = (batches * u64::from(BATCH)) as f64;
    let per_million = |bytes: u64| bytes as f64 / number;
    println!("payments          {number}");
    println!("ledger            {:>8.1} MB per million", per_million(without_index - empty));
    println!("index of refunds  {:>8.1} MB per million", per_million(disk_bytes(&ledger)? - without_index));

    let archiving = Archiving { engine: &engine, directory: &archive, bytes_max: SEGMENT_BYTES_MAX };
    let (begun, key) = (Instant::now(), SigningKey::from_seed([1; 32]));
    while archiving.write_next(&key, Timestamp(u64::MAX))?.is_some() {}
    let written = begun.elapsed();
    let records: u64 = segments(engine.reader().as_ref())?.iter().map(|header| header.record_bytes).sum();
    println!("records           {:>8.1} MB per million", per_million(records));
    println!("archive           {:>8.1} MB per million", per_million(disk_bytes(&archive)?));
    println!("writing, checking {:>8.2} s per million", written.as_secs_f64() * 1e6 / number);

    let (begun, mut after, mut checked) = (Instant::now(), Place::default(), 0);
    while let Pruning::UpTo(place) = archiving.prune_next(after, &mut checked)? {
        after = place;
    }
    let (pruned, counted) = (begun.elapsed(), &engine.counters().archive);
    let (records, commits) = (counted.pruned.get(), counted.prunings.get());
    println!("pruning           {:>8.2} s per million, without the job's pauses", pruned.as_secs_f64() * 1e6 / number);
    println!("commits           {commits}, {} records each", records / commits.max(1));
    println!("shard kept busy   {:>8.2} us per commit", counted.pruning_us.get() as f64 / commits.max(1) as f64);
    engine.drain();
    Ok(())
}
