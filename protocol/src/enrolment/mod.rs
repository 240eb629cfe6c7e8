//! How an instrument comes to a customer's machine (K-05).
//!
//! The operator writes an [`EnrolmentBundle`] with everything the CTS pins and a one-time activation code. The CTS makes its
//! keys itself, proves possession, and activates the instrument once with a message over the TPS's frames. Asking again with
//! the same keys gives the same answer; other keys are refused. The PIN is not part of this: it comes over another channel.

mod activation;
mod bundle;

pub use activation::{
    Activation, ActivationAnswer, ActivationOpened, ActivationSession, EnrolmentError, SignaturePolicy, activate,
};
pub use bundle::{ActivationCode, BundleError, EnrolmentBundle, PROCESSOR_ADDRESSES_MAX};
