//! Makes requests.

use protocol::ids::{MerchantId, QuoteDigest, TermsDigest, TransactionNumber};
use protocol::limits::AMOUNT_MAX;
use protocol::money::{Amount, Asset, MoneyError};
use protocol::pin::{ModifiedPin, Modifier, ModifierPart};
use protocol::request::{Content, PaymentKind, ProcessorKey, seal_with_session};
use protocol::session::payment::PaymentSession;
use protocol::time::Timestamp;
use rand::{Rng, RngExt};

use crate::agreement::{FixedAgreement, NotOnCurve};
use crate::file::World;
use crate::file::records::{Meta, Standing};
use crate::mix::Kind;
use crate::secrets::Instrument;

/// A moment that is past for every server.
const LONG_AGO: Timestamp = Timestamp(1);

/// Makes requests for one server.
pub struct Maker {
    agreement: FixedAgreement,
    processor: ProcessorKey,
    merchant: MerchantId,
    asset: Asset,
    amount: Amount,
    more_than_anybody_has: Amount,
}

/// Why requests cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakerError {
    /// The server's key.
    #[error(transparent)]
    Key(#[from] NotOnCurve),
    /// The amount.
    #[error(transparent)]
    Amount(#[from] MoneyError),
}

impl Maker {
    /// For the server of `world`.
    ///
    /// # Errors
    /// [`MakerError`].
    pub fn new(world: &World) -> Result<Self, MakerError> {
        let processor = world.processor.key();
        Ok(Self {
            agreement: FixedAgreement::with(&processor.public)?,
            processor,
            merchant: world.merchant,
            asset: world.asset,
            amount: Amount::new(world.amount_units)?,
            more_than_anybody_has: Amount::new(AMOUNT_MAX)?,
        })
    }

    /// The next request of an instrument; what is random comes from `random`, which must be a cryptographic source.
    pub fn make(
        &self,
        (index, instrument): (u32, &Instrument),
        standing: &Standing,
        kind: Kind,
        valid_until: Timestamp,
        random: &mut impl Rng,
    ) -> (Vec<u8>, Meta) {
        let content = Content {
            merchant: if kind == Kind::UnknownMerchant { MerchantId(random.random()) } else { self.merchant },
            number: TransactionNumber(random.random()),
            amount: if kind == Kind::InsufficientFunds { self.more_than_anybody_has } else { self.amount },
            asset: self.asset,
            quote_digest: QuoteDigest(random.random()),
            valid_until: if kind == Kind::Expired { LONG_AGO } else { valid_until },
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            customer_part: ModifierPart(random.random()),
        };
        let right = instrument.pin.modified(Modifier(standing.modifier));
        let pin = if kind == Kind::WrongPin { ModifiedPin(right.0.wrapping_add(1)) } else { right };
        let agreed = self.agreement.agree(random.random());
        let session = PaymentSession::from_shared(&agreed.shared, &agreed.public, &self.processor.public);
        let count = standing.last_count + 1;
        let keys = &instrument.keys;
        let sealed = seal_with_session(&content, count, keys, pin, &self.processor, &agreed.public, session);
        (sealed.bytes, Meta { shared: *agreed.shared, instrument: index, kind })
    }
}

#[cfg(test)]
mod tests {
    use protocol::request::{REQUEST_BYTES, ReceivedRequest};
    use protocol::session::AgreementSecret;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::file::tests::world;

    #[test]
    fn the_server_opens_what_is_made_and_finds_the_right_pin() {
        let world = world();
        let maker = Maker::new(&world).unwrap();
        let instrument = world.seed.instrument(3, 1);
        let standing = Standing { last_count: 6, modifier: 99, ..Standing::default() };
        let mut random = StdRng::seed_from_u64(1);
        for kind in Kind::ALL {
            let (bytes, meta) = maker.make((3, &instrument), &standing, kind, Timestamp(77), &mut random);
            assert_eq!(bytes.len(), REQUEST_BYTES);
            let received = ReceivedRequest::parse(&bytes).unwrap();
            // The key of the test world; the server computes the session from its side.
            let secret = AgreementSecret::from_random([3; 32]);
            let session = PaymentSession::for_processor(&secret, &secret.public(), &received.ephemeral).unwrap();
            let half = received.open(&session).unwrap();
            assert_eq!((half.instrument, half.count, meta.instrument), (instrument.keys.instrument, 7, 3));
            let signed = received.signed_bytes(&half);
            assert!(half.device_tag_holds(&instrument.keys.device, &signed) && half.signature().is_some());
            let right = half.opens_with(instrument.pin.modified(Modifier(99)), &session, &signed);
            assert_eq!(right, kind != Kind::WrongPin);
            assert_eq!(received.open.merchant == world.merchant, kind != Kind::UnknownMerchant);
            assert_eq!(received.open.valid_until == Timestamp(77), kind != Kind::Expired);
            assert_eq!(received.open.amount.units() == 1, kind != Kind::InsufficientFunds);
        }
    }
}
