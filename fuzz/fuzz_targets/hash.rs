//! SHA-512 of many messages in parts, with every backend: what `sha2` says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quittance_fuzz::{backend, items_max};
use sha2::{Digest, Sha512};

fuzz_target!(|input: (u8, &[u8], &[u8])| {
    let (choice, cuts, text) = input;
    let backend = backend(choice);
    // Every pair of cuts is a message: where it begins, and how long its parts are.
    let mut messages: Vec<[&[u8]; 3]> = Vec::new();
    for cut in cuts.as_chunks::<4>().0.iter().take(items_max(backend, 40)) {
        let [start, first, second, third] = cut.map(usize::from);
        let rest = &text[text.len().min(start * 2)..];
        let (first, rest) = rest.split_at(rest.len().min(first));
        let (second, rest) = rest.split_at(rest.len().min(second));
        messages.push([first, second, &rest[..rest.len().min(third)]]);
    }
    for (message, digest) in messages.iter().zip(kernels::sha512(backend, &messages)) {
        assert_eq!(digest, <[u8; 64]>::from(Sha512::digest(message.concat())), "{}", backend.name());
    }
});
