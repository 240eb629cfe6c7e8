//! Who may send webhooks: a telephony provider that shares a key with the VRU.
//!
//! The header `X-Quittance-Signature` holds, in hexadecimal, HMAC-SHA256 under the key over the URL as the provider calls it, a
//! line feed, and the body as sent. The URL of every step but the first holds a random token that is taken once, so that what was
//! captured opens nothing a second time.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::VruError;
use crate::data_directory::{DataDirectory, DataError};
use crate::keys::{KeyError, raw};

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-quittance-signature";

/// Where the key lies.
pub fn key_file(data: &DataDirectory) -> PathBuf {
    raw::webhook_key_path(&data.keys())
}

/// The key that the provider shares.
pub struct WebhookKey(hmac::Key);

impl WebhookKey {
    /// Draws a key, keeps it, and returns it as the provider takes it: 64 hexadecimal digits, whose text is the key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn make(data: &DataDirectory) -> Result<Zeroizing<String>, KeyError> {
        let (path, mut secret) = (key_file(data), Zeroizing::new([0; 32]));
        getrandom::fill(&mut *secret)
            .map_err(|error| DataError::system("draw a key for", &path)(std::io::Error::other(error.to_string())))?;
        let text = Zeroizing::new(hex::encode(*secret));
        raw::write(data.vault(), &path, text.as_bytes())?;
        Ok(text)
    }

    /// Reads the key; white space around it counts for nothing.
    ///
    /// # Errors
    /// [`VruError::WebhookKey`], [`VruError::BadWebhookKey`].
    pub fn load(data: &DataDirectory) -> Result<Self, VruError> {
        let path = key_file(data);
        let text = raw::read(data.vault(), &path).map_err(VruError::WebhookKey)?;
        let secret = text.trim_ascii();
        if !(16..=256).contains(&secret.len()) {
            return Err(VruError::BadWebhookKey(path));
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
        let data = DataDirectory::at(directory.path());
        std::fs::create_dir(data.keys()).unwrap();
        assert!(matches!(WebhookKey::load(&data), Err(VruError::WebhookKey(_))));
        let text = WebhookKey::make(&data).unwrap();
        let key = WebhookKey::load(&data).unwrap();
        assert_eq!(key.sign("a", b"b"), WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())).sign("a", b"b"));
        let signature = key.sign("https://a/vru", b"CallSid=1");
        assert!(key.is_signed("https://a/vru", b"CallSid=1", &signature.to_uppercase()));
        assert!(!key.is_signed("https://a/vru", b"CallSid=2", &signature));
        assert!(!key.is_signed("https://a/vru?t=1", b"CallSid=1", &signature));
        assert!(!key.is_signed("https://a/vru", b"CallSid=1", ""));
        // A vector that any provider can check: printf 'https://a/vru\nCallSid=1' | openssl dgst -sha256 -hmac 0123456789abcdef
        write_private(&key_file(&data), b"0123456789abcdef\n").unwrap();
        let known = WebhookKey::load(&data).unwrap().sign("https://a/vru", b"CallSid=1");
        assert_eq!(known, "a2606f88b7b48e08a01262170268ac1c333cc4067dfd632195e763e9f448bb04");
        write_private(&key_file(&data), b"short").unwrap();
        assert!(matches!(WebhookKey::load(&data), Err(VruError::BadWebhookKey(_))));
    }
}
