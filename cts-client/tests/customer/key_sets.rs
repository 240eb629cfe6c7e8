//! Newer key sets over the wire: what is taken, what is refused, and that nobody has to wait for one.

use cts_client::error::CtsError;
use cts_client::{Wallet, WalletSettings, clock, wallet};
use mts_plugin::fixtures::REALM;
use protocol::codec::Canonical as _;
use protocol::ids::RealmId;
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, KeySetError};
use protocol::money::Asset;
use protocol::session::AgreementSecret;
use protocol::signature::{CertificateRole, RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use crate::world::{World, one};

/// The session key that the TPS has from the beginning.
const FIRST: [u8; 32] = [0xf6; 32];
/// Another one.
const SECOND: [u8; 32] = [0xc6; 32];

/// A set of the fixtures' root with one session key, to be changed before it is signed.
struct Made {
    realm: RealmId,
    audience: Audience,
    number: u64,
    age_ms: u64,
    age_max_ms: u64,
    root: [u8; 32],
    session: [u8; 32],
}

impl Made {
    fn new(number: u64, session: [u8; 32]) -> Self {
        let (audience, age_max_ms) = (Audience::Customer, 30 * DAY_MS);
        Self { realm: REALM, audience, number, age_ms: 0, age_max_ms, root: [0xf3; 32], session }
    }

    fn signed(self) -> Vec<u8> {
        let (since, until) = (Timestamp(clock::now().0 - self.age_ms - DAY_MS), clock::now().plus(365 * DAY_MS));
        let issued_at = Timestamp(clock::now().0 - self.age_ms);
        let mut set = KeySet::new(self.realm, self.audience, self.number, issued_at, self.age_max_ms);
        let issuer = SigningKey::<CertificateRole>::from_seed([0xf4; 32]);
        set.keys.push(KeyEntry::new(KeyRole::Certificate, issuer.public(), since, until));
        if self.audience == Audience::Customer {
            let session = AgreementSecret::from_random(self.session).public();
            set.keys.push(KeyEntry::new(KeyRole::Session, session.0, since, until));
            // Old keys that fill the set, so that it travels in two parts.
            for old in 0..50 {
                set.keys.push(KeyEntry::new(KeyRole::Session, [old; 32], Timestamp(1), Timestamp(2)));
            }
        }
        set.assets.push(AssetEntry { asset: Asset::USD6, exponent: Asset::USD6_EXPONENT });
        set.sign(&SigningKey::<RootRole>::from_seed(self.root)).unwrap().encode()
    }
}

/// A wallet whose pinned set is `bytes`, whatever its age.
fn with_pinned(world: &World, bytes: &[u8]) -> Wallet {
    std::fs::write(world.directory(1).join("key-set"), bytes).unwrap();
    world.unlocked(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_unknown_key_the_payment_goes_on_with_the_newest_set() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    world.tps.state().session_secret = SECOND;

    // Without a newer set the payment stays open, and is paid once when there is one.
    world.tps.state().key_set = Some(Made::new(1, FIRST).signed());
    let stuck = wallet.pay(&quoted).await;
    assert!(matches!(&stuck, Err(CtsError::Unresolved { reason }) if reason.contains("no other key")), "{stuck:?}");
    world.tps.state().key_set = Some(Made::new(2, SECOND).signed());
    wallet.pay(&quoted).await.unwrap();
    assert_eq!(world.tps.state().debits.len(), 1);
    assert_eq!(wallet.key_set().number(), 2);
    drop(wallet);
    assert_eq!(wallet::pinned_key_set(&world.directory(1)).unwrap().number(), 2, "it is stored");

    // In one call, when the newer set is there already.
    let wallet = world.unlocked(1);
    world.tps.state().session_secret = FIRST;
    world.tps.state().key_set = Some(Made::new(3, FIRST).signed());
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    wallet.pay(&quoted).await.unwrap();
    assert_eq!(world.tps.state().debits.len(), 2);
    assert_eq!(wallet.key_set().number(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_that_must_not_be_believed_change_nothing() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    world.tps.state().key_set = Some(Made::new(5, FIRST).signed());
    assert_eq!(wallet.refresh_key_set().await.unwrap().number(), 5);
    let stored = || std::fs::read(world.directory(1).join("key-set")).unwrap();
    let before = stored();
    let mut altered = Made::new(6, FIRST).signed();
    altered[40] ^= 1;
    let old = Made { age_ms: 31 * DAY_MS, ..Made::new(6, FIRST) }.signed();
    let refused = [
        (Made::new(4, SECOND).signed(), "number 4"),
        (Made { root: [9; 32], ..Made::new(6, SECOND) }.signed(), "not signed by the pinned root"),
        (Made { realm: RealmId([9; 16]), ..Made::new(6, SECOND) }.signed(), "belongs to realm"),
        (Made { audience: Audience::Merchant, ..Made::new(6, SECOND) }.signed(), "for a Merchant"),
        (old, "expired"),
        (altered, "not signed by the pinned root"),
        (vec![7; 3_000], "key set"),
    ];
    for (bytes, named) in refused {
        world.tps.state().key_set = Some(bytes);
        let error = wallet.refresh_key_set().await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert_eq!((stored(), wallet.key_set().number()), (before.clone(), 5), "{named}");
    }
    world.tps.state().key_set = None;
    assert!(matches!(wallet.refresh_key_set().await, Err(CtsError::Clear(_))));
    // The same number again is no step back.
    world.tps.state().key_set = Some(before.clone());
    assert_eq!(wallet.refresh_key_set().await.unwrap().number(), 5);
    // A file is judged as the wire is, and an outdated pinned set still tells its number.
    drop(wallet);
    std::fs::write(world.directory(1).join("key-set"), Made { age_ms: 40 * DAY_MS, ..Made::new(5, FIRST) }.signed())
        .unwrap();
    let lower = wallet::import_key_set(&world.directory(1), &Made::new(4, FIRST).signed());
    assert!(matches!(lower, Err(CtsError::KeySet(KeySetError::LowerNumber { minimum: 5, actual: 4 }))), "{lower:?}");
    assert_eq!(wallet::import_key_set(&world.directory(1), &before).unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ageing_set_is_refreshed_beside_a_payment_and_once() {
    let world = World::new().await;
    drop(world.customer(1).await);
    world.tps.state().key_set = Some(Made::new(7, FIRST).signed());
    let young = with_pinned(&world, &Made { age_ms: 14 * DAY_MS, ..Made::new(2, FIRST) }.signed());
    let quoted = young.quote(&world.shop.url(), one("song")).await.unwrap();
    young.pay(&quoted).await.unwrap();
    assert_eq!((world.tps.state().key_set_requests, young.key_set().number()), (0, 2), "not half as old as it may be");
    drop(young);

    let ageing = with_pinned(&world, &Made { age_ms: 16 * DAY_MS, ..Made::new(2, FIRST) }.signed());
    ageing.pay(&quoted).await.unwrap();
    assert_eq!((world.tps.state().key_set_requests, ageing.key_set().number()), (2, 7), "two parts");
    drop(ageing);

    // Where the TPS has nothing newer, it is not asked with every payment, and the payment does not suffer.
    let same = Made { age_ms: 16 * DAY_MS, ..Made::new(7, FIRST) }.signed();
    world.tps.state().key_set = Some(same.clone());
    let ageing = with_pinned(&world, &same);
    for _ in 0..3 {
        ageing.pay(&quoted).await.unwrap();
    }
    let state = world.tps.state();
    assert_eq!((state.key_set_requests, state.debits.len()), (4, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outdated_set_is_refreshed_before_it_is_used() {
    let world = World::new().await;
    drop(world.customer(1).await);
    let outdated = Made { age_ms: 31 * DAY_MS, ..Made::new(2, FIRST) }.signed();
    let wallet = with_pinned(&world, &outdated);
    let (url, code) = (world.shop.url(), one("song"));
    let refused = wallet.quote(&url, code.clone()).await;
    assert!(refused.unwrap_err().to_string().contains("expired"), "there is no newer one yet");
    world.tps.state().key_set = Some(Made::new(3, FIRST).signed());
    let quoted = wallet.quote(&url, code).await.unwrap();
    wallet.pay(&quoted).await.unwrap();
    assert_eq!(wallet.key_set().number(), 3);

    // Killed in the middle of a payment and back a month later: the open payment is asked for under a new key.
    world.tps.state().faults.lose_answers = 2;
    assert!(wallet.pay(&quoted).await.is_err());
    drop(wallet);
    let wallet = with_pinned(&world, &outdated);
    wallet.settle().await.unwrap().unwrap();
    assert_eq!(world.tps.state().debits.len(), 2);
    drop(wallet);
    let none = Wallet::open(&world.output("nowhere"), WalletSettings::default());
    assert!(matches!(none, Err(CtsError::Store(_))));
}
