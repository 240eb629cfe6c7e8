//! CPU time per input of every backend this processor has, beside the libraries: minimum and median of many rounds.
//!
//!     cargo run --release -p kernels --example compare
//!
//! The time is that of the thread, so waiting for a core does not count, though what shares a core and its caches does.
//! Compare within one run only.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use kernels::{Backend, Name, Points, sha512, sum_of_multiples, x25519};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 41;
const KEYS: usize = 256;
/// Of a request for payment, about.
const MESSAGE_BYTES: usize = 300;

fn thread_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Prints the microseconds that one of `inputs` inputs takes.
fn measure<R>(name: &str, inputs: usize, mut run: impl FnMut() -> R) {
    let mut rounds: Vec<i64> = (0..ROUNDS)
        .map(|_| {
            let start = thread_nanoseconds();
            std::hint::black_box(run());
            thread_nanoseconds() - start
        })
        .collect();
    rounds.sort_unstable();
    let microseconds = |round: usize| rounds[round] as f64 / inputs as f64 / 1e3;
    println!("{name:<44}{:>9.3}{:>9.3}", microseconds(0), microseconds(ROUNDS / 2));
}

fn backends() -> Vec<Backend> {
    [Name::Ifma, Name::Avx2, Name::Portable].into_iter().filter_map(Backend::forced).collect()
}

fn measure_agreement(publics: &[[u8; 32]]) {
    let secret = [0x57; 32];
    let mut shared = vec![[0; 32]; publics.len()];
    for count in [1, 4, 16, publics.len()] {
        for backend in backends() {
            let name = format!("X25519, {count} keys, {}", backend.name());
            measure(&name, count, || x25519(backend, &secret, &publics[..count], &mut shared[..count]));
        }
    }
    measure("X25519, x25519-dalek", publics.len(), || {
        for public in publics {
            std::hint::black_box(x25519_dalek::x25519(secret, *public));
        }
    });
}

fn measure_points(encodings: &[[u8; 32]]) {
    let long: Vec<Scalar> = (17..).take(encodings.len()).map(|i: u64| Scalar::from(i).invert()).collect();
    let low_half = |scalar: &Scalar| scalar.as_bytes()[..16].try_into().map(u128::from_le_bytes);
    let short: Vec<u128> = long.iter().map(|scalar| low_half(scalar).expect("half of 32 bytes")).collect();
    for count in [16, 64, 256, 1024] {
        let all: Vec<usize> = (0..count).collect();
        for backend in backends() {
            let name = |what: &str| format!("{what}, {count}, {}", backend.name());
            measure(&name("decompress"), count, || Points::decompress(backend, &encodings[..count]));
            let points = Points::decompress(backend, &encodings[..count]);
            measure(&name("addends"), count, || points.addends(&all));
            let (keys, nonces) = (points.addends(&all), points.addends(&all));
            measure(&name("sum of z R + c A"), count, || sum_of_multiples(&keys, &long, &nonces, &short, 0..count));
        }
    }
}

fn main() {
    let choice = Backend::choice();
    println!("chosen: {}; passed over: {:?}", choice.backend.name(), choice.passed_over);
    println!("{:<44}{:>9}{:>9}", "microseconds per input", "minimum", "median");
    let encodings: Vec<[u8; 32]> =
        (1..=1024_u64).map(|i| EdwardsPoint::mul_base(&Scalar::from(i)).compress().to_bytes()).collect();
    measure_agreement(&encodings[..KEYS]);
    let message = [0xa5; MESSAGE_BYTES];
    let messages: Vec<_> = encodings[..KEYS].iter().map(|key| [key.as_slice(), &message]).collect();
    for backend in backends() {
        measure(&format!("SHA-512 of 332 bytes, {}", backend.name()), KEYS, || sha512(backend, &messages));
    }
    measure_points(&encodings);
}
