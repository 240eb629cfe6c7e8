//! What requests ask for, and which answer each must get: known before anything is sent.

use std::fmt;
use std::str::FromStr;

use protocol::response::Reason;
use rand::{Rng, RngExt};

/// What a request is made to bring about. Anything but its [`Kind::reason`] is an error of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A payment.
    Paid = 0,
    /// Made with a PIN that is not the instrument's.
    WrongPin = 1,
    /// More than any account holds.
    InsufficientFunds = 2,
    /// To a merchant that nobody registered.
    UnknownMerchant = 3,
    /// Wanted until a time that is past.
    Expired = 4,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Paid, Self::WrongPin, Self::InsufficientFunds, Self::UnknownMerchant, Self::Expired];

    /// The one answer that is right.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Paid => Reason::Paid,
            Self::WrongPin => Reason::AuthenticationFailed,
            Self::InsufficientFunds => Reason::InsufficientFunds,
            Self::UnknownMerchant => Reason::MerchantUnknown,
            Self::Expired => Reason::Expired,
        }
    }

    /// The kind of that number in a file.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::WrongPin => "wrong-pin",
            Self::InsufficientFunds => "insufficient-funds",
            Self::UnknownMerchant => "unknown-merchant",
            Self::Expired => "expired",
        }
    }
}

/// Shares of the kinds that fail; the rest are payments.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Mix {
    /// Share of requests with a wrong PIN.
    pub wrong_pin: f64,
    /// Share of requests for more than the account holds.
    pub insufficient_funds: f64,
    /// Share of requests for an unknown merchant.
    pub unknown_merchant: f64,
    /// Share of requests that come too late.
    pub expired: f64,
}

impl Default for Mix {
    /// Two in a hundred fail.
    fn default() -> Self {
        Self { wrong_pin: 0.005, insufficient_funds: 0.005, unknown_merchant: 0.005, expired: 0.005 }
    }
}

impl Mix {
    /// Payments only.
    pub const NONE: Self = Self { wrong_pin: 0.0, insufficient_funds: 0.0, unknown_merchant: 0.0, expired: 0.0 };

    fn shares(&self) -> [(Kind, f64); 4] {
        [
            (Kind::WrongPin, self.wrong_pin),
            (Kind::InsufficientFunds, self.insufficient_funds),
            (Kind::UnknownMerchant, self.unknown_merchant),
            (Kind::Expired, self.expired),
        ]
    }

    /// Share of all requests that must fail.
    pub fn failing(&self) -> f64 {
        self.shares().iter().map(|(_, share)| share).sum()
    }

    /// Draws what the next request asks for.
    pub fn draw(&self, random: &mut impl Rng) -> Kind {
        let mut drawn: f64 = random.random();
        for (kind, share) in self.shares() {
            if drawn < share {
                return kind;
            }
            drawn -= share;
        }
        Kind::Paid
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failing() == 0.0 {
            return f.write_str("none");
        }
        let named = self.shares().into_iter().filter(|(_, share)| *share > 0.0);
        let texts: Vec<String> = named.map(|(kind, share)| format!("{}={share}", kind.name())).collect();
        f.write_str(&texts.join(","))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self::NONE;
        if text.trim() == "none" {
            return Ok(mix);
        }
        for part in text.split(',') {
            let (name, share) = part.trim().split_once('=').ok_or_else(|| {
                format!("`{part}` is not a share: write for example wrong-pin=0.01,expired=0.01, or none")
            })?;
            let share: f64 = share
                .parse()
                .ok()
                .filter(|share| (0.0..=1.0).contains(share))
                .ok_or_else(|| format!("`{share}` is not a share between 0 and 1"))?;
            match name {
                "wrong-pin" => mix.wrong_pin = share,
                "insufficient-funds" => mix.insufficient_funds = share,
                "unknown-merchant" => mix.unknown_merchant = share,
                "expired" => mix.expired = share,
                _ => {
                    return Err(format!(
                        "`{name}` is not an outcome: there are wrong-pin, insufficient-funds, unknown-merchant and expired"
                    ));
                }
            }
        }
        if mix.failing() > 1.0 { Err("the shares add up to more than 1".to_owned()) } else { Ok(mix) }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn kinds_are_drawn_as_often_as_asked_for() {
        let mix: Mix = "wrong-pin=0.1,insufficient-funds=0.05,unknown-merchant=0.02,expired=0.03".parse().unwrap();
        let mut random = StdRng::seed_from_u64(7);
        let mut counts = [0u32; 5];
        for _ in 0..100_000 {
            counts[mix.draw(&mut random) as usize] += 1;
        }
        // Eight standard deviations around the expectation.
        for (kind, expected, deviation) in
            [(0usize, 80_000, 127.0), (1, 10_000, 95.0), (2, 5_000, 69.0), (3, 2_000, 44.0), (4, 3_000, 54.0)]
        {
            let distance = (f64::from(counts[kind]) - f64::from(expected)).abs();
            assert!(distance < 8.0 * deviation, "{kind}: {counts:?}");
        }
        assert_eq!(Mix::NONE.draw(&mut random), Kind::Paid);
    }

    #[test]
    fn texts_round_trip_and_nonsense_is_refused() {
        for text in ["none", "wrong-pin=0.5", "insufficient-funds=0.25,expired=0.1"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "wrong-pin", "wrong-pin=2", "wrong-pin=-0.1", "x=0.1", "wrong-pin=0.6,expired=0.6", "expired=NaN"]
        {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
        assert!((Mix::default().failing() - 0.02).abs() < 1e-12);
    }

    #[test]
    fn every_kind_has_one_right_answer() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert_eq!(kind == Kind::Paid, kind.reason() == Reason::Paid);
        }
        assert_eq!(Kind::from_number(5), None);
    }
}
