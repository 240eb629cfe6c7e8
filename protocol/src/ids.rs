//! Identifiers and digests: fixed arrays of random or hashed bytes, one type per meaning so that none is passed for another.

use std::fmt;
use std::str::FromStr;

/// A text that should have been an identifier in hexadecimal was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: expected {expected} hexadecimal digits")]
pub struct ParseIdError {
    /// The text as it was given, cut to 80 characters.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// How many hexadecimal digits were expected.
    pub expected: usize,
}

macro_rules! bytes_type {
    ($(#[$doc:meta])* $name:ident, $length:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
            borsh::BorshSerialize, borsh::BorshDeserialize,
        )]
        #[repr(transparent)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $length;
            /// All zero: "none" where a field is optional.
            pub const ZERO: Self = Self([0; $length]);

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Whether this is the all-zero value.
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| ParseIdError {
                    text: text.chars().take(80).collect(),
                    what: $what,
                    expected: $length * 2,
                })?;
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes_type!(
    /// One Quittance installation: all keys, accounts and proofs belong to a realm.
    RealmId, 16, "a realm id"
);
bytes_type!(
    /// A registered merchant. Known to everybody.
    MerchantId, 16, "a merchant id"
);
bytes_type!(
    /// Money of one customer in one asset. Never leaves the TPS and its operator.
    ///
    /// The first two bytes choose the account's shard; instruments of the account share them.
    AccountId, 16, "an account id"
);
bytes_type!(
    /// What pays from an account. Sent to the TPS only, and only sealed.
    InstrumentId, 16, "an instrument id"
);
bytes_type!(
    /// The merchant's number of one quote: random, unique per merchant (K-79, K-80).
    TransactionNumber, 16, "a transaction number"
);
bytes_type!(
    /// One answered request, named at random by the TPS. Tells nothing about payer, order or volume (K-42).
    PaymentId, 16, "a payment id"
);
bytes_type!(
    /// A merchant's random name of one batch for the desk.
    DeskBatchId, 16, "a batch id"
);
bytes_type!(
    /// A merchant's random name of one refund: applied once.
    RefundOrderId, 16, "a refund order id"
);
bytes_type!(
    /// Names a public key of the TPS: the first eight bytes of its tagged hash.
    KeyId, 8, "a key id"
);
bytes_type!(
    /// Digest of a canonical quote (K-49).
    QuoteDigest, 32, "a quote digest"
);
bytes_type!(
    /// Digest of additional terms that a payment of another kind is bound to; zero for a plain payment.
    TermsDigest, 32, "a terms digest"
);
bytes_type!(
    /// Digest of goods, of a request, or of a record.
    Digest, 32, "a digest"
);

impl AccountId {
    /// What chooses the shard of this account and of its instruments.
    pub fn shard_key(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }
}

impl InstrumentId {
    /// What chooses the shard of this instrument: the same as its account's.
    pub fn shard_key(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// An identifier for an instrument of `account`: random, but for the shard key that both share.
    pub fn for_account(account: AccountId, random: [u8; 16]) -> Self {
        let mut id = random;
        id[..2].copy_from_slice(&account.0[..2]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_refuses_others() {
        let id = MerchantId([0xab; 16]);
        assert_eq!(id.to_string().parse::<MerchantId>(), Ok(id));
        for wrong in ["", "ab", "zz".repeat(16).as_str(), "ab".repeat(17).as_str()] {
            assert!(wrong.parse::<MerchantId>().is_err());
        }
    }

    #[test]
    fn instruments_share_the_shard_of_their_account() {
        let account = AccountId([7; 16]);
        let instrument = InstrumentId::for_account(account, [9; 16]);
        assert_eq!(account.shard_key(), instrument.shard_key());
        assert_ne!(instrument.0[2..], account.0[2..]);
    }
}
