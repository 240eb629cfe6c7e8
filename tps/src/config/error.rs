//! Why a configuration is refused.

use std::net::SocketAddr;

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
