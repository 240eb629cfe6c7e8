//! Configuration of a server: built-in values, then `tps.toml`, then the environment (`TPS_LISTEN=…`), then flags.

use std::net::SocketAddr;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use protocol::enrolment::SignaturePolicy;

use crate::desk::Renewals;
use crate::pipeline::EngineConfig;
use crate::receive::ReceiveConfig;

/// Environment variables with the prefix `TPS_` that are no configuration.
const OTHER_VARIABLES: &[&str] = &["data", "crash_at"];
const MEBIBYTE: u64 = 1 << 20;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where the desk for merchants listens (TCP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeskListen {
    /// On the address and port number of [`Config::listen`].
    #[default]
    Same,
    /// Nowhere: batches come as files.
    Off,
    /// There.
    At(SocketAddr),
}

impl TryFrom<String> for DeskListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "same" => Ok(Self::Same),
            "off" => Ok(Self::Off),
            other => other.parse().map(Self::At).map_err(|_| {
                format!("`{other}` is not where the desk can listen: write \"same\", \"off\", or IP:PORT")
            }),
        }
    }
}

impl From<DeskListen> for String {
    fn from(listen: DeskListen) -> Self {
        match listen {
            DeskListen::Same => "same".to_owned(),
            DeskListen::Off => "off".to_owned(),
            DeskListen::At(address) => address.to_string(),
        }
    }
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// `host:port` under which customers reach this server, best first; written into enrolment bundles.
    pub public_addresses: Vec<String>,
    /// TCP address of the desk for merchants.
    pub desk_listen: DeskListen,
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
    /// New payments are refused when less disk space than this is free.
    pub disk_low_bytes: u64,
    /// Connections at a time.
    pub connections_max: usize,
    /// Unanswered requests of one connection.
    pub open_requests_per_connection_max: usize,
    /// Unanswered requests of one network address.
    pub open_requests_per_address_max: usize,
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
            public_addresses: Vec::new(),
            desk_listen: DeskListen::default(),
            desk_renewals: Renewals::default(),
            workers: 0,
            shards: None,
            queue_requests: engine.queue_requests,
            signature_policy: engine.signature_policy,
            disk_low_bytes: 512 * MEBIBYTE,
            connections_max: receive.connections_max,
            open_requests_per_connection_max: receive.open_requests_per_connection_max,
            open_requests_per_address_max: receive.open_requests_per_address_max,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
        }
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
    /// An address customers cannot use.
    #[error("`{0}` in `public_addresses` is not an address: write host:port")]
    NotAnAddress(String),
}

impl Config {
    /// Reads the configuration of a directory; `shards` is what `tps init` fixed.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key and where it was set.
    pub fn load(file: &Path, shards: u16, overrides: &Overrides) -> Result<Self, ConfigError> {
        let figment = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file))
            .merge(Env::prefixed("TPS_").ignore(OTHER_VARIABLES))
            .merge(Serialized::defaults(overrides));
        let config: Self = figment.extract().map_err(|error| ConfigError::Value(describe(error)))?;
        config.check(shards)?;
        Ok(config)
    }

    fn check(&self, shards: u16) -> Result<(), ConfigError> {
        if let Some(configured) = self.shards.filter(|configured| *configured != shards) {
            return Err(ConfigError::ShardsFixed { configured, fixed: shards });
        }
        let ranges = [
            ("workers", self.workers <= 1_024, "0 (one per processor) to 1024"),
            ("queue_requests", (1..=10_000_000).contains(&self.queue_requests), "1 to 10000000"),
            ("connections_max", self.connections_max > 0, "at least 1"),
            ("open_requests_per_connection_max", self.open_requests_per_connection_max > 0, "at least 1"),
            ("open_requests_per_address_max", self.open_requests_per_address_max > 0, "at least 1"),
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
        match self.public_addresses.iter().find(|address| !is_address(address)) {
            Some(address) => Err(ConfigError::NotAnAddress(address.clone())),
            None => Ok(()),
        }
    }

    /// The pipeline's part.
    pub fn engine(&self, shards: u16) -> EngineConfig {
        let default = EngineConfig::default();
        EngineConfig {
            workers: if self.workers == 0 { default.workers } else { self.workers },
            shards,
            queue_requests: self.queue_requests,
            signature_policy: self.signature_policy,
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
# built-in values; remove the # to change one. `tps config` prints what is in force.

# UDP address to listen on.
#listen = \"[::]:4433\"

# host:port under which customers reach this server, best first; enrolment bundles carry them.
#public_addresses = [\"pay.example.com:4433\"]

# TCP address of the desk, where merchants hand in refunds and renewals: \"same\" (address and port number as `listen`),
# \"off\", or IP:PORT. What it does with a certified merchant's request for its next certificate: \"automatic\" or \"review\".
#desk_listen = \"same\"
#desk_renewals = \"automatic\"

# Threads that open, verify and prove; 0 means one per processor.
#workers = 0

# Requests that may wait for a worker; one more is answered `Overloaded`.
#queue_requests = 16384

# Whether customers' requests must be signed: \"required\" or \"optional\".
#signature_policy = \"required\"

# New payments are refused when less disk space than this is free.
#disk_low_bytes = 536870912

# Bounds against floods.
#connections_max = 20000
#open_requests_per_connection_max = 4096
#open_requests_per_address_max = 65536

# Logs go to standard error: \"text\" or \"json\"; error, warn, info, debug, trace or a filter such as \"tps=debug,info\".
#log_format = \"text\"
#log_level = \"info\"
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
        assert_eq!(load(&uncommented, &Overrides::default()).unwrap(), Config::default());
        assert_eq!(uncommented.lines().count(), 12);
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
            ("shards = 8", "made with 4"),
            ("signature_policy = \"perhaps\"", "signature_policy"),
            ("desk_listen = \"nowhere\"", "nowhere"),
            ("desk_renewals = \"perhaps\"", "desk_renewals"),
            ("log_level = \"a=b=c\"", "log_level"),
            ("public_addresses = [\"example.com\"]", "example.com"),
            ("not toml", "TOML"),
        ] {
            let error = load(text, &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
