//! Configuration of a server: what can be configured, and what is built in.

mod check;
mod error;
mod listeners;
mod settlement;
mod sources;
mod template;

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::enrolment::SignaturePolicy;

use crate::desk::Renewals;
use crate::pipeline::EngineConfig;
use crate::pipeline::verify::{SignatureCheck, SignatureRule};
use crate::receive::ReceiveConfig;
pub use check::is_address;
pub use error::ConfigError;
pub use listeners::{
    DESK, LISTENERS, ListenSetting, ListenerKind, OPERATIONS, Place, PlacedListener, VRU, VRU_WEBHOOKS,
};
pub use settlement::{AssetFees, SettlementConfig};
pub use sources::{Overrides, SecretFiles};
pub use template::CONFIG_TEMPLATE;

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

impl Config {
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

#[cfg(test)]
mod tests;
