//! What must hold after a run: every answer is right, every proof verifies, no payment has the name of another, and the
//! balances are what the generator computed.

pub mod books;
pub mod judge;

use std::collections::BTreeMap;

/// Problems that are told in words; more are only counted.
const PROBLEMS_TOLD_MAX: usize = 20;

/// What went wrong, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Problems {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub told: Vec<String>,
}

impl Problems {
    /// Adds a problem.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.count += 1;
        if self.told.len() < PROBLEMS_TOLD_MAX {
            self.told.push(problem.into());
        }
    }

    /// Adds those of another.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.told.extend(other.told);
        self.told.truncate(PROBLEMS_TOLD_MAX);
    }
}

/// What all answers say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sealed answers that were opened.
    pub answers: u64,
    /// Proofs and denials whose signature was verified.
    pub proofs: u64,
    /// Requests by the reason of their outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Payments made.
    pub paid: u64,
    /// What they moved, in smallest units.
    pub paid_units: i128,
    /// Repeats that were answered as the first time.
    pub repeats: u64,
    /// Requests that were answered in clear only.
    pub refused: u64,
    /// Requests that were not answered at all, or not all of whose answers came.
    pub unanswered: u64,
    /// Units that requests without an answer may have moved.
    pub unknown_units: i128,
    /// Name of every outcome.
    pub payment_ids: Vec<[u8; 16]>,
    /// What went wrong.
    pub problems: Problems,
}

impl Tally {
    /// Adds what another found.
    pub fn append(&mut self, mut other: Self) {
        self.answers += other.answers;
        self.proofs += other.proofs;
        for (reason, count) in other.outcomes {
            *self.outcomes.entry(reason).or_insert(0) += count;
        }
        self.paid += other.paid;
        self.paid_units += other.paid_units;
        self.repeats += other.repeats;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.unknown_units += other.unknown_units;
        self.payment_ids.append(&mut other.payment_ids);
        self.problems.append(other.problems);
    }

    /// Looks for names that two outcomes share. Done once, at the end; the names are not needed any more then.
    pub fn check_payment_ids(&mut self) {
        let mut ids = std::mem::take(&mut self.payment_ids);
        ids.sort_unstable();
        for pair in ids.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.problems.add(format!("two outcomes have the payment id {}", hex::encode(pair[0])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_id_that_comes_twice_is_a_problem() {
        let mut tally = Tally { payment_ids: vec![[3; 16], [1; 16], [2; 16]], ..Tally::default() };
        tally.append(Tally { payment_ids: vec![[4; 16]], paid: 2, ..Tally::default() });
        tally.check_payment_ids();
        assert_eq!((tally.problems.count, tally.paid), (0, 2));
        tally.payment_ids = vec![[3; 16], [1; 16], [3; 16]];
        tally.check_payment_ids();
        assert!(tally.problems.count == 1 && tally.problems.told[0].contains("0303"));
    }

    #[test]
    fn problems_are_counted_beyond_those_told() {
        let mut problems = Problems::default();
        (0..50).for_each(|number| problems.add(number.to_string()));
        assert_eq!((problems.count, problems.told.len()), (50, PROBLEMS_TOLD_MAX));
    }
}
