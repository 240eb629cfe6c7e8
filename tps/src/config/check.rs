//! What values must be, beyond their types.

use protocol::limits::{PIN_DIGITS_MAX, PIN_DIGITS_MIN};

use super::{Config, ConfigError, ListenSetting};

/// A hundred years.
const RETENTION_DAYS_MAX: u64 = 36_500;

impl Config {
    pub(super) fn check(&self, shards: u16) -> Result<(), ConfigError> {
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
            (
                "vru_public_address",
                self.vru_public_address.len() <= 255 && !self.vru_public_address.contains(char::is_control),
                "one line of at most 255 bytes",
            ),
            (
                "vru_http_url",
                !matches!(self.vru_http_listen, Some(ListenSetting::At(_))) || is_base_url(&self.vru_http_url),
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
}

/// Whether a text is a URL with a host.
fn is_base_url(text: &str) -> bool {
    let rest = ["https://", "http://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// Whether a text is `host:port` as enrolment bundles take it.
pub fn is_address(text: &str) -> bool {
    text.len() <= 255
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}
