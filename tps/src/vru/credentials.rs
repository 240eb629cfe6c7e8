//! The two numbers by which a customer is known to the VRU: an access number, which names the access, and a passcode, which is
//! secret. Both are random digits; neither has anything to do with the instrument's PIN or the customer's machine.

use argon2::{Algorithm, Argon2, Params, Version};
use borsh::{BorshDeserialize, BorshSerialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Digits of an access number, its check digit included.
pub const ACCESS_NUMBER_DIGITS: usize = 10;
/// Digits of a passcode.
pub const PASSCODE_DIGITS: usize = 8;

/// Memory of one hash: what 2024's recommendations ask of argon2id.
const HASH_MEMORY_KIB: u32 = 19_456;
/// Passes of one hash.
const HASH_PASSES: u32 = 2;
/// Most memory that a stored record may ask for.
const HASH_MEMORY_KIB_MAX: u32 = 1 << 20;

/// The quasigroup of Damm's check digit: it tells every single wrong digit and every swap of neighbours.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

fn damm(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |interim, digit| DAMM[usize::from(interim)][usize::from(digit - b'0')])
}

/// Which access to the VRU: ASCII digits, the last one a check digit. Hidden in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize)]
pub struct AccessNumber([u8; ACCESS_NUMBER_DIGITS]);

impl AccessNumber {
    /// The access number of these digits; `None` where the check digit tells that it was mistyped.
    pub fn parse(digits: &str) -> Option<Self> {
        let digits: [u8; ACCESS_NUMBER_DIGITS] = digits.as_bytes().try_into().ok()?;
        (digits.iter().all(u8::is_ascii_digit) && damm(&digits) == 0).then_some(Self(digits))
    }

    /// A random access number; `draw` gives random bytes.
    ///
    /// # Errors
    /// Those of `draw`.
    pub fn random<E>(draw: &mut impl FnMut() -> Result<[u8; 8], E>) -> Result<Self, E> {
        let mut digits = [b'0'; ACCESS_NUMBER_DIGITS];
        let free = &mut digits[..ACCESS_NUMBER_DIGITS - 1];
        random_digits(free, draw)?;
        digits[ACCESS_NUMBER_DIGITS - 1] = b'0' + damm(&digits[..ACCESS_NUMBER_DIGITS - 1]);
        Ok(Self(digits))
    }

    /// The digits.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("they are digits")
    }

    /// The digits as bytes, for keys of records.
    pub fn bytes(&self) -> [u8; ACCESS_NUMBER_DIGITS] {
        self.0
    }
}

impl BorshDeserialize for AccessNumber {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        let digits = <[u8; ACCESS_NUMBER_DIGITS]>::deserialize_reader(reader)?;
        let number = std::str::from_utf8(&digits).ok().and_then(Self::parse);
        number.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "this is no access number"))
    }
}

impl std::fmt::Debug for AccessNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessNumber(hidden)")
    }
}

/// The secret of an access: ASCII digits, overwritten when dropped, hidden in `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Passcode([u8; PASSCODE_DIGITS]);

impl Passcode {
    /// The passcode of these digits.
    pub fn parse(digits: &str) -> Option<Self> {
        let digits: [u8; PASSCODE_DIGITS] = digits.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// A random passcode; `draw` gives random bytes.
    ///
    /// # Errors
    /// Those of `draw`.
    pub fn random<E>(draw: &mut impl FnMut() -> Result<[u8; 8], E>) -> Result<Self, E> {
        let mut passcode = Self([b'0'; PASSCODE_DIGITS]);
        random_digits(&mut passcode.0, draw)?;
        Ok(passcode)
    }

    /// The digits, to be printed once.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(std::str::from_utf8(&self.0).expect("they are digits").to_owned())
    }
}

impl std::fmt::Debug for Passcode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passcode(hidden)")
    }
}

/// Fills `digits` with uniformly random ASCII digits.
fn random_digits<E>(digits: &mut [u8], draw: &mut impl FnMut() -> Result<[u8; 8], E>) -> Result<(), E> {
    let mut places = digits.iter_mut();
    let Some(mut place) = places.next() else { return Ok(()) };
    loop {
        let bytes = Zeroizing::new(draw()?);
        // Only bytes below the largest multiple of ten: no digit is favoured.
        for byte in bytes.iter().filter(|byte| **byte < 250) {
            *place = b'0' + byte % 10;
            match places.next() {
                Some(next) => place = next,
                None => return Ok(()),
            }
        }
    }
}

/// What is kept of a passcode: its hash by argon2id under a salt, and what the hash cost.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PasscodeHash {
    salt: [u8; 16],
    memory_kib: u32,
    passes: u32,
    hash: [u8; 32],
}

impl PasscodeHash {
    /// The hash of `passcode` under a random `salt`.
    pub fn new(passcode: &Passcode, salt: [u8; 16]) -> Self {
        let mut made = Self { salt, memory_kib: HASH_MEMORY_KIB, passes: HASH_PASSES, hash: [0; 32] };
        made.hash = *made.hash_of(passcode).expect("the built-in cost is possible");
        made
    }

    /// A hash that no passcode is known to have: what an unknown access number is compared with, at the same cost.
    pub fn decoy(random: [u8; 32]) -> Self {
        let salt = std::array::from_fn(|index| random[index] ^ 0x5a);
        Self { salt, memory_kib: HASH_MEMORY_KIB, passes: HASH_PASSES, hash: random }
    }

    /// Whether this is the hash of `passcode`. Takes tens of milliseconds, on purpose.
    pub fn is_that_of(&self, passcode: &Passcode) -> bool {
        self.hash_of(passcode).is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    /// `None` where a damaged record asks for an impossible cost.
    fn hash_of(&self, passcode: &Passcode) -> Option<Zeroizing<[u8; 32]>> {
        if self.memory_kib > HASH_MEMORY_KIB_MAX {
            return None;
        }
        let parameters = Params::new(self.memory_kib, self.passes, 1, Some(32)).ok()?;
        let mut hash = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        argon2.hash_password_into(&passcode.0, &self.salt, &mut *hash).ok()?;
        Some(hash)
    }
}

impl std::fmt::Debug for PasscodeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasscodeHash(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Result<[u8; 8], std::convert::Infallible> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        Ok(bytes)
    }

    #[test]
    fn every_slip_of_an_access_number_is_told() {
        for _ in 0..50 {
            let number = AccessNumber::random(&mut system).unwrap();
            let digits = number.expose().as_bytes().to_vec();
            assert_eq!(AccessNumber::parse(number.expose()), Some(number));
            for place in 0..ACCESS_NUMBER_DIGITS {
                for wrong in (b'0'..=b'9').filter(|wrong| *wrong != digits[place]) {
                    let mut slip = digits.clone();
                    slip[place] = wrong;
                    assert_eq!(AccessNumber::parse(std::str::from_utf8(&slip).unwrap()), None);
                }
                if place > 0 && digits[place] != digits[place - 1] {
                    let mut swapped = digits.clone();
                    swapped.swap(place, place - 1);
                    assert_eq!(AccessNumber::parse(std::str::from_utf8(&swapped).unwrap()), None);
                }
            }
        }
        for wrong in ["", "572", "12345678901", "572572572x", "５７２"] {
            assert_eq!(AccessNumber::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn random_digits_are_uniform() {
        let mut counts = [0u32; 10];
        for _ in 0..12_500 {
            let passcode = Passcode::random(&mut system).unwrap();
            passcode.expose().bytes().for_each(|digit| counts[usize::from(digit - b'0')] += 1);
        }
        // Ten classes of expectation 10,000 and standard deviation 95: eight deviations never happen by chance.
        assert!(counts.iter().all(|count| (9_240..10_760).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_hash_knows_its_passcode_alone() {
        let (right, wrong) = (Passcode::parse("01234567").unwrap(), Passcode::parse("01234568").unwrap());
        let hash = PasscodeHash::new(&right, [7; 16]);
        assert!(hash.is_that_of(&right) && !hash.is_that_of(&wrong));
        assert_ne!(hash, PasscodeHash::new(&right, [8; 16]), "the salt counts");
        assert!(!PasscodeHash::decoy([9; 32]).is_that_of(&right));
        let bytes = borsh::to_vec(&hash).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"01234567"));
        let absurd = PasscodeHash { memory_kib: u32::MAX, ..hash };
        assert!(!absurd.is_that_of(&right));
        assert!(Passcode::parse("1234567").is_none() && Passcode::parse("1234567a").is_none());
    }

    #[test]
    fn nothing_is_shown() {
        let number = AccessNumber::random(&mut system).unwrap();
        let passcode = Passcode::random(&mut system).unwrap();
        let shown = format!("{number:?} {passcode:?} {:?}", PasscodeHash::decoy([1; 32]));
        assert_eq!(shown, "AccessNumber(hidden) Passcode(hidden) PasscodeHash(hidden)");
    }
}
