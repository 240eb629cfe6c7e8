//! Instruments: enrol, list, show, limit, hold, release, revoke, set a new PIN.

use protocol::codec::Canonical;
use protocol::enrolment::{ActivationCode, EnrolmentBundle};
use protocol::ids::{AccountId, InstrumentId};
use protocol::key_set::Audience;
use protocol::ledger::instrument::{InstrumentState, Limits, PeriodLimit};
use protocol::limits::PIN_FAILURES_MAX;
use protocol::money::{Asset, parse};
use protocol::time::DAY_MS;

use super::ids::IdPrefix;
use super::{Operator, random};
use crate::admin::views::{InstrumentStage, InstrumentView, LimitsView, PinStage};
use crate::admin::{AdminError, AdminResponse, LimitsText, Secret};
use crate::book::Book;
use crate::book::orders::Order;
use crate::config::is_address;
use crate::keys::{load_certificate, load_key_set};
use crate::store::StoreError;
use crate::store::holds::Holder;
use crate::store::records::{ActivationState, EnrolmentRecord};

/// Longest label of an instrument, in bytes.
const LABEL_BYTES_MAX: usize = 64;

/// Whether `label` may name an instrument.
pub(super) fn check_label(label: &str) -> Result<(), AdminError> {
    if label.trim().is_empty() || label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
        return Err(AdminError::bad_input(format!("a label has 1 to {LABEL_BYTES_MAX} bytes, for example `agent 3`")));
    }
    Ok(())
}
/// Longest validity of an activation code.
const BUNDLE_DAYS_MAX: u64 = 30;

/// An instrument with its changing state and its account's asset.
pub(super) type Found = (EnrolmentRecord, InstrumentState, Asset);

fn found(book: &Book, id: InstrumentId) -> Result<Option<Found>, StoreError> {
    let (Some(instrument), Some(record)) = (book.instrument(id), book.enrolment(id)?) else { return Ok(None) };
    Ok(book.account(record.account).map(|account| (record, instrument.state, account.asset)))
}

impl Operator {
    /// The instrument that `text` names.
    pub(super) fn instrument(&self, text: &str) -> Result<Found, AdminError> {
        let prefix = IdPrefix::parse("an instrument", text)?;
        let ids: Vec<InstrumentId> = match prefix.whole() {
            Some(id) => vec![InstrumentId(id)],
            None => self.instrument_ids(move |book| {
                let ids = book.instruments().map(|(id, ..)| id);
                ids.filter(|id| prefix.matches(&id.0)).collect()
            }),
        };
        prefix.only("instrument", "instrument", self.found(ids)?)
    }

    /// Ids that `choose` picks out of all books.
    fn instrument_ids(
        &self,
        choose: impl Fn(&Book) -> Vec<InstrumentId> + Send + Clone + 'static,
    ) -> Vec<InstrumentId> {
        self.engine.read(choose).concat()
    }

    /// What is known of these instruments; those that do not exist are left out.
    fn found(&self, ids: Vec<InstrumentId>) -> Result<Vec<Found>, AdminError> {
        let all = self.engine.read(move |book| {
            let found = ids.iter().filter_map(|id| found(book, *id).transpose());
            found.collect::<Result<Vec<_>, _>>()
        });
        Ok(all.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn instrument_again(&self, id: InstrumentId) -> Result<AdminResponse, AdminError> {
        Ok(AdminResponse::Instrument(self.instrument_view(&self.instrument(&id.to_string())?)))
    }

    pub(super) fn instruments_of(&self, account: AccountId) -> Result<Vec<InstrumentView>, AdminError> {
        let ids = self.instrument_ids(move |book| {
            let ids = book.instruments().filter(|(_, of, _)| *of == account);
            ids.map(|(id, ..)| id).collect()
        });
        let mut views: Vec<_> = self.found(ids)?.iter().map(|found| self.instrument_view(found)).collect();
        views.sort_by_key(|view| (view.enrolled_at_ms, view.instrument));
        Ok(views)
    }

    fn instrument_view(&self, (record, state, asset): &Found) -> InstrumentView {
        let now = self.engine.now();
        let stage = match &record.activation {
            _ if record.revoked => InstrumentStage::Revoked,
            ActivationState::Active { .. } => InstrumentStage::Active,
            ActivationState::Waiting { expires_at, .. } if now > *expires_at => InstrumentStage::Lapsed,
            ActivationState::Waiting { .. } => InstrumentStage::Waiting,
        };
        let pin = match state.current {
            None => PinStage::None,
            Some(_) if state.pin_failures >= PIN_FAILURES_MAX => PinStage::Locked,
            Some(_) => PinStage::Set,
        };
        let limits = &record.limits;
        InstrumentView {
            instrument: record.id,
            account: record.account,
            label: record.label.clone(),
            stage,
            held: record.holds.any(),
            held_by: record.holds.holders(),
            pin,
            pin_failures: state.pin_failures,
            last_count: state.last_count,
            limits: LimitsView {
                per_payment: limits.per_payment.map(|amount| self.money(amount.signed(), *asset)),
                per_period: limits.per_period.map(|limit| self.money(limit.amount.signed(), *asset)),
                period_ms: limits.per_period.map(|limit| limit.period_ms),
                spent_in_period: limits.per_period.map(|limit| self.money(state.spent(&limit, now), *asset)),
                permitted_merchants: limits.permitted_merchants.clone(),
                expires_at_ms: limits.expires_at,
            },
            enrolled_at_ms: record.enrolled_at,
        }
    }

    fn limits(&self, text: &LimitsText, asset: Asset) -> Result<Limits, AdminError> {
        let exponent = self.exponent(asset)?;
        let amount = |text: &Option<String>| text.as_deref().map(|text| parse(text, asset, exponent)).transpose();
        let per_period = match (amount(&text.per_period)?, text.period_ms) {
            (Some(amount), Some(period_ms)) => Some(PeriodLimit { amount, period_ms }),
            (None, None) => None,
            _ => return Err(AdminError::bad_input("a limit per period needs both its amount and the period's length")),
        };
        if text.expires_at_ms.is_some_and(|expires| expires <= self.engine.now()) {
            return Err(AdminError::bad_input("the instrument would have expired already: name a time ahead"));
        }
        let merchants: Result<Vec<_>, AdminError> =
            text.merchants.iter().map(|text| Ok(self.merchant(text)?.id)).collect();
        let limits = Limits {
            per_payment: amount(&text.per_payment)?,
            per_period,
            permitted_merchants: merchants?,
            expires_at: text.expires_at_ms,
        };
        if limits.is_valid() { Ok(limits) } else { Err(crate::book::orders::OrderError::BadLimits.into()) }
    }

    /// Addresses for a bundle: those asked for, the configured ones, or where this machine listens if that says it.
    fn bundle_addresses(&self, asked: Vec<String>) -> Result<Vec<String>, AdminError> {
        if let Some(wrong) = asked.iter().find(|address| !is_address(address)) {
            return Err(AdminError::bad_input(format!("`{wrong}` is not an address: write host:port")));
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        if !self.public_addresses.is_empty() {
            return Ok(self.public_addresses.clone());
        }
        let listen = self.serving.as_ref().map_or(self.configured_listen, |serving| serving.listen);
        if listen.ip().is_unspecified() || listen.port() == 0 {
            return Err(AdminError::bad_input(format!(
                "customers cannot connect to {listen}: set `public_addresses` in tps.toml, or name the address with --address host:port"
            )));
        }
        Ok(vec![listen.to_string()])
    }

    pub(super) fn enrol(
        &self,
        account: &str,
        label: String,
        limits: &LimitsText,
        valid_ms: u64,
        addresses: Vec<String>,
        mailer: bool,
    ) -> Result<AdminResponse, AdminError> {
        let account = self.account(account)?;
        check_label(&label)?;
        if valid_ms == 0 || valid_ms > BUNDLE_DAYS_MAX * DAY_MS {
            return Err(AdminError::bad_input(format!("a bundle is valid for at most {BUNDLE_DAYS_MAX} days")));
        }
        let limits = self.limits(limits, account.asset)?;
        let how = mailer.then(|| self.how_to_call()).transpose()?;
        let addresses = self.bundle_addresses(addresses)?;
        let now = self.engine.now();
        let (key_set, pinned) = load_key_set(&self.data, &self.realm, Audience::Customer, now)?;
        pinned
            .session_key(now)
            .map_err(|error| AdminError::refused(format!("{error}; run `tps key rotate session`")))?;
        let certificate = load_certificate(&self.data.keys())?;
        let root = self.realm.root_public().map_err(AdminError::bad_input)?;

        let id = InstrumentId::for_account(account.id, random()?);
        let code = ActivationCode::from_random(random()?);
        let (code_hash, expires_at) = (code.hash(), now.plus(valid_ms));
        let bundle = EnrolmentBundle::new(
            self.realm.realm,
            addresses,
            certificate,
            root,
            &key_set,
            code,
            id,
            0,
            account.asset,
            expires_at,
        )?;
        let bytes = zeroize::Zeroizing::new(bundle.encode());
        let bundle = Secret::new(hex::encode(&bytes));
        let order = Order::Enrol { id, account: account.id, label: label.clone(), limits, code_hash, expires_at };
        let mailer = match how {
            Some(how) => Some(how.mailer(&label, &self.ask_vru(move |office| office.enrol(id, order))?)),
            None => {
                self.engine.order(id.shard_key(), order)?;
                None
            }
        };
        Ok(AdminResponse::Enrolled { instrument: id, account: account.id, bundle, expires_at_ms: expires_at, mailer })
    }

    pub(super) fn list_instruments(&self, account: Option<&str>) -> Result<AdminResponse, AdminError> {
        if let Some(text) = account {
            return Ok(AdminResponse::Instruments { instruments: self.instruments_of(self.account(text)?.id)? });
        }
        // From the store, so that a long list never holds up payments.
        let snapshot = self.engine.reader().snapshot()?;
        let assets: std::collections::HashMap<_, _> =
            snapshot.accounts.iter().map(|account| (account.id, account.asset)).collect();
        let states: std::collections::HashMap<_, _> = snapshot.instruments.iter().copied().collect();
        let instruments = snapshot.enrolments.into_iter().map(|record| {
            let state = states.get(&record.id).copied().unwrap_or_default();
            let asset = assets.get(&record.account).copied().unwrap_or(Asset::USD6);
            self.instrument_view(&(record, state, asset))
        });
        Ok(AdminResponse::Instruments { instruments: instruments.collect() })
    }

    pub(super) fn show_instrument(&self, text: &str) -> Result<AdminResponse, AdminError> {
        Ok(AdminResponse::Instrument(self.instrument_view(&self.instrument(text)?)))
    }

    pub(super) fn limit(&self, text: &str, limits: &LimitsText) -> Result<AdminResponse, AdminError> {
        let (record, _, asset) = self.instrument(text)?;
        let limits = self.limits(limits, asset)?;
        self.engine.order(record.id.shard_key(), Order::SetLimits { id: record.id, limits })?;
        self.instrument_again(record.id)
    }

    pub(super) fn hold_instrument(&self, text: &str, held: bool) -> Result<AdminResponse, AdminError> {
        let (record, ..) = self.instrument(text)?;
        self.engine
            .order(record.id.shard_key(), Order::HoldInstrument { id: record.id, by: Holder::Operator, held })?;
        self.instrument_again(record.id)
    }

    pub(super) fn revoke(&self, text: &str) -> Result<AdminResponse, AdminError> {
        let (record, ..) = self.instrument(text)?;
        self.engine.order(record.id.shard_key(), Order::Revoke { id: record.id })?;
        self.instrument_again(record.id)
    }

    pub(super) fn new_pin(&self, text: &str, digits: usize) -> Result<AdminResponse, AdminError> {
        let (record, ..) = self.instrument(text)?;
        let id = record.id;
        let pin = self.ask_vru(move |office| office.new_pin(id, digits))?;
        Ok(AdminResponse::Pin { instrument: id, pin: Secret::new(pin.expose().to_string()) })
    }
}
