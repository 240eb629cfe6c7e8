//! `tps desk`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use protocol::codec::Canonical;
use protocol::desk::DeskDescription;
use serde_json::json;

use super::output::NewFile;
use super::{Context, backend};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::config::{Config, ListenSetting, Overrides, is_address};
use crate::keys::{KeyRing, load_certificate};
use crate::pipeline::clock::wall_clock;

#[derive(Debug, Subcommand)]
pub(super) enum DeskCommand {
    /// Write how merchants reach the desk, signed: for `mts desk use`
    Export {
        /// The new file
        file: PathBuf,
        /// host:port of the desk, best first [default: `public_addresses` of the configuration]
        #[arg(long = "address", value_name = "HOST:PORT")]
        addresses: Vec<String>,
    },
    /// Carry out a merchant's batch that came as a file
    Submit {
        /// The batch, from `mts desk batch`
        #[arg(value_name = "BATCHFILE")]
        batch: PathBuf,
        /// The new file for the answer, for `mts desk answer`
        #[arg(long, value_name = "FILE")]
        answer: PathBuf,
    },
}

impl DeskCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        match self {
            Self::Export { file, addresses } => export(context, &file, addresses),
            Self::Submit { batch, answer } => submit(context, &batch, &answer),
        }
    }
}

fn export(context: &Context, file: &Path, addresses: Vec<String>) -> Result<(), AdminError> {
    let data = context.data()?;
    let realm = data.realm()?;
    let addresses = if addresses.is_empty() {
        configured(&Config::load(&data.config_file(), realm.shards, &Overrides::default())?)?
    } else {
        addresses
    };
    if let Some(wrong) = addresses.iter().find(|address| !is_address(address)) {
        return Err(AdminError::bad_input(format!("`{wrong}` is not an address: write host:port")));
    }
    let now = wall_clock();
    let key = KeyRing::load(&data)?.desk_key(now)?;
    let certificate = load_certificate(&data.keys())?;
    let description = DeskDescription::new(realm.realm, addresses.clone(), certificate, now, &key)?;
    NewFile::create(file)?.keep(&description.encode())?;
    let told = json!({ "result": "exported", "file": file, "addresses": addresses });
    let text = format!(
        "desk     {}\nreached  {}\n\nNext: give it to the merchants, for `mts desk use FILE`.\n",
        file.display(),
        addresses.join(", ")
    );
    context.output.told(&told, &text);
    Ok(())
}

/// The desk stands where the payments do, maybe on another port.
fn configured(config: &Config) -> Result<Vec<String>, AdminError> {
    let missing = "where merchants reach the desk is not known: name it with --address HOST:PORT, or set `public_addresses` in tps.toml";
    if config.public_addresses.is_empty() {
        return Err(AdminError::bad_input(missing));
    }
    let port = match config.desk_listen {
        None => return Ok(config.public_addresses.clone()),
        Some(ListenSetting::At(address)) => address.port(),
        Some(ListenSetting::Off) => {
            let message =
                "the desk listens nowhere (`desk_listen` is \"off\"): merchants send files, for `tps desk submit`";
            return Err(AdminError::refused(message));
        }
    };
    let hosts = config.public_addresses.iter().filter_map(|address| address.rsplit_once(':'));
    Ok(hosts.map(|(host, _)| format!("{host}:{port}")).collect())
}

fn submit(context: &Context, batch: &Path, answer: &Path) -> Result<(), AdminError> {
    let unreadable = |error: std::io::Error| {
        AdminError::new(AdminErrorCode::BadInput, format!("cannot read {}: {error}", batch.display()))
    };
    let mut bytes = Vec::new();
    let limit = protocol::limits::DESK_BATCH_BYTES_MAX as u64 + 1;
    std::fs::File::open(batch).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    let file = NewFile::create(answer)?;
    let request = AdminRequest::DeskSubmit { batch: hex::encode(&bytes) };
    let AdminResponse::DeskAnswer { answer: told } = backend::call(context, request)? else {
        return Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        ));
    };
    let told = hex::decode(&told).map_err(|error| AdminError::bad_input(error.to_string()))?;
    file.keep(&told)?;
    let text = format!("answer  {}\n\nNext: give it to the merchant, for `mts desk answer FILE`.\n", answer.display());
    context.output.told(&json!({ "result": "answered", "answer": answer }), &text);
    Ok(())
}
