//! Refunds with real processes: customer to merchant, merchant to TPS, and the money back.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::*;

impl World {
    /// Tells the merchant how the desk is reached.
    fn open_desk(&self) {
        let status = self.tps(&["status"]);
        let listeners = status["listeners"].as_array().unwrap();
        let desk = listeners.iter().find(|listener| listener["name"] == "desk").expect("the desk listens");
        let address = desk["address"].as_str().unwrap().to_owned();
        let file = self.path("desk");
        let _ = std::fs::remove_file(&file);
        self.tps(&["desk", "export", file.to_str().unwrap(), "--address", &address]);
        self.mts(&["desk", "use", file.to_str().unwrap()]);
    }

    fn order(&self) -> String {
        self.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned()
    }

    fn refund_status(&self, order: &str) -> String {
        self.cts(&["refund", order], None)["refund"].as_str().unwrap().to_owned()
    }

    /// What the TPS owes the only merchant, in smallest units.
    fn accrued(&self) -> i64 {
        let merchants = self.tps(&["merchant", "list"]);
        let accrued = &merchants["merchants"][0]["accrued"];
        accrued[0]["units"].as_str().map_or(0, |units| units.parse().unwrap())
    }

    fn tps_output(&self, arguments: &[&str]) -> Output {
        Command::new(program("tps")).arg("--data").arg(self.path("tps")).args(arguments).output().unwrap()
    }

    /// An account with a dollar.
    fn account_with_a_dollar(&self) -> String {
        let account = self.tps(&["account", "open"])["account"].as_str().unwrap().to_owned();
        self.tps(&["account", "fund", &account, "1.00"]);
        account
    }

    /// Another client that pays from `account`, in the directory `name`; its PIN.
    fn client(&self, account: &str, name: &str) -> String {
        let bundle = self.path(&format!("{name}.bundle"));
        let bundle = bundle.to_str().unwrap();
        let address = self.tps_address.clone();
        let enrolled =
            self.tps(&["instrument", "enrol", account, "--label", name, "--bundle", bundle, "--address", &address]);
        let made = Command::new(program("cts")).arg("--dir").arg(self.path(name)).args(["init", bundle]).output();
        assert!(made.unwrap().status.success());
        let pin = self.tps(&["instrument", "new-pin", enrolled["instrument"].as_str().unwrap()]);
        pin["pin"].as_str().unwrap().to_owned()
    }

    fn balance_of(&self, account: &str) -> i64 {
        self.tps(&["account", "show", account])["balance"]["units"].as_str().unwrap().parse().unwrap()
    }
}

/// Pays a quote from the directory and with the PIN of a customer.
fn pay(world: &World, directory: &str, pin: &str, quote: &str) {
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;
    let mut file = tempfile::tempfile().unwrap();
    writeln!(file, "{pin}").unwrap();
    file.rewind().unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let proof = world.path("any.proof");
    let _ = std::fs::remove_file(&proof);
    let output = Command::new(program("cts"))
        .arg("--dir")
        .arg(world.path(directory))
        .args(["pay", quote, "--yes", "--proof-out", proof.to_str().unwrap()])
        .args(["--pin-fd", &file.as_raw_fd().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// spec: K-17, K-96, K-98, K-101, K-103, K-104
#[test]
fn a_refund_goes_from_the_customer_over_the_merchant_to_the_tps_and_the_money_comes_back() {
    let world = World::new();
    world.open_desk();
    world.buy_song("song");
    assert_eq!((world.balance(), world.accrued()), (950_000, 50_000));
    let order = world.order();
    assert_eq!(world.refund_status(&order), "requested");
    assert_eq!(world.mts(&["refunds", "list"])["requested"][0]["number"], order.as_str());
    assert_eq!((world.balance(), world.accrued()), (950_000, 50_000), "the merchant decides");
    world.mts(&["refunds", "accept", &order]);
    assert_eq!(world.refund_status(&order), "accepted");
    let report = world.mts(&["desk", "sync"]);
    assert_eq!(report["put_through"], 1, "{report}");
    assert_eq!((world.balance(), world.accrued()), (1_000_000, 0));
    assert_eq!(world.refund_status(&order), "put-through");
    let recovered = world.cts_output(&["recover", &order, "--out", world.path("again").to_str().unwrap()], None);
    assert!(!recovered.status.success() && !world.path("again").exists(), "nothing is sent after a refund");
    // Nothing waits: another visit changes nothing.
    assert_eq!(world.mts(&["desk", "sync"])["put_through"], 0);
    assert_eq!((world.balance(), world.accrued()), (1_000_000, 0));
    let audit = world.tps(&["audit", "--proofs"]);
    assert_eq!((&audit["refunds"], &audit["differences_found"]), (&Value::from(1), &Value::from(0)));

    // One quote paid three times out of two accounts: the refund reaches all of it.
    let account = world.account_with_a_dollar();
    let pins = ["agent", "other-agent"].map(|name| world.client(&account, name));
    let quote = world.path("quote");
    let quote = quote.to_str().unwrap();
    world.cts(&["quote", &world.shop_url, "record", "--out", quote], None);
    pay(&world, "agent", &pins[0], quote);
    pay(&world, "laptop", &world.pin, quote);
    pay(&world, "other-agent", &pins[1], quote);
    assert_eq!((world.balance(), world.balance_of(&account), world.accrued()), (800_000, 600_000, 600_000));
    let proof = world.path("any.proof");
    let number = world.mts(&["verify", proof.to_str().unwrap()])["number"].as_str().unwrap().to_owned();
    let presented = world.present(&proof);
    assert!(presented, "the shop knows of one payment only");
    world.mts(&["refunds", "accept", &number]);
    assert_eq!(world.mts(&["desk", "sync"])["put_through"], 1);
    assert_eq!((world.balance(), world.balance_of(&account), world.accrued()), (1_000_000, 1_000_000, 0));
    for id in [&account, &world.account] {
        assert!(!world.holds("shop", id), "no payer stands in anything that the merchant got");
    }
    let bytes: Vec<u8> = hex::decode(&account).unwrap();
    let shop = std::fs::read(world.path("shop/orders.sqlite")).unwrap();
    assert!(!shop.windows(16).any(|window| window == bytes));
    assert_eq!(world.tps(&["audit", "--proofs"])["refunds"], 4);
}

impl World {
    /// Presents a proof to the shop, as anybody may.
    fn present(&self, proof: &std::path::Path) -> bool {
        let url = format!("{}/proof", self.shop_url);
        let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let path = url.split_once(&host).unwrap().1.to_owned();
        let body = std::fs::read(proof).unwrap();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        std::io::Write::write_all(&mut stream, &[head.as_bytes(), &body].concat()).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
        // Recorded, though nobody has confirmed the quote: the answer says so.
        answer.starts_with(b"HTTP/1.1 ")
    }
}

// spec: K-16, K-100, K-102
#[test]
fn a_batch_as_a_file_is_applied_once_and_a_damaged_one_not_at_all() {
    let world = World::new();
    let quote = world.path("quote");
    let quote = quote.to_str().unwrap();
    world.cts(&["quote", &world.shop_url, "record", "--out", quote], None);
    pay(&world, "laptop", &world.pin, quote);
    let proof = world.path("any.proof");
    let number = world.mts(&["verify", proof.to_str().unwrap()])["number"].as_str().unwrap().to_owned();
    world.present(&proof);
    world.mts(&["refunds", "accept", &number]);
    let (batch, answer, again) = (world.path("batch"), world.path("answer"), world.path("answer-again"));
    let name = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    world.mts(&["desk", "batch", &name(&batch)]);

    let bytes = std::fs::read(&batch).unwrap();
    let mut damaged = bytes.clone();
    // Within the first entry.
    damaged[80] ^= 1;
    std::fs::write(world.path("damaged"), damaged).unwrap();
    let refused = world.tps_output(&["desk", "submit", &name(&world.path("damaged")), "--answer", &name(&again)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("altered") && !again.exists());
    assert_eq!((world.balance(), world.accrued()), (800_000, 200_000), "nothing of it was applied");

    world.tps(&["desk", "submit", &name(&batch), "--answer", &name(&answer)]);
    assert_eq!((world.balance(), world.accrued()), (1_000_000, 0));
    // The pair is paid once more; the same batch again gives the same answer and moves nothing.
    let pin = world.client(&world.account, "agent");
    pay(&world, "agent", &pin, quote);
    world.tps(&["desk", "submit", &name(&batch), "--answer", &name(&again)]);
    assert_eq!(std::fs::read(&answer).unwrap(), std::fs::read(&again).unwrap());
    assert_eq!((world.balance(), world.accrued()), (800_000, 200_000));
    assert_eq!(world.mts(&["desk", "answer", &name(&answer)])["put_through"], 1);
    // A later order gives back what was paid since. No server is needed for that.
    world.mts(&["refunds", "accept", &number, "--again"]);
    let (later, later_answer) = (world.path("later"), world.path("later-answer"));
    world.mts(&["desk", "batch", &name(&later)]);
    let mut world = world;
    world.tps.take().unwrap().kill();
    world.tps(&["desk", "submit", &name(&later), "--answer", &name(&later_answer)]);
    assert_eq!(world.mts(&["desk", "answer", &name(&later_answer)])["put_through"], 1);
    assert_eq!((world.balance(), world.accrued()), (1_000_000, 0));
    assert_eq!(world.tps(&["audit", "--proofs"])["differences_found"], 0);
}

#[test]
fn a_serving_shop_visits_the_desk_by_itself_and_no_other_tps_is_believed() {
    let mut world = World::new();
    world.open_desk();
    world.buy_song("song");
    let order = world.order();
    world.mts(&["refunds", "accept", &order]);
    // The desk of another TPS at the address that the merchant knows: its certificate is not the pinned one.
    let status = world.tps(&["status"]);
    let listeners = status["listeners"].as_array().unwrap();
    let desk = listeners.iter().find(|listener| listener["name"] == "desk").unwrap();
    let address = desk["address"].as_str().unwrap().to_owned();
    world.tps.take().unwrap().kill();
    let other = world.path("other");
    let made = Command::new(program("tps")).arg("init").arg(&other).output().unwrap();
    assert!(made.status.success());
    let mut command = Command::new(program("tps"));
    command.arg("--data").arg(&other).args(["serve", "--listen", &world.tps_address]).env("TPS_DESK_LISTEN", &address);
    let (stranger, _) = Server::start(&mut command, "tps: ready on ");
    let mut sync = Command::new(program("mts"));
    let refused = sync.arg("-d").arg(world.path("shop")).args(["desk", "sync"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    stranger.kill();

    world.start_tps();
    world.open_desk();
    world.mts.take().unwrap().kill();
    let settings = world.path("shop/merchant.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("desk_sync_minutes = 60\n{text}")).unwrap();
    world.start_mts();
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.mts(&["refunds", "list"])["refunds"][0]["progress"] != "put-through" {
        assert!(Instant::now() < deadline, "the shop visits the desk when it starts");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((world.balance(), world.accrued()), (1_000_000, 0));
}
