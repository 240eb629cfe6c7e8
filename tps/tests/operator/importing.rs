//! Instruments that an issuer personalised itself.

use protocol::signature::{CustomerRole, SigningKey};

use crate::harness::{Installation, set_mode};

const HEADER: &str = "instrument,account,asset,opening_balance,public_key,device_key,pin,label\n";

/// The row of an instrument that is alone in its account.
fn row(number: u8, opening: &str) -> String {
    let id = hex::encode([number; 16]);
    let public = hex::encode(SigningKey::<CustomerRole>::from_seed([number; 32]).public());
    format!("{id},{id},,{opening},{public},{},12345{},agent {number}\n", hex::encode([number; 32]), number % 10)
}

fn write(tps: &Installation, rows: &[String]) {
    std::fs::write(tps.path("issued.csv"), format!("{HEADER}{}", rows.concat())).unwrap();
    set_mode(&tps.path("issued.csv"), 0o600);
}

#[test]
fn an_issuers_file_becomes_instruments_that_the_audit_accepts() {
    for running in [false, true] {
        let tps = Installation::with(&["--shards", "2"]);
        let server = running.then(|| tps.serve(&[]));
        let rows: Vec<String> = (1..=40).map(|number| row(number, "2.50")).collect();
        write(&tps, &rows[..20]);
        let told = tps.json(&["instrument", "import", "issued.csv"]);
        assert_eq!((&told["instruments"], &told["accounts"]), (&20.into(), &20.into()), "{told}");
        assert_eq!(told["credited"][0]["units"], "50000000");
        write(&tps, &rows);
        let told = tps.json(&["instrument", "import", "issued.csv"]);
        assert_eq!((&told["instruments"], &told["already_there"]), (&20.into(), &20.into()), "{told}");
        let told = tps.json(&["instrument", "import", "issued.csv"]);
        assert_eq!((&told["instruments"], &told["already_there"]), (&0.into(), &40.into()), "{told}");

        let shown = tps.json(&["instrument", "show", &hex::encode([7; 16])]);
        assert_eq!(
            (&shown["stage"], &shown["pin"], &shown["label"]),
            (&"active".into(), &"set".into(), &"agent 7".into())
        );
        let account = tps.json(&["account", "show", &hex::encode([7; 16])]);
        assert_eq!(account["balance"]["units"], "2500000");
        let status = tps.json(&["status"]);
        assert_eq!(
            (&status["sums"][0]["funding"]["units"], &status["sums"][0]["total"]["units"]),
            (&"-100000000".into(), &"0".into())
        );
        tps.json(&["audit"]);
        if let Some(server) = server {
            let log = server.terminate();
            assert!(!log.contains("123451") && !log.contains(&hex::encode([7; 32])), "secrets are not logged");
            assert_eq!(tps.json(&["instrument", "show", &hex::encode([7; 16])]), shown, "it is durable");
            tps.json(&["audit"]);
        }
    }
}

#[test]
fn a_wrong_row_is_named_by_its_line_and_nothing_of_its_chunk_is_applied() {
    let tps = Installation::new();
    write(&tps, &[row(1, "1")]);
    tps.json(&["instrument", "import", "issued.csv"]);
    let contradiction = row(1, "").replace("agent 1", "agent 9");
    let small_order =
        row(3, "").replacen(&row(3, "").split(',').nth(4).unwrap().to_owned(), &format!("01{}", "00".repeat(31)), 1);
    let cases: [(&str, &str); 6] = [
        (&contradiction, "label"),
        (&small_order, "small order"),
        (&row(1, "").replacen(",0101", ",0202", 1), "exists already with another account"),
        (&row(3, "x"), "is not an amount"),
        (&row(3, "").replace(",,", ",EUR2,"), "registry"),
        ("nonsense,,,,,,,\n", "instrument id"),
    ];
    for (wrong, expected) in cases {
        write(&tps, &[row(2, "1"), wrong.to_owned()]);
        let message = tps.refused(&["instrument", "import", "issued.csv"]);
        assert!(message.contains("line 3") && message.contains(expected), "{message}");
        assert_eq!(tps.json(&["account", "list"])["accounts"].as_array().unwrap().len(), 1, "{expected}");
    }
    let sharded = Installation::with(&["--shards", "5"]);
    write(&sharded, &[row(3, "").replacen("03030303", "04040303", 1)]);
    assert!(sharded.refused(&["instrument", "import", "issued.csv"]).contains("different shards"));
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let tps = Installation::new();
    write(&tps, &[row(1, "1")]);
    set_mode(&tps.path("issued.csv"), 0o640);
    let message = tps.refused(&["instrument", "import", "issued.csv"]);
    assert!(message.contains("chmod 600"), "{message}");
    set_mode(&tps.path("issued.csv"), 0o600);
    std::fs::write(tps.path("issued.csv"), "instrument,account\n").unwrap();
    assert!(tps.refused(&["instrument", "import", "issued.csv"]).contains("lacks the column `asset`"));
}
