//! Where values come from: built in, then `tps.toml`, then the environment (`TPS_LISTEN=…`), then flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

use super::{Config, ConfigError, LogFormat};

/// Environment variables with the prefix `TPS_` that are no configuration.
const OTHER_VARIABLES: &[&str] = &["data", "crash_at", "stall_at"];

/// Flags: what is `None` was not given.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Overrides {
    /// See [`Config::listen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// See [`Config::log_format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// See [`Config::log_level`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
}

/// Where the secret lies that opens protected keys: [`Config::key_file`] and [`Config::passphrase_file`], read apart from
/// everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct SecretFiles {
    /// See [`Config::key_file`].
    pub key_file: Option<PathBuf>,
    /// See [`Config::passphrase_file`].
    pub passphrase_file: Option<PathBuf>,
}

impl SecretFiles {
    /// What the environment names, or else what the configuration `file` names.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let extract = |figment: Figment| -> Result<Self, ConfigError> {
            figment.extract().map_err(|error| ConfigError::Value(describe(error)))
        };
        let named = extract(Figment::from(Env::prefixed("TPS_").only(&["key_file", "passphrase_file"])))?;
        if named == Self::default() { extract(Figment::from(Toml::file(file))) } else { Ok(named) }
    }
}

impl Config {
    /// Reads the configuration of a directory; `shards` is what `tps init` fixed.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key and where it was set.
    pub fn load(file: &Path, shards: u16, overrides: &Overrides) -> Result<Self, ConfigError> {
        let config: Self =
            Self::sources(file, overrides).extract().map_err(|error| ConfigError::Value(describe(error)))?;
        config.check(shards)?;
        Ok(config)
    }

    fn sources(file: &Path, overrides: &Overrides) -> Figment {
        Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file))
            .merge(Env::prefixed("TPS_").ignore(OTHER_VARIABLES))
            .merge(Serialized::defaults(overrides))
    }

    /// Where the values come from that are neither built in nor derived, by key: a file, or the environment.
    pub fn origins(file: &Path) -> BTreeMap<String, String> {
        let figment = Self::sources(file, &Overrides::default());
        let Ok(data) = figment.extract::<figment::value::Dict>() else { return BTreeMap::new() };
        let origin = |key: &String| {
            let metadata = figment.find_metadata(key)?;
            match &metadata.source {
                Some(figment::Source::File(path)) => Some(path.display().to_string()),
                _ if metadata.name.contains("environment") => Some(format!("TPS_{}", key.to_uppercase())),
                _ => None,
            }
        };
        data.keys().filter_map(|key| Some((key.clone(), origin(key)?))).collect()
    }
}

/// Every mistake with its key and the place where it was set.
fn describe(errors: figment::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let source = error.metadata.as_ref().map(|metadata| match &metadata.source {
            Some(source) => format!(" in {source}"),
            None => format!(" in the {}", metadata.name),
        });
        let path = if error.path.is_empty() { String::new() } else { format!(" for `{}`", error.path.join(".")) };
        texts.push(format!("{}{path}{}", error.kind, source.unwrap_or_default()));
    }
    texts.join("; ")
}
