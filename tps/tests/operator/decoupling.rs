//! K-07 on a real server: each service beside payments fails, seen to fail, and a purchase succeeds all the same. A new service gets a
//! row in [`SERVICES`].

use std::path::Path;

use crate::harness::{Installation, Server, files};
use crate::paying::{Customer, Merchant};

/// Uses a service that must fail; what it says.
type Use = fn(&Installation, &Server, &Merchant) -> String;

/// A service beside payments.
struct Service {
    name: &'static str,
    /// Makes it fail from now on, under a running server.
    stop: fn(&Installation),
    /// Uses it. What it says must contain the text: it does fail, and for that reason.
    fails: (Use, &'static str),
}

const SERVICES: [Service; 5] = [
    Service {
        name: "settlement",
        stop: |tps| block(&tps.data.join("settlements")),
        fails: (|tps, _, _| tps.refused(&["settlement", "close"]), "settlements"),
    },
    Service {
        name: "statements",
        stop: |tps| block(&tps.data.join("statements")),
        fails: (
            |tps, _, merchant| tps.refused(&["statement", "merchant", &merchant.id, "--from", "2020-01-01"]),
            "statements",
        ),
    },
    Service {
        name: "refunds",
        stop: |tps| remove_keys(tps, "desk-"),
        fails: (|tps, _, _| tps.refused(&["desk", "export", "away.desk", "--address", "127.0.0.1:1"]), "desk"),
    },
    Service {
        name: "notarisation",
        stop: |tps| remove_keys(tps, "notary-"),
        fails: (|tps, _, _| tps.refused(&["notary", "attest", &"00".repeat(32)]), "no notary key"),
    },
    Service {
        name: "funding adapter",
        stop: |tps| {
            let _ = std::fs::remove_dir_all(tps.data.join("funding"));
            block(&tps.data.join("funding"));
        },
        fails: (
            |_, server, _| {
                // The adapter is asked every second; the log says when it could not be.
                for _ in 0..200 {
                    let log = std::fs::read_to_string(&server.log).unwrap();
                    if let Some(line) = log.lines().find(|line| line.contains("a job failed")) {
                        return line.to_owned();
                    }
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                String::new()
            },
            "funding",
        ),
    },
];

/// Removes the secret keys whose files' names begin so.
fn remove_keys(tps: &Installation, beginning: &str) {
    let keys = files(&tps.data.join("keys"));
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(beginning);
    keys.iter().filter(|path| named(path)).for_each(|path| std::fs::remove_file(path).unwrap());
}

/// A file where a service needs a directory.
fn block(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir_all(path).unwrap();
    }
    std::fs::write(path, "in the way").unwrap();
}

// spec: K-07
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_succeeds_whatever_service_beside_it_fails() {
    let tps = Installation::new();
    let funding = format!("funding_key = \"{}\"\n", "11".repeat(32));
    std::fs::write(tps.data.join("tps.toml"), funding).unwrap();
    let server = tps.serve(&["--log-level", "info"]);
    let merchant = Merchant::certified(&tps);
    let customer = Customer::enrolled(&tps, &server, "one").await;
    // There is something to settle, to state and to pay out.
    let (quote, proof) = customer.pay(&merchant).await;
    merchant.accepts(&quote, &proof).unwrap();
    for service in &SERVICES {
        (service.stop)(&tps);
        let (fails, reason) = service.fails;
        let said = fails(&tps, &server, &merchant);
        assert!(said.contains(reason), "{}: {said}", service.name);
        // All services before it stay stopped, too.
        let (quote, proof) = customer.pay(&merchant).await;
        merchant.accepts(&quote, &proof).unwrap_or_else(|error| panic!("{}: {error}", service.name));
    }
    customer.wallet.close().await;
    server.terminate();
    assert!(tps.run(&["audit", "--proofs"]).status.success());
}
