//! The merchant at the desk: granted refunds travel once, whatever ends in between; certificates and key sets come back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;
mod settlements;

use common::World;
use mts_plugin::desk::{DeskClerk, DeskFailure};
use mts_plugin::fixtures::REALM;
use mts_plugin::home::HomeError;
use mts_plugin::merchant::policy::{Otherwise, RefundPolicy};
use mts_plugin::store::{RefundProgress, Store};
use mts_plugin::{Home, Settings, clock};
use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::desk::{AnswerError, BatchEntry, DeskBatch, EntryRefusal, EntryResult, RefundedTotal};
use protocol::ids::TransactionNumber;
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, KeySetError};
use protocol::money::Asset;
use protocol::order::OrderState;
use protocol::purchase::{
    Acknowledged, MerchantErrorCode as Code, RefundStatus, Renegotiation, RenegotiationAcknowledgment,
    RenegotiationPurpose, VerifiedOffer,
};
use protocol::session::AgreementSecret;
use protocol::session::merchant::Token;
use protocol::signature::{CertificateRole, DeskRole, RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

/// The merchant's directory as another process opens it.
struct Desk {
    home: Home,
    store: Store,
}

impl Desk {
    fn of(world: &World) -> Self {
        let home = Home::open(&world.directory.path().join("merchant")).unwrap();
        let store = Store::open(&home.orders_path()).unwrap();
        Self { home, store }
    }

    fn clerk(&self) -> DeskClerk<'_> {
        DeskClerk::new(&self.home, &self.store)
    }

    fn batch(&self) -> DeskBatch {
        self.clerk().batch(clock::now()).unwrap().0
    }
}

/// What a TPS says to a batch: `refund` to every refund, and nothing new otherwise.
fn results(batch: &DeskBatch, refund: &EntryResult) -> Vec<EntryResult> {
    let result = |entry: &BatchEntry| match entry {
        BatchEntry::Refund { .. } => refund.clone(),
        BatchEntry::FetchKeySet { .. } => EntryResult::KeySetHeld,
        _ => EntryResult::Refused(EntryRefusal::AwaitingApproval),
    };
    batch.entries().iter().map(result).collect()
}

fn put_through() -> EntryResult {
    EntryResult::Refunded(vec![RefundedTotal { asset: Asset::USD6, units: 50_000 }])
}

fn refunds(batch: &DeskBatch) -> Vec<TransactionNumber> {
    let number = |entry: &BatchEntry| match entry {
        BatchEntry::Refund { number, .. } => Some(*number),
        _ => None,
    };
    batch.entries().iter().filter_map(number).collect()
}

async fn asked(
    world: &World,
    offer: &VerifiedOffer,
    token: &Token,
    purpose: RenegotiationPurpose,
) -> Result<Acknowledged, Code> {
    let ephemeral = AgreementSecret::from_random(clock::random());
    let (number, quote, certificate) = (offer.quote().number, offer.quote_digest(), offer.certificate());
    let (message, session) = Renegotiation::new(number, purpose, quote, certificate, ephemeral, token).unwrap();
    let answer = RenegotiationAcknowledgment::decode(&world.post("/renegotiate", message.encode()).await?).unwrap();
    answer.verify(&session, &message).unwrap();
    Ok(answer.acknowledged)
}

async fn refund_status(world: &World, offer: &VerifiedOffer, token: &Token) -> RefundStatus {
    match asked(world, offer, token, RenegotiationPurpose::Refund).await.unwrap() {
        Acknowledged::Refund { status } => status,
        other => panic!("{other:?}"),
    }
}

// spec: K-103, K-104
#[tokio::test]
async fn a_granted_refund_travels_once_and_the_customer_learns_each_step() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    let (number, token) = (offer.quote().number, &sent.session.token);
    let desk = Desk::of(&world);
    assert_eq!(refund_status(&world, &offer, token).await, RefundStatus::Requested);
    assert_eq!(refunds(&desk.batch()), [], "a request is no refund: the merchant decides");
    desk.store.discard_open_batch().unwrap();
    assert!(world.merchant.accept_refund(number, false).unwrap());
    assert!(!world.merchant.accept_refund(number, false).unwrap(), "once");
    assert_eq!(refund_status(&world, &offer, token).await, RefundStatus::Accepted);

    // The batch is the same until it is answered, also for a process that starts later.
    let batch = desk.batch();
    assert_eq!(refunds(&batch), [number]);
    let (again, new) = Desk::of(&world).clerk().batch(clock::now()).unwrap();
    assert_eq!((again.encode(), new), (batch.encode(), false));
    let answer = world.realm.answer(&batch, results(&batch, &put_through()));
    assert_eq!(desk.clerk().answered(&answer, clock::now()).unwrap().put_through, 1);
    assert!(matches!(desk.clerk().answered(&answer, clock::now()), Err(DeskFailure::NothingOpen)));
    assert_eq!(refunds(&desk.batch()), [], "nothing waits any more");

    assert_eq!(refund_status(&world, &offer, token).await, RefundStatus::PutThrough);
    let refund = desk.store.refunds(Some(number)).unwrap().remove(0);
    assert_eq!(refund.progress, RefundProgress::PutThrough);
    assert_eq!(refund.totals, [("USD6".to_owned(), "50000".to_owned())]);
    let goods = asked(&world, &offer, token, RenegotiationPurpose::Retransmission).await;
    assert_eq!(goods.err(), Some(Code::Refunded));
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::Refunded));
}

// spec: K-104
#[tokio::test]
async fn what_the_tps_does_not_put_through_yet_goes_again_under_the_same_name() {
    let world = World::new();
    let (offer, sent, _, _) = world.paid("song").await;
    let number = offer.quote().number;
    world.merchant.accept_refund(number, false).unwrap();
    let desk = Desk::of(&world);
    let batch = desk.batch();
    let little = EntryResult::Refused(EntryRefusal::TooLittleAccrued);
    let report = desk.clerk().answered(&world.realm.answer(&batch, results(&batch, &little)), clock::now()).unwrap();
    assert_eq!((report.waiting, report.waits.len()), (1, 1));
    assert_eq!(refund_status(&world, &offer, &sent.session.token).await, RefundStatus::Accepted);
    let later = desk.batch();
    assert_eq!(later.entries()[0], batch.entries()[0], "the same order");
    assert_ne!(later.id, batch.id);
    let never = EntryResult::Refused(EntryRefusal::NothingPaid);
    desk.clerk().answered(&world.realm.answer(&later, results(&later, &never)), clock::now()).unwrap();
    assert_eq!(refund_status(&world, &offer, &sent.session.token).await, RefundStatus::NotPutThrough);
    assert_eq!(refunds(&desk.batch()), []);
    // The merchant insists: another order.
    desk.store.discard_open_batch().unwrap();
    assert!(!world.merchant.accept_refund(number, false).unwrap());
    assert!(world.merchant.accept_refund(number, true).unwrap());
    assert_ne!(desk.batch().entries()[0], batch.entries()[0]);
}

// spec: K-82
#[tokio::test]
async fn a_payment_after_the_refund_can_be_refunded_by_another_order() {
    let world = World::new();
    let (offer, _, _, _) = world.paid("song").await;
    let number = offer.quote().number;
    world.merchant.accept_refund(number, false).unwrap();
    let desk = Desk::of(&world);
    let batch = desk.batch();
    desk.clerk().answered(&world.realm.answer(&batch, results(&batch, &put_through())), clock::now()).unwrap();
    assert!(!world.merchant.accept_refund(number, false).unwrap());
    let _ = world.advised(world.proof(&offer)).await;
    assert_eq!(desk.store.surplus(Some(number)).unwrap().len(), 1);
    assert!(world.merchant.accept_refund(number, false).unwrap(), "paid since");
    let later = desk.batch();
    assert_eq!(refunds(&later), [number]);
    assert_ne!(later.entries()[0], batch.entries()[0]);
}

// spec: K-82
#[tokio::test]
async fn a_payment_recorded_while_its_refund_is_under_way_can_be_refunded_too() {
    let world = World::new();
    let (offer, _, _, _) = world.paid("song").await;
    let number = offer.quote().number;
    world.merchant.accept_refund(number, false).unwrap();
    let desk = Desk::of(&world);
    let batch = desk.batch();
    let answer = world.realm.answer(&batch, results(&batch, &put_through()));
    // Paid after the TPS gave back what there was, and presented before its answer came.
    let _ = world.advised(world.proof(&offer)).await;
    desk.clerk().answered(&answer, clock::now()).unwrap();
    assert!(world.merchant.accept_refund(number, false).unwrap(), "nobody can tell that it was given back");
    assert_eq!(refunds(&desk.batch()), [number]);
}

// spec: K-98
#[tokio::test]
async fn a_payment_that_only_a_settlement_report_shows_can_be_given_back() {
    let world = World::new();
    let desk = Desk::of(&world);
    // Quoted and confirmed; its proof was never presented. And a number that nobody here has heard of.
    let offer = world.offer("song").await;
    let sent = world.confirmed(&offer).await;
    let (number, unknown) = (offer.quote().number, TransactionNumber([9; 16]));
    for number in [number, unknown] {
        assert!(world.merchant.accept_refund(number, false).is_err(), "by mistake nothing is given back");
        assert!(world.merchant.accept_refund(number, true).unwrap());
        assert!(!world.merchant.accept_refund(number, true).unwrap(), "one is on its way");
    }
    let batch = desk.batch();
    let mut asked = refunds(&batch);
    asked.sort_unstable();
    let mut both = [number, unknown];
    both.sort_unstable();
    assert_eq!(asked, both);
    let answer = world.realm.answer(&batch, results(&batch, &put_through()));
    assert_eq!(desk.clerk().answered(&answer, clock::now()).unwrap().put_through, 2);
    // The proof of what was given back buys nothing any more, and whoever presents it learns why.
    let late = world.advised(world.proof(&offer)).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(world.fetch(&sent.session, number, 0).await, Err(Code::Refunded));
    assert_eq!(refund_status(&world, &offer, &sent.session.token).await, RefundStatus::PutThrough);
    // It may also be another payment than the one that went back.
    assert_eq!(desk.store.surplus(Some(number)).unwrap().len(), 1);
    assert!(world.merchant.accept_refund(number, false).unwrap());
}

#[tokio::test]
async fn refunds_that_wait_keep_none_waiting_and_every_remark_is_told() {
    let world = World::new();
    let desk = Desk::of(&world);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let (offer, _, _, _) = world.paid("song").await;
        numbers.push(offer.quote().number);
    }
    world.merchant.accept_refund(numbers[0], false).unwrap();
    let batch = desk.batch();
    let little = EntryResult::Refused(EntryRefusal::TooLittleAccrued);
    let report = desk.clerk().answered(&world.realm.answer(&batch, results(&batch, &little)), clock::now()).unwrap();
    assert_eq!((report.waits.len(), report.remarks.len()), (1, 0));
    world.merchant.accept_refund(numbers[1], false).unwrap();
    assert_eq!(refunds(&desk.batch()), [numbers[1], numbers[0]], "the one that was never asked for comes first");

    // That batch is still open; what came since goes with the next one of the same visit.
    world.merchant.accept_refund(numbers[2], false).unwrap();
    desk.home.keep_desk_description(&world.realm.desk_description("127.0.0.1:1", vec![0x30])).unwrap();
    let report = desk.clerk().synchronise(|_, batch| {
        let result = |entry: &BatchEntry| match entry {
            BatchEntry::Refund { number, .. } if *number == numbers[0] => little.clone(),
            BatchEntry::Refund { .. } => EntryResult::Refused(EntryRefusal::NothingPaid),
            BatchEntry::FetchKeySet { .. } => EntryResult::KeySetHeld,
            _ => EntryResult::Refused(EntryRefusal::NoSettlement),
        };
        Ok(world.realm.answer(batch, batch.entries().iter().map(result).collect()))
    });
    let report = report.unwrap();
    assert_eq!((report.not_put_through, report.waiting), (2, 1));
    for number in &numbers[1..] {
        let told = report.remarks.iter().filter(|remark| remark.contains(&number.to_string())).count();
        assert_eq!(told, 1, "{:?}", report.remarks);
    }
    assert_eq!(report.waits.len(), 1, "what waits is told once: {:?}", report.waits);
}

// spec: K-104
#[tokio::test]
async fn the_policy_decides_at_once_where_the_merchant_wants_it() {
    let policy = RefundPolicy { automatic: true, within_days: Some(14), ..RefundPolicy::MANUAL };
    let world = World::with(Settings { refunds: policy, ..Settings::default() });
    // Hard goods that were not shipped: at once. Goods that may have been fetched: a person decides.
    let (mug, sent, _, _) = world.paid("mug").await;
    assert_eq!(refund_status(&world, &mug, &sent.session.token).await, RefundStatus::Accepted);
    let (song, sent_song, _, _) = world.paid("song").await;
    assert_eq!(refund_status(&world, &song, &sent_song.session.token).await, RefundStatus::Requested);
    let (shipped, sent_shipped, _, _) = world.paid("mug").await;
    world.merchant.dispatched(shipped.quote().number).unwrap();
    let strict = RefundPolicy { otherwise: Otherwise::Refuse, ..policy };
    let world = world.reopened(Settings { refunds: strict, ..Settings::default() });
    assert_eq!(refund_status(&world, &shipped, &sent_shipped.session.token).await, RefundStatus::Refused);
    assert_eq!(refunds(&Desk::of(&world).batch()), [mug.quote().number]);
}

#[tokio::test]
async fn only_the_answer_to_the_batch_that_waits_is_taken() {
    let world = World::new();
    let (offer, _, _, _) = world.paid("song").await;
    world.merchant.accept_refund(offer.quote().number, false).unwrap();
    let desk = Desk::of(&world);
    let first = desk.batch();
    desk.store.discard_open_batch().unwrap();
    let second = desk.batch();
    assert_eq!(first.entries()[0], second.entries()[0]);
    let answer = world.realm.answer(&first, results(&first, &put_through()));
    let other = desk.clerk().answered(&answer, clock::now());
    assert!(matches!(other, Err(DeskFailure::Answer(AnswerError::OtherBatch))));
    let answer = world.realm.answer(&second, results(&second, &put_through()));
    for index in (0..answer.len()).step_by(7) {
        let mut altered = answer.clone();
        altered[index] ^= 1;
        assert!(desk.clerk().answered(&altered, clock::now()).is_err(), "byte {index}");
    }
    assert_eq!(desk.store.refunds(None).unwrap()[0].progress, RefundProgress::Waiting);
    assert_eq!(desk.clerk().answered(&answer, clock::now()).unwrap().put_through, 1);
}

fn renewal(batch: &DeskBatch) -> Option<CertificateRequest> {
    batch.entries().iter().find_map(|entry| match entry {
        BatchEntry::RenewCertificate { request } => CertificateRequest::decode(request).ok(),
        _ => None,
    })
}

// spec: K-16
#[tokio::test]
async fn the_certificate_is_renewed_when_two_thirds_of_its_time_are_over() {
    let world = World::new();
    let desk = Desk::of(&world);
    assert_eq!(renewal(&desk.batch()), None);
    desk.store.discard_open_batch().unwrap();
    // The certificate of the fixtures lasts 80 days, and key sets 30: the merchant has got newer ones meanwhile.
    let later = clock::now().plus(20 * DAY_MS);
    assert_eq!(renewal(&desk.clerk().batch(later).unwrap().0), None);
    desk.store.discard_open_batch().unwrap();
    let request = |desk: &Desk| {
        let home = &desk.home;
        let session = AgreementSecret::from_random(clock::random());
        home.request_certificate(session).unwrap()
    };
    // Asked for by hand: pending until a certificate comes, and the same in every batch.
    let pending = request(&desk);
    let batch = desk.batch();
    assert_eq!(renewal(&batch), Some(pending.clone()));
    let certificate = world.realm.certify(&pending, 2, 10 * DAY_MS);
    let result = |entry: &BatchEntry| match entry {
        BatchEntry::RenewCertificate { .. } | BatchEntry::FetchCertificate => {
            EntryResult::Certificate(certificate.encode())
        }
        _ => EntryResult::KeySet(world.realm.key_set(Audience::Merchant, 7).encode()),
    };
    let answer = world.realm.answer(&batch, batch.entries().iter().map(result).collect());
    let report = desk.clerk().answered(&answer, clock::now()).unwrap();
    assert_eq!((report.certificate, report.key_set), (Some(2), Some(7)));
    let keys = desk.home.key_set(clock::now()).unwrap();
    assert_eq!(keys.number(), 7);
    assert_eq!(desk.home.certified_keys(&keys, clock::now()).unwrap()[0].certificate.serial(), 2);
    assert_eq!(renewal(&desk.batch()), None);
    desk.store.discard_open_batch().unwrap();
    // This one lasts 10 days: after 7 of them a new request is made, once.
    let late = Timestamp(clock::now().0 + 7 * DAY_MS);
    let made = renewal(&desk.clerk().batch(late).unwrap().0).unwrap();
    assert_ne!(made, pending);
    desk.store.discard_open_batch().unwrap();
    assert_eq!(renewal(&desk.clerk().batch(late).unwrap().0), Some(made));
    // Once its certificate has expired, a session key is gone from the disk; the others stay.
    let secrets = || {
        let names = std::fs::read_dir(world.directory.path().join("merchant")).unwrap().map(|entry| entry.unwrap());
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("session-")).count()
    };
    assert_eq!(secrets(), 3);
    let left = desk.home.certified_keys(&keys, clock::now().plus(11 * DAY_MS)).unwrap();
    assert_eq!(left.iter().map(|key| key.certificate.serial()).collect::<Vec<_>>(), [1]);
    assert_eq!(secrets(), 2);
}

/// A set of the fixtures' root, signed at `issued_at`.
fn key_set_signed_at(issued_at: Timestamp, number: u64) -> Vec<u8> {
    let mut set = KeySet::new(REALM, Audience::Merchant, number, issued_at, 30 * DAY_MS);
    let since = Timestamp(issued_at.0 - 60 * DAY_MS);
    let certificate = SigningKey::<CertificateRole>::from_seed([0xf4; 32]).public();
    let desk = SigningKey::<DeskRole>::from_seed([0xf7; 32]).public();
    for (role, public) in [(KeyRole::Certificate, certificate), (KeyRole::Desk, desk)] {
        set.keys.push(KeyEntry::new(role, public, since, issued_at.plus(365 * DAY_MS)));
    }
    set.assets.push(AssetEntry { asset: Asset::USD6, exponent: Asset::USD6_EXPONENT });
    set.sign(&SigningKey::<RootRole>::from_seed([0xf3; 32])).unwrap().encode()
}

#[tokio::test]
async fn a_merchant_whose_key_set_is_too_old_gets_a_newer_one_at_the_desk() {
    let world = World::new();
    let desk = Desk::of(&world);
    let batch = desk.batch();
    let answer = world.realm.answer(&batch, results(&batch, &put_through()));
    desk.clerk().answered(&answer, clock::now()).unwrap();
    let (offer, _, _, _) = world.paid("song").await;
    world.merchant.accept_refund(offer.quote().number, false).unwrap();

    let late = clock::now().plus(31 * DAY_MS);
    let expired = desk.home.key_set(late).unwrap_err();
    assert!(
        matches!(expired, HomeError::KeySetTooOld(_)) && expired.to_string().contains("mts desk sync"),
        "{expired}"
    );
    let (batch, _) = desk.clerk().batch(late).unwrap();
    assert_eq!((refunds(&batch).len(), renewal(&batch)), (1, None), "what needs no key goes with it");
    let with = |set: EntryResult| {
        let result = |entry: &BatchEntry| match entry {
            BatchEntry::FetchKeySet { held: 1 } => set.clone(),
            BatchEntry::Refund { .. } => put_through(),
            _ => EntryResult::Refused(EntryRefusal::AwaitingApproval),
        };
        world.realm.answer(&batch, batch.entries().iter().map(result).collect())
    };
    // An answer that nobody vouches for changes nothing.
    let as_old = key_set_signed_at(clock::now(), 9);
    for bad in [EntryResult::KeySetHeld, EntryResult::KeySet(as_old)] {
        assert!(desk.clerk().answered(&with(bad), late).is_err());
        assert_eq!(desk.store.refunds(None).unwrap()[0].progress, RefundProgress::Waiting);
        assert!(desk.home.key_set(late).is_err());
    }
    let report = desk.clerk().answered(&with(EntryResult::KeySet(key_set_signed_at(late, 10))), late).unwrap();
    assert_eq!((report.key_set, report.put_through), (Some(10), 1));
    assert_eq!(desk.home.key_set(late).unwrap().number(), 10);
    // One with a lower number never takes its place again.
    let lower = desk.home.import_key_set(&key_set_signed_at(late, 9), late).unwrap_err();
    assert!(matches!(lower, HomeError::KeySet(KeySetError::LowerNumber { minimum: 10, actual: 9 })), "{lower}");
}

/// The command `mts`, killed at every point of the desk and started again.
#[cfg(feature = "crash-points")]
#[tokio::test]
async fn a_process_that_ends_at_the_desk_goes_on_where_it_was() {
    use std::process::Command;
    let world = World::new();
    let (offer, _, _, _) = world.paid("song").await;
    world.merchant.accept_refund(offer.quote().number, false).unwrap();
    let mts = |crash_at: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mts"));
        command.current_dir(world.directory.path()).args(["-d", "merchant"]).args(arguments);
        if let Some(point) = crash_at {
            command.env("MTS_CRASH_AT", point);
        }
        command.output().unwrap().status.success()
    };
    assert!(!mts(Some("desk-batch-stored"), &["desk", "batch", "batch"]), "the process ended");
    let desk = Desk::of(&world);
    let stored = desk.store.open_batch().unwrap().unwrap();
    assert!(mts(None, &["desk", "batch", "batch"]));
    let bytes = std::fs::read(world.directory.path().join("batch")).unwrap();
    assert_eq!(bytes, stored.bytes, "the same batch");
    let batch = DeskBatch::decode(&bytes).unwrap();
    let answer = world.realm.answer(&batch, results(&batch, &put_through()));
    std::fs::write(world.directory.path().join("answer"), answer).unwrap();
    assert!(!mts(Some("desk-answer-in-place"), &["desk", "answer", "answer"]), "the process ended");
    assert_eq!(desk.store.refunds(None).unwrap()[0].progress, RefundProgress::Waiting);
    assert!(mts(None, &["desk", "answer", "answer"]));
    assert_eq!(desk.store.refunds(None).unwrap()[0].progress, RefundProgress::PutThrough);
    assert!(!mts(None, &["desk", "answer", "answer"]), "nothing waits any more");
    let order = world.merchant.store().order(offer.quote().number).unwrap().unwrap();
    assert_eq!((order.state, order.refund_status), (OrderState::Refunded, Some(RefundStatus::PutThrough)));
}
