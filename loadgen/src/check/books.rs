//! The server's books before and after: nothing may have moved but what the answers say.

use super::Problems;

/// Sums of the server's books, in smallest units of the asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// In all customers' accounts.
    pub customers: i128,
    /// Owed to the merchant of the load.
    pub merchant: i128,
    /// All balances together: zero, or something is wrong.
    pub total: i128,
}

/// What the answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Moved by payments.
    pub paid_units: i128,
    /// May have been moved by requests without an answer.
    pub unknown_units: i128,
}

/// Compares books with answers.
pub fn compare(before: &Books, after: &Books, expected: &Expected, problems: &mut Problems) {
    let range = expected.paid_units..=expected.paid_units + expected.unknown_units;
    let earned = after.merchant - before.merchant;
    let spent = before.customers - after.customers;
    let paid = expected.paid_units;
    if !range.contains(&earned) {
        problems.add(format!("the merchant is owed {earned} units more than before, but the answers add up to {paid}"));
    }
    if !range.contains(&spent) {
        problems.add(format!("customers have {spent} units less than before, but the answers add up to {paid}"));
    }
    if after.total != 0 {
        problems.add(format!("all balances of the server add up to {} units, not to zero", after.total));
    }
}

/// Compares the balance of one account with what its instruments spent.
pub fn compare_account(account: &str, balance: i128, expected: i128, problems: &mut Problems) {
    if balance != expected {
        problems.add(format!("account {account} holds {balance} units instead of {expected}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Books = Books { customers: 1_000, merchant: 50, total: 0 };

    fn problems(after: Books, unknown_units: i128) -> u64 {
        let mut problems = Problems::default();
        compare(&BEFORE, &after, &Expected { paid_units: 30, unknown_units }, &mut problems);
        problems.count
    }

    #[test]
    fn one_unit_too_many_or_too_few_is_noticed() {
        assert_eq!(problems(Books { customers: 970, merchant: 80, total: 0 }, 0), 0);
        assert_eq!(problems(Books { customers: 971, merchant: 80, total: 0 }, 0), 1);
        assert_eq!(problems(Books { customers: 970, merchant: 79, total: 0 }, 0), 1);
        assert_eq!(problems(Books { customers: 970, merchant: 80, total: 1 }, 0), 1);
        assert_eq!(problems(Books { customers: 960, merchant: 90, total: 0 }, 0), 2);
        assert_eq!(
            problems(Books { customers: 960, merchant: 90, total: 0 }, 10),
            0,
            "ten may have been paid unanswered"
        );
        let mut found = Problems::default();
        compare_account("ab", 10, 10, &mut found);
        compare_account("ab", 11, 10, &mut found);
        assert_eq!(found.count, 1);
    }
}
