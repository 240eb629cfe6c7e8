//! `tps vru`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::output::{NewFile, facts};
use super::{Context, backend};
use crate::admin::views::VruAccessView;
use crate::admin::{AdminError, AdminRequest, AdminResponse, VruRequest};
use crate::vru::fronts::signature::{WebhookKey, key_file};

#[derive(Debug, Subcommand)]
pub(super) enum VruCommand {
    /// Give an instrument new access to the VRU and write the sealed mailer; earlier access ends
    Mailer {
        /// Its id
        instrument: String,
        /// The new file for the sheet: print it, convey it apart from the bundle, remove the file
        file: PathBuf,
    },
    /// Show how an instrument's access stands
    Show {
        /// Its id
        instrument: String,
    },
    /// Take passcodes again after too many wrong ones
    Unlock {
        /// Its id
        instrument: String,
    },
    /// Draw the key that a telephony provider signs its webhooks with
    WebhookKey {
        /// Replace the key that is there
        #[arg(long)]
        replace: bool,
    },
}

impl VruCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let request = match self {
            Self::Mailer { instrument, file } => return mailer(context, instrument, file),
            Self::WebhookKey { replace } => return webhook_key(context, replace),
            Self::Show { instrument } => VruRequest::Show { instrument },
            Self::Unlock { instrument } => VruRequest::Unlock { instrument },
        };
        context.output.response(&backend::call(context, AdminRequest::Vru(request))?);
        Ok(())
    }
}

fn mailer(context: &Context, instrument: String, path: PathBuf) -> Result<(), AdminError> {
    // The file first: no access ends whose successor cannot be kept.
    let file = NewFile::create(&path)?;
    let request = AdminRequest::Vru(VruRequest::Mailer { instrument });
    let AdminResponse::Mailer { instrument, mailer } = backend::call(context, request)? else {
        return Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        ));
    };
    let remedy = "earlier access has ended all the same: write another mailer where there is room";
    file.keep_or(mailer.expose().as_bytes(), remedy)?;
    let text = format!(
        "instrument  {instrument}\nmailer      {}\n\n\
         Earlier access has ended. Next: print the mailer, convey it apart from any bundle, and remove the file.\n",
        path.display(),
    );
    context.output.told(&json!({ "result": "mailer", "instrument": instrument, "mailer": path }), &text);
    Ok(())
}

fn webhook_key(context: &Context, replace: bool) -> Result<(), AdminError> {
    let data = context.data()?;
    let path = key_file(&data);
    if path.exists() && !replace {
        return Err(AdminError::bad_input(format!(
            "{} is there already; nothing was changed: give the provider that one, or --replace it",
            path.display()
        )));
    }
    let key = WebhookKey::make(&data)?;
    let text = Zeroizing::new(format!(
        "key   {}\nfile  {}\n\nNext: give the provider the key, set `vru_http_listen` and `vru_http_url` in tps.toml, then `tps reload`.\n",
        *key,
        path.display()
    ));
    context.output.told(&json!({ "result": "webhook-key", "key": *key, "file": path }), &text);
    Ok(())
}

pub(super) fn describe(access: &VruAccessView) -> String {
    let standing = if access.locked { "locked: `tps vru unlock`, or a new mailer" } else { "open" };
    facts(&[
        ("instrument", access.instrument.to_string()),
        ("access", standing.to_owned()),
        ("wrong passcodes", format!("{} in a row", access.failures)),
        ("mailer", format!("written {}", access.issued_at_ms)),
    ])
}
