//! `merchant.toml`.

use crate::merchant::policy::RefundPolicy;

/// A root public key as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootKey(pub [u8; 32]);

impl std::str::FromStr for RootKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| "the root's public key must be 64 hexadecimal digits".to_owned())?;
        Ok(Self(bytes))
    }
}

impl serde::Serialize for RootKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> serde::Deserialize<'de> for RootKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The settings file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantFile {
    /// The name in the certificate request.
    pub name: String,
    /// Public key of the TPS's offline root, 64 hexadecimal digits.
    pub root: RootKey,
    /// Where `mts serve` listens.
    #[serde(default = "default_listen")]
    pub listen: std::net::SocketAddr,
    /// How long quotes stand, in seconds.
    #[serde(default = "default_quote_lifetime_seconds")]
    pub quote_lifetime_seconds: u64,
    /// How long the keys of an order live before a renegotiation is needed, in hours.
    #[serde(default = "default_goods_key_lifetime_hours")]
    pub goods_key_lifetime_hours: u64,
    /// How often `mts serve` hands in what waits for the TPS's desk, in minutes; never where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desk_sync_minutes: Option<u64>,
    /// Which refund requests are granted without asking anybody.
    #[serde(default)]
    pub refunds: RefundPolicy,
}

fn default_listen() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_quote_lifetime_seconds() -> u64 {
    protocol::limits::QUOTE_LIFETIME_MS / 1_000
}

fn default_goods_key_lifetime_hours() -> u64 {
    72
}

impl MerchantFile {
    /// The default settings for a merchant of that name and a TPS with that root.
    pub fn new(name: String, root: [u8; 32]) -> Self {
        Self {
            name,
            root: RootKey(root),
            listen: default_listen(),
            quote_lifetime_seconds: default_quote_lifetime_seconds(),
            goods_key_lifetime_hours: default_goods_key_lifetime_hours(),
            desk_sync_minutes: None,
            refunds: RefundPolicy::MANUAL,
        }
    }
}
