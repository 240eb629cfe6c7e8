//! How many public-key operations this process has done, so that tests can state what a purchase takes (K-18, K-128).
//!
//! Only with the feature `operation-counts`: without it counting is empty and nothing of this reaches a program.

/// Public-key operations of a process. What hashing, MACs and AEADs do is not counted: they cost a hundredth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations {
    /// X25519 public keys computed, one for every ephemeral key.
    pub public_keys: u64,
    /// X25519 shared secrets computed.
    pub agreements: u64,
    /// Ed25519 signatures made.
    pub signatures_made: u64,
    /// Ed25519 signatures checked, alone or in the equation of a batch.
    pub signatures_checked: u64,
}

/// One kind of operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    PublicKey,
    Agreement,
    SignatureMade,
    SignatureChecked,
}

#[cfg(not(feature = "operation-counts"))]
pub(crate) const fn count(_: Operation, _times: usize) {}

#[cfg(feature = "operation-counts")]
pub(crate) use counting::count;

#[cfg(feature = "operation-counts")]
mod counting {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Operation, Operations};

    static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

    pub(crate) fn count(operation: Operation, times: usize) {
        COUNTS[operation as usize].fetch_add(times as u64, Ordering::Relaxed);
    }

    impl Operations {
        /// What all threads of this process did so far.
        pub fn so_far() -> Self {
            let of = |operation: Operation| COUNTS[operation as usize].load(Ordering::Relaxed);
            Self {
                public_keys: of(Operation::PublicKey),
                agreements: of(Operation::Agreement),
                signatures_made: of(Operation::SignatureMade),
                signatures_checked: of(Operation::SignatureChecked),
            }
        }

        /// What `work` did, with its result. Other threads must do nothing of this meanwhile.
        pub fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
            let before = Self::so_far();
            let result = work();
            let after = Self::so_far();
            let done = Self {
                public_keys: after.public_keys - before.public_keys,
                agreements: after.agreements - before.agreements,
                signatures_made: after.signatures_made - before.signatures_made,
                signatures_checked: after.signatures_checked - before.signatures_checked,
            };
            (result, done)
        }
    }
}
