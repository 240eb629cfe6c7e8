//! Bytes in a private store.

use zeroize::Zeroizing;

/// Bytes that may be secret: hexadecimal in the store, overwritten when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredBytes(Zeroizing<Vec<u8>>);

impl StoredBytes {
    /// Bytes to store.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for StoredBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredBytes({} bytes)", self.0.len())
    }
}

impl serde::Serialize for StoredBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(&self.0[..])))
    }
}

impl<'de> serde::Deserialize<'de> for StoredBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        hex::decode(&text[..]).map(Self::new).map_err(|_| serde::de::Error::custom("expected hexadecimal digits"))
    }
}
