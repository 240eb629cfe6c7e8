//! Rotation with overlap: the new key is published before the old one ends, so that nobody stands without.

use protocol::ids::KeyId;
use protocol::key_set::KeyRole;
use protocol::signature::{RootRole, SigningKey};
use protocol::time::{DAY_MS, Timestamp};

use super::{Issued, KeyError, KeyFile, KeyRing, role_name, sets};
use crate::data_directory::{DataDirectory, DataError, Realm, hold_directory};

/// How long a proof-signing key signs, in milliseconds, unless it is rotated earlier.
pub const PROOF_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long a key issues merchant certificates, in milliseconds, unless it is rotated earlier.
pub const CERTIFICATE_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long a key signs answers and reports at the desk, in milliseconds, unless it is rotated earlier.
pub const DESK_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long a key signs receipts of the notary, in milliseconds, unless it is rotated earlier.
pub const NOTARY_KEY_LIFETIME_MS: u64 = 400 * DAY_MS;
/// How long an old proof, desk, notary or certificate key stays valid after its successor came into force, in milliseconds: a server
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
        KeyRole::Desk => (DESK_KEY_LIFETIME_MS, SIGNING_KEY_OVERLAP_MS),
        KeyRole::Notary => (NOTARY_KEY_LIFETIME_MS, SIGNING_KEY_OVERLAP_MS),
        KeyRole::Root => return Err(KeyError::RootIsForEver),
    };
    let _held = hold_directory(&data.keys())?;
    let ring = KeyRing::load(data)?;
    // Customers choose among the session keys of the set they hold, so a new one cannot come too early.
    let ahead_ms = match start {
        RotationStart::WhenKnown if role != KeyRole::Session && ring.current(role, now).is_some() => {
            realm.key_set_days * DAY_MS
        }
        _ => 0,
    };
    let valid_from = now.plus(ahead_ms);
    let new = KeyFile::generate(role, valid_from, valid_from.plus(lifetime_ms))?.protected(data.vault())?;
    new.save(&new.path(&ring.directory))?;
    for old in ring.keys.iter().filter(|key| key.role == role) {
        let end = valid_from.plus(overlap_ms);
        if end < old.valid_until && old.valid_from < end {
            let ended = KeyFile { seed: old.seed.clone(), valid_until: end, ..*old };
            ended.save(&ended.path(&ring.directory))?;
        }
    }
    let destroyed = destroy_past(data, now)?;
    let issued = sets::sign(data, realm, root, now, 0)?;
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
    let _held = hold_directory(&data.keys())?;
    let ring = KeyRing::load(data)?;
    let key = ring.keys.iter().find(|key| key.id() == id).ok_or_else(|| KeyError::NoKey(id.to_string()))?;
    let others = ring.keys.iter().any(|other| other.role == key.role && other.id() != id && other.is_usable(now));
    if key.is_usable(now) && !others {
        return Err(KeyError::LastUsable { id, role: role_name(key.role) });
    }
    let revoked = KeyFile { seed: None, revoked: true, ..*key };
    revoked.save(&revoked.path(&ring.directory))?;
    sets::sign(data, realm, root, now, 0)
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

#[cfg(test)]
mod tests {
    use protocol::key_set::Audience;

    use super::*;
    use crate::keys::{issue, load_key_set, load_root};
    use crate::operator::installation::{InstallOptions, fill};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn made() -> (tempfile::TempDir, DataDirectory, Realm, SigningKey<RootRole>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let realm = fill(directory.path(), &InstallOptions::default(), NOW).unwrap();
        let data = DataDirectory::open(directory.path()).unwrap();
        let root = load_root(&data, None, &realm.root_public().unwrap()).unwrap();
        (directory, data, realm, root)
    }

    #[test]
    fn customers_always_know_a_session_key_that_the_server_accepts() {
        let (_directory, data, realm, root) = made();
        // The operator rotates every week; a customer's set is at most a week old.
        for week in 1..6 {
            let now = NOW.plus(week * 7 * DAY_MS);
            let before = load_key_set(&data, &realm, Audience::Customer, now).unwrap().1;
            rotate(&data, &realm, KeyRole::Session, RotationStart::WhenKnown, &root, now).unwrap();
            let ring = KeyRing::load(&data).unwrap();
            let after = load_key_set(&data, &realm, Audience::Customer, now).unwrap().1;
            for hours in [0, 1, 6 * 24, 7 * 24 - 1] {
                let then = now.plus(hours * DAY_MS / 24);
                let accepted = ring.engine_keys(realm.realm, then).unwrap().session;
                for set in [&before, &after] {
                    let chosen = set.session_key(then).unwrap();
                    assert!(
                        accepted.iter().any(|key| key.id() == chosen.id && key.public() == chosen.public),
                        "week {week}"
                    );
                }
                assert_eq!(accepted[0].id(), after.session_key(then).unwrap().id, "the newest first");
            }
            let sessions = ring.keys().iter().filter(|key| key.role == KeyRole::Session).count();
            assert!(sessions <= 3, "past keys are destroyed: {sessions}");
        }
    }

    #[test]
    fn proof_keys_are_published_before_they_sign() {
        let (_directory, data, realm, root) = made();
        let rotated = rotate(&data, &realm, KeyRole::Proof, RotationStart::WhenKnown, &root, NOW).unwrap();
        assert_eq!((rotated.issued.number, rotated.valid_from), (2, NOW.plus(30 * DAY_MS)));
        let ring = KeyRing::load(&data).unwrap();
        let signer = |at: Timestamp| ring.engine_keys(realm.realm, at).map(|keys| keys.signer.key_id);
        let set = load_key_set(&data, &realm, Audience::Merchant, NOW).unwrap().1;
        assert_ne!(ring.in_force(NOW), ring.in_force(rotated.valid_from), "a running server notices");
        let old = ring.current(KeyRole::Proof, NOW).unwrap().id();
        assert!(set.key(KeyRole::Proof, old, rotated.valid_from.plus(DAY_MS)).is_ok(), "an overlap of a day");
        for at in [NOW, Timestamp(rotated.valid_from.0 - 1), rotated.valid_from] {
            // Session keys end before this; the signer alone is asked about.
            let id = ring.current(KeyRole::Proof, at).unwrap().id();
            assert_eq!(id == rotated.new, at >= rotated.valid_from);
            assert!(set.key(KeyRole::Proof, id, at).is_ok());
        }
        assert_eq!(signer(NOW).unwrap(), old);
    }

    #[test]
    fn nothing_is_signed_with_a_key_that_no_key_set_holds() {
        let (_directory, data, realm, root) = made();
        let before = KeyRing::load(&data).unwrap().in_force(NOW);
        // A rotation that was killed before it signed the key sets.
        let new = KeyFile::generate(KeyRole::Proof, NOW, NOW.plus(DAY_MS)).unwrap();
        new.save(&new.path(&data.keys())).unwrap();
        let later = NOW.plus(1);
        let ring = KeyRing::load(&data).unwrap();
        assert_eq!(ring.in_force(later), before);
        let set = load_key_set(&data, &realm, Audience::Merchant, later).unwrap().1;
        let signer = ring.engine_keys(realm.realm, later).unwrap().signer.key_id;
        assert!(set.key(KeyRole::Proof, signer, later).is_ok());
        // The next signing completes it.
        issue(&data, &realm, &root, later, 0).unwrap();
        let ring = KeyRing::load(&data).unwrap();
        assert_eq!(ring.engine_keys(realm.realm, later).unwrap().signer.key_id, new.id());
        assert!(
            load_key_set(&data, &realm, Audience::Merchant, later)
                .unwrap()
                .1
                .key(KeyRole::Proof, new.id(), later)
                .is_ok()
        );
    }

    #[test]
    fn only_the_root_that_everybody_pins_signs() {
        let (_directory, data, realm, root) = made();
        let other = KeyFile::generate(KeyRole::Root, NOW, NOW.plus(1)).unwrap();
        let file = data.path().join("other.toml");
        other.save(&file).unwrap();
        let expected = realm.root_public().unwrap();
        assert!(matches!(load_root(&data, Some(&file), &expected), Err(KeyError::OtherRoot(_))));
        assert_eq!(load_root(&data, None, &expected).unwrap().public(), root.public());
    }

    #[test]
    fn past_keys_fall_out_of_a_full_set_and_no_key_in_use_does() {
        let (_directory, data, realm, root) = made();
        for at in 0..70 {
            let past = KeyFile::generate(KeyRole::Notary, Timestamp(NOW.0 - 1_000 + at), Timestamp(NOW.0 - 500 + at));
            let past = past.unwrap();
            past.save(&past.path(&data.keys())).unwrap();
        }
        issue(&data, &realm, &root, NOW, 0).unwrap();
        let ring = KeyRing::load(&data).unwrap();
        for audience in [Audience::Merchant, Audience::Customer] {
            let set = load_key_set(&data, &realm, audience, NOW).unwrap().1;
            assert_eq!(set.keys().len(), 64);
            for key in ring.keys().iter().filter(|key| key.is_usable(NOW) && audience.may_hold(key.role)) {
                assert!(set.key(key.role, key.id(), NOW).is_ok(), "{:?}", key.role);
            }
            let oldest = set.keys().iter().map(|key| key.valid_until).min();
            assert!(oldest > Some(Timestamp(NOW.0 - 500)), "the oldest are left out");
        }
    }

    #[test]
    fn no_number_is_given_to_two_sets() {
        let (_directory, data, realm, root) = made();
        assert_eq!(issue(&data, &realm, &root, NOW, 41).unwrap().number, 42);
        assert_eq!(issue(&data, &realm, &root, NOW, 7).unwrap().number, 43, "never lower");
        let numbers: std::collections::BTreeSet<u64> = std::thread::scope(|scope| {
            let rotate = || {
                let start = RotationStart::WhenKnown;
                rotate(&data, &realm, KeyRole::Session, start, &root, NOW.plus(1)).unwrap().issued.number
            };
            let running: Vec<_> = (0..8).map(|_| scope.spawn(rotate)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(numbers, (44..52).collect());
        assert_eq!(load_key_set(&data, &realm, Audience::Customer, NOW.plus(1)).unwrap().1.number(), 51);
        let absurd = issue(&data, &realm, &root, NOW, 1_000_052);
        assert!(matches!(absurd, Err(KeyError::NumberTooFar { last: 51, .. })));
    }

    #[test]
    fn revoked_keys_stay_known_as_revoked() {
        let (_directory, data, realm, root) = made();
        let old = KeyRing::load(&data).unwrap().current(KeyRole::Proof, NOW).unwrap().id();
        assert!(matches!(revoke(&data, &realm, old, &root, NOW), Err(KeyError::LastUsable { .. })));
        rotate(&data, &realm, KeyRole::Proof, RotationStart::AtOnce, &root, NOW.plus(1)).unwrap();
        let issued = revoke(&data, &realm, old, &root, NOW.plus(2)).unwrap();
        assert_eq!(issued.number, 3);
        let set = load_key_set(&data, &realm, Audience::Merchant, NOW.plus(2)).unwrap().1;
        assert_eq!(set.proof_keys().count(), 1);
        assert!(set.keys().iter().any(|key| key.id == old && key.revoked));
        let ring = KeyRing::load(&data).unwrap();
        assert!(ring.keys().iter().any(|key| key.id() == old && key.seed.is_none()));
        let unknown = KeyId([7; 8]);
        assert!(matches!(revoke(&data, &realm, unknown, &root, NOW), Err(KeyError::NoKey(_))));
        let late = NOW.plus(15 * DAY_MS);
        assert!(matches!(ring.engine_keys(realm.realm, late), Err(KeyError::NoneUsable { role: "session", .. })));
        assert_eq!(ring.in_force(late).len(), 1, "a past session key opens nothing: the proof key alone is left");
        assert!(KeyRing::administration_keys(realm.realm).is_ok(), "orders need no session key");
    }
}
