//! Merchants: register, review, certify, suspend, reinstate (K-03, K-23, K-24).

use protocol::certificate::{CertificateRequest, MerchantCertificate};
use protocol::codec::Canonical;
use protocol::ids::MerchantId;
use protocol::key_set::PinnedKeySet;
use protocol::ledger::posting::Party;
use protocol::limits::MERCHANT_KEY_LIFETIME_MAX_MS;
use protocol::time::{DAY_MS, Timestamp};

use super::ids::IdPrefix;
use super::registrar::read_request;
use super::{Operator, random};
use crate::admin::views::MerchantView;
use crate::admin::{AdminError, AdminResponse};
use crate::book::orders::Order;
use crate::keys::KeyError;
use crate::store::records::{MerchantRecord, MerchantStatus};

/// The bytes of a request.
fn read_hexadecimal(hexadecimal: &str) -> Result<Vec<u8>, AdminError> {
    hex::decode(hexadecimal.trim()).map_err(|_| AdminError::bad_input("the certificate request is not in hexadecimal"))
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
        self.registrar.pinned()
    }

    fn merchant_again(&self, id: MerchantId) -> Result<AdminResponse, AdminError> {
        let record = self.merchant(&id.to_string())?;
        Ok(AdminResponse::Merchant(self.merchant_view(&record, self.pinned().ok().as_ref())))
    }

    pub(super) fn register_merchant(&self, request: &str) -> Result<AdminResponse, AdminError> {
        let bytes = read_hexadecimal(request)?;
        let request = read_request(&bytes)?;
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
        self.registrar.renew(&record, &read_hexadecimal(request)?)?;
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
        let (certificate, valid_until) = self.registrar.certify(&record, valid_days)?;
        Ok(AdminResponse::Certificate {
            merchant: record.id,
            certificate: hex::encode(&certificate),
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
