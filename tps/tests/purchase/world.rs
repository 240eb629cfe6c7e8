//! The programs under test, their directories, and what they say.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const SONG_TEXT: &str = "A song that nobody but the shop describes";
pub(crate) const STREET: &str = "1 Loopback Lane";
pub(crate) const CARD: &str = "card-4711-0815";

/// The programs of the other crates lie beside this crate's: a test of the whole workspace builds them all.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tps")).with_file_name(name);
    assert!(path.exists(), "{} is not built: test the whole workspace", path.display());
    path
}

/// A server process that ends with the test.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// Starts a server and waits for the line that begins with `ready`; the rest of that line.
    pub(crate) fn start(command: &mut Command, ready: &str) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix(ready).map(str::to_owned));
        (Self(child), line.expect("the server says when it is ready"))
    }

    pub(crate) fn kill(mut self) {
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

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) account: String,
    pub(crate) pin: String,
    pub(crate) tps_address: String,
    pub(crate) shop_url: String,
    pub(crate) tps: Option<Server>,
    pub(crate) mts: Option<Server>,
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn new() -> Self {
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

    pub(crate) fn start_tps(&mut self) {
        let mut command = Command::new(program("tps"));
        command.arg("--data").arg(self.path("tps")).args(["serve", "--listen", &self.tps_address]);
        let (server, address) = Server::start(&mut command, "tps: ready on ");
        (self.tps, self.tps_address) = (Some(server), address);
    }

    pub(crate) fn start_mts(&mut self) {
        let mut command = Command::new(program("mts"));
        command.arg("-d").arg(self.path("shop")).arg("serve").arg("--catalogue").arg(self.path("goods"));
        let listen = self.shop_url.trim_start_matches("http://").trim_end_matches("/quittance").to_owned();
        command.args(["--listen", &listen]);
        let (server, url) = Server::start(&mut command, "Payments: ");
        (self.mts, self.shop_url) = (Some(server), url);
    }

    pub(crate) fn open_shop(&mut self) {
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

    pub(crate) fn tps(&self, arguments: &[&str]) -> Value {
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

    pub(crate) fn mts(&self, arguments: &[&str]) -> Value {
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
    pub(crate) fn cts_output(&self, arguments: &[&str], crash_at: Option<&str>) -> Output {
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

    pub(crate) fn cts(&self, arguments: &[&str], crash_at: Option<&str>) -> Value {
        let output = self.cts_output(arguments, crash_at);
        assert!(output.status.success(), "cts {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        json(&output)
    }

    pub(crate) fn balance(&self) -> i64 {
        let account = self.tps(&["account", "show", &self.account]);
        account["balance"]["units"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn buy_song(&self, out: &str) -> Value {
        let out = self.path(out);
        self.cts(
            &["buy", &self.shop_url, "song", "--yes", "--max-amount", "0.05", "--out", out.to_str().unwrap()],
            None,
        )
    }

    pub(crate) fn is_the_song(&self, name: &str) -> bool {
        std::fs::read(self.path(name)).unwrap() == std::fs::read(self.path("goods/song.flac")).unwrap()
    }

    /// Whether `text` stands in any file below `name`.
    pub(crate) fn holds(&self, name: &str, text: &str) -> bool {
        let found = Command::new("grep").arg("-rqaF").arg(text).arg(self.path(name)).status().unwrap();
        found.code() == Some(0)
    }
}
