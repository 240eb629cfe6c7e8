//! Access to the VRU, and what customers reported through it.

use protocol::ids::InstrumentId;

use super::{Operator, Serving};
use crate::admin::views::{ReportView, VruAccessView};
use crate::admin::{AdminError, AdminErrorCode, AdminResponse, Secret, VruRequest};
use crate::config::{Config, VRU};
use crate::keys::load_certificate;
use crate::reports::{Report, TEXT_BYTES_MAX};
use crate::store::desk::DeskRecord;
use crate::vru::fronts::tls::fingerprint;
use crate::vru::mailer;
use crate::vru::office::{NewAccess, Office, OfficeError};
use crate::vru::records::VruAccess;

/// What the configuration says of how customers call.
pub(super) struct VruSettings {
    public_address: String,
    listen: Option<std::net::SocketAddr>,
    tls: bool,
}

impl VruSettings {
    pub(super) fn of(config: &Config) -> Self {
        // A port of the system's choice is known once a server has it.
        let listen = config.listener(&VRU).ok().flatten().filter(|listen| listen.port() != 0);
        Self { public_address: config.vru_public_address.clone(), listen, tls: config.vru_tls }
    }
}

/// How customers call the VRU.
pub(super) struct HowToCall {
    call: String,
    fingerprint: Option<String>,
}

impl HowToCall {
    /// The sheet for new credentials.
    pub(super) fn mailer(&self, label: &str, access: &NewAccess) -> Secret {
        Secret::new(mailer::text(label, &self.call, self.fingerprint.as_deref(), access).to_string())
    }
}

impl From<OfficeError> for AdminError {
    fn from(error: OfficeError) -> Self {
        let code = match error {
            OfficeError::Order(error) => return error.into(),
            OfficeError::Store(error) => return error.into(),
            OfficeError::NoRandomness => AdminErrorCode::Unavailable,
            OfficeError::NoAccess(_) | OfficeError::NoReport(_) => AdminErrorCode::NotFound,
            OfficeError::PinDigits => AdminErrorCode::BadInput,
        };
        Self::new(code, error.to_string())
    }
}

impl Operator {
    pub(super) fn vru_request(&self, request: VruRequest) -> Result<AdminResponse, AdminError> {
        match request {
            VruRequest::Mailer { instrument } => {
                let (record, ..) = self.instrument(&instrument)?;
                let id = record.id;
                // Before anything ends: a mailer can be written.
                let how = self.how_to_call()?;
                let access = self.ask_vru(move |office| office.new_access(id))?;
                Ok(AdminResponse::Mailer { instrument: id, mailer: how.mailer(&record.label, &access) })
            }
            VruRequest::Show { instrument } => self.access(&instrument, |office, id| office.access(id)),
            VruRequest::Unlock { instrument } => self.access(&instrument, Office::unlock),
            VruRequest::ListReports { all } => {
                let mut reports = Report::all(&**self.engine.reader(), &[])?;
                reports.retain(|report| all || report.closed.is_none());
                reports.sort_by_key(|report| (report.filed_at, report.number));
                Ok(AdminResponse::Reports { reports: reports.into_iter().map(ReportView::from).collect() })
            }
            VruRequest::ShowReport { number } => {
                let report = Report::read(&**self.engine.reader(), &number.to_be_bytes())?;
                Ok(AdminResponse::Report(report.ok_or(OfficeError::NoReport(number))?.into()))
            }
            VruRequest::CloseReport { number, note } => {
                if note.len() > TEXT_BYTES_MAX || note.chars().any(char::is_control) {
                    return Err(AdminError::bad_input(format!("a note is one line of at most {TEXT_BYTES_MAX} bytes")));
                }
                let report = self.ask_vru(move |office| office.close_report(number, note))?;
                Ok(AdminResponse::Report(report.into()))
            }
        }
    }

    /// Has the VRU's thread do something.
    pub(super) fn ask_vru<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Office) -> Result<T, OfficeError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let busy = || AdminError::new(AdminErrorCode::Unavailable, "the VRU is busy or about to stop: try again");
        Ok(self.vru.ask_blocking(work).ok_or_else(busy)??)
    }

    /// What the operator should know of the VRU: it does without a place that nobody chose.
    pub(super) fn vru_warning(&self) -> Option<String> {
        let (serving, place) = (self.serving.as_ref()?, self.vru_settings.listen?);
        let missing = serving.listeners.iter().all(|listener| listener.name != VRU.name);
        missing.then(|| {
            format!(
                "the VRU takes no calls, because something else has TCP {place}: free it and run `tps reload`, or set \
                 `vru_listen` in tps.toml to another address or to off"
            )
        })
    }

    /// What customers call.
    fn call_text(&self) -> Result<String, AdminError> {
        if !self.vru_settings.public_address.is_empty() {
            return Ok(self.vru_settings.public_address.clone());
        }
        let bound = |serving: &Serving| {
            let line = serving.listeners.iter().find(|listener| listener.name == VRU.name);
            line.map(|listener| listener.address)
        };
        let listen = self.serving.as_ref().map_or(self.vru_settings.listen, bound);
        match listen {
            Some(listen) if !listen.ip().is_unspecified() && listen.port() != 0 => Ok(listen.to_string()),
            _ => Err(AdminError::bad_input(
                "a mailer must tell what to call: set `vru_public_address` in tps.toml, then `tps reload`",
            )),
        }
    }

    /// What a mailer says of how to call; asked before anything is enrolled or ends.
    pub(super) fn how_to_call(&self) -> Result<HowToCall, AdminError> {
        let call = self.call_text()?;
        let certificate = self.vru_settings.tls.then(|| load_certificate(&self.data.keys())).transpose()?;
        Ok(HowToCall { call, fingerprint: certificate.map(|certificate| fingerprint(&certificate)) })
    }

    fn access(
        &self,
        instrument: &str,
        work: impl FnOnce(&mut Office, InstrumentId) -> Result<VruAccess, OfficeError> + Send + 'static,
    ) -> Result<AdminResponse, AdminError> {
        let (record, ..) = self.instrument(instrument)?;
        let id = record.id;
        let access = self.ask_vru(move |office| work(office, id))?;
        Ok(AdminResponse::VruAccess(VruAccessView {
            instrument: id,
            locked: access.is_locked(),
            failures: access.failures,
            issued_at_ms: access.issued_at,
        }))
    }
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        Self {
            number: report.number,
            reason: report.reason,
            instrument: report.instrument,
            text: report.text,
            filed_at_ms: report.filed_at,
            closed_at_ms: report.closed.as_ref().map(|closed| closed.at),
            note: report.closed.map(|closed| closed.note),
        }
    }
}
