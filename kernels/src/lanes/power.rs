//! Long powers: inversion, and the one inside a square root.

use super::super::field::*;

lanes! {
    fn squared(a: &Carried, times: usize) -> Carried {
        let mut power = *a;
        for _ in 0..times {
            power = square(&power);
        }
        power
    }

    /// a^(2^250 - 1) and a^11.
    fn common(a: &Carried) -> (Carried, Carried) {
        let two = square(a);
        let nine = multiply(a, &squared(&two, 2));
        let eleven = multiply(&two, &nine);
        // The names count the ones of the exponent from here on.
        let ones_5 = multiply(&nine, &square(&eleven));
        let ones_10 = multiply(&squared(&ones_5, 5), &ones_5);
        let ones_20 = multiply(&squared(&ones_10, 10), &ones_10);
        let ones_40 = multiply(&squared(&ones_20, 20), &ones_20);
        let ones_50 = multiply(&squared(&ones_40, 10), &ones_10);
        let ones_100 = multiply(&squared(&ones_50, 50), &ones_50);
        let ones_200 = multiply(&squared(&ones_100, 100), &ones_100);
        (multiply(&squared(&ones_200, 50), &ones_50), eleven)
    }

    /// 1 / a = a^(p - 2) = a^(2^255 - 21); 0 for 0.
    pub(crate) fn invert(a: &Carried) -> Carried {
        let (ones_250, eleven) = common(a);
        multiply(&squared(&ones_250, 5), &eleven)
    }

    /// a^((p - 5) / 8) = a^(2^252 - 3).
    pub(crate) fn power_p58(a: &Carried) -> Carried {
        let (ones_250, _) = common(a);
        multiply(&squared(&ones_250, 2), a)
    }
}
