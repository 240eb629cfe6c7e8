//! A customer and a merchant of a real server, for tests of what the operator does meanwhile.

use std::path::PathBuf;

use cts_client::error::CtsError;
use cts_client::frames::Frames;
use cts_client::store::OutcomeKind;
use cts_client::{Patience, Quoted, Wallet, WalletSettings, enrol};
use mts_plugin::home::MerchantFile;
use mts_plugin::proofs::ProofChecker;
use mts_plugin::{Home, clock};
use protocol::certificate::MerchantCertificate;
use protocol::codec::Canonical;
use protocol::ids::{MerchantId, RealmId, TransactionNumber};
use protocol::money::{Amount, Asset};
use protocol::order::judge;
use protocol::pin::Pin;
use protocol::purchase::QuoteOffer;
use protocol::quote::{GoodsKind, Quote, QuoteItem, QuoteTerms};
use protocol::session::AgreementSecret;

use crate::harness::{Installation, Server, id};

/// Random bytes.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A merchant's directory and what it verifies with.
pub(crate) struct Merchant {
    home: Home,
    pub(crate) id: String,
    pub(crate) checker: ProofChecker,
    certificate: MerchantCertificate,
}

impl Merchant {
    /// Registers and certifies a merchant.
    pub(crate) fn certified(tps: &Installation) -> Self {
        let mut root = [0; 32];
        hex::decode_to_slice(id(&tps.json(&["key", "list"]), "root_public"), &mut root).unwrap();
        let directory = tps.path("shop");
        let session = AgreementSecret::from_random(random());
        let home = Home::initialise(&directory, MerchantFile::new("Elm".into(), root), session, random()).unwrap();
        let request = home.request_path().display().to_string();
        let merchant = id(&tps.json(&["merchant", "register", &request]), "merchant");
        tps.json(&["key", "export", "--audience", "merchant", "first.keyset"]);
        let set = home.import_key_set(&std::fs::read(tps.path("first.keyset")).unwrap(), clock::now()).unwrap();
        let certificate = approve(tps, &home, &merchant, "first.certificate");
        Self { home, id: merchant, checker: ProofChecker::new(set), certificate }
    }

    /// Takes the newest key set, as the operator or the desk hands it over.
    pub(crate) fn refresh(&self, tps: &Installation, file: &str) {
        tps.json(&["key", "export", "--audience", "merchant", file]);
        let set = self.home.import_key_set(&std::fs::read(tps.path(file)).unwrap(), clock::now()).unwrap();
        self.checker.replace(set);
    }

    /// Asks for a certificate for a fresh session key, and gets it.
    pub(crate) fn renew(&mut self, tps: &Installation, file: &str) {
        self.home.request_certificate(AgreementSecret::from_random(random())).unwrap();
        let request = self.home.request_path().display().to_string();
        tps.json(&["merchant", "renew", &self.id, &request]);
        self.certificate = approve(tps, &self.home, &self.id, file);
    }

    /// An offer of a song.
    pub(crate) fn offer(&self, realm: RealmId) -> Vec<u8> {
        let item = QuoteItem {
            code: "song".into(),
            description: "A song".into(),
            quantity: 1,
            amount: Amount::new(100).unwrap(),
        };
        let terms = QuoteTerms {
            realm,
            merchant: self.id.parse::<MerchantId>().unwrap(),
            number: TransactionNumber(random()),
            items: vec![item],
            asset: Asset::USD6,
            goods: GoodsKind::Digital,
            issued_at: clock::now(),
            lifetime_ms: 600_000,
            salt: random(),
        };
        QuoteOffer::new(&self.certificate, &Quote::new(terms).unwrap()).encode()
    }

    /// Whether a proof is genuine and pays for the quote.
    pub(crate) fn accepts(&self, quote: &Quote, proof: &[u8]) -> Result<(), String> {
        let verified = self.checker.verify(proof, clock::now()).map_err(|error| error.to_string())?;
        judge(&verified, quote).map(drop).map_err(|refusal| refusal.to_string())
    }
}

fn approve(tps: &Installation, home: &Home, merchant: &str, file: &str) -> MerchantCertificate {
    tps.json(&["merchant", "approve", merchant, "--certificate-out", file]);
    let bytes = std::fs::read(tps.path(file)).unwrap();
    home.import_certificate(&bytes, clock::now()).unwrap();
    MerchantCertificate::decode(&bytes).unwrap()
}

/// An activated instrument with its PIN.
pub(crate) struct Customer {
    pub(crate) wallet: Wallet,
    pub(crate) account: String,
    pub(crate) directory: PathBuf,
    realm: RealmId,
}

impl Customer {
    /// With a thousand payments' worth of money.
    pub(crate) async fn enrolled(tps: &Installation, server: &Server, name: &str) -> Self {
        let account = tps.account();
        let (listen, file) = (format!("127.0.0.1:{}", server.port()), format!("{name}.bundle"));
        let order = ["instrument", "enrol", &account, "--label", name, "--bundle", &file, "--address", &listen];
        let instrument = id(&tps.json(&order), "instrument");
        let bundle = enrol::read_bundle(&tps.path(&file)).unwrap();
        let directory = tps.path(name);
        enrol::initialise(&directory, &bundle, &Frames::default()).await.unwrap();
        let pin = id(&tps.json(&["instrument", "new-pin", &instrument]), "pin");
        let patience = Patience { attempts: 20, ..Patience::default() };
        let settings = WalletSettings { patience, ..WalletSettings::default() };
        let wallet = Wallet::open(&directory, settings).unwrap();
        wallet.enter_pin(Pin::parse(&pin).unwrap());
        Self { wallet, account, directory, realm: bundle.realm }
    }

    /// Pays once, however often the server is away meanwhile; quote and proof.
    pub(crate) async fn pay(&self, merchant: &Merchant) -> (Quote, Vec<u8>) {
        let offer = self.wallet.check_offer("http://127.0.0.1:1", &merchant.offer(self.realm)).unwrap();
        self.pay_offer(&offer).await
    }

    pub(crate) async fn pay_offer(&self, offer: &Quoted) -> (Quote, Vec<u8>) {
        for _ in 0..20 {
            match self.wallet.pay(offer).await {
                Ok(outcome) => {
                    let OutcomeKind::Decided { proof, .. } = outcome.kind else { panic!("not decided") };
                    return (offer.quote().clone(), proof.expose().to_vec());
                }
                // The server is taking its keys anew: the same payment again.
                Err(CtsError::Unresolved { .. } | CtsError::Transport(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the server does not come back");
    }

    /// Checks an offer of `merchant` without asking anybody.
    pub(crate) fn check(&self, merchant: &Merchant) -> Result<Quoted, CtsError> {
        self.wallet.check_offer("http://127.0.0.1:1", &merchant.offer(self.realm))
    }
}
