//! Whether the vector lanes are worth their code: each kernel against the portable one, in turn, in one process.
//!
//! Ends with an error where a kernel is not at least so many times faster as is asked of it. What is asked is generous,
//! because a ratio on a busy machine wanders; what it catches is a kernel that has lost its point, for example because a
//! compiler stopped inlining its arithmetic. Prints why where there is nothing to compare.

use std::hint::black_box;
use std::process::ExitCode;

use benches::fixtures::{OpenedRequest, bytes32, opened_request, processor_secret};
use benches::measure::{Spread, measure};
use kernels::{Backend, Name, Points, sha512, x25519};
use protocol::signature::{Domain, Item, verify_batch_with};

/// Items in one call: what a worker takes at once.
const ITEMS: usize = 256;
/// Times that both are measured, one right after the other.
const PAIRS: usize = 15;

/// Something that a kernel does, with the ratio that is asked of it.
struct Subject<'a> {
    name: &'static str,
    least: f64,
    work: Box<dyn Fn(Backend) + 'a>,
}

fn subjects(requests: &[OpenedRequest]) -> [Subject<'_>; 4] {
    let secret = *processor_secret().expose();
    let publics: Vec<[u8; 32]> = requests.iter().map(|opened| opened.request.ephemeral.0).collect();
    let encodings: Vec<[u8; 32]> = requests.iter().map(|opened| *opened.key.as_bytes()).collect();
    let agree = move |backend| {
        let mut shared = [[0; 32]; ITEMS];
        x25519(backend, black_box(&secret), &publics, &mut shared);
        black_box(&shared);
    };
    let decompress = move |backend| {
        black_box(Points::decompress(backend, black_box(&encodings)));
    };
    let hash = |backend| {
        let messages: Vec<[&[u8]; 1]> = requests.iter().map(|opened| [&opened.signed[..]]).collect();
        black_box(sha512(backend, black_box(&messages)));
    };
    let verify = |backend| {
        let items = requests.iter().map(|opened| {
            let OpenedRequest { key, signed, signature, .. } = opened;
            Item { key: key.enrolled(), message: signed, signature }
        });
        let items: Vec<Item<'_>> = items.collect();
        assert!(verify_batch_with(backend, Domain::REQUEST_FOR_PAYMENT, &items, bytes32(8, 0)).all_valid());
    };
    [
        Subject { name: "x25519", least: 1.5, work: Box::new(agree) },
        Subject { name: "decompression of points", least: 1.5, work: Box::new(decompress) },
        Subject { name: "sha512", least: 1.5, work: Box::new(hash) },
        Subject { name: "verification of a batch", least: 1.2, work: Box::new(verify) },
    ]
}

/// How many times faster `backend` is than the portable one, pair by pair.
fn ratio(work: &dyn Fn(Backend), backend: Backend) -> Spread {
    let pair = || {
        let portable = measure(ITEMS, || work(Backend::PORTABLE)).1.cpu_us;
        portable / measure(ITEMS, || work(backend)).1.cpu_us
    };
    // Warms up code and caches of both.
    pair();
    Spread::of((0..PAIRS).map(|_| pair()))
}

fn main() -> ExitCode {
    for (name, obstacle) in &Backend::choice().passed_over {
        println!("{name}: {obstacle}");
    }
    let vectors: Vec<Backend> = [Name::Ifma, Name::Avx2].into_iter().filter_map(Backend::forced).collect();
    if vectors.is_empty() {
        println!("nothing to compare: this processor has none of the vector instructions");
        return ExitCode::SUCCESS;
    }
    let requests: Vec<OpenedRequest> = (0..ITEMS).map(opened_request).collect();
    let mut code = ExitCode::SUCCESS;
    for backend in vectors {
        println!("{} against {}, {ITEMS} at a time", backend.name(), Backend::PORTABLE.name());
        for Subject { name, least, work } in subjects(&requests) {
            let Spread { minimum, median, maximum } = ratio(&work, backend);
            let enough = median >= least;
            let verdict = if enough { "" } else { "  TOO LITTLE" };
            println!("  {name:<24} {median:.2} times faster ({minimum:.2} to {maximum:.2}), asked: {least}{verdict}");
            if !enough {
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
