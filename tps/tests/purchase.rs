//! All three roles as processes: a server, a shop and a customer, killed, stalled, cut off and started again.
#![cfg(all(feature = "rocksdb", feature = "crash-points"))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const SONG_TEXT: &str = "A song that nobody but the shop describes";
const STREET: &str = "1 Loopback Lane";

/// The programs of the other crates lie beside this crate's: a test of the whole workspace builds them all.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tps")).with_file_name(name);
    assert!(path.exists(), "{} is not built: test the whole workspace", path.display());
    path
}

/// A server process that ends with the test.
struct Server(Child);

impl Server {
    /// Starts a server and waits for the line that begins with `ready`; the rest of that line.
    fn start(command: &mut Command, ready: &str) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix(ready).map(str::to_owned));
        (Self(child), line.expect("the server says when it is ready"))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

struct World {
    directory: tempfile::TempDir,
    account: String,
    pin: String,
    tps_address: String,
    shop_url: String,
    tps: Option<Server>,
    mts: Option<Server>,
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self {
            directory,
            account: String::new(),
            pin: String::new(),
            tps_address: "127.0.0.1:0".into(),
            shop_url: "127.0.0.1:0".into(),
            tps: None,
            mts: None,
        };
        world.tps(&["init"]);
        world.start_tps();
        let account = world.tps(&["account", "open"])["account"].as_str().unwrap().to_owned();
        world.tps(&["account", "fund", &account, "1.00"]);
        let bundle = world.path("bundle");
        let address = world.tps_address.clone();
        let enrolled = world.tps(&[
            "instrument",
            "enrol",
            &account,
            "--label",
            "laptop",
            "--bundle",
            bundle.to_str().unwrap(),
            "--address",
            &address,
        ]);
        world.cts(&["init", bundle.to_str().unwrap()], None);
        let instrument = enrolled["instrument"].as_str().unwrap();
        world.pin = world.tps(&["instrument", "new-pin", instrument])["pin"].as_str().unwrap().to_owned();
        world.account = account;
        world.open_shop();
        world
    }

    fn start_tps(&mut self) {
        let mut command = Command::new(program("tps"));
        command.arg("--data").arg(self.path("tps")).args(["serve", "--listen", &self.tps_address]);
        let (server, address) = Server::start(&mut command, "tps: ready on ");
        (self.tps, self.tps_address) = (Some(server), address);
    }

    fn start_mts(&mut self) {
        let mut command = Command::new(program("mts"));
        command.arg("-d").arg(self.path("shop")).arg("serve").arg("--catalogue").arg(self.path("goods"));
        let listen = self.shop_url.trim_start_matches("http://").trim_end_matches("/quittance").to_owned();
        command.args(["--listen", &listen]);
        let (server, url) = Server::start(&mut command, "Payments: ");
        (self.mts, self.shop_url) = (Some(server), url);
    }

    fn open_shop(&mut self) {
        let goods = self.path("goods");
        std::fs::create_dir(&goods).unwrap();
        let song: Vec<u8> = (0..300_000u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        std::fs::write(goods.join("song.flac"), song).unwrap();
        let catalogue = format!(
            "[[item]]\ncode = \"song\"\ndescription = \"{SONG_TEXT}\"\nprice = \"0.05\"\nfile = \"song.flac\"\n\
             [[item]]\ncode = \"record\"\ndescription = \"A record\"\nprice = \"0.20\"\n"
        );
        std::fs::write(goods.join("catalogue.toml"), catalogue).unwrap();
        let (set, certificate) = (self.path("keyset"), self.path("certificate"));
        let exported = self.tps(&["key", "export", "--audience", "merchant", set.to_str().unwrap()]);
        let root = exported["root_public"].as_str().unwrap();
        let made = self.mts(&["init", "--name", "Shop", "--root", root, "--key-set", set.to_str().unwrap()]);
        let request = made["certificate_request"].as_str().unwrap();
        let merchant = self.tps(&["merchant", "register", request])["merchant"].as_str().unwrap().to_owned();
        self.tps(&["merchant", "approve", &merchant, "--certificate-out", certificate.to_str().unwrap()]);
        self.mts(&["certificate", "import", certificate.to_str().unwrap()]);
        self.start_mts();
    }

    fn tps(&self, arguments: &[&str]) -> Value {
        let output = Command::new(program("tps"))
            .arg("--data")
            .arg(self.path("tps"))
            .arg("--json")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "tps {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        json(&output)
    }

    fn mts(&self, arguments: &[&str]) -> Value {
        let output = Command::new(program("mts"))
            .arg("-d")
            .arg(self.path("shop"))
            .arg("--json")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "mts {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    }

    /// Runs the customer's client, with the PIN on a descriptor, and maybe a point at which it dies.
    fn cts_output(&self, arguments: &[&str], crash_at: Option<&str>) -> Output {
        let mut command = Command::new(program("cts"));
        command.arg("--dir").arg(self.path("laptop")).arg("--json").args(arguments);
        if let Some(point) = crash_at {
            command.env("CTS_CRASH_AT", point);
        }
        if ["buy", "pay", "resume", "recover"].contains(&arguments[0]) {
            let mut pin = tempfile::tempfile().unwrap();
            writeln!(pin, "{}", self.pin).unwrap();
            std::io::Seek::rewind(&mut pin).unwrap();
            // The child inherits descriptors that are not closed on exec.
            rustix::io::fcntl_setfd(&pin, rustix::io::FdFlags::empty()).unwrap();
            command.arg("--pin-fd").arg(pin.as_raw_fd().to_string());
            return command.output().unwrap();
        }
        command.output().unwrap()
    }

    fn cts(&self, arguments: &[&str], crash_at: Option<&str>) -> Value {
        let output = self.cts_output(arguments, crash_at);
        assert!(output.status.success(), "cts {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        json(&output)
    }

    fn balance(&self) -> i64 {
        let account = self.tps(&["account", "show", &self.account]);
        account["balance"]["units"].as_str().unwrap().parse().unwrap()
    }

    fn buy_song(&self, out: &str) -> Value {
        let out = self.path(out);
        self.cts(
            &["buy", &self.shop_url, "song", "--yes", "--max-amount", "0.05", "--out", out.to_str().unwrap()],
            None,
        )
    }

    fn is_the_song(&self, name: &str) -> bool {
        std::fs::read(self.path(name)).unwrap() == std::fs::read(self.path("goods/song.flac")).unwrap()
    }

    /// Whether `text` stands in any file below `name`.
    fn holds(&self, name: &str, text: &str) -> bool {
        let found = Command::new("grep").arg("-rqaF").arg(text).arg(self.path(name)).status().unwrap();
        found.code() == Some(0)
    }
}

// spec: K-01, K-02, K-12, K-14, K-28, K-48, K-50, K-95
#[test]
fn digital_and_hard_goods_are_bought_and_nobody_learns_what_is_not_theirs() {
    let mut world = World::new();
    world.buy_song("song");
    assert!(world.is_the_song("song"));
    std::fs::write(world.path("address"), format!("Ada Example\n{STREET}\n")).unwrap();
    let address = world.path("address");
    let bought = world.cts(&["buy", &world.shop_url, "record", "--yes", "--address", address.to_str().unwrap()], None);
    assert_eq!(world.balance(), 1_000_000 - 50_000 - 200_000);
    let order = bought["order"].as_str().unwrap();
    assert!(world.mts(&["orders", "show", order]).to_string().contains(STREET));

    // Three directories, each with what is its own. No funding agency, no bank took part: there is none.
    assert!(!world.holds("tps", SONG_TEXT) && !world.holds("tps", STREET));
    assert!(!world.holds("shop", &world.account) && !world.holds("tps", "Ada Example"));

    // The shop has no socket by which it could ask the TPS: the TPS speaks UDP, the shop owns no UDP socket.
    let shop = world.mts.as_ref().unwrap().0.id();
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{shop}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    assert!(!sockets.is_empty());
    let udp = ["udp", "udp6"].map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap()).concat();
    for line in udp.lines() {
        let inode = line.split_whitespace().nth(9).unwrap_or_default();
        assert!(!sockets.iter().any(|socket| socket == inode), "the shop owns a UDP socket");
    }

    // Goods again without any TPS at all.
    world.tps.take().unwrap().kill();
    let number = world.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned();
    let again = world.path("again");
    world.cts(&["recover", &number, "--out", again.to_str().unwrap()], None);
    assert!(world.is_the_song("again"));
}

// spec: K-75, K-81
#[test]
fn the_proof_is_verified_in_a_network_namespace_without_a_network() {
    let mut world = World::new();
    world.buy_song("song");
    let number = world.cts(&["history"], None)["orders"][0]["order"].as_str().unwrap().to_owned();
    let proof = world.path("proof");
    world.cts(&["proof", &number, "--out", proof.to_str().unwrap()], None);
    world.tps.take().unwrap().kill();
    world.mts.take().unwrap().kill();
    let verify = |bytes: &[u8]| {
        std::fs::write(&proof, bytes).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--net"])
            .arg(program("mts"))
            .arg("-d")
            .arg(world.path("shop"))
            .arg("verify")
            .arg(&proof);
        command.output().unwrap()
    };
    let bytes = std::fs::read(&proof).unwrap();
    let good = verify(&bytes);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let mut altered = bytes.clone();
    altered[100] ^= 1;
    assert_eq!(verify(&altered).status.code(), Some(3));
}

// spec: K-08, K-131, K-136
#[test]
fn any_process_may_die_at_any_time_and_the_song_is_paid_once_and_delivered() {
    let mut world = World::new();
    let mut expected = 1_000_000;
    let points = [
        "after-pending-stored",
        "after-request-sent",
        "after-answer-before-store",
        "after-proof-forwarded",
        "during-goods",
    ];
    for point in points {
        let out = world.path(point);
        let arguments = ["buy", &world.shop_url.clone(), "song", "--yes", "--out", out.to_str().unwrap()];
        let died = world.cts_output(&arguments, Some(point));
        assert!(!died.status.success(), "{point}: the client died");
        world.tps.take().unwrap().kill();
        world.mts.take().unwrap().kill();
        world.start_tps();
        world.start_mts();
        world.cts(&["resume"], None);
        expected -= 50_000;
        assert_eq!(world.balance(), expected, "{point}: paid once");
        assert!(world.is_the_song(point), "{point}: delivered");
    }

    // A stalled shop holds up nothing at the TPS: the same customer pays somebody's quote meanwhile.
    let (quote, proof) = (world.path("quote"), world.path("proof"));
    world.cts(&["quote", &world.shop_url, "song", "--out", quote.to_str().unwrap()], None);
    world.mts.take().unwrap().kill();
    let pay = ["pay", quote.to_str().unwrap(), "--yes", "--proof-out", proof.to_str().unwrap()];
    world.cts(&pay, None);
    assert_eq!(world.balance(), expected - 50_000);
    world.start_mts();
    let verified = world.mts(&["verify", proof.to_str().unwrap()]);
    assert!(verified.is_object());
    world.tps(&["audit", "--proofs"]);
}

#[test]
fn frames_show_the_protocol_and_no_secret() {
    let world = World::new();
    let out = world.path("song");
    let arguments = ["buy", &world.shop_url, "song", "--yes", "--out", out.to_str().unwrap(), "--frames"];
    let output = world.cts_output(&arguments, None);
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for message in ["quote offer", "confirmation", "request-for-payment", "response", "shipping advice", "send-goods"] {
        assert!(shown.contains(message), "{message}: {shown}");
    }
    assert!(!shown.contains(&world.pin));
}
