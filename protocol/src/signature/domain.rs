//! Who may sign what: roles of keys, and the domains each may sign in.
//!
//! Everything signed is `quittance/v1/<message type>`, a zero byte, then the canonical bytes of the message, so that no
//! signature over one kind of message is ever one over another. A key has one role (DESIGN section 4).
//! A [`Domain`] carries the role as a type, so a key that signs outside its role does not compile:
//!
//! ```compile_fail,E0308
//! use protocol::signature::{CustomerRole, Domain, SigningKey};
//! let key = SigningKey::<CustomerRole>::from_seed([1; 32]);
//! key.sign(Domain::MERCHANT_CERTIFICATE, b"a customer issues itself a certificate");
//! ```
//!
//! ```
//! use protocol::signature::{CustomerRole, Domain, SigningKey};
//! let key = SigningKey::<CustomerRole>::from_seed([1; 32]);
//! key.sign(Domain::REQUEST_FOR_PAYMENT, b"canonical bytes");
//! ```

use core::fmt;
use core::marker::PhantomData;

mod sealed {
    pub trait Sealed {}
}

/// What a signing key is for. The set of roles is closed.
pub trait Role: sealed::Sealed {
    /// Name of the role, for diagnostics.
    const NAME: &'static str;
}

/// A kind of signed message, and by its type the role of the keys that sign it.
pub struct Domain<R: Role> {
    prefix: &'static [u8],
    role: PhantomData<fn() -> R>,
}

macro_rules! roles {
    ($($(#[$role_doc:meta])* $role:ident { $($(#[$doc:meta])* $domain:ident = $text:literal;)* })*) => {
        $(
            $(#[$role_doc])*
            #[derive(Debug)]
            pub enum $role {}

            impl sealed::Sealed for $role {}

            impl Role for $role {
                const NAME: &'static str = stringify!($role);
            }

            impl Domain<$role> {
                $(
                    $(#[$doc])*
                    pub const $domain: Self = Self {
                        prefix: concat!("quittance/v1/", $text, "\0").as_bytes(),
                        role: PhantomData,
                    };
                )*
            }
        )*

        /// All prefixes, for the test that none begins with another.
        #[cfg(test)]
        pub(super) const PREFIXES: &[&[u8]] = &[$($(Domain::<$role>::$domain.prefix),*),*];
    };
}

roles! {
    /// Key of a customer's instrument. Its signatures are checked under the one rule of this module.
    CustomerRole {
        /// A request-for-payment: instrument, count, modifier part, open half, ephemeral key.
        REQUEST_FOR_PAYMENT = "request-for-payment";
        /// Proof of possession when the key is enrolled.
        ENROLMENT = "enrolment";
    }

    /// Key with which the TPS signs proofs and denials, a batch at a time.
    ProofRole {
        /// Header of a batch: key id, batch time, size, root of the tree.
        BATCH_ROOT = "batch-root";
    }

    /// Key with which the TPS issues merchant certificates; the CTS pins it.
    CertificateRole {
        /// A merchant certificate.
        MERCHANT_CERTIFICATE = "merchant-certificate";
    }

    /// Key with which the TPS answers merchants at the desk; it signs nothing during a purchase.
    DeskRole {
        /// The answer to a merchant's batch.
        DESK_ANSWER = "desk-answer";
        /// A settlement report.
        SETTLEMENT_REPORT = "settlement-report";
        /// Where the desk is, for merchants.
        DESK_DESCRIPTION = "desk-description";
        /// Header of an archived segment of the payment log.
        ARCHIVE_SEGMENT = "archive-segment";
    }

    /// Key of a merchant at the desk; it signs nothing during a purchase.
    MerchantRole {
        /// A batch for the desk.
        DESK_BATCH = "desk-batch";
        /// A request for a new certificate.
        CERTIFICATE_REQUEST = "certificate-request";
    }

    /// Key of the funding agency, which tells the TPS of money that came in or did not arrive.
    FundingRole {
        /// An instruction of the agency.
        FUNDING_INSTRUCTION = "funding-instruction";
    }

    /// Key with which the TPS attests digests as a notary; it signs nothing else.
    NotaryRole {
        /// A receipt of the notary.
        NOTARY_RECEIPT = "notary-receipt";
    }

    /// The offline root of the TPS.
    RootRole {
        /// A numbered set of the TPS's keys with their validity.
        KEY_SET = "key-set";
    }
}

impl<R: Role> Domain<R> {
    /// What stands before the canonical bytes: `quittance/v1/<message type>` and a zero byte.
    pub fn prefix(self) -> &'static [u8] {
        self.prefix
    }
}

impl<R: Role> Clone for Domain<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Role> Copy for Domain<R> {}

impl<R: Role> fmt::Debug for Domain<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.prefix.strip_suffix(b"\0").unwrap_or(self.prefix);
        write!(f, "Domain({})", text.escape_ascii())
    }
}
