//! Who stopped an instrument: it stays stopped until nobody holds it any more.

use borsh::{BorshDeserialize, BorshSerialize};

/// Who places holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Holder {
    /// The operator, by command.
    Operator = 1,
    /// The customer, through the VRU.
    Customer = 2,
    /// A job of the server that found something.
    Job = 4,
}

impl Holder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Customer, Self::Job];
}

/// The holds on one instrument: one byte, a bit for each holder. An instrument that was held before holders were told apart
/// has the operator's hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize)]
pub struct Holds(u8);

impl Holds {
    /// No hold.
    pub const NONE: Self = Self(0);
    const EVERY: u8 = Holder::Operator as u8 | Holder::Customer as u8 | Holder::Job as u8;

    /// The hold of one holder alone.
    pub const fn of(holder: Holder) -> Self {
        Self(holder as u8)
    }

    /// These holds, and that of `holder` too.
    #[must_use]
    pub const fn with(self, holder: Holder) -> Self {
        Self(self.0 | holder as u8)
    }

    /// These holds without that of `holder`. The operator's release lifts every hold: whoever cannot reach the VRU any more
    /// asks the operator.
    #[must_use]
    pub const fn released_by(self, holder: Holder) -> Self {
        match holder {
            Holder::Operator => Self::NONE,
            Holder::Customer | Holder::Job => Self(self.0 & !(holder as u8)),
        }
    }

    /// Whether anybody holds the instrument.
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether `holder` does.
    pub const fn has(self, holder: Holder) -> bool {
        self.0 & holder as u8 != 0
    }

    /// Whoever holds it.
    pub fn holders(self) -> Vec<Holder> {
        Holder::ALL.into_iter().filter(|holder| self.has(*holder)).collect()
    }
}

impl BorshDeserialize for Holds {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        match u8::deserialize_reader(reader)? {
            bits if bits & !Self::EVERY == 0 => Ok(Self(bits)),
            _ => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "there is no such hold")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_releases_only_the_customers_hold() {
        let both = Holds::of(Holder::Customer).with(Holder::Operator);
        assert_eq!(both.released_by(Holder::Customer), Holds::of(Holder::Operator));
        assert_eq!(Holds::of(Holder::Job).released_by(Holder::Customer), Holds::of(Holder::Job));
        assert!(!Holds::of(Holder::Customer).released_by(Holder::Customer).any());
        assert_eq!(both.with(Holder::Job).released_by(Holder::Operator), Holds::NONE);
        assert_eq!(both.holders(), [Holder::Operator, Holder::Customer]);
    }

    #[test]
    fn the_bytes_are_those_of_the_flag_that_was_there_before() {
        for (holds, flag) in [(Holds::NONE, false), (Holds::of(Holder::Operator), true)] {
            assert_eq!(borsh::to_vec(&holds).unwrap(), borsh::to_vec(&flag).unwrap());
        }
        for bits in 0..=u8::MAX {
            assert_eq!(Holds::try_from_slice(&[bits]).is_ok(), bits < 8, "{bits}");
        }
    }
}
