//! Whose limit was reached: the server's or the generator's. A generator that is late makes a server look slow.

use protocol::error::ErrorCode;

/// A generator that is later than this in one of a hundred requests does not keep its schedule, in microseconds.
const LAG_P99_US_MAX: u64 = 2_000;
/// A thread that is busy for more than this share of the time has nothing left.
const BUSY_MAX: f64 = 0.95;
/// A thread that waits for a processor for more than this share of the time shares it with somebody hungry.
const STARVED_MAX: f64 = 0.10;
/// More than this share of requests without room, or refused for load, means that the server does not keep up.
const HELD_UP_MAX: f64 = 0.01;

/// What the classification looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signs {
    /// Whether requests were sent as fast as answers came: then the server is meant to be the limit.
    pub closed: bool,
    /// Requests sent and due.
    pub requests: u64,
    /// Of these, waited for room on a connection.
    pub waited_for_room: u64,
    /// Of these, waited for a request to be computed.
    pub waited_for_requests: u64,
    /// Of these, never sent.
    pub unsent: u64,
    /// Of these, answered `Overloaded` or `OverBudget`.
    pub refused_for_load: u64,
    /// 99th percentile of the generator's own lateness.
    pub lag_p99_us: u64,
    /// Share of the time that the busiest sending thread was computing.
    pub busy: f64,
    /// Share of the time that a sending thread was ready, but had no processor.
    pub starved: f64,
}

/// Whose limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Saturation {
    /// Nobody's: both kept up.
    None,
    /// The server did not keep up.
    Server,
    /// The generator did not keep its own schedule: the figures say nothing about the server's limit.
    Generator,
    /// Generator and server want the same processors: the limit is that of the machine.
    Machine,
}

/// Whether an answer in clear means that there was too much load.
pub fn is_for_load(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Overloaded | ErrorCode::OverBudget)
}

impl Signs {
    /// Whose limit was reached.
    pub fn classify(&self) -> Saturation {
        let share = |count: u64| count as f64 / self.requests.max(1) as f64;
        let held_up = share(self.waited_for_room) > HELD_UP_MAX || share(self.refused_for_load) > HELD_UP_MAX;
        let at_its_limit = self.busy > BUSY_MAX || share(self.waited_for_requests) > HELD_UP_MAX;
        let late = !self.closed && (self.lag_p99_us > LAG_P99_US_MAX || share(self.unsent) > HELD_UP_MAX && !held_up);
        if at_its_limit {
            Saturation::Generator
        } else if self.starved > STARVED_MAX && (self.closed || late || held_up) {
            Saturation::Machine
        } else if self.closed || held_up {
            Saturation::Server
        } else if late {
            Saturation::Generator
        } else {
            Saturation::None
        }
    }
}

impl Saturation {
    /// One sentence for people.
    pub fn explained(self) -> &'static str {
        match self {
            Self::None => "server and generator both kept up",
            Self::Server => "the server was at its limit; the generator had time left",
            Self::Generator => {
                "the GENERATOR was at its limit: lower the rate, prepare more requests, or give it its own machine; these figures say nothing about the server's limit"
            }
            Self::Machine => {
                "generator and server were both waiting for processors: this is the limit of the machine that they share"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> Signs {
        Signs { requests: 100_000, lag_p99_us: 150, busy: 0.4, ..Signs::default() }
    }

    #[test]
    fn who_is_late_is_told_from_who_is_slow() {
        let cases = [
            (calm(), Saturation::None),
            (Signs { waited_for_room: 5_000, ..calm() }, Saturation::Server),
            (Signs { refused_for_load: 5_000, ..calm() }, Saturation::Server),
            (Signs { waited_for_room: 500, ..calm() }, Saturation::None),
            (Signs { lag_p99_us: 9_000, ..calm() }, Saturation::Generator),
            (Signs { busy: 0.99, waited_for_room: 5_000, ..calm() }, Saturation::Generator),
            (Signs { waited_for_requests: 5_000, ..calm() }, Saturation::Generator),
            (Signs { unsent: 5_000, ..calm() }, Saturation::Generator),
            (Signs { unsent: 5_000, waited_for_room: 9_000, ..calm() }, Saturation::Server),
            (Signs { lag_p99_us: 9_000, starved: 0.3, ..calm() }, Saturation::Machine),
            (Signs { waited_for_room: 5_000, starved: 0.3, ..calm() }, Saturation::Machine),
            (Signs { starved: 0.3, ..calm() }, Saturation::None),
            (Signs { closed: true, ..calm() }, Saturation::Server),
            (Signs { closed: true, lag_p99_us: 9_000, ..calm() }, Saturation::Server),
            (Signs { closed: true, busy: 0.97, ..calm() }, Saturation::Generator),
            (Signs { closed: true, starved: 0.4, ..calm() }, Saturation::Machine),
        ];
        for (signs, expected) in cases {
            assert_eq!(signs.classify(), expected, "{signs:?}");
        }
    }
}
