//! Merchants: register, review, certify, suspend, reinstate (K-03, K-23, K-24).

use protocol::certificate::{CertificateRequest, CertificateTerms, MerchantCertificate};
use protocol::codec::Canonical;
use protocol::ids::MerchantId;
use protocol::key_set::{Audience, KeyRole, PinnedKeySet};
use protocol::ledger::posting::Party;
use protocol::limits::MERCHANT_KEY_LIFETIME_MAX_MS;
use protocol::time::{DAY_MS, Timestamp};

use super::ids::IdPrefix;
use super::{Operator, random};
use crate::admin::views::MerchantView;
use crate::admin::{AdminError, AdminResponse};
use crate::book::orders::Order;
use crate::keys::{KeyError, KeyRing, load_key_set};
use crate::store::records::{MerchantRecord, MerchantStatus};

/// How far back a certificate's validity begins: clocks of customers may be late.
const CLOCK_TOLERANCE_MS: u64 = 60 * protocol::time::MINUTE_MS;

/// A request whose maker holds the desk key, and its bytes.
fn read_request(hexadecimal: &str) -> Result<(CertificateRequest, Vec<u8>), AdminError> {
    let bytes = hex::decode(hexadecimal.trim())
        .map_err(|_| AdminError::bad_input("the certificate request is not in hexadecimal"))?;
    let request = CertificateRequest::decode(&bytes)?;
    request.verify()?;
    Ok((request, bytes))
}

impl Operator {
    /// The merchant that `text` names.
    pub(super) fn merchant(&self, text: &str) -> Result<MerchantRecord, AdminError> {
        let prefix = IdPrefix::parse("a merchant", text)?;
        // Every shard knows every merchant; the first one is enough.
        let found = self.engine.read(move |book| {
            let matching = book.merchants().filter(|record| prefix.matches(&record.id.0));
            if book.shard() == 0 { matching.cloned().collect::<Vec<_>>() } else { Vec::new() }
        });
        prefix.only("merchant", "merchant", found.concat())
    }

    fn merchant_view(&self, record: &MerchantRecord, pinned: Option<&PinnedKeySet>) -> MerchantView {
        let certificate = MerchantCertificate::decode(&record.certificate).ok();
        let valid_until =
            certificate.as_ref().zip(pinned).and_then(|(certificate, keys)| self.valid_until(certificate, keys));
        let fingerprint = CertificateRequest::decode(&record.request).map(|request| request.fingerprint());
        let id = record.id;
        let balances = self.engine.read(move |book| {
            let of_merchant = book.balances().filter(|(party, ..)| *party == Party::Merchant(id));
            of_merchant.map(|(_, asset, balance)| (asset, balance)).collect::<Vec<_>>()
        });
        let mut sums = std::collections::BTreeMap::new();
        for (asset, balance) in balances.concat() {
            *sums.entry(asset).or_insert(0i128) += balance;
        }
        MerchantView {
            merchant: record.id,
            name: record.name.clone(),
            status: record.status,
            fingerprint: fingerprint.unwrap_or_default(),
            certificate_digest: certificate.map(|certificate| certificate.digest().to_string()),
            certificate_valid_until_ms: valid_until,
            accrued: sums.into_iter().map(|(asset, units)| self.money(units, asset)).collect(),
        }
    }

    /// End of a certificate's validity, where the pinned keys vouch for it.
    fn valid_until(&self, certificate: &MerchantCertificate, keys: &PinnedKeySet) -> Option<Timestamp> {
        match certificate.verify(keys, self.engine.now()) {
            Ok(verified) => Some(verified.valid_until()),
            Err(protocol::certificate::CertificateError::Expired(until)) => Some(until),
            Err(_) => None,
        }
    }

    fn pinned(&self) -> Result<PinnedKeySet, KeyError> {
        Ok(load_key_set(&self.data, &self.realm, Audience::Merchant, self.engine.now())?.1)
    }

    fn merchant_again(&self, id: MerchantId) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(&id.to_string())?;
        Ok(AdminResponse::Merchant(self.merchant_view(&record, self.pinned().ok().as_ref())))
    }

    pub(super) fn register_merchant(&self, request: &str) -> Result<AdminResponse, AdminError> {
        let (request, bytes) = read_request(request)?;
        let id = MerchantId(random()?);
        let order =
            Order::RegisterMerchant { id, name: request.name.clone(), request: bytes, session_public: request.session };
        self.engine.order(0, order)?;
        self.merchant_again(id)
    }

    /// The merchant's next request: same name, same desk key, fresh session key. It needs no new registration, but the
    /// same approval.
    pub(super) fn renew(&self, text: &str, request: &str) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(text)?;
        let (request, bytes) = read_request(request)?;
        let before = CertificateRequest::decode(&record.request)?;
        if request.desk != before.desk || request.name != before.name {
            return Err(AdminError::refused(format!(
                "the request is not from merchant {}: it has another desk key or another name; register it as a new merchant",
                record.id
            )));
        }
        if record.status == MerchantStatus::Suspended {
            return Err(AdminError::refused(format!("merchant {} is suspended: reinstate it first", record.id)));
        }
        let order = Order::RenewMerchant { id: record.id, request: bytes, session_public: request.session };
        self.engine.order(0, order)?;
        self.merchant_again(record.id)
    }

    pub(super) fn list_merchants(&self) -> Result<AdminResponse, AdminError> {
        let pinned = self.pinned().ok();
        let registry = self.engine.reader().registry()?;
        let merchants = registry.merchants.iter().map(|record| self.merchant_view(record, pinned.as_ref()));
        Ok(AdminResponse::Merchants { merchants: merchants.collect() })
    }

    pub(super) fn show_merchant(&self, text: &str) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(text)?;
        Ok(AdminResponse::Merchant(self.merchant_view(&record, self.pinned().ok().as_ref())))
    }

    pub(super) fn approve(
        &self,
        text: &str,
        valid_days: u64,
        fingerprint: Option<&str>,
    ) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(text)?;
        let days_max = MERCHANT_KEY_LIFETIME_MAX_MS / DAY_MS;
        if valid_days == 0 || valid_days > days_max {
            return Err(AdminError::bad_input(format!("a certificate is valid for 1 to {days_max} days")));
        }
        let request = CertificateRequest::decode(&record.request)?;
        if let Some(told) = fingerprint.filter(|told| !told.trim().eq_ignore_ascii_case(&request.fingerprint())) {
            return Err(AdminError::refused(format!(
                "the merchant's fingerprint is {}, not {}: somebody else may have sent this request; do not approve it",
                request.fingerprint(),
                told.trim()
            )));
        }
        if !record.certificate.is_empty() {
            return self.approved_before(&record);
        }
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
        let text = hex::encode(&certificate);
        self.engine.order(0, Order::CertifyMerchant { id: record.id, certificate })?;
        Ok(AdminResponse::Certificate {
            merchant: record.id,
            certificate: text,
            valid_until_ms: valid_until,
            already_applied: false,
        })
    }

    /// A certificate is issued once per request; asking again gives the same.
    fn approved_before(&self, record: &MerchantRecord) -> Result<AdminResponse, AdminError> {
        if record.status == MerchantStatus::Suspended {
            return Err(AdminError::refused(format!(
                "merchant {} is suspended: lift that with `tps merchant reinstate {}`",
                record.id, record.id
            )));
        }
        let certificate = MerchantCertificate::decode(&record.certificate)?;
        let verified = certificate.verify(&self.pinned()?, self.engine.now()).map_err(|error| {
            AdminError::refused(format!("{error}; the merchant must send a request with a fresh session key: `mts certificate request`, then `tps merchant renew`"))
        })?;
        Ok(AdminResponse::Certificate {
            merchant: record.id,
            certificate: hex::encode(&record.certificate),
            valid_until_ms: verified.valid_until(),
            already_applied: true,
        })
    }

    /// Grows, across restarts too: times of orders are durable and never decrease.
    fn serial(&self, now: Timestamp) -> u64 {
        let mut last = self.last_serial.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = now.0.max(*last + 1);
        *last
    }

    pub(super) fn suspend(&self, text: &str) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(text)?;
        self.engine.order(0, Order::SuspendMerchant { id: record.id })?;
        self.merchant_again(record.id)
    }

    pub(super) fn reinstate(&self, text: &str) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(text)?;
        if record.certificate.is_empty() {
            return Err(AdminError::refused(format!(
                "merchant {} was never approved: review it, then `tps merchant approve {}`",
                record.id, record.id
            )));
        }
        self.engine.order(0, Order::CertifyMerchant { id: record.id, certificate: record.certificate.clone() })?;
        self.merchant_again(record.id)
    }
}
