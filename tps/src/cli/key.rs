//! `tps key`. Works on files alone; a running server takes new keys by itself.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use protocol::codec::Canonical;
use protocol::ids::KeyId;
use protocol::key_set::{Audience, KeyRole};
use protocol::signature::{RootRole, SigningKey};
use protocol::time::Timestamp;
use serde_json::json;

use super::output::{NewFile, table};
use super::secret::SecretFlags;
use super::{Context, backend};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest};
use crate::data_directory::{DataDirectory, Realm};
use crate::keys::{self, Issued, KeyError, KeyFile, KeyRing, KeySecret, RotationStart, role_name};
use crate::pipeline::clock::wall_clock;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleFlag {
    Session,
    Proof,
    Certificate,
    Desk,
    Notary,
}

impl From<RoleFlag> for KeyRole {
    fn from(flag: RoleFlag) -> Self {
        match flag {
            RoleFlag::Session => Self::Session,
            RoleFlag::Proof => Self::Proof,
            RoleFlag::Certificate => Self::Certificate,
            RoleFlag::Desk => Self::Desk,
            RoleFlag::Notary => Self::Notary,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AudienceFlag {
    Customer,
    Merchant,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List all keys
    List,
    /// Make a new key, end the old one with an overlap, sign both key sets anew
    Rotate {
        /// Which
        role: RoleFlag,
        /// Use it at once instead of when everybody has a key set with it; session keys always begin at once
        #[arg(long)]
        at_once: bool,
        /// The root key, where it is kept elsewhere
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Mark a leaked key as not to be believed, destroy its secret, sign both key sets anew
    Revoke {
        /// Its id
        key: KeyId,
        /// The root key, where it is kept elsewhere
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Sign both key sets anew, before they become too old
    Reissue {
        /// With a number above this one: after a restoration, that of the last key set that was published
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        above: u64,
        /// The root key, where it is kept elsewhere
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Encrypt every secret file in place, or encrypt them for another passphrase or key file
    Protect {
        #[command(flatten)]
        secret: SecretFlags,
        /// The root key, where it is kept elsewhere: it is encrypted, too
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Write every secret file in clear again
    Unprotect {
        /// The root key, where it is kept elsewhere: it is written in clear, too
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Make a key file that opens protected keys or backups
    NewKeyFile {
        /// The new file
        file: PathBuf,
    },
    /// Write the signed key set that customers or merchants pin
    Export {
        /// Who it is for
        #[arg(long)]
        audience: AudienceFlag,
        /// The new file
        file: PathBuf,
    },
}

impl KeyCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        if let Self::NewKeyFile { file } = &self {
            return new_key_file(context, file);
        }
        let data = context.data()?;
        let realm = data.realm()?;
        let now = wall_clock();
        match self {
            Self::NewKeyFile { .. } => {}
            Self::List => list(context, &data, &realm, now)?,
            Self::Protect { secret, root } => {
                protect(context, &data, &secret.wanted(true, "the keys")?, root.as_deref())?
            }
            Self::Unprotect { root } => {
                let replaced = data.vault().unprotect(root.as_deref())?;
                let text = "The keys lie in clear: whoever can read this directory or a backup of it has them.\n";
                context.output.told(&json!({ "result": "unprotected", "files": replaced }), text);
            }
            Self::Export { audience, file } => export(context, &data, &realm, audience, &file, now)?,
            Self::Rotate { role, at_once, root } => {
                let start = if at_once { RotationStart::AtOnce } else { RotationStart::WhenKnown };
                let root = load_root(&data, &realm, root.as_deref())?;
                let rotated = keys::rotate(&data, &realm, role.into(), start, &root, now)?;
                let name = role_name(role.into());
                let told = json!({
                    "result": "rotated", "role": name, "key": rotated.new, "valid_from_ms": rotated.valid_from,
                    "valid_until_ms": rotated.valid_until, "destroyed": rotated.destroyed, "key_set": rotated.issued,
                });
                let destroyed: String =
                    rotated.destroyed.iter().map(|key| format!("destroyed  {key}: its time is over\n")).collect();
                let text = format!(
                    "new {name} key  {}\nused        from {} until {}\n{destroyed}{}{}",
                    rotated.new,
                    rotated.valid_from,
                    rotated.valid_until,
                    issued_text(&rotated.issued),
                    tell_server(&data),
                );
                context.output.told(&told, &text);
            }
            Self::Revoke { key, root } => {
                let root = load_root(&data, &realm, root.as_deref())?;
                let issued = keys::revoke(&data, &realm, key, &root, now)?;
                let text = format!("revoked     {key}\n{}{}", issued_text(&issued), tell_server(&data));
                context.output.told(&json!({ "result": "revoked", "key": key, "key_set": issued }), &text);
            }
            Self::Reissue { above, root } => {
                let root = load_root(&data, &realm, root.as_deref())?;
                let issued = keys::issue(&data, &realm, &root, now, above)?;
                context.output.told(&json!({ "result": "issued", "key_set": issued }), &issued_text(&issued));
            }
        }
        Ok(())
    }
}

fn new_key_file(context: &Context, file: &Path) -> Result<(), AdminError> {
    let (text, recipient) = KeySecret::new_key_file(wall_clock());
    NewFile::create(file)?.keep(text.as_bytes())?;
    let told = json!({ "result": "key-file", "file": file, "recipient": recipient });
    let text = format!(
        "key file   {}\nrecipient  {recipient}\n\nKeep a copy elsewhere: nothing else opens what is protected with it.\n",
        file.display()
    );
    context.output.told(&told, &text);
    Ok(())
}

fn protect(context: &Context, data: &DataDirectory, secret: &KeySecret, root: Option<&Path>) -> Result<(), AdminError> {
    let replaced = data.vault().protect(secret, root)?;
    let listed: String = replaced.iter().map(|path| format!("encrypted  {}\n", path.display())).collect();
    let listed = if replaced.is_empty() { "Nothing was left to encrypt.\n".to_owned() } else { listed };
    let text = format!(
        "{listed}\nThe keys are protected with {}. Keep a copy of it elsewhere, and name its file in tps.toml\n\
         (`passphrase_file` or `key_file`) before the server takes its keys anew. What the disk held in clear\n\
         before may still be found on it: `tps key rotate` makes keys that never lay there in clear.\n",
        secret.origin()
    );
    context.output.told(&json!({ "result": "protected", "files": replaced }), &text);
    Ok(())
}

fn issued_text(issued: &Issued) -> String {
    format!(
        "key sets    number {}, to be relied upon until {}\n\n\
         Next: `tps key export --audience merchant FILE`, and give it to the merchants.\n",
        issued.number, issued.expires_at_ms
    )
}

/// A running server takes the keys anew; where none runs, the next one does. Whatever it answers, the keys are what they are.
fn tell_server(data: &DataDirectory) -> String {
    match backend::call_server(data, &AdminRequest::Reload) {
        Ok(Some(_)) => "The running server takes its keys anew.\n".to_owned(),
        Ok(None) => String::new(),
        Err(error) if error.code == AdminErrorCode::Refused => {
            "The running `tps dev` goes on with its old keys.\n".to_owned()
        }
        Err(error) => format!("The running server goes on with its old keys: {error}\n"),
    }
}

fn load_root(data: &DataDirectory, realm: &Realm, file: Option<&Path>) -> Result<SigningKey<RootRole>, AdminError> {
    let public = realm.root_public().map_err(|detail| AdminError::new(AdminErrorCode::Store, detail))?;
    Ok(keys::load_root(data, file, &public)?)
}

/// How a key stands at `now`.
fn stage(ring: &KeyRing, key: &KeyFile, now: Timestamp) -> &'static str {
    let current = ring.current(key.role, now).is_some_and(|current| current.id() == key.id());
    match () {
        () if key.revoked => "revoked",
        () if key.valid_until < now => "past",
        () if key.seed.is_none() => "destroyed",
        () if !ring.is_published(key) => "unpublished",
        () if key.valid_from > now => "next",
        () if current => "current",
        () => "overlap",
    }
}

fn list(context: &Context, data: &DataDirectory, realm: &Realm, now: Timestamp) -> Result<(), AdminError> {
    let ring = KeyRing::load(data)?;
    let root_here = data.keys().join("root.toml").exists();
    let issued = keys::issued(data).map_err(KeyError::from)?;
    let listed: Vec<_> = ring
        .keys()
        .iter()
        .map(|key| {
            json!({
                "role": role_name(key.role), "key": key.id(), "stage": stage(&ring, key, now),
                "valid_from_ms": key.valid_from, "valid_until_ms": key.valid_until, "public": hex::encode(key.public),
            })
        })
        .collect();
    let told = json!({
        "result": "keys", "realm": realm.realm, "root_public": realm.root, "root_key_here": root_here, "keys": listed,
        "key_set": issued, "keys_protected": data.vault().is_protected(),
    });
    let mut rows = vec![["ROLE", "KEY", "STAGE", "FROM", "UNTIL"].map(str::to_owned).to_vec()];
    for key in ring.keys() {
        let (from, until) = (key.valid_from.to_string(), key.valid_until.to_string());
        rows.push(vec![role_name(key.role).into(), key.id().to_string(), stage(&ring, key, now).into(), from, until]);
    }
    let kept = if root_here {
        "its secret lies in keys/root.toml: move it to another machine"
    } else {
        "its secret is kept elsewhere"
    };
    let unpublished = if ring.keys().iter().any(|key| stage(&ring, key, now) == "unpublished") {
        "\nAn unpublished key is in no key set and not used: `tps key reissue` completes the rotation that was interrupted.\n"
    } else {
        ""
    };
    let text = format!(
        "{}{unpublished}\nroot      {} ({kept})\nrealm     {}\nkey sets  number {}, to be relied upon until {}\nat rest   {}\n",
        table(&rows),
        realm.root,
        realm.realm,
        issued.number,
        issued.expires_at_ms,
        if data.vault().is_protected() { "protected" } else { "in clear: `tps key protect` encrypts the keys" },
    );
    context.output.told(&told, &text);
    Ok(())
}

fn export(
    context: &Context,
    data: &DataDirectory,
    realm: &Realm,
    audience: AudienceFlag,
    file: &Path,
    now: Timestamp,
) -> Result<(), AdminError> {
    let audience = match audience {
        AudienceFlag::Customer => Audience::Customer,
        AudienceFlag::Merchant => Audience::Merchant,
    };
    let (signed, pinned) = keys::load_key_set(data, realm, audience, now)?;
    NewFile::create(file)?.keep(&signed.encode())?;
    let told = json!({
        "result": "exported", "file": file, "audience": audience, "number": pinned.number(),
        "expires_at_ms": pinned.expires_at(), "root_public": realm.root,
    });
    let text = format!(
        "key set  {} (number {}, until {})\nroot     {} (tell it over another channel)\n",
        file.display(),
        pinned.number(),
        pinned.expires_at(),
        realm.root
    );
    context.output.told(&told, &text);
    Ok(())
}
