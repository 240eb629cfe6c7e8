//! What can happen in the life of accounts, drawn at random.

use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A new account with an instrument, or another instrument of an account.
    Enrol {
        shared: bool,
    },
    NewPin(usize),
    Fund(usize, u64),
    Pay {
        who: usize,
        units: u64,
        number: u8,
        how: How,
    },
    Hold(usize, bool),
    HoldAccount(usize, bool),
    Revoke(usize),
    Suspend(bool),
    Refund {
        number: u8,
        order: u8,
    },
    /// The last batch of refunds once more.
    Replay,
    Settle,
    /// New session, proof and desk keys; the old session keys go on being accepted.
    Rotate,
    /// The power fails between two commits.
    Crash,
    Backup,
    /// The last backup takes the place of the ledger.
    Restore,
}

/// What a customer, or somebody else, sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Right,
    /// With a PIN that is not right.
    Mistyped,
    /// The last request once more, in a new envelope.
    Again,
    /// Something else under the last count: what a copy of the instrument would send.
    Copied,
    /// Under a count that is not its turn yet.
    Ahead,
    /// Sealed for the session key before the last rotation.
    OldKey,
}

pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let who = 0..4usize;
    let how = prop_oneof![
        10 => Just(How::Right),
        4 => Just(How::Mistyped),
        2 => Just(How::Again),
        1 => Just(How::Copied),
        1 => Just(How::Ahead),
        1 => Just(How::OldKey),
    ];
    let step = prop_oneof![
        2 => any::<bool>().prop_map(|shared| Step::Enrol { shared }),
        3 => who.clone().prop_map(Step::NewPin),
        2 => (who.clone(), 1..2_000u64).prop_map(|(who, units)| Step::Fund(who, units)),
        16 => (who.clone(), 1..600u64, 0..4u8, how)
            .prop_map(|(who, units, number, how)| Step::Pay { who, units, number, how }),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, held)| Step::Hold(who, held)),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, held)| Step::HoldAccount(who, held)),
        1 => who.prop_map(Step::Revoke),
        1 => any::<bool>().prop_map(Step::Suspend),
        4 => (0..4u8, 0..6u8).prop_map(|(number, order)| Step::Refund { number, order }),
        1 => Just(Step::Replay),
        2 => Just(Step::Settle),
        1 => Just(Step::Rotate),
        1 => Just(Step::Crash),
        2 => Just(Step::Backup),
        1 => Just(Step::Restore),
    ];
    // Everybody begins with an instrument that can pay.
    prop::collection::vec(step, 5..most).prop_map(|steps| {
        let beginning = [Step::Enrol { shared: false }, Step::NewPin(0), Step::Fund(0, 2_000)];
        [&beginning[..], &steps].concat()
    })
}
