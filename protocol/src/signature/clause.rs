//! The clauses of the rule, as reasons for a refusal.

use thiserror::Error;

/// The first clause of the rule that a signature breaks. The order of the variants is the order in which the clauses
/// are tried (see the [module](super)). The text is meant for a dispute: it names the fact and the source of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum Clause {
    /// Clause 1.
    #[error("the public key is not a canonical encoding: its y is not below 2^255 - 19, or x is 0 with sign bit 1")]
    KeyNotCanonical,
    /// Clause 2.
    #[error("the public key is not a point of the curve")]
    KeyNotOnCurve,
    /// Clause 3.
    #[error("the public key has small order: signatures under it bind to no message")]
    KeySmallOrder,
    /// Clause 4.
    #[error("S of the signature is not below the group order l: it is a second form of another signature")]
    SNotReduced,
    /// Clause 5.
    #[error("R of the signature is not a canonical encoding: its y is not below 2^255 - 19, or x is 0 with sign bit 1")]
    RNotCanonical,
    /// Clause 6.
    #[error("R of the signature is not a point of the curve")]
    RNotOnCurve,
    /// Clause 7.
    #[error("R of the signature has small order")]
    RSmallOrder,
    /// Clause 8.
    #[error(
        "the equation [8](S B - h A - R) = 0 does not hold: this key did not sign this message with this signature"
    )]
    Equation,
}

impl Clause {
    /// All clauses in the order of the rule.
    pub const ALL: [Self; 8] = [
        Self::KeyNotCanonical,
        Self::KeyNotOnCurve,
        Self::KeySmallOrder,
        Self::SNotReduced,
        Self::RNotCanonical,
        Self::RNotOnCurve,
        Self::RSmallOrder,
        Self::Equation,
    ];

    /// Name of the clause in vectors and reports, for instance `r-small-order`. Part of the documented format.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyNotCanonical => "key-not-canonical",
            Self::KeyNotOnCurve => "key-not-on-curve",
            Self::KeySmallOrder => "key-small-order",
            Self::SNotReduced => "s-not-reduced",
            Self::RNotCanonical => "r-not-canonical",
            Self::RNotOnCurve => "r-not-on-curve",
            Self::RSmallOrder => "r-small-order",
            Self::Equation => "equation",
        }
    }
}

/// What the rule says about one signature: valid, or the first clause it breaks.
pub type Verdict = Result<(), Clause>;
