//! Instruments out of one seed: a file of ten million instruments holds one secret instead of thirty million.

use protocol::ids::{AccountId, InstrumentId};
use protocol::pin::Pin;
use protocol::signature::{CustomerRole, SigningKey};
use tps::book::import::ImportRow;
use zeroize::{Zeroize, Zeroizing};

/// Digits of the PINs.
const PIN_DIGITS: usize = 6;

/// The seed of all instruments of a file.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl serde::Serialize for Seed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(&self.0[..])))
    }
}

impl<'de> serde::Deserialize<'de> for Seed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_bytes(), &mut bytes[..]).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(hidden)")
    }
}

/// What an instrument pays with.
pub struct Instrument {
    /// Its name.
    pub id: InstrumentId,
    /// What its signing key is made from. The key itself costs more than everything else: many are made at once.
    pub signing_seed: Zeroizing<[u8; 32]>,
    /// Its device key.
    pub device: Zeroizing<[u8; 32]>,
    /// Its PIN, as imported.
    pub pin: Pin,
}

impl Instrument {
    /// Its public key.
    pub fn public(&self) -> [u8; 32] {
        SigningKey::<CustomerRole>::from_seed(*self.signing_seed).public()
    }
}

impl Seed {
    /// A seed out of random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn expand<const BYTES: usize>(&self, what: u8, index: u64) -> Zeroizing<[u8; BYTES]> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[what]).update(&index.to_le_bytes()).finalize_xof().fill(&mut bytes[..]);
        hasher.zeroize();
        bytes
    }

    /// The account of that number.
    pub fn account(&self, number: u64) -> AccountId {
        AccountId(*self.expand(0, number))
    }

    /// The id of an instrument, where `per_account` share an account.
    pub fn instrument_id(&self, index: u64, per_account: u64) -> InstrumentId {
        InstrumentId::for_account(self.account(index / per_account), *self.expand(1, index))
    }

    /// An instrument.
    pub fn instrument(&self, index: u64, per_account: u64) -> Instrument {
        let secrets = self.expand::<72>(2, index);
        let part = |from: usize| {
            let mut bytes = Zeroizing::new([0; 32]);
            bytes.copy_from_slice(&secrets[from..from + 32]);
            bytes
        };
        let mut digits = [0; 8];
        digits.copy_from_slice(&secrets[64..]);
        // A PIN in a million is a little more likely than the others: these guard play money.
        let random = u64::from_le_bytes(digits) >> 1;
        let pin = Pin::from_random(PIN_DIGITS, random).expect("half of all numbers is in the fair part");
        let id = self.instrument_id(index, per_account);
        Instrument { id, signing_seed: part(0), device: part(32), pin }
    }

    /// The row that imports an instrument; the first of an account opens it with `opening_units`.
    pub fn import_row(
        &self,
        index: u64,
        per_account: u64,
        asset: protocol::money::Asset,
        opening_units: u64,
    ) -> ImportRow {
        let instrument = self.instrument(index, per_account);
        ImportRow {
            line: index + 1,
            instrument: instrument.id,
            account: self.account(index / per_account),
            asset,
            opening_units: if index.is_multiple_of(per_account) { opening_units } else { 0 },
            signing_public: instrument.public(),
            device_key: *instrument.device,
            pin: instrument.pin.expose().to_string(),
            label: "load".to_owned(),
        }
    }
}

/// Fresh random bytes of the operating system.
pub fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use protocol::money::Asset;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_instruments_again_and_every_one_its_own_secrets() {
        let seed = Seed::from_random([5; 32]);
        let row = |index| Seed::from_random([5; 32]).import_row(index, 2, Asset::USD6, 100);
        assert_eq!(row(4), row(4));
        let (first, second, third) = (row(0), row(1), row(2));
        assert_eq!((first.account, first.opening_units, second.opening_units), (second.account, 100, 0));
        assert_ne!(first.account, third.account);
        assert!(first.device_key != second.device_key && first.signing_public != second.signing_public);
        assert_eq!(first.instrument.shard_key(), first.account.shard_key());
        assert_eq!(seed.instrument(0, 2).public(), first.signing_public);
        assert!(!format!("{seed:?}").contains('5'));
    }
}
