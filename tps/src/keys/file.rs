//! One key in one file: TOML, mode 600. Where the keys are protected its seed is sealed; everything else is public.

use std::path::{Path, PathBuf};

use protocol::ids::KeyId;
use protocol::key_set::{KeyEntry, KeyRole, key_id};
use protocol::session::AgreementSecret;
use protocol::signature::{CertificateRole, DeskRole, NotaryRole, ProofRole, RootRole, SigningKey};
use protocol::time::Timestamp;
use zeroize::{Zeroize, Zeroizing};

use super::secret::{self, KeySecret};
use super::{KeyError, Vault};
use crate::data_directory::{FORMAT, read_private, write_private};

/// The secret of a key.
#[derive(Clone)]
pub enum Seed {
    /// In clear; overwritten when dropped.
    Open(Zeroizing<[u8; 32]>),
    /// Sealed, as armored text: for the directory's identity, or the root's for a passphrase or key file.
    Sealed(String),
}

/// A key as its file holds it. The secret is overwritten when this is dropped.
pub struct KeyFile {
    /// What the key does.
    pub role: KeyRole,
    /// The public key.
    pub public: [u8; 32],
    /// The secret; `None` once it was destroyed.
    pub seed: Option<Seed>,
    /// From when it is used.
    pub valid_from: Timestamp,
    /// Until when it is used.
    pub valid_until: Timestamp,
    /// Whether it must not be believed any more.
    pub revoked: bool,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("role", &self.role).field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The public key that belongs to a secret of `role`.
fn public_of(role: KeyRole, seed: &[u8; 32]) -> [u8; 32] {
    match role {
        KeyRole::Session => AgreementSecret::from_random(*seed).public().0,
        KeyRole::Proof => SigningKey::<ProofRole>::from_seed(*seed).public(),
        KeyRole::Certificate => SigningKey::<CertificateRole>::from_seed(*seed).public(),
        KeyRole::Root => SigningKey::<RootRole>::from_seed(*seed).public(),
        KeyRole::Desk => SigningKey::<DeskRole>::from_seed(*seed).public(),
        KeyRole::Notary => SigningKey::<NotaryRole>::from_seed(*seed).public(),
    }
}

/// The name of a role in file names and commands.
pub fn role_name(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Proof => "proof",
        KeyRole::Certificate => "certificate",
        KeyRole::Session => "session",
        KeyRole::Root => "root",
        KeyRole::Desk => "desk",
        KeyRole::Notary => "notary",
    }
}

impl KeyFile {
    /// A new key out of the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate(role: KeyRole, valid_from: Timestamp, valid_until: Timestamp) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut seed[..]).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self {
            role,
            public: public_of(role, &seed),
            seed: Some(Seed::Open(seed)),
            valid_from,
            valid_until,
            revoked: false,
        })
    }

    /// Names the key.
    pub fn id(&self) -> KeyId {
        key_id(self.role, &self.public)
    }

    /// The key as key sets carry it.
    pub fn entry(&self) -> KeyEntry {
        let mut entry = KeyEntry::new(self.role, self.public, self.valid_from, self.valid_until);
        entry.revoked = self.revoked;
        entry
    }

    /// Where it lies among the keys.
    pub fn path(&self, keys: &Path) -> PathBuf {
        match self.role {
            KeyRole::Root => keys.join("root.toml"),
            role => keys.join(format!("{}-{}.toml", role_name(role), self.id())),
        }
    }

    /// Whether it has its secret and may be used at `now`.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.seed.is_some() && !self.revoked && self.valid_from <= now && now <= self.valid_until
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`KeyError::Data`].
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        Ok(write_private(path, self.to_text().as_bytes())?)
    }

    fn to_text(&self) -> Zeroizing<String> {
        // The buffer is large enough from the start: growing would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(1_024));
        text.push_str(
            "# A key of a Quittance TPS. Whoever reads it can act as this TPS: never copy, mail or print it.\n",
        );
        text.push_str(&format!("# Valid from {} until {}.\n", self.valid_from, self.valid_until));
        text.push_str(&format!("format = {FORMAT}\nrole = \"{}\"\nid = \"{}\"\n", role_name(self.role), self.id()));
        text.push_str(&format!("public = \"{}\"\n", hex::encode(self.public)));
        text.push_str(&format!("valid_from_ms = {}\nvalid_until_ms = {}\n", self.valid_from.0, self.valid_until.0));
        text.push_str(&format!("revoked = {}\n", self.revoked));
        match &self.seed {
            Some(Seed::Open(seed)) => {
                let seed = Zeroizing::new(hex::encode(&seed[..]));
                text.push_str("seed = \"");
                text.push_str(&seed);
                text.push_str("\"\n");
            }
            Some(Seed::Sealed(sealed)) => text.push_str(&format!("sealed = \"\"\"\n{sealed}\"\"\"\n")),
            None => {}
        }
        text
    }

    /// Whether the secret is there in clear.
    pub fn is_open(&self) -> bool {
        matches!(self.seed, Some(Seed::Open(_)))
    }

    /// The secret, opened with `vault` where it is sealed; `None` once it was destroyed. `path` names the file in messages.
    ///
    /// # Errors
    /// [`KeyError`] where it cannot be opened, or does not belong to the public key.
    pub fn secret(&self, vault: &Vault, path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, KeyError> {
        let sealed = match &self.seed {
            None => return Ok(None),
            Some(Seed::Open(seed)) => return Ok(Some(seed.clone())),
            Some(Seed::Sealed(sealed)) => sealed,
        };
        let opened = match self.role {
            KeyRole::Root => vault.open_root(sealed, path)?,
            _ => vault.open(sealed.as_bytes(), path)?,
        };
        let damaged = |detail: &str| KeyError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&opened[..], &mut seed[..]).map_err(|_| damaged("`sealed` holds no seed"))?;
        if public_of(self.role, &seed) != self.public {
            return Err(damaged("`public` does not belong to the sealed seed"));
        }
        Ok(Some(seed))
    }

    /// The key as it is to be written into a directory: sealed where that is protected.
    ///
    /// # Errors
    /// [`KeyError`] where the protection cannot be read.
    pub fn protected(self, vault: &Vault) -> Result<Self, KeyError> {
        let Some(Seed::Open(seed)) = &self.seed else { return Ok(self) };
        let sealed = vault.seal(Zeroizing::new(hex::encode(&seed[..])).as_bytes())?;
        Ok(match sealed {
            Some(sealed) => Self { seed: Some(Seed::Sealed(sealed)), ..self },
            None => self,
        })
    }

    /// The key with its secret in clear.
    pub(super) fn opened(&self, vault: &Vault, path: &Path) -> Result<Self, KeyError> {
        Ok(Self { seed: self.secret(vault, path)?.map(Seed::Open), ..*self })
    }

    /// The key sealed for a passphrase or key file itself: the root's.
    pub(crate) fn sealed_for(&self, secret: &KeySecret, vault: &Vault, path: &Path) -> Result<Self, KeyError> {
        let seed = self.secret(vault, path)?;
        let sealed = seed.map(|seed| {
            Seed::Sealed(secret::seal(secret.encryptor(), Zeroizing::new(hex::encode(&seed[..])).as_bytes()))
        });
        Ok(Self { seed: sealed, ..*self })
    }

    /// Whether there is no secret that anything but `secret` opens.
    pub(super) fn is_sealed_for(&self, secret: &KeySecret) -> bool {
        match &self.seed {
            None => true,
            Some(Seed::Open(_)) => false,
            Some(Seed::Sealed(sealed)) => secret::open(&*secret.identity(), sealed.as_bytes()).is_ok(),
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError`]: open to others, damaged, or another role than `expected`.
    pub fn load(path: &Path, expected: Option<KeyRole>) -> Result<Self, KeyError> {
        let bytes = read_private(path)?;
        let damaged = |detail: &str| KeyError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
        // The parser's own message may quote the line it fails on, and with it a secret.
        let raw: Raw = toml::from_str(text).map_err(|_| damaged("it is not a key file"))?;
        if raw.format != FORMAT {
            return Err(damaged(&format!("it has format {}, this program knows format {FORMAT}", raw.format)));
        }
        if expected.is_some_and(|expected| expected != raw.role) {
            return Err(damaged(&format!("it holds a {} key", role_name(raw.role))));
        }
        let seed = match (raw.seed, &raw.sealed) {
            (Some(_), Some(_)) => return Err(damaged("it has both `seed` and `sealed`")),
            (Some(seed), None) => Some(seed.0),
            (None, _) => None,
        };
        let mut public = [0; 32];
        hex::decode_to_slice(&raw.public, &mut public).map_err(|_| damaged("`public` is not a public key"))?;
        if seed.as_ref().is_some_and(|seed| public_of(raw.role, seed) != public) {
            return Err(damaged("`public` does not belong to `seed`"));
        }
        if key_id(raw.role, &public) != raw.id {
            return Err(damaged("`id` does not belong to `public`"));
        }
        let (valid_from, valid_until) = (Timestamp(raw.valid_from_ms), Timestamp(raw.valid_until_ms));
        let seed = seed.map(Seed::Open).or(raw.sealed.map(Seed::Sealed));
        Ok(Self { role: raw.role, public, seed, valid_from, valid_until, revoked: raw.revoked })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u16,
    role: KeyRole,
    id: KeyId,
    public: String,
    valid_from_ms: u64,
    valid_until_ms: u64,
    revoked: bool,
    seed: Option<ClearSeed>,
    sealed: Option<String>,
}

/// Thirty-two secret bytes in hexadecimal. No copy of the text outlives the reading.
struct ClearSeed(Zeroizing<[u8; 32]>);

impl<'de> serde::Deserialize<'de> for ClearSeed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = ClearSeed;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ClearSeed, E> {
                let mut seed = Zeroizing::new([0; 32]);
                hex::decode_to_slice(text, &mut seed[..]).map_err(|_| E::custom("not a seed"))?;
                Ok(ClearSeed(seed))
            }

            fn visit_string<E: serde::de::Error>(self, mut text: String) -> Result<ClearSeed, E> {
                let seed = self.visit_str(&text);
                text.zeroize();
                seed
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key(role: KeyRole) -> KeyFile {
        KeyFile::generate(role, Timestamp(1_000), Timestamp(2_000)).unwrap()
    }

    fn seed(key: &KeyFile) -> [u8; 32] {
        let Some(Seed::Open(seed)) = &key.seed else { panic!("the seed is open") };
        **seed
    }

    #[test]
    fn keys_of_every_role_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        for role in
            [KeyRole::Session, KeyRole::Proof, KeyRole::Certificate, KeyRole::Desk, KeyRole::Notary, KeyRole::Root]
        {
            let key = key(role);
            let path = key.path(directory.path());
            key.save(&path).unwrap();
            let loaded = KeyFile::load(&path, Some(role)).unwrap();
            assert_eq!((loaded.entry(), seed(&loaded)), (key.entry(), seed(&key)));
            assert!(loaded.is_usable(Timestamp(1_500)) && !loaded.is_usable(Timestamp(2_001)));
            assert!(!format!("{loaded:?}").contains(&hex::encode(seed(&key))));
        }
    }

    // spec: K-65
    #[test]
    fn keys_open_to_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let key = key(KeyRole::Proof);
        let path = key.path(directory.path());
        key.save(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::load(&path, None).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn damaged_files_are_refused_without_quoting_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let key = key(KeyRole::Session);
        let path = key.path(directory.path());
        let text = key.to_text().to_string();
        let seed = hex::encode(seed(&key));
        for wrong in [
            text.replace("format = 1", "format = 2"),
            text.replace(&key.id().to_string(), &"0".repeat(16)),
            text.replace(&hex::encode(key.public), &"ab".repeat(32)),
            text.replace("role = \"session\"", "role = \"proof\""),
            text.replace(&seed, &seed[2..]),
            text.replace(&seed, &"ab".repeat(32)),
            text.replace("revoked = false", "revoked = maybe"),
            text.replace("revoked", "revokd"),
            String::new(),
        ] {
            write_private(&path, wrong.as_bytes()).unwrap();
            let error = KeyFile::load(&path, Some(KeyRole::Session)).unwrap_err().to_string();
            assert!(!error.contains(&seed[..16]), "{error}");
        }
    }
}
