//! `tps init`, `serve`, `dev`, `reload`, `drain`, `accept-history`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::secret::SecretFlags;
use super::values::parse_asset;
use super::{Context, backend};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest};
use crate::config::{LogFormat, Overrides};
use crate::data_directory::RealmAsset;
use crate::operator::installation::{self, InstallError, InstallOptions, install_protected};
use crate::pipeline::clock::wall_clock;
use crate::serve::{self, ServeOptions, start_logging};

/// What is fixed for ever.
#[derive(Debug, Args)]
pub(super) struct Fixed {
    /// An asset of the registry, CODE:DECIMALS; the first one is the default of new accounts [default: USD6:6]
    #[arg(long = "asset", value_name = "CODE:DECIMALS", value_parser = parse_asset)]
    assets: Vec<RealmAsset>,
    /// Account shards: sequencers that work in parallel
    #[arg(long, default_value_t = 1)]
    shards: u16,
    /// Days that a session key is the current one, 7 at most
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    session_key_days: u64,
    /// Days that a session key is still accepted after that
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    session_key_overlap_days: u64,
    /// Days that a signed key set may be relied upon: a revocation is known everywhere after that
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    key_set_days: u64,
}

impl Fixed {
    fn options(&self) -> InstallOptions {
        let assets = if self.assets.is_empty() { InstallOptions::default().assets } else { self.assets.clone() };
        InstallOptions {
            assets,
            shards: self.shards,
            session_key_days: self.session_key_days,
            session_key_overlap_days: self.session_key_overlap_days,
            key_set_days: self.key_set_days,
        }
    }
}

/// `tps init`.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The new directory; --data does the same
    #[arg(value_name = "DATA")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    fixed: Fixed,
    #[command(flatten)]
    secret: SecretFlags,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let path = self.directory.unwrap_or_else(|| context.data_path());
        let secret = self.secret.secret()?;
        let made = install_protected(&path, &self.fixed.options(), secret.as_ref(), wall_clock());
        let made = made.map_err(|error| {
            let code = match &error {
                InstallError::OutOfRange { .. } => AdminErrorCode::BadInput,
                InstallError::Keys(_) => AdminErrorCode::Keys,
                _ => AdminErrorCode::Store,
            };
            AdminError::new(code, error.to_string())
        })?;
        let (data, root_key) = (made.data.path().display(), made.root_key.display());
        let told = json!({
            "result": "initialised", "data": made.data.path(), "realm": made.realm.realm, "root_public": made.realm.root,
            "root_key_file": made.root_key, "keys_protected": secret.is_some(),
        });
        let kept = match &secret {
            Some(secret) => format!(
                "The keys are protected with {}: keep a copy of it elsewhere, and name its file in\ntps.toml. \
                 Nobody can use these keys without it.\n\n",
                secret.origin()
            ),
            None => String::new(),
        };
        let assets: Vec<String> =
            made.realm.assets.iter().map(|asset| format!("{} ({} decimals)", asset.code, asset.exponent)).collect();
        let text = format!(
            "Made a TPS in {data}\n\
             \x20 realm   {}\n  root    {}\n  assets  {}\n\n\
             {kept}The root key {root_key} signs key sets and nothing else. Move it to another machine\n\
             now; `tps key rotate`, `revoke` and `reissue` take it with --root FILE.\n\n\
             Next: set `public_addresses` in {}, then\n  tps --data {data} serve\n",
            made.realm.realm,
            made.realm.root,
            assets.join(", "),
            made.data.config_file().display(),
        );
        context.output.told(&told, &text);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormatFlag {
    Text,
    Json,
}

/// Flags of both kinds of server.
#[derive(Debug, Args)]
pub(super) struct ServerFlags {
    /// UDP address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Print every message, without secrets
    #[arg(long)]
    frames: bool,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormatFlag>,
    /// What is logged: error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl ServerFlags {
    fn options(self) -> ServeOptions {
        let log_format = self.log_format.map(|format| match format {
            LogFormatFlag::Text => LogFormat::Text,
            LogFormatFlag::Json => LogFormat::Json,
        });
        let overrides = Overrides { listen: self.listen, log_format, log_level: self.log_level };
        ServeOptions { overrides, frames: self.frames }
    }
}

/// `tps serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    flags: ServerFlags,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        Ok(serve::serve(&context.data()?, self.flags.options(), start_logging)?)
    }
}

/// `tps dev`.
#[derive(Debug, Args)]
pub(super) struct Dev {
    #[command(flatten)]
    flags: ServerFlags,
    #[command(flatten)]
    fixed: Fixed,
}

impl Dev {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        // TPS_DATA names a real TPS; a throw-away one comes near it only if the command line says so.
        let data = context.data.as_deref();
        Ok(serve::dev(data, &self.fixed.options(), self.flags.options(), start_logging)?)
    }
}

pub(super) fn signal(context: &Context, request: AdminRequest) -> Result<(), AdminError> {
    let data = context.data()?;
    let answered = backend::call_server(&data, &request)?.is_some();
    if !answered {
        let message = format!("no server runs on {}: start one with `tps serve`", data.path().display());
        return Err(AdminError::new(AdminErrorCode::Unavailable, message));
    }
    context.output.told(&json!({ "result": "done" }), "The server was told.\n");
    Ok(())
}

pub(super) fn accept_history(context: &Context) -> Result<(), AdminError> {
    let data = context.data()?;
    installation::accept_history(&data).map_err(|error| AdminError::new(AdminErrorCode::Store, error.to_string()))?;
    let text = "The database stands as it is now, with a new high-water mark. Run `tps audit`.\n";
    context.output.told(&json!({ "result": "accepted" }), text);
    Ok(())
}
