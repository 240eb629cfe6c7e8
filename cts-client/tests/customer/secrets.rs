//! Whoever has the customer's disk and every byte of the wire still cannot search for the PIN (K-64): no stored byte is a
//! key of a request, and none depends on the PIN.

use std::path::Path;

use cts_client::clock;
use protocol::pin::Pin;
use protocol::request::ReceivedRequest;
use protocol::session::payment::PaymentSession;
use protocol::session::{AgreementPublic, AgreementSecret};

use crate::world::{EPHEMERAL_AT, PIN, World, one, pin};

fn files(directory: &Path, into: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(std::fs::read(path).unwrap());
        }
    }
}

/// The files as they are, and every stretch of hexadecimal digits in them decoded.
fn views(directory: &Path) -> Vec<Vec<u8>> {
    let mut views = Vec::new();
    files(directory, &mut views);
    let decoded: Vec<_> = views
        .iter()
        .flat_map(|bytes| bytes.split(|byte| !byte.is_ascii_hexdigit()))
        .filter(|digits| digits.len() >= 64)
        .filter_map(|digits| hex::decode(digits).ok())
        .collect();
    views.extend(decoded);
    views
}

/// What in `directory` would permit a search for the PIN behind `requests`.
pub(crate) fn oracles(directory: &Path, requests: &[Vec<u8>], secret_pin: &Pin) -> Vec<&'static str> {
    let mut found = Vec::new();
    let modifier = std::fs::read(directory.join("payment.json")).ok().map(|bytes| {
        let state: protocol::customer::payment::PaymentState = serde_json::from_slice(&bytes).unwrap();
        state.modifier()
    });
    let modified = secret_pin.modified(modifier.unwrap_or_default()).0;
    let digits = secret_pin.expose();
    let processor = AgreementSecret::from_random([0xf6; 32]).public();
    let requests: Vec<_> = requests.iter().map(|bytes| ReceivedRequest::parse(bytes).unwrap()).collect();
    for view in views(directory) {
        let holds = |needle: &[u8]| view.windows(needle.len()).any(|window| window == needle);
        if holds(digits.as_bytes()) {
            found.push("the PIN");
        }
        if holds(&modified.to_le_bytes()) || holds(&modified.to_be_bytes()) || holds(modified.to_string().as_bytes()) {
            found.push("the modified PIN");
        }
        for window in view.windows(32) {
            let mut key = [0; 32];
            key.copy_from_slice(window);
            let public = AgreementSecret::from_random(key).public();
            for request in &requests {
                if public == request.ephemeral {
                    found.push("an ephemeral secret");
                }
                if request.open(&PaymentSession::from_shared(&key, &request.ephemeral, &processor)).is_ok() {
                    found.push("a shared secret");
                }
            }
        }
    }
    found
}

// spec: K-64, K-112, K-122
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_no_oracle_for_the_pin_and_planted_ones_are_found() {
    let world = World::new().await;
    let wallet = world.customer(1).await;
    let quoted = wallet.quote(&world.shop.url(), one("song")).await.unwrap();
    world.tps.state().faults.lose_answers = 2;
    assert!(wallet.pay(&quoted).await.is_err());
    let requests = world.tps.state().requests.clone();
    let directory = world.directory(1);
    assert_eq!(oracles(&directory, &requests, &pin(PIN)), Vec::<&str>::new());
    wallet.settle().await.unwrap();
    assert_eq!(oracles(&directory, &requests, &pin(PIN)), Vec::<&str>::new());

    // What a careless client would leave behind.
    let planted = directory.join("planted");
    std::fs::write(&planted, format!("pin={PIN}")).unwrap();
    assert!(oracles(&directory, &[], &pin(PIN)).contains(&"the PIN"));
    let state: protocol::customer::payment::PaymentState =
        serde_json::from_slice(&std::fs::read(directory.join("payment.json")).unwrap()).unwrap();
    std::fs::write(&planted, pin(PIN).modified(state.modifier()).0.to_string()).unwrap();
    assert!(oracles(&directory, &[], &pin(PIN)).contains(&"the modified PIN"));

    let ephemeral = clock::ephemeral();
    let mut request = requests[0].clone();
    // The sealed half does not matter for this one: the key alone gives the session away.
    request[EPHEMERAL_AT..EPHEMERAL_AT + 32].copy_from_slice(&ephemeral.public().0);
    std::fs::write(&planted, hex::encode(ephemeral.expose())).unwrap();
    assert!(oracles(&directory, &[request], &pin(PIN)).contains(&"an ephemeral secret"));
    let ReceivedRequest { ephemeral: AgreementPublic(public), .. } = ReceivedRequest::parse(&requests[0]).unwrap();
    let shared = AgreementSecret::from_random([0xf6; 32]).agree(&AgreementPublic(public)).unwrap();
    std::fs::write(&planted, hex::encode(&shared[..])).unwrap();
    assert!(oracles(&directory, &requests[..1], &pin(PIN)).contains(&"a shared secret"));
}
