//! Makes requests, many at once: what costs most of a request is the same calculation for all.

use protocol::ids::{MerchantId, QuoteDigest, TermsDigest, TransactionNumber};
use protocol::limits::AMOUNT_MAX;
use protocol::money::{Amount, Asset, MoneyError};
use protocol::pin::{ModifiedPin, Modifier, ModifierPart};
use protocol::request::{Content, Draft, PaymentKind, ProcessorKey};
use protocol::session::NoSharedSecret;
use protocol::session::payment::PaymentSession;
use protocol::signature::{Domain, sign_each};
use protocol::time::Timestamp;
use rand::{Rng, RngExt};
use zeroize::Zeroizing;

use crate::agreement::FixedAgreement;
use crate::file::World;
use crate::file::records::{Batch, Meta, Standing};
use crate::mix::Kind;
use crate::secrets::{Instrument, Seed};

/// A moment that is past for every server.
const LONG_AGO: Timestamp = Timestamp(1);
/// Requests that are best made at once: with more, what is shared hardly gets less, and the memory it takes outgrows the
/// nearest cache.
pub const REQUESTS_AT_ONCE: usize = 64;

/// Makes requests for one server.
pub struct Maker {
    agreement: FixedAgreement,
    processor: ProcessorKey,
    seed: Seed,
    per_account: u64,
    merchant: MerchantId,
    asset: Asset,
    amount: Amount,
    more_than_anybody_has: Amount,
}

/// Why requests cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakerError {
    /// The server's key.
    #[error("the session key of the TPS cannot be used: {0}; prepare against another server")]
    Key(#[from] NoSharedSecret),
    /// The amount.
    #[error(transparent)]
    Amount(#[from] MoneyError),
}

/// A request to be made: the next one of an instrument.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Number of the instrument in the file.
    pub instrument: u32,
    /// How it stands.
    pub standing: Standing,
    /// What the request must bring about.
    pub kind: Kind,
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
            seed: world.seed.clone(),
            per_account: world.per_account,
            merchant: world.merchant,
            asset: world.asset,
            amount: Amount::new(world.amount_units)?,
            more_than_anybody_has: Amount::new(AMOUNT_MAX)?,
        })
    }

    /// Makes the requests that are `wanted`, in their order; what is random comes from `random`, which must be a
    /// cryptographic source. See [`REQUESTS_AT_ONCE`].
    pub fn make(&self, wanted: &[Wanted], valid_until: Timestamp, random: &mut impl Rng) -> Batch {
        let secrets: Zeroizing<Vec<[u8; 32]>> = Zeroizing::new(wanted.iter().map(|_| random.random()).collect());
        let agreed = self.agreement.agree_each(&secrets);
        let instruments: Vec<Instrument> =
            wanted.iter().map(|wanted| self.seed.instrument(u64::from(wanted.instrument), self.per_account)).collect();
        let mut drafts = Vec::with_capacity(wanted.len());
        for ((wanted, instrument), ephemeral) in wanted.iter().zip(&instruments).zip(&agreed.publics) {
            let content = self.content(wanted.kind, valid_until, random);
            let count = wanted.standing.last_count + 1;
            drafts.push(Draft::new(&content, count, instrument.id, &self.processor, ephemeral));
        }
        let seeds: Vec<&[u8; 32]> = instruments.iter().map(|instrument| &*instrument.signing_seed).collect();
        let messages: Vec<&[u8]> = drafts.iter().map(|draft| draft.signed_bytes().as_slice()).collect();
        let signatures = sign_each(&seeds, Domain::REQUEST_FOR_PAYMENT, &messages);

        let mut batch = Batch::with_capacity(wanted.len());
        for (index, (draft, signature)) in drafts.into_iter().zip(signatures).enumerate() {
            let Wanted { instrument: number, standing, kind } = wanted[index];
            let right = instruments[index].pin.modified(Modifier(standing.modifier));
            let pin = if kind == Kind::WrongPin { ModifiedPin(right.0.wrapping_add(1)) } else { right };
            let shared = &agreed.shared[index];
            let session = PaymentSession::from_shared(shared, &agreed.publics[index], &self.processor.public);
            let sealed = draft.seal(Some(signature), &instruments[index].device, pin, session);
            batch.push(&sealed.bytes, Meta { shared: *shared, instrument: number, kind });
        }
        batch
    }

    fn content(&self, kind: Kind, valid_until: Timestamp, random: &mut impl Rng) -> Content {
        Content {
            merchant: if kind == Kind::UnknownMerchant { MerchantId(random.random()) } else { self.merchant },
            number: TransactionNumber(random.random()),
            amount: if kind == Kind::InsufficientFunds { self.more_than_anybody_has } else { self.amount },
            asset: self.asset,
            quote_digest: QuoteDigest(random.random()),
            valid_until: if kind == Kind::Expired { LONG_AGO } else { valid_until },
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            customer_part: ModifierPart(random.random()),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::request::{REQUEST_BYTES, ReceivedRequest};
    use protocol::session::AgreementSecret;
    use protocol::signature::{CustomerKey, verify};
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
        let wanted = Kind::ALL.map(|kind| Wanted { instrument: 3, standing, kind });
        let batch = maker.make(&wanted, Timestamp(77), &mut random);
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let (bytes, meta) = (batch.request(index), &batch.metas[index]);
            assert_eq!(bytes.len(), REQUEST_BYTES);
            let received = ReceivedRequest::parse(bytes).unwrap();
            // The key of the test world; the server computes the session from its side.
            let secret = AgreementSecret::from_random([3; 32]);
            let session = PaymentSession::for_processor(&secret, &secret.public(), &received.ephemeral).unwrap();
            let half = received.open(&session).unwrap();
            assert_eq!((half.instrument, half.count, meta.instrument), (instrument.id, 7, 3));
            let signed = received.signed_bytes(&half);
            assert!(half.device_tag_holds(&instrument.device, &signed) && meta.kind == kind);
            let key = CustomerKey::parse(&instrument.public()).unwrap();
            let signature = half.signature().unwrap();
            assert_eq!(verify(&key, Domain::REQUEST_FOR_PAYMENT, &signed, &signature), Ok(()));
            let right = half.opens_with(instrument.pin.modified(Modifier(99)), &session, &signed);
            assert_eq!(right, kind != Kind::WrongPin);
            assert_eq!(received.open.merchant == world.merchant, kind != Kind::UnknownMerchant);
            assert_eq!(received.open.valid_until == Timestamp(77), kind != Kind::Expired);
            assert_eq!(received.open.amount.units() == 1, kind != Kind::InsufficientFunds);
        }
    }
}
