//! BLAKE3 with a purpose: no hash of one thing is ever the hash of another.
//!
//! * [`tagged`] hashes data: keyed BLAKE3 under `BLAKE3("quittance v1 " + purpose)`.
//! * [`derive`](fn@derive) makes a key out of secret material: BLAKE3 `derive_key` with the context `"quittance v1 " + purpose`.
//! * [`mac`] authenticates: keyed BLAKE3.

use zeroize::{Zeroize, Zeroizing};

/// What a hash is for. The text is part of the protocol (`docs/protocol.md`, "Hashes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(&'static str);

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Purpose {
            $($(#[$doc])* pub const $name: Self = Self(concat!("quittance v1 ", $text));)*

            /// All purposes, for the test that no two share a text.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

purposes! {
    /// Identifies a public key.
    KEY_ID = "key id";
    /// Digest of a canonical quote.
    QUOTE = "quote";
    /// Digest of a merchant certificate.
    CERTIFICATE = "certificate";
    /// Digest of goods in clear.
    GOODS = "goods";
    /// Content of a request-for-payment.
    REQUEST_CONTENT = "request content";
    /// A whole request-for-payment as received.
    REQUEST = "request";
    /// Commitment to the opening that says "paid".
    COMMITMENT_PAID = "commitment paid";
    /// Commitment to the opening that says "not paid".
    COMMITMENT_UNPAID = "commitment unpaid";
    /// Leaf of a batch tree.
    PROOF_LEAF = "proof leaf";
    /// Inner node of a batch tree.
    PROOF_NODE = "proof node";
    /// Secrets of one place of a batch.
    BATCH_SECRETS = "batch secrets";
    /// Master secret of a CTS-TPS session.
    PAYMENT_SESSION = "payment session";
    /// Master secret of a CTS-MTS session.
    MERCHANT_SESSION = "merchant session";
    /// Key with which the CTS seals the order data; its text is older than the loyalty id among them.
    MERCHANT_ADDRESS = "merchant session address";
    /// Key with which the MTS authenticates quote and order data.
    MERCHANT_QUOTE = "merchant session quote";
    /// Key with which the MTS authenticates the shipping advice.
    MERCHANT_ADVICE = "merchant session advice";
    /// Key with which the CTS authenticates its send-goods message.
    MERCHANT_SEND_GOODS = "merchant session send goods";
    /// Key that seals goods.
    MERCHANT_GOODS = "merchant session goods";
    /// The TOKEN that refers back to an original transaction.
    MERCHANT_TOKEN = "merchant session token";
    /// Key that seals the TOKEN under a fresh session.
    MERCHANT_TOKEN_SEAL = "merchant session token seal";
    /// Key with which the MTS acknowledges a renegotiation.
    MERCHANT_ACKNOWLEDGMENT = "merchant session acknowledgment";
    /// Key of refund requests and their acknowledgments.
    MERCHANT_REFUND = "merchant session refund";
    /// Names a renegotiation in its acknowledgment.
    MERCHANT_RENEGOTIATION = "merchant renegotiation";
    /// Master secret of a CTS-TPS session that activates an instrument.
    ENROLMENT_SESSION = "enrolment session";
    /// Names an activation in its answer.
    ENROLMENT_REQUEST = "enrolment request";
    /// What the TPS keeps of an activation code.
    ACTIVATION_CODE = "activation code";
    /// What a customer signs of its device key.
    DEVICE_KEY = "device key";
    /// A confirmation as the MTS received it, to know a repeat. Never sent.
    CONFIRMATION = "confirmation";
    /// Name of a deposit: its idempotency key. Never sent.
    DEPOSIT = "deposit";
    /// A page of a settlement report.
    SETTLEMENT_PAGE = "settlement page";
    /// An instruction of the funding agency, and its name. Never sent.
    FUNDING_INSTRUCTION = "funding instruction";
    /// Names a payout to the funding agency.
    PAYOUT = "payout";
    /// What a notary's receipt holds of the receipt before it.
    NOTARY_RECEIPT = "notary receipt";
    /// Chain of the ledger's commits.
    COMMIT_CHAIN = "commit chain";
    /// Names a merchant's batch in its answer.
    DESK_BATCH = "desk batch";
    /// Header of an archived segment: the next segment holds it. Never sent.
    ARCHIVE_SEGMENT = "archive segment";
    /// Records of an archived segment, compressed. Never sent.
    ARCHIVE_BODY = "archive body";
}

impl Purpose {
    /// The context text.
    pub const fn text(self) -> &'static str {
        self.0
    }
}

/// A hasher of one purpose whose key is computed once: for hashes on the payment path.
#[derive(Clone, Debug)]
pub struct Tagged([u8; 32]);

impl Tagged {
    /// Prepares hashing for `purpose`.
    pub fn new(purpose: Purpose) -> Self {
        Self(*blake3::hash(purpose.0.as_bytes()).as_bytes())
    }

    /// The tagged hash of `data`.
    pub fn hash(&self, data: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, data).as_bytes()
    }

    /// A hasher to feed in pieces.
    pub fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }
}

/// A key derivation of one purpose whose context is hashed once: for keys on the payment path. Gives what
/// [`derive`](fn@derive) gives, in as many bytes as wanted.
#[derive(Clone, Debug)]
pub struct Derivation(blake3::hazmat::ContextKey);

impl Derivation {
    /// Prepares derivations for `purpose`.
    pub fn new(purpose: Purpose) -> Self {
        Self(blake3::hazmat::hash_derive_key_context(purpose.0))
    }

    /// Fills `out` from the secret `material`, whose parts are taken one after another and must have fixed lengths.
    pub fn fill(&self, material: &[&[u8]], out: &mut [u8]) {
        let mut hasher = <blake3::Hasher as blake3::hazmat::HasherExt>::new_from_context_key(&self.0);
        for part in material {
            hasher.update(part);
        }
        hasher.finalize_xof().fill(out);
        hasher.zeroize();
    }
}

/// The tagged hash of `data`.
pub fn tagged(purpose: Purpose, data: &[u8]) -> [u8; 32] {
    Tagged::new(purpose).hash(data)
}

/// A 32-byte key for `purpose` out of the secret `material`, which must have a fixed layout.
pub fn derive(purpose: Purpose, material: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(purpose.0, material))
}

/// A 32-byte authenticator of `data` under `key`.
pub fn mac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, data).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_distinct() {
        for (index, purpose) in Purpose::ALL.iter().enumerate() {
            assert!(!Purpose::ALL[..index].iter().any(|earlier| earlier == purpose), "{purpose:?} twice");
        }
    }

    // spec: K-31
    #[test]
    fn purposes_separate_keys_and_hashes() {
        let mut seen = std::collections::HashSet::new();
        for purpose in Purpose::ALL {
            assert!(seen.insert(tagged(*purpose, b"same")), "{purpose:?}");
            let derived = derive(*purpose, b"same");
            let mut prepared = [0; 32];
            Derivation::new(*purpose).fill(&[b"sa", b"me"], &mut prepared);
            assert_eq!(*derived, prepared);
            assert!(seen.insert(*derived), "{purpose:?}");
        }
    }
}
