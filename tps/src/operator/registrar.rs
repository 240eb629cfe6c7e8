//! Certificates of merchants: requests taken on record and certified, by the operator's command or at the desk.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::certificate::{CertificateError, CertificateRequest, CertificateTerms, MerchantCertificate};
use protocol::codec::Canonical;
use protocol::ids::MerchantId;
use protocol::key_set::{Audience, KeyRole, PinnedKeySet};
use protocol::limits::MERCHANT_KEY_LIFETIME_MAX_MS;
use protocol::signature::{DeskRole, SigningKey};
use protocol::time::{DAY_MS, MINUTE_MS, Timestamp};

use crate::admin::AdminError;
use crate::book::orders::{Order, OrderError};
use crate::data_directory::{DataDirectory, Realm};
use crate::keys::{KeyError, KeyRing, load_key_set};
use crate::pipeline::Engine;
use crate::store::records::{MerchantRecord, MerchantStatus};

/// How far back a certificate's validity begins: clocks of customers may be late.
const CLOCK_TOLERANCE_MS: u64 = 60 * MINUTE_MS;

/// A request whose maker holds the desk key.
///
/// # Errors
/// [`CertificateError`].
pub(super) fn read_request(bytes: &[u8]) -> Result<CertificateRequest, CertificateError> {
    let request = CertificateRequest::decode(bytes)?;
    request.verify()?;
    Ok(request)
}

/// Why a request for the next certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RenewalRefusal {
    /// Damaged, or its maker does not hold the desk key.
    #[error(transparent)]
    BadRequest(#[from] CertificateError),
    /// Another name or desk key.
    #[error(
        "the request is not from merchant {0}: it has another desk key or another name; register it as a new merchant"
    )]
    OtherIdentity(MerchantId),
    /// Suspended.
    #[error("merchant {0} is suspended: reinstate it first")]
    Suspended(MerchantId),
    /// The book.
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl From<RenewalRefusal> for AdminError {
    fn from(refusal: RenewalRefusal) -> Self {
        match refusal {
            RenewalRefusal::BadRequest(error) => error.into(),
            RenewalRefusal::Order(error) => error.into(),
            refusal => Self::refused(refusal.to_string()),
        }
    }
}

/// Takes requests of registered merchants on record and issues their certificates.
pub struct Registrar {
    engine: Arc<Engine>,
    data: DataDirectory,
    realm: Realm,
    last_serial: Mutex<u64>,
}

impl Registrar {
    /// Over `engine`, with the keys of `data`. One per process: it numbers the certificates.
    pub fn new(engine: Arc<Engine>, data: DataDirectory, realm: Realm) -> Self {
        Self { engine, data, realm, last_serial: Mutex::new(0) }
    }

    /// Puts a merchant's request for its next certificate on record: same name, same desk key, fresh session key.
    ///
    /// # Errors
    /// [`RenewalRefusal`], with nothing changed.
    pub fn renew(&self, record: &MerchantRecord, bytes: &[u8]) -> Result<(), RenewalRefusal> {
        let request = read_request(bytes)?;
        let before = CertificateRequest::decode(&record.request).map_err(CertificateError::from)?;
        if request.desk != before.desk || request.name != before.name {
            return Err(RenewalRefusal::OtherIdentity(record.id));
        }
        if record.status == MerchantStatus::Suspended {
            return Err(RenewalRefusal::Suspended(record.id));
        }
        let (request, session_public) = (bytes.to_vec(), request.session);
        self.engine.order(0, Order::RenewMerchant { id: record.id, request, session_public })?;
        Ok(())
    }

    /// Issues the certificate for the request on record and puts it there; its bytes, and until when it is valid.
    ///
    /// # Errors
    /// [`AdminError`], with nothing changed.
    pub fn certify(&self, record: &MerchantRecord, valid_days: u64) -> Result<(Vec<u8>, Timestamp), AdminError> {
        let request = CertificateRequest::decode(&record.request)?;
        let now = self.engine.now();
        let ring = KeyRing::load(&self.data)?;
        let issuer = ring.certificate_key(now)?;
        let issuer_from = ring.current(KeyRole::Certificate, now).map_or(now, |key| key.valid_from);
        let valid_from = Timestamp(now.0.saturating_sub(CLOCK_TOLERANCE_MS)).max(issuer_from);
        let valid_until = now.plus(valid_days * DAY_MS).min(valid_from.plus(MERCHANT_KEY_LIFETIME_MAX_MS));
        let terms = CertificateTerms {
            realm: self.realm.realm,
            serial: self.serial(now),
            merchant: record.id,
            valid_from,
            valid_until,
        };
        let certificate = MerchantCertificate::issue(&request, &terms, &issuer)?.encode();
        let order = Order::CertifyMerchant { id: record.id, certificate: certificate.clone() };
        self.engine.order(0, order)?;
        Ok((certificate, valid_until))
    }

    /// The key set for merchants as its readers will check it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn pinned(&self) -> Result<PinnedKeySet, KeyError> {
        Ok(load_key_set(&self.data, &self.realm, Audience::Merchant, self.engine.now())?.1)
    }

    /// Number and bytes of the newest key set for merchants.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn merchant_key_set(&self, now: Timestamp) -> Result<(u64, Vec<u8>), KeyError> {
        let (signed, pinned) = load_key_set(&self.data, &self.realm, Audience::Merchant, now)?;
        Ok((pinned.number(), signed.encode()))
    }

    /// The key that signs the desk's answers.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn desk_key(&self, now: Timestamp) -> Result<SigningKey<DeskRole>, KeyError> {
        KeyRing::load(&self.data)?.desk_key(now)
    }

    /// Grows, across restarts too: times of orders are durable and never decrease.
    fn serial(&self, now: Timestamp) -> u64 {
        let mut last = self.last_serial.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.0.max(*last + 1);
        *last
    }
}
