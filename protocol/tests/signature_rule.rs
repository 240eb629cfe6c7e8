//! The vectors of the rule, constructed: every clause, every kind of point, and the cases in which libraries differ
//! (the classes of Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs", made anew).
//!
//! `vectors/signature/rule.json` holds the result for verifiers in other languages: `message` is the exact signed bytes,
//! domain included. `QUITTANCE_WRITE_VECTORS=1 cargo test --test signature_rule` writes it; a change of it is a change of
//! the protocol. Verdicts and clauses are stated by the construction, never taken from the code under test.

#![allow(clippy::unwrap_used, reason = "vectors and constructions that fail are failing tests")]

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION as T};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use protocol::signature::{
    Clause, CustomerKey, Domain, Item, PreparedKey, Signature, StrictError, judge, strict_verify, verify, verify_batch,
};
use sha2::{Digest, Sha512};

const FROZEN: &str = include_str!("../vectors/signature/rule.json");
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

struct Case {
    name: String,
    public: [u8; 32],
    message: Vec<u8>,
    signature: [u8; 64],
    expected: Result<(), Clause>,
    /// Whether the equation also holds without the cofactor. Only looked at where the rule accepts.
    cofactorless: bool,
}

/// What a case is made of. `r_bytes` and `a_bytes` are hashed as they stand.
struct Parts {
    a: Scalar,
    a_bytes: [u8; 32],
    r: Scalar,
    r_bytes: [u8; 32],
    message: Vec<u8>,
}

impl Parts {
    /// An honest key aB and nonce rB, made from the name.
    fn honest(name: &str, body: &[u8]) -> Self {
        let (a, r) = (scalar(name, "key"), scalar(name, "nonce"));
        let message = [Domain::REQUEST_FOR_PAYMENT.prefix(), body].concat();
        Self { a, a_bytes: encode(a * B), r, r_bytes: encode(r * B), message }
    }

    /// As honest, with components of small order added to key and nonce.
    fn mixed(name: &str, key_torsion: EdwardsPoint, nonce_torsion: EdwardsPoint) -> Self {
        let parts = Self::honest(name, name.as_bytes());
        let (a_bytes, r_bytes) = (encode(parts.a * B + key_torsion), encode(parts.r * B + nonce_torsion));
        Self { a_bytes, r_bytes, ..parts }
    }

    /// Appends a counter to the message until h is as wanted.
    fn until(mut self, wanted: impl Fn(Scalar) -> bool) -> Self {
        let length = self.message.len();
        for counter in 0_u64.. {
            self.message.truncate(length);
            self.message.extend_from_slice(&counter.to_le_bytes());
            if wanted(self.h()) {
                break;
            }
        }
        self
    }

    fn h(&self) -> Scalar {
        hash(&self.r_bytes, &self.a_bytes, &self.message)
    }

    /// S = r + h a.
    fn s(&self) -> [u8; 32] {
        (self.r + self.h() * self.a).to_bytes()
    }

    fn case(self, name: impl Into<String>, expected: Result<(), Clause>) -> Case {
        let s = self.s();
        self.case_with_s(name, s, expected)
    }

    fn case_with_s(self, name: impl Into<String>, s: [u8; 32], expected: Result<(), Clause>) -> Case {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&self.r_bytes);
        signature[32..].copy_from_slice(&s);
        Case { name: name.into(), public: self.a_bytes, message: self.message, signature, expected, cofactorless: true }
    }
}

impl Case {
    fn only_cofactored(self) -> Self {
        Self { cofactorless: false, ..self }
    }

    /// Its line in the vector file.
    fn to_json(&self) -> String {
        let (verdict, clause) = match self.expected {
            Ok(()) => ("valid", "null".into()),
            Err(clause) => ("invalid", format!("\"{}\"", clause.name())),
        };
        format!(
            r#"  {{"name":"{}","public":"{}","message":"{}","signature":"{}","verdict":"{verdict}","clause":{clause}}}"#,
            self.name,
            hex::encode(self.public),
            hex::encode(&self.message),
            hex::encode(self.signature),
        )
    }
}

fn scalar(name: &str, purpose: &str) -> Scalar {
    Scalar::from_hash(Sha512::new().chain_update(name).chain_update([0]).chain_update(purpose))
}

fn hash(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
    Scalar::from_hash(Sha512::new().chain_update(r).chain_update(a).chain_update(message))
}

fn encode(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

/// y = `low` (below 19), or its second form p + `low`, with a sign bit.
fn encoding_of_y(low: u8, second_form: bool, negative: bool) -> [u8; 32] {
    let mut y = if second_form { [0xff; 32] } else { [0; 32] };
    y[0] = if second_form { 0xed + low } else { low };
    y[31] = (y[31] & 0x7f) | if negative { 0x80 } else { 0 };
    y
}

/// Encodings that are not canonical, with the canonical one of the same point (`None`: no point of the curve).
fn second_forms() -> Vec<(String, [u8; 32], Option<[u8; 32]>)> {
    let mut all = Vec::new();
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    all.push(("x-0-sign-1-y-1".into(), encoding_of_y(1, false, true)));
    all.push(("x-0-sign-1-y-minus-1".into(), minus_one));
    for low in 0..19 {
        for negative in [false, true] {
            all.push((format!("y-p-plus-{low}-sign-{}", u8::from(negative)), encoding_of_y(low, true, negative)));
        }
    }
    let canonical = |bytes| CompressedEdwardsY(bytes).decompress().map(encode);
    all.into_iter().map(|(name, bytes)| (name, bytes, canonical(bytes))).collect()
}

/// a + k l as a number of 256 bits.
fn plus_l(mut number: [u8; 32], times: usize) -> [u8; 32] {
    for _ in 0..times {
        let mut carry = 0;
        for (byte, l) in number.iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
        }
        assert_eq!(carry, 0, "out of 256 bits");
    }
    number
}

fn accepted(cases: &mut Vec<Case>) {
    for (name, body) in [("honest-empty-message", &b""[..]), ("honest", b"body"), ("honest-1024-bytes", &[0x5a; 1024])]
    {
        cases.push(Parts::honest(name, body).case(name, Ok(())));
    }
    for (i, torsion) in T.into_iter().enumerate().skip(1) {
        let name = format!("r-mixed-order-{i}");
        cases.push(Parts::mixed(&name, T[0], torsion).case(&name, Ok(())).only_cofactored());
        let name = format!("key-mixed-order-{i}");
        let parts = Parts::mixed(&name, torsion, T[0]).until(|h| torsion * h != T[0]);
        cases.push(parts.case(&name, Ok(())).only_cofactored());
        let name = format!("key-mixed-order-{i}-torsion-vanishes-in-h-a");
        let parts = Parts::mixed(&name, torsion, T[0]).until(|h| torsion * h == T[0]);
        cases.push(parts.case(&name, Ok(())));
        let name = format!("both-mixed-order-{i}-torsion-stays");
        let parts = Parts::mixed(&name, torsion, T[1]).until(|h| torsion * h + T[1] != T[0]);
        cases.push(parts.case(&name, Ok(())).only_cofactored());
        let name = format!("both-mixed-order-{i}-torsion-cancels");
        let parts = Parts::mixed(&name, torsion, -torsion).until(|h| torsion * h == torsion);
        cases.push(parts.case(&name, Ok(())));
    }
}

/// In all of these the cofactored equation holds; it is the order alone that is at fault.
fn small_orders(cases: &mut Vec<Case>) {
    for (i, torsion) in T.into_iter().enumerate() {
        let name = format!("key-small-order-{i}");
        let parts = Parts { a_bytes: encode(torsion), a: Scalar::ZERO, ..Parts::honest(&name, b"") };
        cases.push(parts.case(&name, Err(Clause::KeySmallOrder)));
        let name = format!("r-small-order-{i}");
        let parts = Parts { r_bytes: encode(torsion), r: Scalar::ZERO, ..Parts::honest(&name, b"") };
        cases.push(parts.case(&name, Err(Clause::RSmallOrder)));
        let name = format!("r-small-order-{i}-under-key-mixed-order");
        let parts = Parts { r_bytes: encode(torsion), r: Scalar::ZERO, ..Parts::mixed(&name, T[1], T[0]) };
        cases.push(parts.case(&name, Err(Clause::RSmallOrder)));
        let name = format!("both-small-order-{i}-s-0");
        let parts = Parts::honest(&name, b"");
        let parts =
            Parts { a: Scalar::ZERO, a_bytes: encode(torsion), r: Scalar::ZERO, r_bytes: encode(torsion), ..parts };
        cases.push(parts.case(&name, Err(Clause::KeySmallOrder)));
    }
}

fn encodings(cases: &mut Vec<Case>) {
    for (form, bytes, canonical) in second_forms() {
        let name = format!("key-{form}");
        let parts = Parts { a_bytes: bytes, a: Scalar::ZERO, ..Parts::honest(&name, b"") };
        cases.push(parts.case(&name, Err(Clause::KeyNotCanonical)));
        let name = format!("r-{form}");
        let parts = Parts { r_bytes: bytes, r: Scalar::ZERO, ..Parts::honest(&name, b"") };
        cases.push(parts.case(&name, Err(Clause::RNotCanonical)));
        // As a verifier would want it that encodes R anew before it hashes.
        if let Some(canonical) = canonical {
            let name = format!("r-{form}-hashed-canonically");
            let parts = Parts { r_bytes: bytes, r: Scalar::ZERO, ..Parts::honest(&name, b"") };
            let s = hash(&canonical, &parts.a_bytes, &parts.message) * parts.a;
            cases.push(parts.case_with_s(&name, s.to_bytes(), Err(Clause::RNotCanonical)));
        }
    }
    for low in 2..8 {
        for negative in [false, true] {
            let bytes = encoding_of_y(low, false, negative);
            let on_curve = CompressedEdwardsY(bytes).decompress().is_some();
            let (key, r) = if on_curve {
                (Clause::Equation, Clause::Equation)
            } else {
                (Clause::KeyNotOnCurve, Clause::RNotOnCurve)
            };
            let name = format!("key-y-{low}-sign-{}", u8::from(negative));
            cases.push(Parts { a_bytes: bytes, ..Parts::honest(&name, b"") }.case(&name, Err(key)));
            let name = format!("r-y-{low}-sign-{}", u8::from(negative));
            cases.push(Parts { r_bytes: bytes, ..Parts::honest(&name, b"") }.case(&name, Err(r)));
        }
    }
}

fn scalars(cases: &mut Vec<Case>) {
    let honest = |name: &str| Parts::honest(name, b"scalar");
    for times in [1, 2, 8, 14] {
        let name = format!("s-plus-{times}-l");
        let s = plus_l(honest(&name).s(), times);
        cases.push(honest(&name).case_with_s(&name, s, Err(Clause::SNotReduced)));
    }
    for bit in [253, 254, 255] {
        let name = format!("s-with-bit-{bit}");
        let mut s = honest(&name).s();
        s[bit / 8] |= 1 << (bit % 8);
        cases.push(honest(&name).case_with_s(&name, s, Err(Clause::SNotReduced)));
    }
    let l_minus_1 = (-Scalar::ONE).to_bytes();
    for (name, s, clause) in [
        ("s-0", [0; 32], Clause::Equation),
        ("s-l-minus-1", l_minus_1, Clause::Equation),
        ("s-l", L, Clause::SNotReduced),
        ("s-l-plus-1", plus_l(Scalar::ONE.to_bytes(), 1), Clause::SNotReduced),
        ("s-all-ones", [0xff; 32], Clause::SNotReduced),
    ] {
        cases.push(honest(name).case_with_s(name, s, Err(clause)));
    }
    // S = l stands for 0: with R and A of small order the equation would hold.
    let name = "both-small-order-s-l";
    let parts = Parts { a_bytes: encode(T[1]), r_bytes: encode(T[1]), ..honest(name) };
    cases.push(parts.case_with_s(name, L, Err(Clause::KeySmallOrder)));
}

fn equations(cases: &mut Vec<Case>) {
    let mut wrong = |name: &str, change: &dyn Fn(&mut Parts, &mut [u8; 32])| {
        let mut parts = Parts::honest(name, b"equation");
        let mut s = parts.s();
        change(&mut parts, &mut s);
        cases.push(parts.case_with_s(name, s, Err(Clause::Equation)));
    };
    wrong("message-changed", &|parts, _| *parts.message.last_mut().unwrap() ^= 1);
    wrong("message-longer", &|parts, _| parts.message.push(0));
    wrong("message-shorter", &|parts, _| parts.message.truncate(40));
    wrong("other-key", &|parts, _| parts.a_bytes = encode(scalar("other-key", "other") * B));
    wrong("negated-key", &|parts, _| parts.a_bytes[31] ^= 0x80);
    wrong("negated-r", &|parts, _| parts.r_bytes[31] ^= 0x80);
    wrong("other-r", &|parts, _| parts.r_bytes = encode(scalar("other-r", "other") * B));
    wrong("r-plus-torsion-after-signing", &|parts, _| parts.r_bytes = encode(parts.r * B + T[4]));
    wrong("key-plus-torsion-after-signing", &|parts, _| parts.a_bytes = encode(parts.a * B + T[4]));
    wrong("negated-s", &|parts, s| *s = (-(parts.r + parts.h() * parts.a)).to_bytes());
    wrong("s-plus-1", &|parts, s| *s = (parts.r + parts.h() * parts.a + Scalar::ONE).to_bytes());
    wrong("signed-without-domain", &|parts, s| {
        *s = (parts.r + hash(&parts.r_bytes, &parts.a_bytes, b"equation") * parts.a).to_bytes();
    });
    wrong("signed-in-other-domain", &|parts, s| {
        let message = [Domain::ENROLMENT.prefix(), b"equation"].concat();
        *s = (parts.r + hash(&parts.r_bytes, &parts.a_bytes, &message) * parts.a).to_bytes();
    });
    wrong("hash-without-key", &|parts, s| {
        let h = Scalar::from_hash(Sha512::new().chain_update(parts.r_bytes).chain_update(&parts.message));
        *s = (parts.r + h * parts.a).to_bytes();
    });
}

/// Two faults at once: the first clause counts.
fn precedence(cases: &mut Vec<Case>) {
    let (small, second, off) = (encode(T[1]), encoding_of_y(3, true, false), encoding_of_y(2, false, false));
    for (name, a, r, s, clause) in [
        ("first-key-not-canonical-then-s", Some(second), None, Some(L), Clause::KeyNotCanonical),
        ("first-key-not-on-curve-then-s", Some(off), Some(second), Some(L), Clause::KeyNotOnCurve),
        ("first-key-small-order-then-s", Some(small), Some(small), Some(L), Clause::KeySmallOrder),
        ("first-s-then-r-not-canonical", None, Some(second), Some(L), Clause::SNotReduced),
        ("first-s-then-r-not-on-curve", None, Some(off), Some(L), Clause::SNotReduced),
        ("first-s-then-r-small-order", None, Some(small), Some(L), Clause::SNotReduced),
        ("first-r-small-order-then-equation", None, Some(small), Some([1; 32].map(|b| b & 1)), Clause::RSmallOrder),
    ] {
        let honest = Parts::honest(name, b"precedence");
        let parts = Parts { a_bytes: a.unwrap_or(honest.a_bytes), r_bytes: r.unwrap_or(honest.r_bytes), ..honest };
        let s = s.unwrap_or(parts.s());
        cases.push(parts.case_with_s(name, s, Err(clause)));
    }
}

fn all_cases() -> Vec<Case> {
    assert_eq!(T[0], EdwardsPoint::identity());
    let mut cases = Vec::new();
    accepted(&mut cases);
    small_orders(&mut cases);
    encodings(&mut cases);
    scalars(&mut cases);
    equations(&mut cases);
    precedence(&mut cases);
    cases
}

#[test]
fn vectors_are_frozen() {
    let lines: Vec<String> = all_cases().iter().map(Case::to_json).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("QUITTANCE_WRITE_VECTORS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/signature/rule.json"), &text).unwrap();
    } else {
        assert!(text == FROZEN, "rule.json differs from the construction");
    }
}

// spec: K-54
#[test]
fn every_path_gives_the_constructed_verdict() {
    let cases = all_cases();
    let prefix = Domain::REQUEST_FOR_PAYMENT.prefix();
    let honest = Parts::honest("companion", b"companion").case("companion", Ok(()));
    let companion = CustomerKey::parse(&honest.public).unwrap();
    let companion = Item { key: companion.enrolled(), message: b"companion", signature: &Signature(honest.signature) };
    for case in &cases {
        let body = case.message.strip_prefix(prefix).unwrap();
        let signature = Signature(case.signature);
        let judged = judge(Domain::REQUEST_FOR_PAYMENT, &case.public, body, &signature);
        assert_eq!(judged, case.expected, "arbiter, {}", case.name);
        let key = match CustomerKey::from_enrolled(case.public) {
            Ok(key) => key,
            Err(error) => {
                assert_eq!(error.clause(), case.expected.err(), "key, {}", case.name);
                assert_eq!(CustomerKey::parse(&case.public), Err(error), "enrolment, {}", case.name);
                continue;
            }
        };
        let verdict = verify(&key, Domain::REQUEST_FOR_PAYMENT, body, &signature);
        assert_eq!(verdict, case.expected, "single, {}", case.name);
        let item = Item { key: key.enrolled(), message: body, signature: &signature };
        for size in [1, 2, 9, 100] {
            for position in [0, size / 2, size - 1] {
                let mut items = vec![companion; size];
                items[position] = item;
                let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &items, [size as u8; 32]);
                for (i, verdict) in report.verdicts.into_iter().enumerate() {
                    let expected = if i == position { case.expected } else { Ok(()) };
                    assert_eq!(verdict, expected, "batch of {size}, item {i}, {}", case.name);
                }
            }
        }
        let report = verify_batch(Domain::REQUEST_FOR_PAYMENT, &[item; 40], [1; 32]);
        assert_eq!(report.verdicts, [case.expected; 40], "batch of the same, {}", case.name);
    }
    for clause in Clause::ALL {
        assert!(cases.iter().any(|case| case.expected == Err(clause)), "no case for {clause:?}");
    }
}

#[test]
fn strict_verification_accepts_what_holds_without_the_cofactor() {
    for case in all_cases() {
        let body = case.message.strip_prefix(Domain::REQUEST_FOR_PAYMENT.prefix()).unwrap();
        let (domain, signature) = (Domain::REQUEST_FOR_PAYMENT, Signature(case.signature));
        let strict = strict_verify(&case.public, domain, &[body], &signature);
        let prepared = PreparedKey::new(&case.public).and_then(|key| key.verify(domain, &[body], &signature));
        assert_eq!(prepared, strict, "prepared key, {}", case.name);
        let expected = match case.expected {
            Ok(()) if case.cofactorless => Ok(()),
            Err(Clause::KeyNotCanonical | Clause::KeyNotOnCurve) => Err(StrictError::PublicKey),
            _ => Err(StrictError::Signature),
        };
        assert_eq!(strict, expected, "{}", case.name);
    }
}
