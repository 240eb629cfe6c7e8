//! A merchant in a temporary directory, and a customer that speaks the protocol to it.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use mts_plugin::fixtures::Realm;
use mts_plugin::{FolderShop, Home, Merchant, PaidOrder, Settings, Shop, ShopLine, clock, http};
use protocol::codec::Canonical;
use protocol::goods::{ChunkPlan, GoodsError, GoodsOpener};
use protocol::ids::TransactionNumber;
use protocol::money::Asset;
use protocol::purchase::{
    Address, AuthenticatedQuote, LoyaltyId, MerchantError, MerchantErrorCode, OrderData, QuoteOffer, QuoteRequest,
    SendGoods, SentConfirmation, ShippingAdvice, VerifiedOffer, confirm,
};
use protocol::quote::Quote;
use protocol::session::AgreementSecret;
use protocol::session::merchant::MerchantSession;
use tower::ServiceExt;

pub const SONG_BYTES: usize = 200_000;
pub const ADDRESS: &str = "A. Buyer\n12 Elm Street";

pub fn song() -> Vec<u8> {
    (0..SONG_BYTES).map(|index| (index % 253) as u8).collect()
}

/// Tells whom the shop was told about.
pub struct ListeningShop {
    folder: FolderShop,
    pub paid: Mutex<Vec<TransactionNumber>>,
    /// What paying customers called themselves.
    pub known: Mutex<Vec<Option<LoyaltyId>>>,
}

impl Shop for ListeningShop {
    fn asset(&self) -> Asset {
        self.folder.asset()
    }

    fn line(&self, code: &str, quantity: u32) -> Option<ShopLine> {
        self.folder.line(code, quantity)
    }

    fn goods(&self, quote: &Quote) -> Option<std::path::PathBuf> {
        self.folder.goods(quote)
    }

    fn paid(&self, order: &PaidOrder) {
        self.paid.lock().unwrap().push(order.number);
        self.known.lock().unwrap().push(order.loyalty_id.clone());
    }
}

pub struct World {
    pub directory: tempfile::TempDir,
    pub realm: Realm,
    pub shop: Arc<ListeningShop>,
    pub merchant: Arc<Merchant>,
}

pub fn write_goods(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("song.flac"), song()).unwrap();
    let item = |code: &str, rest: &str| format!("[[item]]\ncode='{code}'\ndescription='A {code}'\n{rest}\n");
    let text =
        item("song", "price='0.05'\nfile='song.flac'") + &item("mug", "price='9.50'") + &item("cup", "price='3'");
    std::fs::write(folder.join("catalogue.toml"), text).unwrap();
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let realm = Realm::default();
        realm.merchant(&directory.path().join("merchant")).unwrap();
        write_goods(&directory.path().join("goods"));
        let (shop, merchant) = Self::open(directory.path(), settings);
        Self { directory, realm, shop, merchant }
    }

    fn open(directory: &Path, settings: Settings) -> (Arc<ListeningShop>, Arc<Merchant>) {
        let folder = FolderShop::open(&directory.join("goods")).unwrap();
        let shop = Arc::new(ListeningShop { folder, paid: Mutex::default(), known: Mutex::default() });
        let home = Home::open(&directory.join("merchant")).unwrap();
        let merchant = Arc::new(Merchant::open(home, shop.clone(), settings).unwrap());
        (shop, merchant)
    }

    /// The same directory after a restart.
    pub fn reopened(self, settings: Settings) -> Self {
        let (shop, merchant) = Self::open(self.directory.path(), settings);
        Self { shop, merchant, ..self }
    }

    pub fn song_path(&self) -> std::path::PathBuf {
        self.directory.path().join("goods/song.flac")
    }

    pub async fn respond(&self, path: &str, body: Vec<u8>) -> Response<Body> {
        let request = Request::post(path).body(Body::from(body)).unwrap();
        http::router(self.merchant.clone()).oneshot(request).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>, MerchantErrorCode> {
        let response = self.respond(path, body).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        if status == StatusCode::OK { Ok(bytes) } else { Err(MerchantError::decode(&bytes).unwrap().code().unwrap()) }
    }

    pub async fn offer(&self, code: &str) -> VerifiedOffer {
        let request = QuoteRequest::new(vec![(code.into(), 1)]).unwrap().encode();
        let offer = QuoteOffer::decode(&self.post("/quote", request).await.unwrap()).unwrap();
        offer.verify(&self.realm.customer_keys(), clock::now()).unwrap()
    }

    pub async fn confirmed(&self, offer: &VerifiedOffer) -> SentConfirmation {
        let sent = sent(offer);
        let answer = self.post("/confirm", sent.message.encode()).await.unwrap();
        let answer = AuthenticatedQuote::decode(&answer).unwrap();
        answer.verify(&sent.expected).unwrap();
        sent
    }

    pub fn proof(&self, offer: &VerifiedOffer) -> Vec<u8> {
        self.realm.pay(offer.quote(), protocol::proof::Outcome::Paid)
    }

    pub async fn advised(&self, proof: Vec<u8>) -> Result<ShippingAdvice, MerchantErrorCode> {
        self.post("/proof", proof).await.map(|bytes| ShippingAdvice::decode(&bytes).unwrap())
    }

    /// A confirmed and paid order with its authentic advice.
    pub async fn paid(&self, code: &str) -> (VerifiedOffer, SentConfirmation, ShippingAdvice, Vec<u8>) {
        let offer = self.offer(code).await;
        let sent = self.confirmed(&offer).await;
        let proof = self.proof(&offer);
        let advice = self.advised(proof.clone()).await.unwrap();
        advice.verify(&sent.session.advice, offer.quote().number).unwrap();
        (offer, sent, advice, proof)
    }

    pub async fn fetch(
        &self,
        session: &MerchantSession,
        number: TransactionNumber,
        first: u64,
    ) -> Result<Vec<u8>, MerchantErrorCode> {
        self.post("/send-goods", SendGoods::new(&session.send_goods, number, first).encode()).await
    }
}

pub fn sent(offer: &VerifiedOffer) -> SentConfirmation {
    sent_by(offer, None)
}

/// By a customer that wants to be known.
pub fn sent_by(offer: &VerifiedOffer, loyalty_id: Option<&str>) -> SentConfirmation {
    let hard = offer.quote().goods == protocol::quote::GoodsKind::Hard;
    let address = hard.then(|| Address::new(ADDRESS.into()).unwrap());
    let loyalty_id = loyalty_id.map(|text| LoyaltyId::new(text.into()).unwrap());
    confirm(offer, AgreementSecret::from_random(clock::random()), &OrderData { address, loyalty_id }).unwrap()
}

pub fn opened(
    session: &MerchantSession,
    length_bytes: usize,
    first: u64,
    sealed: &[u8],
) -> Result<Vec<u8>, GoodsError> {
    let mut opener = GoodsOpener::new(&session.goods, ChunkPlan::new(length_bytes as u64)?, first)?;
    let mut goods = Vec::new();
    opener.push::<GoodsError>(sealed, |chunk| {
        goods.extend_from_slice(chunk);
        Ok(())
    })?;
    opener.finish().map(|()| goods)
}
