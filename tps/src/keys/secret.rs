//! What opens protected keys and backups: a passphrase, or a key file. The format is that of age (age-encryption.org/v1), so
//! that the tool `age` opens it too.

use std::io::{BufReader, Read, Write};
use std::path::Path;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor};
use protocol::time::Timestamp;
use zeroize::Zeroizing;

use super::KeyError;
use crate::data_directory::{DataError, read_private};

/// How a new passphrase is stretched: scrypt with N = 2^18 takes about a second and 256 MiB, for us and for every guess.
const SCRYPT_LOG_N: u8 = if cfg!(test) { 10 } else { 18 };
/// Most that is accepted of a file: sixteen times as much.
const SCRYPT_LOG_N_MAX: u8 = 22;
/// Shortest passphrase, in bytes.
const PASSPHRASE_BYTES_MIN: usize = 8;
/// How the secret line of a key file begins.
const KEY_FILE_PREFIX: &str = "AGE-SECRET-KEY-";

/// Which kind of secret something is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A passphrase.
    Passphrase,
    /// A key file.
    KeyFile,
}

impl std::fmt::Display for SecretKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key file",
        })
    }
}

enum Secret {
    Passphrase(SecretString),
    KeyFile(age::x25519::Identity),
}

/// A passphrase or the secret of a key file, and where it comes from. Overwritten when dropped; `Debug` hides it.
pub struct KeySecret {
    secret: Secret,
    origin: String,
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySecret({}, hidden)", self.origin)
    }
}

impl KeySecret {
    /// Takes over a passphrase; `origin` says where it comes from, for messages.
    ///
    /// # Errors
    /// [`KeyError::BadSecret`] for a short one.
    pub fn passphrase(passphrase: SecretString, origin: String) -> Result<Self, KeyError> {
        if passphrase.expose_secret().len() < PASSPHRASE_BYTES_MIN {
            let detail = format!("a passphrase has at least {PASSPHRASE_BYTES_MIN} characters, better five words");
            return Err(KeyError::BadSecret { origin, detail });
        }
        Ok(Self { secret: Secret::Passphrase(passphrase), origin })
    }

    /// Reads a file with a passphrase in it; one line end is no part of it.
    ///
    /// # Errors
    /// [`KeyError::Data`] where the file is missing or open to others, [`KeyError::BadSecret`].
    pub fn from_passphrase_file(path: &Path) -> Result<Self, KeyError> {
        let origin = format!("the passphrase in {}", path.display());
        Self::passphrase(line(&read_private(path)?, &origin)?, origin)
    }

    /// Reads a key file, as `tps key new-key-file` or `age-keygen` writes it.
    ///
    /// # Errors
    /// [`KeyError::Data`] where the file is missing or open to others, [`KeyError::BadSecret`].
    pub fn from_key_file(path: &Path) -> Result<Self, KeyError> {
        let origin = format!("the key file {}", path.display());
        Self::parse_key_file(&read_private(path)?, origin)
    }

    /// Reads what systemd hands over: a key file or a passphrase. systemd guards the file itself, and the mode that it shows
    /// includes that of an access list.
    ///
    /// # Errors
    /// [`KeyError::Data`], [`KeyError::BadSecret`].
    pub fn from_credential(path: &Path) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(std::fs::read(path).map_err(DataError::system("read the credential", path))?);
        let origin = format!("the credential {}", path.display());
        let is_key_file = bytes.windows(KEY_FILE_PREFIX.len()).any(|window| window == KEY_FILE_PREFIX.as_bytes());
        if is_key_file {
            Self::parse_key_file(&bytes, origin)
        } else {
            Self::passphrase(line(&bytes, &origin)?, origin)
        }
    }

    fn parse_key_file(bytes: &[u8], origin: String) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (first, more) = (lines.next(), lines.next());
        match first.and_then(|line| line.parse().ok()).filter(|_| more.is_none()) {
            Some(identity) => Ok(Self { secret: Secret::KeyFile(identity), origin }),
            None => {
                let detail =
                    format!("a key file has one line {KEY_FILE_PREFIX}...: make one with `tps key new-key-file`");
                Err(KeyError::BadSecret { origin, detail })
            }
        }
    }

    /// A new key file: its text, and the public recipient that belongs to it.
    pub fn new_key_file(now: Timestamp) -> (Zeroizing<String>, String) {
        let identity = age::x25519::Identity::generate();
        let (secret, recipient) = (identity.to_string(), identity.to_public().to_string());
        // Large enough from the start: growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# Opens the protected keys of a Quittance TPS, or its backups. Keep a copy elsewhere, and show it to nobody.\n");
        text.push_str(&format!("# created: {now}\n# public key: {recipient}\n"));
        text.push_str(secret.expose_secret());
        text.push('\n');
        (text, recipient)
    }

    /// Whether both are passphrases, and the same one.
    pub fn is_same_passphrase(&self, other: &Self) -> bool {
        match (&self.secret, &other.secret) {
            (Secret::Passphrase(one), Secret::Passphrase(two)) => one.expose_secret() == two.expose_secret(),
            _ => false,
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> SecretKind {
        match self.secret {
            Secret::Passphrase(_) => SecretKind::Passphrase,
            Secret::KeyFile(_) => SecretKind::KeyFile,
        }
    }

    /// Where it comes from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Encrypts a stream for this secret.
    pub fn encryptor(&self) -> Encryptor {
        match &self.secret {
            Secret::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(SCRYPT_LOG_N);
                encryptor_for(&recipient)
            }
            Secret::KeyFile(identity) => encryptor_for(&identity.to_public()),
        }
    }

    /// The age identity that opens what [`Self::encryptor`] made.
    pub fn identity(&self) -> Box<dyn age::Identity> {
        match &self.secret {
            Secret::Passphrase(passphrase) => {
                let mut identity = age::scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
                Box::new(identity)
            }
            Secret::KeyFile(identity) => Box::new(identity.clone()),
        }
    }
}

/// The one line of a passphrase file.
fn line(bytes: &[u8], origin: &str) -> Result<SecretString, KeyError> {
    let bad = |detail: &str| KeyError::BadSecret { origin: origin.to_owned(), detail: detail.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains('\n') {
        return Err(bad("it has more than one line, and nobody could type that"));
    }
    Ok(SecretString::from(text.to_owned()))
}

/// Encrypts a stream for one recipient.
pub fn encryptor_for(recipient: &dyn age::Recipient) -> Encryptor {
    Encryptor::with_recipients(std::iter::once(recipient)).expect("one recipient agrees with itself")
}

/// Seals a little as armored text.
pub(super) fn seal(encryptor: Encryptor, plain: &[u8]) -> String {
    let mut sealed = Vec::new();
    let written = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor)
        .and_then(|armored| encryptor.wrap_output(armored))
        .and_then(|mut writer| {
            writer.write_all(plain)?;
            writer.finish()?.finish().map(drop)
        });
    written.expect("writing into memory does not fail");
    String::from_utf8(sealed).expect("armor is text")
}

/// Which kind of secret opens a sealed text.
pub(super) fn kind_of(sealed: &[u8]) -> Result<SecretKind, DecryptError> {
    let decryptor = Decryptor::new_buffered(BufReader::new(ArmoredReader::new(sealed)))?;
    Ok(if decryptor.is_scrypt() { SecretKind::Passphrase } else { SecretKind::KeyFile })
}

/// Opens what [`seal`] made.
pub(super) fn open(identity: &dyn age::Identity, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let decryptor = Decryptor::new_buffered(BufReader::new(ArmoredReader::new(sealed)))?;
    // Large enough from the start: growing would leave copies of the secret behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    decryptor.decrypt(std::iter::once(identity))?.read_to_end(&mut plain)?;
    Ok(plain)
}
