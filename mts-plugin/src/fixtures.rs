//! A realm in memory for a merchant's own tests: certificates and proofs without a TPS.
//!
//! All keys come from fixed seeds that stand in this file. Nothing that trusts them is safe: use them in tests only.

use protocol::certificate::{CertificateRequest, CertificateTerms, MerchantCertificate};
use protocol::codec::Canonical;
use protocol::desk::{DeskAnswer, DeskBatch, DeskDescription, EntryResult};
use protocol::ids::{MerchantId, RealmId, TermsDigest};
use protocol::key_set::{AssetEntry, Audience, KeyEntry, KeyRole, KeySet, PinnedKeySet, SignedKeySet, key_id};
use protocol::money::Asset;
use protocol::proof::batch::{BatchSeed, prepare};
use protocol::proof::{Claim, Outcome};
use protocol::quote::Quote;
use protocol::request::PaymentKind;
use protocol::session::AgreementSecret;
use protocol::settlement::{SettlementPage, SettlementReport, SettlementTerms, SettlementTotals};
use protocol::signature::{CertificateRole, DeskRole, ProofRole, RootRole, SigningKey};
use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};

use crate::clock;
use crate::home::{Home, HomeError, MerchantFile};

/// The realm of the fixtures.
pub const REALM: RealmId = RealmId([0xf1; 16]);
/// The merchant of the fixtures.
pub const MERCHANT: MerchantId = MerchantId([0xf2; 16]);
/// The seed of the key that signs the realm's proofs, for tests with a processor of their own.
pub const PROOF_SEED: [u8; 32] = [0xf5; 32];

/// A TPS's keys in memory.
#[derive(Debug)]
pub struct Realm {
    root: SigningKey<RootRole>,
    issuer: SigningKey<CertificateRole>,
    proof: SigningKey<ProofRole>,
    desk: SigningKey<DeskRole>,
    session: AgreementSecret,
    since: Timestamp,
}

impl Default for Realm {
    fn default() -> Self {
        Self {
            root: SigningKey::from_seed([0xf3; 32]),
            issuer: SigningKey::from_seed([0xf4; 32]),
            proof: SigningKey::from_seed(PROOF_SEED),
            desk: SigningKey::from_seed([0xf7; 32]),
            session: AgreementSecret::from_random([0xf6; 32]),
            // Certificates last 90 days at most; a little before now, whatever the clocks.
            since: Timestamp(clock::now().0.saturating_sub(MINUTE_MS)),
        }
    }
}

impl Realm {
    /// The root's public key.
    pub fn root(&self) -> [u8; 32] {
        self.root.public()
    }

    /// The signed key set for `audience`.
    ///
    /// # Panics
    /// Never: the set is well formed.
    pub fn key_set(&self, audience: Audience, number: u64) -> SignedKeySet {
        let mut set = KeySet::new(REALM, audience, number, self.since, 30 * DAY_MS);
        let until = self.since.plus(365 * DAY_MS);
        set.keys.push(KeyEntry::new(KeyRole::Certificate, self.issuer.public(), self.since, until));
        match audience {
            Audience::Merchant => {
                set.keys.push(KeyEntry::new(KeyRole::Proof, self.proof.public(), self.since, until));
                set.keys.push(KeyEntry::new(KeyRole::Desk, self.desk.public(), self.since, until));
            }
            Audience::Customer => {
                set.keys.push(KeyEntry::new(KeyRole::Session, self.session.public().0, self.since, until));
            }
        }
        set.assets.push(AssetEntry { asset: Asset::USD6, exponent: Asset::USD6_EXPONENT });
        set.sign(&self.root).expect("the set is well formed")
    }

    /// The key set as customers pin it.
    ///
    /// # Panics
    /// Never: the set was just signed.
    pub fn customer_keys(&self) -> PinnedKeySet {
        let set = self.key_set(Audience::Customer, 1);
        set.verify(&self.root(), None, Audience::Customer, clock::now(), 0).expect("the set was just signed")
    }

    /// Certifies a request for [`MERCHANT`] for `lifetime_ms` from a minute ago on.
    ///
    /// # Panics
    /// For a request whose signature does not hold, and a lifetime beyond 90 days.
    pub fn certify(&self, request: &CertificateRequest, serial: u64, lifetime_ms: u64) -> MerchantCertificate {
        let (valid_from, valid_until) = (self.since, self.since.plus(lifetime_ms));
        let terms = CertificateTerms { realm: REALM, serial, merchant: MERCHANT, valid_from, valid_until };
        MerchantCertificate::issue(request, &terms, &self.issuer).expect("the request is a merchant's own")
    }

    /// What a payment of `quote` claims.
    pub fn claim(&self, quote: &Quote) -> Claim {
        Claim {
            kind: PaymentKind::PLAIN,
            terms: TermsDigest::ZERO,
            merchant: quote.merchant,
            number: quote.number,
            amount: quote.total,
            asset: quote.asset,
            quote_digest: quote.digest(),
        }
    }

    /// A proof (or denial) of a payment of `quote`; every call is another payment.
    pub fn pay(&self, quote: &Quote, outcome: Outcome) -> Vec<u8> {
        self.prove(self.claim(quote), outcome)
    }

    /// A proof of an arbitrary claim.
    pub fn prove(&self, claim: Claim, outcome: Outcome) -> Vec<u8> {
        let id = key_id(KeyRole::Proof, &self.proof.public());
        let seed = BatchSeed::from_random(clock::random());
        let (batch, places) = prepare(&[claim], REALM, clock::now(), seed, &self.proof, id);
        let released: Vec<_> = places.into_iter().map(|place| place.release(outcome)).collect();
        batch.proof(&released[0]).encode()
    }

    /// The desk's answer to a batch.
    ///
    /// # Panics
    /// For results that do not fit the entries.
    pub fn answer(&self, batch: &DeskBatch, results: Vec<EntryResult>) -> Vec<u8> {
        DeskAnswer::new(batch, results, clock::now(), &self.desk).expect("results fit the entries").encode()
    }

    /// A signed settlement report of the realm for [`MERCHANT`].
    ///
    /// # Panics
    /// For totals that do not add up.
    pub fn settled(&self, cycle: u64, totals: Vec<SettlementTotals>, pages: &[SettlementPage]) -> SettlementReport {
        let (from, until) = (self.since.plus(cycle), self.since.plus(cycle + 1));
        let pages = pages.iter().map(SettlementPage::digest).collect();
        let terms = SettlementTerms { realm: REALM, merchant: MERCHANT, cycle, from, until, totals, pages };
        SettlementReport::sign(terms, &self.desk).expect("the totals add up")
    }

    /// How the desk is reached: at `address`, which shows `certificate`.
    ///
    /// # Panics
    /// For an address without a port and a certificate that is too long.
    pub fn desk_description(&self, address: &str, certificate: Vec<u8>) -> Vec<u8> {
        let addresses = vec![address.to_owned()];
        let description = DeskDescription::new(REALM, addresses, certificate, clock::now(), &self.desk);
        description.expect("an address and a certificate").encode()
    }

    /// A complete merchant in `directory`: keys, key set, certificate.
    ///
    /// # Errors
    /// [`HomeError`] where the directory cannot be used.
    pub fn merchant(&self, directory: &std::path::Path) -> Result<Home, HomeError> {
        let home = self.uncertified_merchant(directory)?;
        let request = std::fs::read(home.request_path())
            .map_err(|source| HomeError::File { path: home.request_path(), source })?;
        let request = CertificateRequest::decode(&request)
            .map_err(|error| HomeError::Malformed { what: "certificate request".into(), error })?;
        home.import_certificate(&self.certify(&request, 1, 80 * DAY_MS).encode(), clock::now())?;
        Ok(home)
    }

    /// A merchant with keys and key set, but no certificate.
    ///
    /// # Errors
    /// [`HomeError`] where the directory cannot be used.
    pub fn uncertified_merchant(&self, directory: &std::path::Path) -> Result<Home, HomeError> {
        let settings = MerchantFile::new("Elm Music".into(), self.root());
        let session = AgreementSecret::from_random(clock::random());
        let home = Home::initialise(directory, settings, session, clock::random())?;
        home.import_key_set(&self.key_set(Audience::Merchant, 1).encode(), clock::now())?;
        Ok(home)
    }
}
