//! Where a server listens beside the payments: each listener has a key, and a place that follows from `listen`.
//!
//! The places are derived, so that several servers on one machine never meet as long as their `listen` lie three ports
//! apart, and a server whose port the system chooses has all its ports chosen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Config, ConfigError};

/// What the configuration says of a listener: an address, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenSetting {
    /// There is no such listener.
    Off,
    /// Listen there; with port 0 the system chooses one.
    At(SocketAddr),
}

impl From<ListenSetting> for String {
    fn from(setting: ListenSetting) -> Self {
        match setting {
            ListenSetting::Off => "off".to_owned(),
            ListenSetting::At(address) => address.to_string(),
        }
    }
}

impl TryFrom<String> for ListenSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("`{text}` is no place to listen: write IP:PORT or off"))
    }
}

/// Where a listener is unless the configuration says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the address and port of `listen`, over TCP: payments come over UDP, and the two do not meet.
    SameAddress,
    /// On 127.0.0.1, so many ports after `listen`.
    Loopback {
        /// 1 or more.
        ports_after: u16,
    },
    /// Nowhere.
    Nowhere,
}

/// A kind of listener beside the one for payments.
#[derive(Debug, Clone, Copy)]
pub struct ListenerKind {
    /// Its name for operators.
    pub name: &'static str,
    /// Its key in the configuration.
    pub key: &'static str,
    /// Where it is unless configured.
    pub place: Place,
    /// Whether only programs of the same machine may reach it.
    pub loopback_only: bool,
    setting: fn(&Config) -> Option<ListenSetting>,
}

/// `/live`, `/ready`, `/metrics` and `/version`.
pub const OPERATIONS: ListenerKind = ListenerKind {
    name: "operations",
    key: "operations_listen",
    place: Place::Loopback { ports_after: 1 },
    loopback_only: true,
    setting: |config| config.operations_listen,
};

/// Batches of merchants.
pub const DESK: ListenerKind = ListenerKind {
    name: "desk",
    key: "desk_listen",
    place: Place::SameAddress,
    loopback_only: false,
    setting: |config| config.desk_listen,
};

/// Calls to the VRU.
pub const VRU: ListenerKind = ListenerKind {
    name: "vru",
    key: "vru_listen",
    place: Place::Loopback { ports_after: 2 },
    loopback_only: false,
    setting: |config| config.vru_listen,
};

/// Webhooks of a telephony provider for the VRU.
pub const VRU_WEBHOOKS: ListenerKind = ListenerKind {
    name: "vru webhooks",
    key: "vru_http_listen",
    place: Place::Nowhere,
    loopback_only: true,
    setting: |config| config.vru_http_listen,
};

/// All kinds. A new one is a line here and a key of [`Config`].
pub const LISTENERS: [ListenerKind; 4] = [OPERATIONS, DESK, VRU, VRU_WEBHOOKS];

/// A listener and where it shall be; `None` where it is off.
pub type PlacedListener = (ListenerKind, Option<SocketAddr>);

impl Place {
    fn beside(self, listen: SocketAddr, key: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        match self {
            Self::Nowhere => Ok(None),
            Self::SameAddress => Ok(Some(listen)),
            Self::Loopback { ports_after } => {
                let port = match listen.port() {
                    0 => Some(0),
                    port => port.checked_add(ports_after),
                };
                let port = port.ok_or(ConfigError::NoPortLeft { key })?;
                Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
            }
        }
    }
}

impl Config {
    /// Where one listener shall be.
    ///
    /// # Errors
    /// [`ConfigError::NotLoopback`], [`ConfigError::NoPortLeft`].
    pub fn listener(&self, kind: &ListenerKind) -> Result<Option<SocketAddr>, ConfigError> {
        let address = match (kind.setting)(self) {
            Some(ListenSetting::Off) => return Ok(None),
            Some(ListenSetting::At(address)) => Some(address),
            None => kind.place.beside(self.listen, kind.key)?,
        };
        let Some(address) = address else { return Ok(None) };
        if kind.loopback_only && !address.ip().is_loopback() {
            return Err(ConfigError::NotLoopback { key: kind.key, address });
        }
        Ok(Some(address))
    }

    /// Where every listener beside the payments shall be.
    ///
    /// # Errors
    /// As [`Self::listener`].
    pub fn listeners(&self) -> Result<Vec<PlacedListener>, ConfigError> {
        LISTENERS.into_iter().map(|kind| Ok((kind, self.listener(&kind)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(place: Place, listen: &str) -> String {
        match place.beside(listen.parse().unwrap(), "key") {
            Ok(address) => address.map_or_else(|| "off".to_owned(), |address| address.to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn places_follow_from_the_address_for_payments() {
        let (operations, third) = (OPERATIONS.place, VRU.place);
        assert_eq!(beside(operations, "[::]:4433"), "127.0.0.1:4434");
        assert_eq!(beside(third, "192.0.2.1:4433"), "127.0.0.1:4435");
        assert_eq!(beside(DESK.place, "192.0.2.1:4433"), "192.0.2.1:4433");
        assert_eq!(beside(operations, "[::]:0"), "127.0.0.1:0", "the system chooses all or none");
        assert_eq!(beside(Place::SameAddress, "[::1]:0"), "[::1]:0");
        assert_eq!(beside(VRU_WEBHOOKS.place, "[::1]:1"), "off");
        assert!(beside(third, "[::]:65534").contains("set `key`"));
    }

    #[test]
    fn a_setting_wins_and_must_stay_on_the_machine() {
        let with = |setting: &str| Config {
            operations_listen: Some(ListenSetting::try_from(setting.to_owned()).unwrap()),
            ..Config::default()
        };
        let listener = |setting: &str| with(setting).listener(&OPERATIONS);
        assert_eq!(listener("[::1]:9000").unwrap().unwrap().to_string(), "[::1]:9000");
        assert_eq!(listener("off").unwrap(), None);
        let error = listener("0.0.0.0:9000").unwrap_err().to_string();
        assert!(error.contains("operations_listen") && error.contains("reverse proxy"), "{error}");
        assert!(ListenSetting::try_from("Off".to_owned()).unwrap_err().contains("IP:PORT or off"));
    }
}
