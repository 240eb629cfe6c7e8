//! A whole TPS with its keys: the job on its own schedule, audits, backups and statements over the archive.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::desk::{BatchEntry, DeskAnswer, DeskBatch, EntryResult, RefundedTotal};
use protocol::ids::{AccountId, DeskBatchId, RefundOrderId, TransactionNumber};
use protocol::ledger::instrument::Place;
use protocol::ledger::posting::Party;
use protocol::money::Asset;
use protocol::request::{Content, InstrumentKeys, ProcessorKey, seal};
use protocol::response::{Reason, open};
use protocol::session::AgreementSecret;
use protocol::signature::{MerchantRole, SigningKey};
use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};
use tps::admin::statement::{StatementAnswer, StatementCommand, StatementOf};
use tps::admin::{AdminRequest, AdminResponse};
use tps::archive::{RetentionJob, segments};
use tps::audit::audit;
use tps::backup;
use tps::book::orders::Order;
use tps::config::Config;
use tps::data_directory::{DataDirectory, Realm};
use tps::desk::clerk::{Clerk, admit};
use tps::desk::{NoSettlements, Renewals, indexed_up_to};
use tps::jobs::{Job, Pause};
use tps::keys::{KeyRing, KeySecret};
use tps::operator::installation::{InstallOptions, fill};
use tps::operator::{Operator, Registrar};
use tps::pipeline::clock::wall_clock;
use tps::pipeline::{Engine, EngineConfig};
use tps::statement::fold::Period;
use tps::statement::output::Output;
use tps::statement::text::Format;
use tps::statement::{Progress, StatementDesk, StatementJob};
use tps::store::records::Changes;
use tps::store::rocksdb::RocksStore;
use tps::store::{Genesis, Store};

use crate::common::*;
use crate::{FOR_EVER, all, archiving, settle};

/// The directory of a TPS with its keys.
struct Installation {
    directory: tempfile::TempDir,
    data: DataDirectory,
    realm: Realm,
}

impl Installation {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        let realm = fill(&path, &InstallOptions::default(), wall_clock()).unwrap();
        let data = DataDirectory::open(&path).unwrap();
        drop(RocksStore::create(&data.ledger(), Genesis { realm: realm.realm }).unwrap());
        Self { directory, data, realm }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A start at a time that is not before `now`: the ledger's time never goes back.
    fn start(&self, now: Timestamp) -> Arc<Engine> {
        let mut store = RocksStore::open(&self.data.ledger()).unwrap();
        store.commit(&Changes { clock: now, ..Changes::default() }).unwrap();
        let keys = KeyRing::load(&self.data).unwrap().engine_keys(self.realm.realm, wall_clock()).unwrap();
        Arc::new(Engine::start(Box::new(store), keys, EngineConfig::default()).unwrap())
    }

    fn clerk(&self, engine: &Arc<Engine>) -> Clerk {
        let registrar = Registrar::new(Arc::clone(engine), self.data.clone(), self.realm.clone());
        Clerk::new(Arc::clone(engine), Arc::new(registrar), Renewals::Automatic, Box::new(NoSettlements))
    }

    /// A certified merchant that hands batches in.
    fn register(&self, engine: &Arc<Engine>) {
        let session = AgreementSecret::from_random([0x4e; 32]).public();
        let request = CertificateRequest::new("Shop".to_owned(), session, &shop_key()).unwrap().encode();
        let order = Order::RegisterMerchant { id: MERCHANT, name: "Shop".into(), request, session_public: session };
        engine.order(0, order).unwrap();
        let record = engine.with_book(0, |book, _| Ok(book.merchant(MERCHANT).cloned())).unwrap().unwrap();
        Registrar::new(Arc::clone(engine), self.data.clone(), self.realm.clone()).certify(&record, 30).unwrap();
    }

    /// Statements of everybody from a stopped server's ledger; the account's, or why there is none.
    fn statement(&self, account: AccountId, until: Timestamp, name: &str) -> Result<serde_json::Value, String> {
        let engine = self.start(Timestamp(1));
        let operator = Operator::new(engine, self.data.clone(), self.realm.clone(), &Config::default(), None);
        let directory = self.path(name);
        let order = StatementCommand::Order {
            of: StatementOf::All,
            period: Period { from: Timestamp(0), until },
            lines: true,
            format: Format::Json,
            directory: Some(directory.clone()),
        };
        let answer = operator.execute(AdminRequest::Statement(order)).unwrap();
        drain(operator.into_engine());
        let AdminResponse::Statement(StatementAnswer { orders, .. }) = answer else { panic!("{answer:?}") };
        match &orders[0].progress {
            Progress::Failed { error } => Err(error.message.clone()),
            _ => {
                let file = Output::file(&directory, Party::Customer(account), Format::Json);
                Ok(serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
            }
        }
    }
}

fn drain(engine: Arc<Engine>) {
    Arc::into_inner(engine).expect("nobody else has a part").drain();
}

fn shop_key() -> SigningKey<MerchantRole> {
    SigningKey::from_seed([0x4d; 32])
}

fn pay(engine: &Engine, customer: &mut Customer, units: u64) -> Reason {
    pay_for(engine, customer, units, TransactionNumber([7; 16]))
}

fn pay_for(engine: &Engine, customer: &mut Customer, units: u64, number: TransactionNumber) -> Reason {
    let key = &engine.session_keys()[0];
    let processor = ProcessorKey { id: key.id(), public: key.public(), route: 0 };
    let keys = InstrumentKeys {
        instrument: customer.instrument,
        signing: Some(SigningKey::from_seed(customer.seed)),
        device: zeroize::Zeroizing::new(customer.device),
    };
    let content = Content { number, valid_until: engine.now().plus(MINUTE_MS), ..customer.content(units) };
    let ephemeral = AgreementSecret::from_random(random());
    let request = seal(&content, customer.count, &keys, customer.modified_pin(), &processor, ephemeral).unwrap();
    let opened = open(&submit(engine, &request.bytes), &request.hash, &request.session).unwrap();
    customer.take(&content, &opened.answer);
    opened.answer.reason
}

/// Runs the job until it wants to look again later only.
fn work(engine: &Engine, job: &mut RetentionJob) {
    while !matches!(job.step(engine).unwrap(), Pause::For(time) if time >= Duration::from_secs(10)) {}
}

/// Payments in the ledger, and in the archive.
fn lie(engine: &Engine) -> (usize, u64) {
    let reader = engine.reader().as_ref();
    (all(reader).len(), segments(reader).unwrap().iter().map(|header| header.payments).sum())
}

#[test]
fn the_job_waits_for_a_day_to_gather_and_what_was_archived_can_be_refunded() {
    let tps = Installation::new();
    let engine = tps.start(Timestamp(1));
    tps.register(&engine);
    let mut customer = customers(&engine, 1_000_000, 1).remove(0);
    for units in [5, 7, 9] {
        assert_eq!(pay(&engine, &mut customer, units), Reason::Paid);
    }
    let paid_at = engine.now();
    tps.clerk(&engine).idle_if_late(engine.now()).unwrap();
    assert_eq!(indexed_up_to(engine.reader().as_ref()).unwrap(), Place::default(), "it is not late");
    settle(&engine, &tps.path("pages"));
    drain(engine);

    // Older than the retention, and in the index, which was late; but a day has not gathered.
    let engine = tps.start(paid_at.plus(DAY_MS * 3 / 2));
    let mut job = RetentionJob::new(tps.data.clone(), 1);
    tps.clerk(&engine).idle_if_late(engine.now()).unwrap();
    assert_ne!(indexed_up_to(engine.reader().as_ref()).unwrap(), Place::default());
    work(&engine, &mut job);
    assert_eq!(lie(&engine), (3, 0));
    drain(engine);

    let engine = tps.start(paid_at.plus(DAY_MS * 5 / 2));
    let (mut job, mut clerk) = (RetentionJob::new(tps.data.clone(), 1), tps.clerk(&engine));
    work(&engine, &mut job);
    assert_eq!(lie(&engine), (1, 3));

    // A payment can be refunded wherever it lies, from what the merchant has accrued since it was paid out.
    assert_eq!(pay_for(&engine, &mut customer, 30, TransactionNumber([8; 16])), Reason::Paid);
    let entry = BatchEntry::Refund { order: RefundOrderId([1; 16]), number: TransactionNumber([7; 16]) };
    let (realm, now) = (tps.realm.realm, engine.now());
    let batch = DeskBatch::new(realm, MERCHANT, DeskBatchId([1; 16]), now, vec![entry], &shop_key()).unwrap();
    let answer = clerk.answer(&admit(&engine, realm, &batch.encode()).unwrap()).unwrap();
    let refunded = EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: 21 }]);
    assert_eq!(DeskAnswer::decode(&answer).unwrap().results(), [refunded]);
    let report = audit(&engine, &tps.data, &tps.realm, false).unwrap();
    assert_eq!((report.refunds, report.differences), (3, Vec::new()));
    assert_eq!(total(&engine), 0);

    // Nobody wants anything archived: what was written goes on leaving the ledger, and nothing is written.
    let mut job = RetentionJob::new(tps.data.clone(), 0);
    work(&engine, &mut job);
    assert_eq!(lie(&engine), (1, 3), "what was a last outcome is none any more");
    drop(clerk);
    drain(engine);
}

// spec: K-106
#[test]
fn statements_of_a_stopped_server_hold_what_was_archived_and_believe_no_altered_segment() {
    let tps = Installation::new();
    let engine = tps.start(Timestamp(1));
    register(&engine);
    let mut customer = customers(&engine, 1_000_000, 1).remove(0);
    let mut middle = Timestamp(0);
    for units in [5, 7, 9, 11] {
        assert_eq!(pay(&engine, &mut customer, units), Reason::Paid);
        let before = engine.now();
        // Each payment has a time of its own.
        while engine.now() == before {
            std::hint::spin_loop();
        }
        middle = if units == 7 { engine.now() } else { middle };
    }
    settle(&engine, &tps.path("pages"));
    let until = engine.now();
    drain(engine);
    let before = tps.statement(customer.account, until, "before").unwrap();
    let before_middle = tps.statement(customer.account, middle, "before middle").unwrap();

    let engine = tps.start(until.plus(DAY_MS * 3));
    tps.clerk(&engine).idle().unwrap();
    work(&engine, &mut RetentionJob::new(tps.data.clone(), 1));
    assert_eq!(lie(&engine), (1, 4));
    drain(engine);
    let after = tps.statement(customer.account, until, "after").unwrap();
    assert_eq!(after["assets"][0]["closing"]["units"], "999968");
    assert_eq!((after, &tps.statement(customer.account, middle, "after middle").unwrap()), (before, &before_middle));

    // The period ends within the segment; what was altered lies behind.
    let file = tps.data.archive().join("00000001.segment");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = tps.statement(customer.account, middle, "altered").unwrap_err();
    assert!(refused.contains("00000001.segment") && refused.contains("backup"), "{refused}");
    assert!(!tps.path("altered").exists());
}

#[test]
fn statements_give_way_before_the_disk_is_too_full_for_payments() {
    let tps = Installation::new();
    let engine = tps.start(Timestamp(1));
    let desk = Arc::new(StatementDesk::default());
    let job = StatementJob::new(Arc::clone(&desk), tps.realm.clone(), tps.data.clone());
    let mut job = job.leaving_free(u64::MAX);
    let order = tps::statement::run::Order {
        scope: tps::statement::walk::Scope::All,
        period: Period { from: Timestamp(0), until: engine.now() },
        with_lines: false,
        format: Format::Text,
        directory: tps.path("statements"),
    };
    let ordered = desk.order(order).unwrap();
    while !desk.one(ordered.number).unwrap().progress.is_ended() {
        let _ = job.step(&engine).unwrap();
    }
    let Progress::Failed { error } = desk.one(ordered.number).unwrap().progress else { panic!("no space was left") };
    assert!(error.message.contains("make space"), "{error}");
    assert!(!tps.path("statements").exists());
    drop(job);
    drain(engine);
}

#[test]
fn the_audit_replays_the_archive_first_and_verifies_archived_proofs() {
    let tps = Installation::new();
    let (path, data, realm) = (tps.path("data"), &tps.data, &tps.realm);
    let engine = tps.start(Timestamp(1));
    register(&engine);
    let mut customer = customers(&engine, 1_000_000, 1).remove(0);
    for units in [5, 2_000_000, 7, 9] {
        pay(&engine, &mut customer, units);
    }
    settle(&engine, &tps.path("pages"));
    tps.clerk(&engine).idle().unwrap();
    let before = audit(&engine, data, realm, true).unwrap();
    assert_eq!((before.payments, before.proofs, before.differences_found), (4, 4, 0), "{before:?}");

    let desk = KeyRing::load(data).unwrap().desk_key(engine.now()).unwrap();
    let archive = data.archive();
    let archiving = archiving(&engine, &archive);
    while archiving.write_next(&desk, FOR_EVER).unwrap().is_some() {}
    work(&engine, &mut RetentionJob::new(data.clone(), 0));
    assert_eq!(all(engine.reader().as_ref()).len(), 1);
    assert_eq!(audit(&engine, data, realm, true).unwrap(), before, "the same, wherever the log lies");

    // A backup holds the archive, so that it can be audited and restored alone.
    let checkpoint = engine.reader().checkpoint(&data.checkpoint()).unwrap();
    let (secret, file) = (key_file(&tps.path("backup.key")), tps.path("one.backup"));
    backup::create(data, &checkpoint, &file, secret.encryptor(), engine.now()).unwrap();
    let restored = backup::restore(&file, &secret, &tps.path("elsewhere"), false, engine.now()).unwrap();
    assert_eq!((restored.findings.audit.payments, restored.findings.audit.differences_found), (4, 0));

    std::fs::remove_file(archive.join("00000001.segment")).unwrap();
    let error = audit(&engine, data, realm, false).unwrap_err();
    assert!(error.message.contains("segment 1 of the archive") && error.message.contains("backup"), "{error}");
    drain(engine);
    // Over the ledger that is there, what is missing of the archive comes back.
    let restored = backup::restore(&file, &secret, &path, false, Timestamp(2)).unwrap();
    assert!(restored.former_ledger.is_some() && archive.join("00000001.segment").exists());
}

fn key_file(path: &Path) -> KeySecret {
    tps::data_directory::write_private(path, KeySecret::new_key_file(Timestamp(1)).0.as_bytes()).unwrap();
    KeySecret::from_key_file(path).unwrap()
}
