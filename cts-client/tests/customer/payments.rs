//! Payments of one instrument: lost messages, wrong PINs, copies, crashes of either side.

use std::time::Duration;

use cts_client::error::CtsError;
use cts_client::frames::Frames;
use cts_client::store::{OutcomeKind, StoreError};
use cts_client::{BuyOptions, Quoted, Wallet, WalletSettings, enrol};
use protocol::customer::payment::{PaymentRefused, Standing};
use protocol::error::ErrorCode;
use protocol::response::Reason;

use crate::world::{EPHEMERAL_AT, PIN, WRONG_PIN, World, one, pin};

async fn quoted(world: &World, wallet: &Wallet, code: &str) -> Quoted {
    wallet.quote(&world.shop.url(), one(code)).await.unwrap()
}

fn reason(kind: &OutcomeKind) -> Reason {
    match kind {
        OutcomeKind::Decided { resolution, .. } => resolution.reason,
        other => panic!("not decided: {other:?}"),
    }
}

// spec: K-05, K-53, K-113
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_paid_before_activation_and_before_a_pin_was_set() {
    let world = World::new().await;
    let absent = Wallet::open(&world.directory(1), WalletSettings::default());
    assert!(matches!(absent, Err(CtsError::Store(StoreError::NotInitialised(_)))));
    assert!(!world.directory(1).exists(), "looking leaves nothing behind");
    let bundle = world.tps.bundle(1);
    enrol::initialise(&world.directory(1), &bundle, &Frames::default()).await.unwrap();
    let again = enrol::initialise(&world.directory(1), &bundle, &Frames::default()).await;
    assert!(matches!(again, Err(CtsError::AlreadyInitialised(_))));
    // The bundle is used up: other keys are refused.
    let stolen = enrol::initialise(&world.directory(2), &bundle, &Frames::default()).await;
    assert!(matches!(stolen, Err(CtsError::Clear(ErrorCode::ActivationRefused))));

    let wallet = world.open(1);
    let quoted = quoted(&world, &wallet, "song").await;
    assert!(matches!(wallet.pay(&quoted).await, Err(CtsError::PinNeeded)));
    assert!(world.tps.state().requests.is_empty());
    wallet.enter_pin(pin(PIN));
    assert!(matches!(wallet.pay(&quoted).await, Err(CtsError::WrongPin)), "the TPS has no PIN yet");
    assert!(world.tps.state().debits.is_empty());
}

// spec: K-11, K-13, K-45, K-46, K-47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_one_request_and_one_answer_and_moves_money_at_once() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    let before = world.tps.state().account.balance;
    let outcome = wallet.pay(&quoted).await.unwrap();
    assert_eq!(reason(&outcome.kind), Reason::Paid);
    {
        let state = world.tps.state();
        assert_eq!((state.account.balance, state.requests.len()), (before - 50_000, 1));
    }
    wallet.pay(&quoted).await.unwrap();
    {
        let state = world.tps.state();
        let [first, second] = &state.requests[..] else { panic!("two requests") };
        assert!(first.windows(16).any(|window| window == quoted.quote().merchant.0));
        assert!(first.windows(32).any(|window| window == quoted.quote().digest().0));
        // Beyond the open half two requests of one customer share nothing.
        let (first, second) = (&first[EPHEMERAL_AT..], &second[EPHEMERAL_AT..]);
        let shared = first.windows(8).filter(|window| second.windows(8).any(|other| other == *window));
        assert_eq!(shared.count(), 0);
    }
    // Paying the same offer again is a second payment (K-63); without the TPS there is none.
    assert_eq!(world.tps.state().debits.len(), 2);
    world.tps.stop();
    let stopped = wallet.pay(&quoted).await;
    assert!(matches!(stopped, Err(CtsError::Transport(_) | CtsError::Unresolved { .. })), "{stopped:?}");
}

// spec: K-61, K-70, K-123
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_altered_messages_and_errors_in_clear_resolve_nothing_and_cost_nothing() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    for fault in 0..4 {
        {
            let faults = &mut world.tps.state().faults;
            match fault {
                0 => faults.lose_requests = 2,
                1 => faults.lose_answers = 2,
                2 => faults.alter_answers = 2,
                _ => faults.clear = Some((ErrorCode::Overloaded, 2)),
            }
        }
        let unresolved = wallet.pay(&quoted).await;
        assert!(matches!(unresolved, Err(CtsError::Unresolved { .. })), "{fault}: {unresolved:?}");
        let open = wallet.status().await.unwrap().pending.unwrap();
        assert_eq!(open.attempts_unanswered, 2);
        assert!(matches!(wallet.abandon().await, Err(CtsError::Payment(PaymentRefused::StillBound { .. }))));
        let outcome = wallet.settle().await.unwrap().unwrap();
        assert_eq!((reason(&outcome.kind), outcome.count), (Reason::Paid, fault + 1));
        assert_eq!(world.tps.state().debits.len(), fault as usize + 1, "one debit each");
    }
    assert!(wallet.status().await.unwrap().pending.is_none());
}

// spec: K-61
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_after_a_lost_answer_keeps_the_count_bound() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    world.tps.state().faults.lose_answers = 2;
    assert!(matches!(wallet.pay(&quoted).await, Err(CtsError::Unresolved { .. })));
    drop(wallet);
    // Started again, with the wrong PIN first: the first attempt may have paid, so nothing else may use its count.
    let wallet = world.open(1);
    wallet.enter_pin(pin(WRONG_PIN));
    assert!(matches!(wallet.settle().await, Err(CtsError::WrongPin)));
    assert!(matches!(wallet.abandon().await, Err(CtsError::Payment(PaymentRefused::StillBound { .. }))));
    assert!(matches!(wallet.settle().await, Err(CtsError::PinNeeded)), "the wrong PIN was forgotten");
    wallet.enter_pin(pin(PIN));
    assert_eq!(reason(&wallet.settle().await.unwrap().unwrap().kind), Reason::Paid);
    assert_eq!(world.tps.state().debits.len(), 1);
}

// spec: K-60
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_queue_and_never_overlap() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    world.tps.state().faults.delay = Duration::from_millis(20);
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (wallet, url, output) = (wallet.clone(), world.shop.url(), world.output(&format!("song-{number}")));
            tokio::spawn(async move {
                let quoted = wallet.quote(&url, one("song")).await.unwrap();
                let options = BuyOptions { output: Some(output), ..BuyOptions::default() };
                wallet.buy(&quoted, options).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let state = world.tps.state();
    assert_eq!((state.in_flight_most, state.debits.len()), (1, 8));
    drop(state);
    assert!(matches!(
        Wallet::open(&world.directory(1), WalletSettings::default()),
        Err(CtsError::Store(StoreError::InUse(_)))
    ));
}

// spec: K-116, K-123
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_tell_their_reason_and_the_next_payment_succeeds() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let car = quoted(&world, &wallet, "car").await;
    assert_eq!(reason(&wallet.pay(&car).await.unwrap().kind), Reason::InsufficientFunds);
    world.tps.instrument(1, |instrument| instrument.held = true);
    let song = quoted(&world, &wallet, "song").await;
    assert_eq!(reason(&wallet.pay(&song).await.unwrap().kind), Reason::Held);
    world.tps.instrument(1, |instrument| instrument.held = false);
    let outcome = wallet.pay(&song).await.unwrap();
    assert_eq!((reason(&outcome.kind), outcome.count), (Reason::Paid, 3));
}

// spec: K-120, K-122, K-125
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_wrong_pins_lock_and_a_new_pin_unlocks_with_modifier_zero() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    wallet.pay(&quoted).await.unwrap();
    for _ in 0..5 {
        wallet.enter_pin(pin(WRONG_PIN));
        assert!(matches!(wallet.pay(&quoted).await, Err(CtsError::WrongPin)));
    }
    wallet.enter_pin(pin(PIN));
    assert!(matches!(wallet.pay(&quoted).await, Err(CtsError::Payment(PaymentRefused::NewPinNeeded))));
    assert_eq!(wallet.status().await.unwrap().standing, Standing::PinLocked);
    let sent = world.tps.state().requests.len();
    wallet.enter_pin(pin(PIN));
    assert!(wallet.pay(&quoted).await.is_err());
    assert_eq!(world.tps.state().requests.len(), sent, "nothing more is sent while locked");
    world.tps.set_pin(1, "445566778899");
    assert_eq!(wallet.new_pin(pin("445566778899")).await.unwrap(), Standing::Ready);
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

// spec: K-121, K-124
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_use_is_a_breach_that_only_a_new_pin_and_a_typed_count_end() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    wallet.pay(&quoted).await.unwrap();
    drop(wallet);
    copy(&world.directory(1), &world.directory(9));
    let thief = world.unlocked(9);
    thief.pay(&quoted).await.unwrap();
    drop(thief);

    let wallet = world.unlocked(1);
    let breach = wallet.pay(&quoted).await.unwrap_err();
    assert!(breach.is_breach(), "{breach}");
    drop(wallet);
    let wallet = world.unlocked(1);
    let sent = world.tps.state().requests.len();
    assert!(wallet.pay(&quoted).await.unwrap_err().is_breach());
    assert!(wallet.settle().await.unwrap_err().is_breach());
    assert_eq!(world.tps.state().requests.len(), sent, "nothing is sent in a breach");
    world.tps.set_pin(1, "445566778899");
    assert_eq!(wallet.new_pin(pin("445566778899")).await.unwrap(), Standing::BreachedPinRenewed);
    assert!(wallet.pay(&quoted).await.unwrap_err().is_breach(), "the count is still missing");
    let last = world.tps.instrument(1, |instrument| instrument.state.last_count);
    assert_eq!(wallet.resync(last).await.unwrap(), Standing::Ready);
    assert_eq!(reason(&wallet.pay(&quoted).await.unwrap().kind), Reason::Paid);
    // The copy is of no more use.
    assert!(world.unlocked(9).pay(&quoted).await.is_err());
    // What was open in the breach is on record as unknown, never as unpaid.
    let (_, outcomes, _) = cts_client::wallet::look(&world.directory(1)).unwrap();
    assert!(outcomes.iter().any(|outcome| outcome.is_paid().is_none()));
}

// spec: K-123
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_is_ahead_is_corrected_without_the_customer() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = quoted(&world, &wallet, "song").await;
    wallet.resync(40).await.unwrap();
    let outcome = wallet.pay(&quoted).await.unwrap();
    assert_eq!((reason(&outcome.kind), outcome.count), (Reason::Paid, 1));
    assert_eq!(wallet.status().await.unwrap().next_count, 2);
}
