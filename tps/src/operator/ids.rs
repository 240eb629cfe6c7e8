//! Ids as people write them: all 32 digits, or a beginning that is unique.

use crate::admin::{AdminError, AdminErrorCode};

/// Fewest digits of a beginning.
const DIGITS_MIN: usize = 4;

/// The beginning of a 16-byte id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdPrefix {
    bytes: [u8; 16],
    digits: usize,
}

impl IdPrefix {
    /// Reads a beginning of an id of a `what`.
    pub(super) fn parse(what: &str, text: &str) -> Result<Self, AdminError> {
        let text = text.trim();
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            AdminError::bad_input(format!(
                "`{shown}` is not the id of {what}: write its 32 hexadecimal digits, or at least the first {DIGITS_MIN}"
            ))
        };
        if !(DIGITS_MIN..=32).contains(&text.len()) {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (position, character) in text.chars().enumerate() {
            let digit = character.to_digit(16).ok_or_else(wrong)? as u8;
            bytes[position / 2] |= if position % 2 == 0 { digit << 4 } else { digit };
        }
        Ok(Self { bytes, digits: text.len() })
    }

    /// The whole id, if all of it was written.
    pub(super) fn whole(&self) -> Option<[u8; 16]> {
        (self.digits == 32).then_some(self.bytes)
    }

    /// The first id that begins like this.
    pub(super) fn first(&self) -> [u8; 16] {
        self.bytes
    }

    /// Whether `id` begins like this.
    pub(super) fn matches(&self, id: &[u8; 16]) -> bool {
        let whole = self.digits / 2;
        id[..whole] == self.bytes[..whole]
            && (self.digits.is_multiple_of(2) || id[whole] >> 4 == self.bytes[whole] >> 4)
    }

    /// The one that was found.
    pub(super) fn only<T>(&self, what: &str, list: &str, mut found: Vec<T>) -> Result<T, AdminError> {
        let text = &hex::encode(self.bytes)[..self.digits];
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (None, _) => Err(AdminError::new(
                AdminErrorCode::NotFound,
                format!("there is no {what} {text}: see `tps {list} list`"),
            )),
            (Some(_), more) => Err(AdminError::new(
                AdminErrorCode::Ambiguous,
                format!("{} of kind {what} have ids that begin with {text}: write more digits", more + 1),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_match_digit_by_digit() {
        let id = [0xab, 0xcd, 0xef, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        for (text, matches) in [("abcd", true), ("ABCDE", true), ("abcdf", false), ("abcdef", true), ("abce", false)] {
            assert_eq!(IdPrefix::parse("x", text).unwrap().matches(&id), matches, "{text}");
        }
        let whole = IdPrefix::parse("x", &hex::encode(id)).unwrap();
        assert_eq!((whole.whole(), whole.matches(&id)), (Some(id), true));
        for wrong in ["", "abc", "abcg", "zzzz", "ab cd", &"a".repeat(33), "äöüß"] {
            assert!(IdPrefix::parse("x", wrong).is_err(), "{wrong}");
        }
        assert_eq!(whole.only("x", "y", vec![1]), Ok(1));
        assert_eq!(whole.only("x", "y", Vec::<u8>::new()).unwrap_err().code, AdminErrorCode::NotFound);
        assert_eq!(whole.only("x", "y", vec![1, 2]).unwrap_err().code, AdminErrorCode::Ambiguous);
    }
}
