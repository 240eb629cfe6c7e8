//! Configuration of a server: built-in values, then `tps.toml`, then the environment (`TPS_LISTEN=…`), then flags.

use std::net::SocketAddr;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use protocol::enrolment::SignaturePolicy;
use protocol::limits::{PIN_DIGITS_MAX, PIN_DIGITS_MIN};

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

/// Where a listener beside that of the payments listens: `"auto"`, `"off"`, or `"IP:PORT"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// On this machine alone, some ports above that of the payments; a port of the system's choice where theirs is, too.
    Derived,
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl ListenAddress {
    /// The address, given that of the payments and the number of ports above it; `None` where it is off.
    pub fn resolve(self, listen: SocketAddr, ports_above: u16) -> Option<SocketAddr> {
        let port = if listen.port() == 0 { Some(0) } else { listen.port().checked_add(ports_above) };
        match self {
            Self::Derived => Some(SocketAddr::from(([127, 0, 0, 1], port?))),
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl ListenAddress {
    /// Whether another port may come out of it at the next start.
    pub fn is_the_systems_choice(self, listen: SocketAddr) -> bool {
        self == Self::Derived || self.resolve(listen, 0).is_some_and(|address| address.port() == 0)
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Derived),
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| {
                format!("`{address}` is not an address to listen on: write \"auto\", \"off\", or \"127.0.0.1:4435\"")
            }),
        }
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        match address {
            ListenAddress::Derived => "auto".to_owned(),
            ListenAddress::Off => "off".to_owned(),
            ListenAddress::At(address) => address.to_string(),
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
    /// TCP address on which the VRU takes calls; `"auto"` is two ports above [`Self::listen`], on this machine alone.
    pub vru_listen: ListenAddress,
    /// Whether calls are under TLS with the server's certificate; needed beyond this machine.
    pub vru_tls: bool,
    /// What mailers tell customers to call: `host:port` or a telephone number; empty means where the VRU listens.
    pub vru_public_address: String,
    /// TCP address on which the VRU takes the webhooks of a telephony provider; on this machine alone, behind a proxy with TLS.
    pub vru_http_listen: ListenAddress,
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
            public_addresses: Vec::new(),
            workers: 0,
            shards: None,
            queue_requests: engine.queue_requests,
            signature_policy: engine.signature_policy,
            disk_low_bytes: 512 * MEBIBYTE,
            connections_max: receive.connections_max,
            open_requests_per_connection_max: receive.open_requests_per_connection_max,
            open_requests_per_address_max: receive.open_requests_per_address_max,
            vru_listen: ListenAddress::Derived,
            vru_tls: false,
            vru_public_address: String::new(),
            vru_http_listen: ListenAddress::Off,
            vru_http_url: String::new(),
            pin_digits: protocol::limits::PIN_DIGITS,
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
            ("pin_digits", (PIN_DIGITS_MIN..=PIN_DIGITS_MAX).contains(&self.pin_digits), "4 to 12"),
            ("vru_public_address", self.vru_public_address.len() <= 255, "at most 255 bytes"),
            (
                "vru_http_url",
                self.vru_http_listen == ListenAddress::Off || self.vru_http_url.starts_with("http"),
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
        let open = |address: ListenAddress| match address {
            ListenAddress::At(address) if !address.ip().is_loopback() => Some(address),
            _ => None,
        };
        if let Some(address) = open(self.vru_listen).filter(|_| !self.vru_tls) {
            let remedy = "set `vru_tls = true`, so that nobody on the way hears PINs, or choose a loopback address";
            return Err(ConfigError::NotPrivate { key: "vru_listen", address, remedy });
        }
        if let Some(address) = open(self.vru_http_listen) {
            let remedy = "choose a loopback address and put a proxy with TLS before it";
            return Err(ConfigError::NotPrivate { key: "vru_http_listen", address, remedy });
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

# The VRU, the customers' second channel: TCP address on which it takes calls (\"auto\": 127.0.0.1, two ports above
# `listen`; \"off\"), TLS (needed beyond this machine), and what mailers tell customers to call.
#vru_listen = \"auto\"
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
        assert_eq!(uncommented.lines().count(), 16);
    }

    #[test]
    fn flags_win_over_the_file() {
        let overrides = Overrides { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overrides::default() };
        let config = load("listen = \"[::1]:5000\"\nworkers = 3\nshards = 4", &overrides).unwrap();
        assert_eq!((config.listen.port(), config.workers), (0, 3));
        assert_eq!(config.engine(4).workers, 3);
    }

    #[test]
    fn the_vru_listens_two_ports_above_unless_told_otherwise() {
        let resolve = |text: &str, listen: &str| {
            let config = load(&format!("listen = \"{listen}\"\n{text}"), &Overrides::default()).unwrap();
            config.vru_listen.resolve(config.listen, 2).map(|address| address.to_string())
        };
        assert_eq!(resolve("", "[::]:4433").as_deref(), Some("127.0.0.1:4435"));
        assert_eq!(resolve("", "127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(resolve("", "127.0.0.1:65534"), None, "there is no such port");
        assert_eq!(resolve("vru_listen = \"off\"", "[::]:4433"), None);
        assert_eq!(resolve("vru_listen = \"[::]:5\"\nvru_tls = true", "[::]:4433").as_deref(), Some("[::]:5"));
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
            ("log_level = \"a=b=c\"", "log_level"),
            ("public_addresses = [\"example.com\"]", "example.com"),
            ("vru_listen = \"somewhere\"", "\"auto\", \"off\""),
            ("vru_listen = \"0.0.0.0:4435\"", "vru_tls"),
            ("vru_http_listen = \"192.0.2.1:80\"\nvru_http_url = \"https://a\"", "proxy with TLS"),
            ("vru_http_listen = \"127.0.0.1:80\"", "vru_http_url"),
            ("pin_digits = 3", "pin_digits"),
            ("not toml", "TOML"),
        ] {
            let error = load(text, &Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
