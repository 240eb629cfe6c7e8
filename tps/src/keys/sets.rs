//! Signed key sets: what customers and merchants pin.

use std::path::PathBuf;

use protocol::codec::Canonical;
use protocol::key_set::{Audience, KeyRole, KeySet, PinnedKeySet, SignedKeySet};
use protocol::signature::{RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use super::{KeyError, KeyRing};
use crate::data_directory::{DataDirectory, DataError, Realm, read_text, write_private};

/// Number and time of the sets that were signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Their number: the same for both audiences.
    pub number: u64,
    /// When they were signed.
    pub issued_at_ms: Timestamp,
    /// Until when they may be relied upon.
    pub expires_at_ms: Timestamp,
}

/// Where the set for an audience lies.
pub fn key_set_path(data: &DataDirectory, audience: Audience) -> PathBuf {
    data.key_sets().join(match audience {
        Audience::Merchant => "merchant.keyset",
        Audience::Customer => "customer.keyset",
    })
}

fn index_path(data: &DataDirectory) -> PathBuf {
    data.key_sets().join("issued.toml")
}

/// What was signed last.
///
/// # Errors
/// [`DataError::Damaged`] and the system's.
pub fn issued(data: &DataDirectory) -> Result<Issued, DataError> {
    let path = index_path(data);
    let text = read_text(&path)?;
    toml::from_str(&text).map_err(|error| DataError::Damaged { path, detail: error.message().to_owned() })
}

/// Signs both sets anew with the next number.
///
/// # Errors
/// [`KeyError`]; where writing failed half-way, doing it again repairs it.
pub fn issue(
    data: &DataDirectory,
    realm: &Realm,
    ring: &KeyRing,
    root: &SigningKey<RootRole>,
    now: Timestamp,
) -> Result<Issued, KeyError> {
    let number = if index_path(data).exists() { issued(data)?.number + 1 } else { 1 };
    let age_max_ms = realm.key_set_days * DAY_MS;
    let record = Issued { number, issued_at_ms: now, expires_at_ms: now.plus(age_max_ms) };
    let set = |audience: Audience| {
        let mut set = KeySet::new(realm.realm, audience, number, now, age_max_ms);
        set.assets = realm.asset_entries();
        // Newest first, so that the oldest fall out of a full set. Proof keys stay after their time, for old proofs.
        let wanted = ring.keys().iter().rev().filter(|key| audience.may_hold(key.role));
        let wanted = wanted.filter(|key| key.role != KeyRole::Session || now <= key.valid_until);
        set.keys = wanted.take(protocol::limits::KEY_SET_KEYS_MAX).map(super::KeyFile::entry).collect();
        set.sign(root)
    };
    let (merchant, customer) = (set(Audience::Merchant)?, set(Audience::Customer)?);
    // The number first: it is never used for two different sets.
    let text = toml::to_string(&record)
        .map_err(|error| DataError::Damaged { path: index_path(data), detail: error.to_string() })?;
    write_private(&index_path(data), text.as_bytes())?;
    write_private(&key_set_path(data, Audience::Merchant), &merchant.encode())?;
    write_private(&key_set_path(data, Audience::Customer), &customer.encode())?;
    Ok(record)
}

/// The signed set for an audience as it lies there, to be passed on: whoever takes it checks it. Cheap enough to be called for
/// every question.
///
/// # Errors
/// The system's.
pub fn signed_set_bytes(data: &DataDirectory, audience: Audience) -> Result<Vec<u8>, DataError> {
    let path = key_set_path(data, audience);
    std::fs::read(&path).map_err(DataError::system("read", &path))
}

/// The set for an audience, checked as its readers will check it.
///
/// # Errors
/// [`KeyError::SetUnusable`] where it is too old, and what is wrong with the file.
pub fn load_key_set(
    data: &DataDirectory,
    realm: &Realm,
    audience: Audience,
    now: Timestamp,
) -> Result<(SignedKeySet, PinnedKeySet), KeyError> {
    let path = key_set_path(data, audience);
    let bytes = signed_set_bytes(data, audience)?;
    let damaged = |detail: String| DataError::Damaged { path: path.clone(), detail };
    let signed = SignedKeySet::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
    let root = realm.root_public().map_err(damaged)?;
    let pinned = signed
        .verify(&root, Some(realm.realm), audience, now, 0)
        .map_err(|error| KeyError::SetUnusable { path: path.clone(), error })?;
    Ok((signed, pinned))
}
