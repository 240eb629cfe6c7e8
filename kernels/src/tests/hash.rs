//! SHA-512.

use sha2::{Digest, Sha512};

use crate::{Backend, sha512};

#[test]
fn digests_agree_at_every_length() {
    let text: Vec<u8> = (0..1100_u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let messages: Vec<[&[u8]; 3]> = (0..text.len())
        // Longest first, so that the order within does not help.
        .rev()
        .map(|length| [&text[..length / 5], &text[length / 5..length / 2], &text[length / 2..length]])
        .collect();
    let expected: Vec<[u8; 64]> = messages.iter().map(|message| Sha512::digest(message.concat()).into()).collect();
    for backend in Backend::available() {
        assert_eq!(sha512(backend, &messages), expected, "{}", backend.name());
        for count in 0..20 {
            assert_eq!(sha512(backend, &messages[700..700 + count]), expected[700..700 + count]);
        }
        // Short ones beside a long one.
        let mixed = [[text.as_slice()], [b"".as_slice()], [b"abc".as_slice()]];
        let known = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                     2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let digest: String = sha512(backend, &mixed)[2].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, known);
    }
}
