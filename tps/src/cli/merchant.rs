//! `tps merchant`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::output::NewFile;
use super::{Context, backend};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};

/// Longest file that may be a certificate request: its limit in hexadecimal, and some white space.
const REQUEST_FILE_BYTES_MAX: usize = 2 * protocol::limits::CERTIFICATE_BYTES_MAX + 64;

#[derive(Debug, Subcommand)]
pub(super) enum MerchantCommand {
    /// Register a merchant by the request that `mts init` made; it waits for your review
    Register {
        /// The request
        #[arg(value_name = "REQUESTFILE")]
        request: PathBuf,
    },
    /// Take a registered merchant's request for its next certificate, with a fresh session key; then approve it
    Renew {
        /// Its id
        merchant: String,
        /// The new request
        #[arg(value_name = "REQUESTFILE")]
        request: PathBuf,
    },
    /// List all merchants
    List,
    /// Show a merchant
    Show {
        /// Its id
        merchant: String,
    },
    /// Certify a merchant whose documents you have reviewed
    Approve {
        /// Its id
        merchant: String,
        /// The new file for the certificate
        #[arg(long, value_name = "FILE")]
        certificate_out: PathBuf,
        /// Days that the certificate is valid, 90 at most
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        valid_days: u64,
        /// The fingerprint that the merchant told you over another channel; it must be that of the request
        #[arg(long, value_name = "TEXT")]
        fingerprint: Option<String>,
    },
    /// Stop payments to a merchant
    Suspend {
        /// Its id
        merchant: String,
    },
    /// Let a suspended merchant be paid again
    Reinstate {
        /// Its id
        merchant: String,
    },
}

impl MerchantCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let request = match self {
            Self::Register { request } => AdminRequest::RegisterMerchant { request: read_request(&request)? },
            Self::Renew { merchant, request } => {
                AdminRequest::RenewMerchant { merchant, request: read_request(&request)? }
            }
            Self::Approve { merchant, certificate_out, valid_days, fingerprint } => {
                return approve(context, AdminRequest::Approve { merchant, valid_days, fingerprint }, &certificate_out);
            }
            Self::List => AdminRequest::ListMerchants,
            Self::Show { merchant } => AdminRequest::ShowMerchant { merchant },
            Self::Suspend { merchant } => AdminRequest::Suspend { merchant },
            Self::Reinstate { merchant } => AdminRequest::Reinstate { merchant },
        };
        context.output.response(&backend::call(context, request)?);
        Ok(())
    }
}

/// The request in hexadecimal, whether the file holds bytes or hexadecimal digits.
fn read_request(path: &Path) -> Result<String, AdminError> {
    use std::io::Read;
    let wrong = |detail: String| {
        let message = format!("{} is not a certificate request: {detail}; `mts init` makes one", path.display());
        AdminError::bad_input(message)
    };
    let file = std::fs::File::open(path).map_err(|error| {
        AdminError::new(AdminErrorCode::BadInput, format!("cannot read {}: {error}", path.display()))
    })?;
    let mut bytes = Vec::new();
    file.take(REQUEST_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.is_empty() || bytes.len() > REQUEST_FILE_BYTES_MAX {
        return Err(wrong(format!("it must have 1 to {REQUEST_FILE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    Ok(if hex::decode(text).is_ok_and(|decoded| !decoded.is_empty()) { text.to_owned() } else { hex::encode(&bytes) })
}

fn approve(context: &Context, request: AdminRequest, path: &Path) -> Result<(), AdminError> {
    let file = NewFile::create(path)?;
    let AdminResponse::Certificate { merchant, certificate, valid_until_ms, already_applied } =
        backend::call(context, request)?
    else {
        return Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        ));
    };
    let bytes = hex::decode(&certificate).map_err(|error| AdminError::bad_input(error.to_string()))?;
    file.keep(&bytes)?;
    let told = json!({
        "result": "certified", "merchant": merchant, "certificate": path, "valid_until_ms": valid_until_ms,
        "already_applied": already_applied,
    });
    let before = if already_applied { "\nIt was approved before; this is the same certificate.\n" } else { "" };
    let text = format!(
        "merchant     {merchant}\ncertificate  {} (until {valid_until_ms})\n{before}\n\
         Next: give it to the merchant, with the file of `tps key export --audience merchant FILE`.\n",
        path.display(),
    );
    context.output.told(&told, &text);
    Ok(())
}
