//! Signed key sets: what customers and merchants pin.

use std::path::PathBuf;

use protocol::codec::Canonical;
use protocol::ids::KeyId;
use protocol::key_set::{Audience, KeyEntry, KeyRole, KeySet, PinnedKeySet, SignedKeySet};
use protocol::limits::KEY_SET_KEYS_MAX;
use protocol::signature::{RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use super::{KeyError, KeyFile, KeyRing};
use crate::data_directory::{DataDirectory, DataError, Realm, hold_directory, read_text, write_private};

/// How far a number may be above the last one that is known here: more sets than anybody signs between two backups.
const ABOVE_MAX: u64 = 1_000_000;

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

/// Signs both sets anew with the next number, which is above `above`: after a restoration sets may be out with numbers that this
/// directory does not know of, and whoever pinned one takes none with a lower number.
///
/// # Errors
/// [`KeyError`]; where writing failed half-way, doing it again repairs it.
pub fn issue(
    data: &DataDirectory,
    realm: &Realm,
    root: &SigningKey<RootRole>,
    now: Timestamp,
    above: u64,
) -> Result<Issued, KeyError> {
    let _held = hold_directory(&data.keys())?;
    sign(data, realm, root, now, above)
}

/// As [`issue`], for a caller who holds the directory of keys: two that sign at the same time would give one number to two sets.
pub(super) fn sign(
    data: &DataDirectory,
    realm: &Realm,
    root: &SigningKey<RootRole>,
    now: Timestamp,
    above: u64,
) -> Result<Issued, KeyError> {
    let ring = KeyRing::load(data)?;
    let last = if index_path(data).exists() { issued(data)?.number } else { 0 };
    if above.saturating_sub(last) > ABOVE_MAX {
        return Err(KeyError::NumberTooFar { above, last });
    }
    let number = last.max(above) + 1;
    let age_max_ms = realm.key_set_days * DAY_MS;
    let record = Issued { number, issued_at_ms: now, expires_at_ms: now.plus(age_max_ms) };
    let set = |audience: Audience| {
        let mut set = KeySet::new(realm.realm, audience, number, now, age_max_ms);
        set.assets = realm.asset_entries();
        set.keys = entries(&ring, audience, now);
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

/// The keys of a set. Those that end last come first, whatever their role: what falls out of a full set is past, and the oldest of
/// that. Proof keys stay after their time, for old proofs.
fn entries(ring: &KeyRing, audience: Audience, now: Timestamp) -> Vec<KeyEntry> {
    let wanted = ring.keys().iter().filter(|key| audience.may_hold(key.role));
    let mut wanted: Vec<&KeyFile> =
        wanted.filter(|key| key.role != KeyRole::Session || now <= key.valid_until).collect();
    wanted.sort_by_key(|key| std::cmp::Reverse(key.valid_until));
    wanted.into_iter().take(KEY_SET_KEYS_MAX).map(KeyFile::entry).collect()
}

/// The keys in the newest set for merchants; `None` where there is none yet.
pub(super) fn published(data: &DataDirectory) -> Option<Vec<KeyId>> {
    let set = SignedKeySet::decode(&signed_set_bytes(data, Audience::Merchant).ok()?).ok()?;
    Some(set.claimed_keys().iter().map(|key| key.id).collect())
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
