use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn root() -> SigningKey<RootRole> {
    SigningKey::from_seed([1; 32])
}

fn set(audience: Audience) -> KeySet {
    let mut set = KeySet::new(RealmId([7; 16]), audience, 3, NOW, 1_000_000);
    let other = if audience == Audience::Merchant { KeyRole::Proof } else { KeyRole::Session };
    set.keys = vec![
        KeyEntry::new(KeyRole::Certificate, [2; 32], NOW, NOW.plus(500_000)),
        KeyEntry::new(other, [3; 32], NOW, NOW.plus(500_000)),
        KeyEntry::new(other, [4; 32], NOW.plus(10), NOW.plus(500_000)),
    ];
    set.assets = vec![AssetEntry { asset: Asset::USD6, exponent: 6 }];
    set
}

fn verify(set: KeySet, audience: Audience, now: Timestamp, number_min: u64) -> Result<PinnedKeySet, KeySetError> {
    let signed = set.sign(&root()).unwrap();
    assert_eq!(SignedKeySet::decode(&signed.encode()).unwrap(), signed);
    signed.verify(&root().public(), None, audience, now, number_min)
}

#[test]
fn a_signed_set_verifies_and_answers() {
    let pinned = verify(set(Audience::Merchant), Audience::Merchant, NOW, 3).unwrap();
    assert_eq!(pinned.asset_exponent(Asset::USD6), Some(6));
    assert_eq!(pinned.asset_exponent(Asset(*b"EUR\0\0\0\0\0")), None);
    assert_eq!(pinned.proof_keys().count(), 2);
    let id = key_id(KeyRole::Certificate, &[2; 32]);
    assert!(pinned.key(KeyRole::Certificate, id, NOW).is_ok());
    assert_eq!(pinned.key(KeyRole::Proof, id, NOW), Err(KeySetError::UnknownKey(id)));
    let late = NOW.plus(500_001);
    assert_eq!(pinned.key(KeyRole::Certificate, id, late), Err(KeySetError::OutsideValidity { key: id, at: late }));

    let customer = verify(set(Audience::Customer), Audience::Customer, NOW, 0).unwrap();
    assert_eq!(customer.session_key(NOW).unwrap().public.0, [3; 32]);
    assert_eq!(customer.session_key(NOW.plus(10)).unwrap().public.0, [4; 32]);
    assert_eq!(customer.session_key(NOW.plus(600_000)), Err(KeySetError::NoSessionKey(NOW.plus(600_000))));
}

// spec: K-73
#[test]
fn customers_get_no_proof_key() {
    let mut wrong = set(Audience::Customer);
    wrong.keys.push(KeyEntry::new(KeyRole::Proof, [9; 32], NOW, NOW.plus(1)));
    assert!(wrong.clone().sign(&root()).is_err());
    // Not even a root that signs anyway is believed.
    let signature = root().sign(Domain::<RootRole>::KEY_SET, &Canonical::encode(&wrong)).0;
    assert!(SignedKeySet::decode(&Canonical::encode(&SignedKeySet { set: wrong, signature })).is_err());
    let pinned = verify(set(Audience::Customer), Audience::Customer, NOW, 0).unwrap();
    assert_eq!(pinned.proof_keys().count(), 0);
}

#[test]
fn every_reason_to_refuse_is_told() {
    let signed = set(Audience::Merchant).sign(&root()).unwrap();
    let merchant = |root: &[u8; 32], realm, now, minimum| signed.verify(root, realm, Audience::Merchant, now, minimum);
    let public = root().public();
    let stranger = SigningKey::<RootRole>::from_seed([2; 32]).public();
    assert_eq!(merchant(&stranger, None, NOW, 0), Err(KeySetError::WrongRoot));
    let realm = RealmId([8; 16]);
    assert!(matches!(merchant(&public, Some(realm), NOW, 0), Err(KeySetError::WrongRealm { .. })));
    assert_eq!(merchant(&public, None, NOW, 4), Err(KeySetError::LowerNumber { minimum: 4, actual: 3 }));
    assert!(merchant(&public, None, NOW.plus(1_000_000), 3).is_ok());
    assert!(matches!(merchant(&public, None, NOW.plus(1_000_001), 3), Err(KeySetError::TooOld { .. })));
    assert!(matches!(merchant(&public, None, Timestamp(NOW.0 - 600_000), 3), Err(KeySetError::FromTheFuture { .. })));
    let audience = signed.verify(&public, None, Audience::Customer, NOW, 0);
    assert!(matches!(audience, Err(KeySetError::WrongAudience { .. })));
}

#[test]
fn altered_sets_and_revoked_keys_are_refused() {
    let bytes = set(Audience::Merchant).sign(&root()).unwrap().encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let Ok(decoded) = SignedKeySet::decode(&altered) else { continue };
        assert!(decoded.verify(&root().public(), None, Audience::Merchant, NOW, 0).is_err(), "byte {index}");
    }
    let mut revoked = set(Audience::Merchant);
    revoked.keys[1].revoked = true;
    let id = revoked.keys[1].id;
    let pinned = verify(revoked, Audience::Merchant, NOW, 0).unwrap();
    assert_eq!(pinned.key(KeyRole::Proof, id, NOW), Err(KeySetError::Revoked(id)));
    assert_eq!(pinned.proof_keys().count(), 1);
}

#[test]
fn malformed_sets_are_refused() {
    type Change = fn(&mut KeySet);
    let cases: [Change; 8] = [
        |set| set.keys[0].id = KeyId([0; 8]),
        |set| set.keys[0].valid_until = set.keys[0].valid_from,
        |set| set.keys.push(set.keys[0]),
        |set| set.keys[0] = KeyEntry::new(KeyRole::Root, [2; 32], NOW, NOW.plus(1)),
        |set| set.assets.clear(),
        |set| set.assets.push(set.assets[0]),
        |set| set.assets[0].exponent = 19,
        |set| set.version = 2,
    ];
    for (index, change) in cases.into_iter().enumerate() {
        let mut wrong = set(Audience::Merchant);
        change(&mut wrong);
        assert!(wrong.sign(&root()).is_err(), "case {index}");
    }
}

#[test]
fn key_ids_depend_on_the_role_and_are_frozen() {
    let proof = key_id(KeyRole::Proof, &[5; 32]);
    assert_ne!(proof, key_id(KeyRole::Certificate, &[5; 32]));
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/key_set.json")).unwrap();
    assert_eq!(vectors["proof_key_id_of_05"], proof.to_string());
    assert_eq!(vectors["signed_key_set"], hex::encode(set(Audience::Merchant).sign(&root()).unwrap().encode()));
}
