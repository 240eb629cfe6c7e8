//! Whether a verified proof pays for a quote: the merchant's own question (K-81).

use crate::proof::verify::VerifiedProof;
use crate::proof::{Outcome, Statement};
use crate::purchase::MerchantErrorCode;
use crate::quote::Quote;
use crate::request::PaymentKind;

/// Why a genuine proof does not pay for a quote. Variants in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// For somebody else.
    #[error("the proof is for another merchant")]
    OtherMerchant,
    /// It says "not paid".
    #[error("the TPS denied this payment")]
    Denial,
    /// A profile's payment; a plain merchant takes plain payments.
    #[error("the payment is of a kind that this merchant does not take")]
    Kind,
    /// Another quote number than the one looked up.
    #[error("the proof names another transaction number")]
    OtherNumber,
    /// Another quote under this number: altered on the way, or by the payer.
    #[error("the proof names another quote than the merchant made under this number")]
    OtherQuote,
    /// Too little, too much, or other money.
    #[error("the proof names another amount or asset than the quote")]
    OtherAmount,
}

impl ProofRefusal {
    /// The code to answer.
    pub const fn code(self) -> MerchantErrorCode {
        match self {
            Self::OtherMerchant => MerchantErrorCode::ProofForOtherMerchant,
            Self::Denial => MerchantErrorCode::ProofOfDenial,
            Self::Kind => MerchantErrorCode::ProofKind,
            Self::OtherNumber | Self::OtherQuote | Self::OtherAmount => MerchantErrorCode::ProofMismatch,
        }
    }
}

/// Judges a proof whose signature was verified against the quote that the merchant recorded under its number.
///
/// # Errors
/// The first [`ProofRefusal`] that applies.
pub fn judge(proof: &VerifiedProof, quote: &Quote) -> Result<(), ProofRefusal> {
    pays(proof.statement(), proof.outcome(), quote)
}

/// Judges what a proof says, whoever said it: for a customer, who leaves the signature to the merchant (K-73).
///
/// # Errors
/// The first [`ProofRefusal`] that applies.
pub fn pays(statement: &Statement, outcome: Outcome, quote: &Quote) -> Result<(), ProofRefusal> {
    if statement.merchant != quote.merchant {
        return Err(ProofRefusal::OtherMerchant);
    }
    if outcome != Outcome::Paid {
        return Err(ProofRefusal::Denial);
    }
    if statement.kind != PaymentKind::PLAIN || !statement.terms.is_zero() {
        return Err(ProofRefusal::Kind);
    }
    if statement.number != quote.number {
        return Err(ProofRefusal::OtherNumber);
    }
    if statement.quote_digest != quote.digest() {
        return Err(ProofRefusal::OtherQuote);
    }
    if statement.amount != quote.total || statement.asset != quote.asset {
        return Err(ProofRefusal::OtherAmount);
    }
    Ok(())
}
