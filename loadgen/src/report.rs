//! What a run found.

use std::fmt;
use std::time::Duration;

use crate::RunArguments;
use crate::customer::Tally;

/// Figures of one run.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    connections: u16,
    outstanding: u16,
    elapsed_s: f64,
    pub(crate) paid: u64,
    pub(crate) failures: u64,
    first_failure: Option<String>,
    payments_per_s: f64,
    server_cpu_us_per_payment: f64,
    latency_p50_us: u32,
    latency_p99_us: u32,
    latency_p999_us: u32,
    request_bytes_mean: f64,
    response_bytes_mean: f64,
    pub(crate) books_agree: bool,
}

impl Report {
    pub(crate) fn new(
        arguments: &RunArguments,
        tally: &Tally,
        elapsed: Duration,
        server_cpu: Duration,
        books_agree: bool,
    ) -> Self {
        let mut latencies = tally.latencies_us.clone();
        latencies.sort_unstable();
        let percentile = |share: f64| {
            let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            latencies.get(place).copied().unwrap_or(0)
        };
        let paid = tally.paid.max(1) as f64;
        Self {
            connections: arguments.connections,
            outstanding: arguments.outstanding,
            elapsed_s: elapsed.as_secs_f64(),
            paid: tally.paid,
            failures: tally.failures,
            first_failure: tally.first_failure.clone(),
            payments_per_s: tally.paid as f64 / elapsed.as_secs_f64(),
            server_cpu_us_per_payment: server_cpu.as_secs_f64() * 1e6 / paid,
            latency_p50_us: percentile(0.5),
            latency_p99_us: percentile(0.99),
            latency_p999_us: percentile(0.999),
            request_bytes_mean: tally.request_bytes as f64 / paid,
            response_bytes_mean: tally.response_bytes as f64 / paid,
            books_agree,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "closed loop        {} connections x {} outstanding", self.connections, self.outstanding)?;
        writeln!(f, "payments           {} in {:.1} s, {} failed", self.paid, self.elapsed_s, self.failures)?;
        writeln!(f, "rate               {:.0} payments/s", self.payments_per_s)?;
        writeln!(f, "server processor   {:.1} us per payment, user and system", self.server_cpu_us_per_payment)?;
        writeln!(
            f,
            "latency            p50 {} us, p99 {} us, p99.9 {} us, from sending to the opened answer",
            self.latency_p50_us, self.latency_p99_us, self.latency_p999_us
        )?;
        writeln!(
            f,
            "bytes              {:.0} per request, {:.0} per answer",
            self.request_bytes_mean, self.response_bytes_mean
        )?;
        if let Some(failure) = &self.first_failure {
            writeln!(f, "first failure      {failure}")?;
        }
        writeln!(f, "books              {}", if self.books_agree { "agree with what was paid" } else { "DISAGREE" })
    }
}
