//! Which refunds the merchant grants without being asked: a pure decision (K-104).

use protocol::time::{DAY_MS, Timestamp};

/// What happens to a refund request that the policy does not grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// A person decides: `mts refunds`.
    #[default]
    Ask,
    /// It is refused.
    Refuse,
}

/// The merchant's policy for refund requests. The default leaves every one to a person.
///
/// Surplus payments are never refunded by policy: a refund gives back every payment of an order, the one that the goods were
/// sent for too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefundPolicy {
    /// Grant requests at once, within the bounds below.
    pub automatic: bool,
    /// Only so many days after the payment; unlimited where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u64>,
    /// Also when the customer has the goods, or may have them.
    pub after_delivery: bool,
    /// What happens to other requests.
    pub otherwise: Otherwise,
}

/// What the policy looks at.
#[derive(Clone, Copy, Debug)]
pub struct RefundFacts {
    /// When the payment was recorded.
    pub paid_at: Timestamp,
    /// Whether the goods were sent or shipped, or, being digital, may have been fetched.
    pub maybe_delivered: bool,
    /// The present.
    pub now: Timestamp,
}

/// What the policy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefundDecision {
    /// The money goes back.
    Accept,
    /// It does not.
    Refuse,
    /// A person decides.
    Ask,
}

impl RefundPolicy {
    /// Every request is left to a person.
    pub const MANUAL: Self =
        Self { automatic: false, within_days: None, after_delivery: false, otherwise: Otherwise::Ask };

    /// Judges a request.
    pub fn decide(&self, facts: &RefundFacts) -> RefundDecision {
        let in_time = self.within_days.is_none_or(|days| facts.now.since(facts.paid_at) <= days.saturating_mul(DAY_MS));
        let granted = in_time && (self.after_delivery || !facts.maybe_delivered);
        match (self.automatic, granted, self.otherwise) {
            (false, ..) | (true, false, Otherwise::Ask) => RefundDecision::Ask,
            (true, true, _) => RefundDecision::Accept,
            (true, false, Otherwise::Refuse) => RefundDecision::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: K-104
    #[test]
    fn the_policy_grants_within_its_bounds_and_nothing_beyond() {
        let paid_at = Timestamp(1_000);
        let facts = |days, maybe_delivered| RefundFacts { paid_at, maybe_delivered, now: paid_at.plus(days * DAY_MS) };
        assert_eq!(RefundPolicy::MANUAL.decide(&facts(0, false)), RefundDecision::Ask);
        let policy = RefundPolicy { automatic: true, within_days: Some(14), ..RefundPolicy::MANUAL };
        assert_eq!(policy.decide(&facts(14, false)), RefundDecision::Accept);
        assert_eq!(policy.decide(&facts(15, false)), RefundDecision::Ask);
        assert_eq!(policy.decide(&facts(1, true)), RefundDecision::Ask, "never after delivery");
        let strict = RefundPolicy { otherwise: Otherwise::Refuse, ..policy };
        assert_eq!(strict.decide(&facts(15, false)), RefundDecision::Refuse);
        let generous = RefundPolicy { after_delivery: true, within_days: None, ..policy };
        assert_eq!(generous.decide(&facts(1_000, true)), RefundDecision::Accept);
    }
}
