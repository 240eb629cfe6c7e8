//! Statements as the operator asks for them.

use serde_json::Value;

use crate::harness::{Installation, id, mode, text};
use crate::paying::{Customer, Merchant};

fn units(money: &Value) -> i64 {
    id(money, "units").parse().unwrap()
}

// spec: K-106
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_come_from_a_running_server_and_from_a_stopped_one() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let merchant = Merchant::certified(&tps);
    let customer = Customer::enrolled(&tps, &server, "one").await;
    for _ in 0..3 {
        customer.pay(&merchant).await;
    }
    tps.json(&["settlement", "close"]);
    let now = ["--from", "2020-01-01"];
    let account = ["statement", "account", &customer.account[..8], now[0], now[1]];
    let statement = tps.json(&account);
    let usd = &statement["assets"][0];
    assert_eq!((units(&usd["opening"]), units(&usd["closing"])), (0, 9_999_700));
    let balance = &tps.json(&["account", "show", &customer.account])["balance"];
    assert_eq!(units(&usd["closing"]), units(balance));
    let kinds: Vec<_> = usd["movements"].as_array().unwrap().iter().map(|sum| id(sum, "kind")).collect();
    assert_eq!(kinds, ["deposit", "payment"]);

    let of_merchant = ["statement", "merchant", &merchant.id, now[0], now[1], "--lines"];
    let statement = tps.json(&of_merchant);
    let kinds: Vec<(String, i64)> = statement["assets"][0]["movements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sum| (id(sum, "kind"), units(&sum["sum"])))
        .collect();
    assert_eq!(kinds, [("payment".to_owned(), 300), ("payout".to_owned(), -300)]);
    let lines = statement["lines"].as_array().unwrap();
    assert_eq!((lines.len(), units(&statement["assets"][0]["closing"])), (4, 0));
    assert!(!statement.to_string().contains(&customer.account));
    let shown = text(&tps.run(&of_merchant).stdout);
    assert!(shown.contains("closing balance") && shown.contains("payout") && shown.contains("0.000300"), "{shown}");
    let table = text(&tps.run(&[&of_merchant[..], &["--format", "csv"]].concat()).stdout);
    assert_eq!(table.lines().count(), 1 + 4 + 4, "head, balances and sums, lines: {table}");
    assert!(table.lines().all(|line| line.matches(',').count() == 7), "{table}");
    assert_eq!(std::fs::read_dir(tps.data.join("statements")).unwrap().count(), 0, "nothing is left behind");

    // Everybody's, into a directory that nobody else may enter.
    let told = tps.json(&["statement", "all", "--from", "2020-01-01", "served"]);
    assert_eq!(told["statements"], 2);
    assert_eq!(mode(&tps.path("served")), 0o700);
    let summary: Value =
        serde_json::from_str(&std::fs::read_to_string(tps.path("served/summary.json")).unwrap()).unwrap();
    assert_eq!(units(&summary["accounts"][0]["closing"]), 9_999_700);
    assert!(tps.refused(&["statement", "all", "--from", "2020-01-01", "served"]).contains("served"));
    let jobs = tps.json(&["statement", "jobs"]);
    let states: Vec<_> =
        jobs["orders"].as_array().unwrap().iter().map(|order| id(&order["progress"], "state")).collect();
    assert_eq!(states, ["done", "done", "done", "done", "done", "failed"]);
    customer.wallet.close().await;

    // What was asked wrongly, and a month with nothing in it.
    assert!(tps.refused(&["statement", "account", "ffff", now[0], now[1]]).contains("no account"));
    assert!(tps.refused(&["statement", "merchant", &merchant.id, "--month", "2999-01"]).contains("in the future"));
    assert_eq!(tps.run(&["statement", "merchant", &merchant.id, "--month", "2026-13"]).status.code(), Some(2));
    let past = tps.json(&["statement", "account", &customer.account, "--month", "2024-02"]);
    assert_eq!((units(&past["assets"][0]["closing"]), &past["from_ms"]), (0, &1_706_745_600_000u64.into()));

    // The same from a stopped server's database.
    server.terminate();
    tps.json(&["statement", "all", "--from", "2020-01-01", "stopped"]);
    let file = format!("accounts/{}.json", customer.account);
    let read = |directory: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(tps.path(directory).join(&file)).unwrap()).unwrap()
    };
    assert_eq!(read("served")["assets"], read("stopped")["assets"]);
}
