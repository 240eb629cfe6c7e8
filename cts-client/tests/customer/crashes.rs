//! The command is ended at every named point, as by a power failure, and run again.

#![cfg(feature = "crash-points")]

use cts_client::crash::CRASH_POINTS;

use crate::command_line::run;
use crate::secrets::oracles;
use crate::world::{PIN, World, pin};

/// Points that `init` passes, and the one that only `recover` passes; all others belong to `buy`.
const INIT: &[&str] =
    &["after-keys-stored", "after-activation-sent", "after-activation-answer", "after-payment-state-stored"];
const RECOVER: &str = "after-renegotiation-stored";

// spec: K-61, K-64, K-94, K-131
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_anywhere_neither_pays_twice_nor_loses_anything() {
    let world = World::new().await;
    for (index, point) in CRASH_POINTS.iter().enumerate() {
        let number = index as u8 + 1;
        let directory = world.directory(number);
        let bundle = world.output("bundle");
        std::fs::write(&bundle, protocol::codec::Canonical::encode(&world.tps.bundle(number))).unwrap();
        let init = ["init", bundle.to_str().unwrap()];
        if INIT.contains(point) {
            let killed = run(&directory, &init, "", Some(point)).await;
            assert_eq!(killed.status.code(), None, "{point} was not reached");
        }
        let init = run(&directory, &init, "", None).await;
        assert!(init.status.success(), "{point}: {}", String::from_utf8_lossy(&init.stderr));
        world.tps.set_pin(number, PIN);
        let (requests_before, debits_before) = {
            let state = world.tps.state();
            (state.requests.len(), state.debits.len())
        };

        let (url, song) = (world.shop.url(), world.output(&format!("song-{number}")).display().to_string());
        let buy = ["buy", &url, "song", "--yes", "--out", &song, "--pin-fd", "0"];
        let crash_at = (!INIT.contains(point) && *point != RECOVER).then_some(*point);
        let bought = run(&directory, &buy, PIN, crash_at).await;
        assert_eq!(bought.status.success(), crash_at.is_none(), "{point} was not reached");
        let requests = world.tps.state().requests[requests_before..].to_vec();
        assert_eq!(oracles(&directory, &requests, &pin(PIN)), Vec::<&str>::new(), "{point}");

        if crash_at.is_some() {
            let resumed = run(&directory, &["--json", "resume", "--pin-fd", "0"], PIN, None).await;
            let text = String::from_utf8_lossy(&resumed.stdout).into_owned();
            assert!(resumed.status.success(), "{point}: {text} {}", String::from_utf8_lossy(&resumed.stderr));
        }
        if *point == RECOVER {
            let (.., purchases) = cts_client::wallet::look(&directory).unwrap();
            let order = purchases[0].purchase.number().unwrap().to_string();
            std::fs::remove_file(&song).unwrap();
            let killed = run(&directory, &["recover", &order], "", Some(point)).await;
            assert_eq!(killed.status.code(), None, "{point} was not reached");
            assert!(run(&directory, &["recover", &order], "", None).await.status.success());
        }
        assert_eq!(std::fs::read(&song).unwrap(), crate::shop::song(), "{point}");
        assert_eq!(world.tps.state().debits.len(), debits_before + 1, "{point}: one debit");
        let (status, ..) = cts_client::wallet::look(&directory).unwrap();
        assert_eq!(status.open_purchases, 0, "{point}");
        // Nothing half written is left once the directory was used again.
        let again = run(&directory, &["quote", &url, "song"], "", None).await;
        assert!(again.status.success());
    }
}
