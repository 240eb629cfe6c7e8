//! Response times with and without prepared proofs, in one run: see [`benches::preparation`].

use benches::preparation::{Responder, Way};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare response times by when proofs are made ready.
#[derive(Debug, Parser)]
struct Arguments {
    /// Batches answered in each way; the ways take turns.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests in a batch.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256", value_parser = clap::value_parser!(u16).range(1..=1024))]
    batches: Vec<u16>,
}

fn main() {
    let Arguments { rounds, batches } = Arguments::parse();
    println!(
        "{:>5}  {:<20}{:>10}{:>10}  time from reading a batch to its last answer",
        "batch", "proofs", "p50 us", "p99 us"
    );
    for requests in batches {
        let responder = Responder::new(usize::from(requests));
        let mut times_us: Vec<(Way, Vec<f64>)> = Way::ALL.map(|way| (way, Vec::new())).into();
        for _ in 0..rounds {
            for (way, times) in &mut times_us {
                times.push(responder.respond(*way).1.as_secs_f64() * 1e6);
            }
        }
        for (way, mut times) in times_us {
            times.sort_unstable_by(f64::total_cmp);
            let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
            println!("{requests:>5}  {way:<20?}{:>10.1}{:>10.1}", percentile(50), percentile(99));
        }
    }
}
