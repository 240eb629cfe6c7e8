//! Configuration of a server: built-in values, then `tps.toml`, then the environment (`TPS_LISTEN=…`), then flags.

mod listeners;
mod settlement;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use protocol::enrolment::SignaturePolicy;
use protocol::limits::{PIN_DIGITS_MAX, PIN_DIGITS_MIN};

use crate::desk::Renewals;
use crate::pipeline::EngineConfig;
use crate::pipeline::verify::{SignatureCheck, SignatureRule};
use crate::receive::ReceiveConfig;
pub use listeners::{
    DESK, LISTENERS, ListenSetting, ListenerKind, OPERATIONS, Place, PlacedListener, VRU, VRU_WEBHOOKS,
};
pub use settlement::{AssetFees, SettlementConfig};

/// Environment variables with the prefix `TPS_` that are no configuration.
const OTHER_VARIABLES: &[&str] = &["data", "crash_at", "stall_at"];
const MEBIBYTE: u64 = 1 << 20;
/// A hundred years.
const RETENTION_DAYS_MAX: u64 = 36_500;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Where operators' programs ask how the server is; derived from `listen` where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations_listen: Option<ListenSetting>,
    /// `host:port` under which customers reach this server, best first; written into enrolment bundles.
    pub public_addresses: Vec<String>,
    /// TCP address of the desk for merchants; that of [`Self::listen`] unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desk_listen: Option<ListenSetting>,
    /// What the desk does with a certified merchant's request for its next certificate.
    pub desk_renewals: Renewals,
    /// Threads that open, verify and prove; 0 means one per processor.
    pub workers: usize,
    /// Account shards; fixed by `tps init`, so that here only the same number is accepted.
    pub shards: Option<u16>,
    /// Requests that may wait for a worker.
    pub queue_requests: usize,
    /// Whether customers' requests must be signed.
    pub signature_policy: SignaturePolicy,
    /// Whether signatures are checked before money moves, or in spare time.
    pub signature_check: SignatureCheck,
    /// Cycles, fees and payouts of merchants.
    pub settlement: SettlementConfig,
    /// Public key of the funding agency, hexadecimal; with it, instructions are taken from the folder `funding`.
    pub funding_key: Option<String>,
    /// Days that transactions stay in the ledger; then they move to the archive. 0 keeps everything.
    pub retention_days: u64,
    /// New payments are refused when less disk space than this is free.
    pub disk_low_bytes: u64,
    /// Connections at a time.
    pub connections_max: usize,
    /// Unanswered requests of one connection.
    pub open_requests_per_connection_max: usize,
    /// Unanswered requests of one network address.
    pub open_requests_per_address_max: usize,
    /// File that opens the protected keys; see `tps key protect`.
    pub key_file: Option<PathBuf>,
    /// File with the passphrase that opens the protected keys; see `tps key protect`.
    pub passphrase_file: Option<PathBuf>,
    /// TCP address on which the VRU takes calls; two ports above [`Self::listen`] on this machine alone unless said.
    pub vru_listen: Option<ListenSetting>,
    /// Whether calls are under TLS with the server's certificate; needed beyond this machine.
    pub vru_tls: bool,
    /// What mailers tell customers to call: `host:port` or a telephone number; empty means where the VRU listens.
    pub vru_public_address: String,
    /// TCP address on which the VRU takes the webhooks of a telephony provider; on this machine alone, behind a proxy with TLS.
    pub vru_http_listen: Option<ListenSetting>,
    /// The URL of that proxy, without a path: what the provider's signatures are over.
    pub vru_http_url: String,
    /// Digits of the PINs that the VRU gives.
    pub pin_digits: usize,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `tps=debug,info`.
    pub log_level: String,
}

impl Default for Config {
    fn default() -> Self {
        let (engine, receive) = (EngineConfig::default(), ReceiveConfig::default());
        Self {
            listen: SocketAddr::from(([0u16; 8], protocol::limits::TPS_PORT)),
            operations_listen: None,
            public_addresses: Vec::new(),
            desk_listen: None,
            desk_renewals: Renewals::default(),
            workers: 0,
            shards: None,
            queue_requests: engine.queue_requests,
            signature_policy: engine.signatures.policy,
            signature_check: engine.signatures.check,
            settlement: SettlementConfig::default(),
            funding_key: None,
            retention_days: 0,
            disk_low_bytes: 512 * MEBIBYTE,
            connections_max: receive.connections_max,
            open_requests_per_connection_max: receive.open_requests_per_connection_max,
            open_requests_per_address_max: receive.open_requests_per_address_max,
            key_file: None,
            passphrase_file: None,
            vru_listen: None,
            vru_tls: false,
            vru_public_address: String::new(),
            vru_http_listen: None,
            vru_http_url: String::new(),
            pin_digits: protocol::limits::PIN_DIGITS,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
        }
    }
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

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An unknown key or a value that does not fit.
    #[error("the configuration has a mistake: {0}")]
    Value(String),
    /// Shards cannot be changed.
    #[error(
        "`shards` is {configured}, but this TPS was made with {fixed}, and accounts cannot move between shards: remove `shards` from the configuration"
    )]
    ShardsFixed {
        /// In the configuration.
        configured: u16,
        /// In `realm.toml`.
        fixed: u16,
    },
    /// A number out of its range.
    #[error("`{key}` must be {range}")]
    OutOfRange {
        /// Which.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// A line that everybody on the way could listen to.
    #[error("`{key}` is {address}, which is not this machine alone: {remedy}")]
    NotPrivate {
        /// Which key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do.
        remedy: &'static str,
    },
    /// An address customers cannot use.
    #[error("`{0}` in `public_addresses` is not an address: write host:port")]
    NotAnAddress(String),
    /// A listener that answers everybody who asks would be open to other machines.
    #[error(
        "`{key}` is {address}, which other machines may reach, and it answers whoever asks: choose an address on 127.0.0.1 or [::1], and let a reverse proxy that checks who asks pass on what other machines may see"
    )]
    NotLoopback {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// `listen` is too near the last port.
    #[error("no port after that of `listen` is left for `{key}`: set `{key}` to an address or to off")]
    NoPortLeft {
        /// The key.
        key: &'static str,
    },
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

    fn check(&self, shards: u16) -> Result<(), ConfigError> {
        if let Some(configured) = self.shards.filter(|configured| *configured != shards) {
            return Err(ConfigError::ShardsFixed { configured, fixed: shards });
        }
        let ranges = [
            ("workers", self.workers <= 1_024, "0 (one per processor) to 1024"),
            ("queue_requests", (1..=10_000_000).contains(&self.queue_requests), "1 to 10000000"),
            ("retention_days", self.retention_days <= RETENTION_DAYS_MAX, "0 (keep everything) to 36500"),
            ("connections_max", self.connections_max > 0, "at least 1"),
            ("open_requests_per_connection_max", self.open_requests_per_connection_max > 0, "at least 1"),
            ("open_requests_per_address_max", self.open_requests_per_address_max > 0, "at least 1"),
            ("pin_digits", (PIN_DIGITS_MIN..=PIN_DIGITS_MAX).contains(&self.pin_digits), "4 to 12"),
            ("vru_public_address", self.vru_public_address.len() <= 255, "at most 255 bytes"),
            (
                "vru_http_url",
                !matches!(self.vru_http_listen, Some(ListenSetting::At(_))) || self.vru_http_url.starts_with("http"),
                "the URL under which the provider calls `vru_http_listen`, for example \"https://vru.example.com\"",
            ),
        ];
        if let Some((key, _, range)) = ranges.into_iter().find(|(_, valid, _)| !valid) {
            return Err(ConfigError::OutOfRange { key, range });
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log_level).is_err() {
            return Err(ConfigError::OutOfRange {
                key: "log_level",
                range: "error, warn, info, debug, trace or a filter",
            });
        }
        self.settlement.check()?;
        self.funding_key()?;
        if let Some(ListenSetting::At(address)) = self.vru_listen
            && !address.ip().is_loopback()
            && !self.vru_tls
        {
            let remedy = "set `vru_tls = true`, so that nobody on the way hears PINs, or choose a loopback address";
            return Err(ConfigError::NotPrivate { key: "vru_listen", address, remedy });
        }
        match self.public_addresses.iter().find(|address| !is_address(address)) {
            Some(address) => Err(ConfigError::NotAnAddress(address.clone())),
            None => self.listeners().map(drop),
        }
    }

    /// The funding agency's public key, if there is one.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] where it is none.
    pub fn funding_key(&self) -> Result<Option<[u8; 32]>, ConfigError> {
        let Some(text) = &self.funding_key else { return Ok(None) };
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).map_err(|_| ConfigError::OutOfRange {
            key: "funding_key",
            range: "the 64 hexadecimal digits that `tps funding new-key` prints",
        })?;
        Ok(Some(key))
    }

    /// The pipeline's part.
    pub fn engine(&self, shards: u16) -> EngineConfig {
        let default = EngineConfig::default();
        EngineConfig {
            workers: if self.workers == 0 { default.workers } else { self.workers },
            shards,
            queue_requests: self.queue_requests,
            signatures: SignatureRule { policy: self.signature_policy, check: self.signature_check },
        }
    }

    /// The listener's part.
    pub fn receive(&self, frames: bool) -> ReceiveConfig {
        ReceiveConfig {
            listen: self.listen,
            connections_max: self.connections_max,
            open_requests_per_connection_max: self.open_requests_per_connection_max,
            open_requests_per_address_max: self.open_requests_per_address_max,
            frames,
            key_set: None,
        }
    }
}

/// Whether a text is `host:port` as enrolment bundles take it.
pub fn is_address(text: &str) -> bool {
    text.len() <= 255
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
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

/// What `tps init` writes into `tps.toml`.
pub const CONFIG_TEMPLATE: &str = "\
# Configuration of this TPS. Every key can also be set in the environment (TPS_LISTEN=...). Lines below show the
# built-in values; remove the # to change one. `tps config print` shows what is in force and where it comes from,
# `tps config check` finds mistakes without starting.

# UDP address to listen on.
#listen = \"[::]:4433\"

# Address on this machine for /live, /ready, /metrics and /version, or \"off\". Unless set, it is 127.0.0.1 with the port
# after that of `listen`.
#operations_listen = \"127.0.0.1:4434\"

# host:port under which customers reach this server, best first; enrolment bundles carry them.
#public_addresses = [\"pay.example.com:4433\"]

# TCP address of the desk, where merchants hand in refunds and renewals: that of `listen` unless said, or
# \"off\". What it does with a certified merchant's request for its next certificate: \"automatic\" or \"review\".
#desk_listen = \"[::]:4433\"
#desk_renewals = \"automatic\"

# Threads that open, verify and prove; 0 means one per processor.
#workers = 0

# Requests that may wait for a worker; one more is answered `Overloaded`.
#queue_requests = 16384

# Whether customers' requests must be signed: \"required\" or \"optional\".
#signature_policy = \"required\"

# When they are checked: \"live\", before money moves, or \"deferred\": in spare time. A bad one then holds the instrument and is
# reported, but the payment stands.
#signature_check = \"live\"

# New payments are refused when less disk space than this is free.
#disk_low_bytes = 536870912

# Days that transactions stay in the ledger; then they move to signed files in DATA/archive, which audits
# go on reading. 0 keeps everything in the ledger.
#retention_days = 0

# Bounds against floods.
#connections_max = 20000
#open_requests_per_connection_max = 4096
#open_requests_per_address_max = 65536

# What opens the keys where `tps key protect` sealed them: a file, for the server's user alone (or TPS_KEY_FILE,
# TPS_PASSPHRASE_FILE, the systemd credential tps-key, or the passphrase typed at the terminal).
# key_file = \"/etc/quittance/tps.key\"
# passphrase_file = \"/etc/quittance/tps.passphrase\"
# The VRU, the customers' second channel: TCP address on which it takes calls (two ports above `listen` on 127.0.0.1 unless
# said; or \"off\"), TLS (needed beyond this machine), and what mailers tell customers to call.
#vru_listen = \"127.0.0.1:4435\"
#vru_tls = false
#vru_public_address = \"\"

# Webhooks of a telephony provider for the VRU (docs/vru.md): a loopback address or \"off\", and the provider's URL for it.
#vru_http_listen = \"off\"
#vru_http_url = \"\"

# Digits of the PINs that the VRU gives, 4 to 12.
#pin_digits = 6

# Logs go to standard error: \"text\" or \"json\"; error, warn, info, debug, trace or a filter such as \"tps=debug,info\".
#log_format = \"text\"
#log_level = \"info\"

# Public key of the funding agency: with it, instructions are taken from DATA/funding/in and lists of payouts put into
# DATA/funding/out. `tps funding new-key` makes the agency's key.
#funding_key = \"example.com\"

# Settlement of merchants: hours between two cut-offs, and minutes of the cut-off after midnight UTC.
#[settlement]
#cycle_hours = 24
#cut_off_minutes = 0

# Fees of an asset, one such table for each: a share of payments in millionths, an amount for every payment; payouts are
# multiples of the payout unit, the rest is carried over.
# [[settlement.fees]]
# asset = \"USD6\"
# share_ppm = 2500
# per_payment = \"0.0001\"
# payout_unit = \"0.01\"
";

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path(), 4, overrides)
    }

    #[test]
    fn the_template_shows_the_built_in_values() {
        assert_eq!(load(CONFIG_TEMPLATE, &Overrides::default()).unwrap(), Config::default());
        let uncommented: String = CONFIG_TEMPLATE
            .lines()
            .filter_map(|line| {
                line.strip_prefix('#').filter(|line| !line.starts_with(' ') && !line.contains("example.com"))
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let shown = load(&uncommented, &Overrides::default()).unwrap();
        // What is derived unless it is set shows what is derived from the other built-in values.
        let places = |config: &Config| config.listeners().unwrap().iter().map(|(_, place)| *place).collect::<Vec<_>>();
        assert_eq!(places(&shown), places(&Config::default()));
        let derived =
            Config { operations_listen: None, desk_listen: None, vru_listen: None, vru_http_listen: None, ..shown };
        assert_eq!(derived, Config::default());
        assert_eq!(uncommented.lines().count(), 24);
    }

    #[test]
    fn flags_win_over_the_file() {
        let overrides = Overrides { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overrides::default() };
        let config = load("listen = \"[::1]:5000\"\nworkers = 3\nshards = 4", &overrides).unwrap();
        assert_eq!((config.listen.port(), config.workers), (0, 3));
        assert_eq!(config.engine(4).workers, 3);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, named) in [
            ("lisen = \"[::]:1\"", "lisen"),
            ("listen = \"nowhere\"", "listen"),
            ("workers = -1", "workers"),
            ("workers = 5000", "workers"),
            ("queue_requests = 0", "queue_requests"),
            ("retention_days = 40000", "retention_days"),
            ("shards = 8", "made with 4"),
            ("signature_policy = \"perhaps\"", "signature_policy"),
            ("desk_listen = \"nowhere\"", "IP:PORT or off"),
            ("desk_renewals = \"perhaps\"", "desk_renewals"),
            ("log_level = \"a=b=c\"", "log_level"),
            ("public_addresses = [\"example.com\"]", "example.com"),
            ("operations_listen = \"0.0.0.0:4434\"", "reverse proxy"),
            ("operations_listen = \"on\"", "IP:PORT or off"),
            ("listen = \"127.0.0.1:65535\"", "operations_listen"),
            ("vru_listen = \"somewhere\"", "IP:PORT or off"),
            ("vru_listen = \"0.0.0.0:4435\"", "vru_tls"),
            ("vru_http_listen = \"192.0.2.1:80\"\nvru_http_url = \"https://a\"", "reverse proxy"),
            ("vru_http_listen = \"127.0.0.1:80\"", "vru_http_url"),
            ("pin_digits = 3", "pin_digits"),
            ("not toml", "TOML"),
        ] {
            let error = load(text, &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
