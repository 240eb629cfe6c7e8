//! Who may send webhooks: a telephony provider that shares a key with the VRU.
//!
//! The header `X-Quittance-Signature` holds, in hexadecimal, HMAC-SHA256 under the key over the URL as the provider calls it, a
//! line feed, and the body as sent. The URL of every step but the first holds a random token that is taken once, so that what was
//! captured opens nothing a second time.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::VruError;
use crate::data_directory::DataDirectory;
use crate::keys::{KeyError, Vault};

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-quittance-signature";

/// Where the key lies.
pub fn key_file(data: &DataDirectory) -> PathBuf {
    data.keys().join("vru-webhook.key")
}

/// The key that the provider shares.
pub struct WebhookKey(hmac::Key);

impl WebhookKey {
    /// Draws a key and writes it, sealed where the keys are protected. Its text, 64 hexadecimal digits, is the key: providers
    /// take it as it stands.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn make(vault: &Vault, path: &Path) -> Result<Zeroizing<String>, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| KeyError::NoRandomness)?;
        let text = Zeroizing::new(hex::encode(*secret));
        vault.write(path, text.as_bytes())?;
        Ok(text)
    }

    /// Reads the key; white space around it counts for nothing.
    ///
    /// # Errors
    /// [`VruError::WebhookKey`], [`VruError::BadWebhookKey`].
    pub fn load(vault: &Vault, path: &Path) -> Result<Self, VruError> {
        let text = vault.read(path).map_err(VruError::WebhookKey)?;
        let secret = text.trim_ascii();
        if !(16..=256).contains(&secret.len()) {
            return Err(VruError::BadWebhookKey(path.to_owned()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The signature of a request.
    pub fn sign(&self, url: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(url.as_bytes());
        context.update(b"\n");
        context.update(body);
        hex::encode(context.sign())
    }

    /// Whether `signature` is that of the request; takes as long for every wrong one.
    pub fn is_signed(&self, url: &str, body: &[u8], signature: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.sign(url, body).as_bytes().ct_eq(signature.to_ascii_lowercase().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_directory::write_private;

    #[test]
    fn a_signature_covers_url_and_body() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let data = DataDirectory::at(directory.path());
        let vault = data.vault();
        assert!(matches!(WebhookKey::load(vault, &path), Err(VruError::WebhookKey(_))));
        let text = WebhookKey::make(vault, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text.as_bytes());
        let key = WebhookKey::load(vault, &path).unwrap();
        let signature = key.sign("https://a/vru", b"CallSid=1");
        assert!(key.is_signed("https://a/vru", b"CallSid=1", &signature.to_uppercase()));
        assert!(!key.is_signed("https://a/vru", b"CallSid=2", &signature));
        assert!(!key.is_signed("https://a/vru?t=1", b"CallSid=1", &signature));
        assert!(!key.is_signed("https://a/vru", b"CallSid=1", ""));
        // A vector that any provider can check: printf 'https://a/vru\nCallSid=1' | openssl dgst -sha256 -hmac 0123456789abcdef
        write_private(&path, b"0123456789abcdef\n").unwrap();
        let known = WebhookKey::load(vault, &path).unwrap().sign("https://a/vru", b"CallSid=1");
        assert_eq!(known, "a2606f88b7b48e08a01262170268ac1c333cc4067dfd632195e763e9f448bb04");
        write_private(&path, b"short").unwrap();
        assert!(matches!(WebhookKey::load(vault, &path), Err(VruError::BadWebhookKey(_))));
    }
}
