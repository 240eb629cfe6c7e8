//! Rotation with overlap: the new key is published before the old one ends, so that nobody stands without.

use protocol::ids::KeyId;
use protocol::key_set::KeyRole;
use protocol::signature::{RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use super::{Issued, KeyError, KeyFile, KeyRing, issue, role_name};
use crate::data_directory::{DataDirectory, DataError, Realm};

/// How long a proof-signing key signs, in milliseconds, unless it is rotated earlier.
pub const PROOF_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long a key issues merchant certificates, in milliseconds, unless it is rotated earlier.
pub const CERTIFICATE_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long an old proof or certificate key stays valid after its successor came into force, in milliseconds: a server
/// that runs takes the new one within a minute, one that stood still has a day.
pub const SIGNING_KEY_OVERLAP_MS: u64 = DAY_MS;

/// When a new key comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStart {
    /// When everybody who still relies on an older key set has had to fetch a newer one.
    WhenKnown,
    /// Now: for session keys, which the customer's side chooses, and after a key has leaked.
    AtOnce,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The new key.
    pub new: KeyId,
    /// From when it is used.
    pub valid_from: Timestamp,
    /// Until when it is used.
    pub valid_until: Timestamp,
    /// Keys whose secrets were destroyed.
    pub destroyed: Vec<KeyId>,
    /// The key sets signed anew.
    pub issued: Issued,
}

/// Makes a new key of `role`, ends the old ones with an overlap, destroys what is past, and signs both key sets anew.
///
/// # Errors
/// [`KeyError`]. Where signing failed after the key was made, `tps key reissue` completes it.
pub fn rotate(
    data: &DataDirectory,
    realm: &Realm,
    role: KeyRole,
    start: RotationStart,
    root: &SigningKey<RootRole>,
    now: Timestamp,
) -> Result<Rotated, KeyError> {
    let (lifetime_ms, overlap_ms) = match role {
        KeyRole::Session => (realm.session_key_lifetime_ms(), realm.session_key_overlap_days * DAY_MS),
        KeyRole::Proof => (PROOF_KEY_LIFETIME_MS, SIGNING_KEY_OVERLAP_MS),
        KeyRole::Certificate => (CERTIFICATE_KEY_LIFETIME_MS, SIGNING_KEY_OVERLAP_MS),
        KeyRole::Root => return Err(KeyError::RootIsForEver),
    };
    let ring = KeyRing::load(data)?;
    // Customers choose among the session keys of the set they hold, so a new one cannot come too early.
    let ahead_ms = match start {
        RotationStart::WhenKnown if role != KeyRole::Session && ring.current(role, now).is_some() => realm.key_set_days * DAY_MS,
        _ => 0,
    };
    let valid_from = now.plus(ahead_ms);
    let new = KeyFile::generate(role, valid_from, valid_from.plus(lifetime_ms))?;
    new.save(&new.path(&ring.directory))?;
    for old in ring.keys.iter().filter(|key| key.role == role) {
        let end = valid_from.plus(overlap_ms);
        if end < old.valid_until && old.valid_from < end {
            let ended = KeyFile { seed: old.seed.clone(), valid_until: end, ..*old };
            ended.save(&ended.path(&ring.directory))?;
        }
    }
    let destroyed = destroy_past(data, now)?;
    let issued = issue(data, realm, &KeyRing::load(data)?, root, now)?;
    Ok(Rotated { new: new.id(), valid_from, valid_until: new.valid_until, destroyed, issued })
}

/// Marks a key as not to be believed any more, destroys its secret, and signs both key sets anew.
///
/// # Errors
/// [`KeyError::LastUsable`] where nothing would be left to work with; [`KeyError::NoKey`].
pub fn revoke(
    data: &DataDirectory,
    realm: &Realm,
    id: KeyId,
    root: &SigningKey<RootRole>,
    now: Timestamp,
) -> Result<Issued, KeyError> {
    let ring = KeyRing::load(data)?;
    let key = ring.keys.iter().find(|key| key.id() == id).ok_or_else(|| KeyError::NoKey(id.to_string()))?;
    let others = ring.keys.iter().any(|other| other.role == key.role && other.id() != id && other.is_usable(now));
    if key.is_usable(now) && !others {
        return Err(KeyError::LastUsable { id, role: role_name(key.role) });
    }
    let revoked = KeyFile { seed: None, revoked: true, ..*key };
    revoked.save(&revoked.path(&ring.directory))?;
    issue(data, realm, &KeyRing::load(data)?, root, now)
}

/// Destroys the secrets of keys whose time is over. Session keys vanish altogether: nothing refers to them; public
/// halves of the others stay, for old proofs and certificates.
fn destroy_past(data: &DataDirectory, now: Timestamp) -> Result<Vec<KeyId>, KeyError> {
    let ring = KeyRing::load(data)?;
    let mut destroyed = Vec::new();
    for key in ring.keys.iter().filter(|key| key.seed.is_some() && key.valid_until < now) {
        let path = key.path(&ring.directory);
        let without = KeyFile { seed: None, ..*key };
        without.save(&path)?;
        if key.role == KeyRole::Session {
            std::fs::remove_file(&path).map_err(DataError::system("remove", &path))?;
        }
        destroyed.push(key.id());
    }
    Ok(destroyed)
}
