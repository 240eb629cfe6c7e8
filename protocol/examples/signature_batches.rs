//! CPU time per signature of whole batches, with every backend this processor has: minimum and median of many rounds.
//!
//!     cargo run --release -p quittance-protocol --example signature_batches
//!
//! Keys are given as 32 bytes. The time is that of the thread; compare within one run only.

use kernels::{Backend, Name};
use protocol::signature::{CustomerRole, Domain, EnrolledKey, Item, Signature, SigningKey, verify_batch_with};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 31;
/// Of a request for payment, about.
const MESSAGE_BYTES: usize = 250;

fn thread_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn main() {
    let signed: Vec<(EnrolledKey, Vec<u8>, Signature)> = (0..1024_u32)
        .map(|number| {
            let mut seed = [0x21; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            let key = SigningKey::<CustomerRole>::from_seed(seed);
            let mut message = vec![0x5a; MESSAGE_BYTES];
            message[..4].copy_from_slice(&number.to_le_bytes());
            let signature = key.sign(Domain::REQUEST_FOR_PAYMENT, &message);
            (EnrolledKey::from_store(key.public()), message, signature)
        })
        .collect();
    let items: Vec<Item<'_>> =
        signed.iter().map(|(key, message, signature)| Item { key, message, signature }).collect();
    println!("{:<44}{:>9}{:>9}", "microseconds per signature", "minimum", "median");
    for count in [1, 2, 3, 4, 5, 6, 8, 12, 16, 64, 128, 256, 512, 1024] {
        for backend in [Name::Ifma, Name::Avx2, Name::Portable].into_iter().filter_map(Backend::forced) {
            let mut rounds: Vec<i64> = (0..ROUNDS)
                .map(|round| {
                    let start = thread_nanoseconds();
                    let seed = [round as u8; 32];
                    let report = verify_batch_with(backend, Domain::REQUEST_FOR_PAYMENT, &items[..count], seed);
                    assert!(report.all_valid());
                    thread_nanoseconds() - start
                })
                .collect();
            rounds.sort_unstable();
            let microseconds = |round: usize| rounds[round] as f64 / count as f64 / 1e3;
            let name = format!("{count} signatures, {}", backend.name());
            println!("{name:<44}{:>9.3}{:>9.3}", microseconds(0), microseconds(ROUNDS / 2));
        }
    }
}
