//! A server, a shop, customers' directories, and a telephone.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

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
    fn start(command: &mut Command, ready: &str, log: &Path) -> (Self, String) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix(ready).map(str::to_owned));
        (Self(child), line.expect("the server says when it is ready"))
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

/// What a mailer says.
pub(crate) struct Mailer {
    pub(crate) call: String,
    pub(crate) number: String,
    pub(crate) passcode: String,
    pub(crate) text: String,
}

impl Mailer {
    pub(crate) fn read(path: &Path) -> Self {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        let line = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
        };
        Self { call: line("Call:"), number: line("Access number:"), passcode: line("Passcode:"), text }
    }
}

pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) account: String,
    pub(crate) instrument: String,
    pub(crate) mailer: Mailer,
    tps_address: String,
    pub(crate) vru_address: String,
    shop_url: String,
    tps: Option<Server>,
    mts: Option<Server>,
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A TPS alone, with one enrolled instrument that has a mailer. `config` goes into `tps.toml`.
    pub(crate) fn without_shop(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut world = Self {
            directory,
            account: String::new(),
            instrument: String::new(),
            mailer: Mailer { call: String::new(), number: String::new(), passcode: String::new(), text: String::new() },
            tps_address: "127.0.0.1:0".into(),
            vru_address: String::new(),
            shop_url: "127.0.0.1:0".into(),
            tps: None,
            mts: None,
        };
        world.tps(&["init"]);
        std::fs::write(world.path("tps").join("tps.toml"), config).unwrap();
        world.start_tps();
        world.account = world.tps(&["account", "open"])["account"].as_str().unwrap().to_owned();
        world.tps(&["account", "fund", &world.account, "1.00"]);
        let (bundle, sheet) = (world.path("bundle"), world.path("mailer"));
        let enrolled = world.tps(&[
            "instrument",
            "enrol",
            &world.account,
            "--label",
            "laptop",
            "--bundle",
            bundle.to_str().unwrap(),
            "--mailer",
            sheet.to_str().unwrap(),
            "--address",
            &world.tps_address,
        ]);
        world.instrument = enrolled["instrument"].as_str().unwrap().to_owned();
        world.mailer = Mailer::read(&sheet);
        world
    }

    /// The same with a shop, and the instrument initialised on a laptop; without a PIN.
    pub(crate) fn new() -> Self {
        let mut world = Self::without_shop("");
        world.cts("laptop", &["init", world.path("bundle").to_str().unwrap()], None);
        world.open_shop();
        world
    }

    pub(crate) fn start_tps(&mut self) {
        let mut command = Command::new(program("tps"));
        command.arg("--data").arg(self.path("tps")).args(["serve", "--listen", &self.tps_address]);
        command.env("TPS_LOG_LEVEL", "trace");
        // The same port again after a restart, and another for the VRU, which the system chooses.
        command.env("TPS_VRU_LISTEN", "127.0.0.1:0");
        let (server, address) = Server::start(&mut command, "tps: ready on ", &self.path("tps.log"));
        (self.tps, self.tps_address) = (Some(server), address);
        let status = self.tps(&["status"]);
        let listeners = status["listeners"].as_array().unwrap();
        let line = listeners.iter().find(|listener| listener["name"] == "vru").unwrap();
        self.vru_address = line["address"].as_str().unwrap().to_owned();
    }

    /// Kills the server and starts it again.
    pub(crate) fn restart_tps(&mut self) {
        self.tps = None;
        self.start_tps();
    }

    fn open_shop(&mut self) {
        let goods = self.path("goods");
        std::fs::create_dir(&goods).unwrap();
        std::fs::write(goods.join("song.flac"), [7u8; 1_000]).unwrap();
        let catalogue = "[[item]]\ncode = \"song\"\ndescription = \"A song\"\nprice = \"0.05\"\nfile = \"song.flac\"\n";
        std::fs::write(goods.join("catalogue.toml"), catalogue).unwrap();
        let (set, certificate) = (self.path("keyset"), self.path("certificate"));
        let exported = self.tps(&["key", "export", "--audience", "merchant", set.to_str().unwrap()]);
        let root = exported["root_public"].as_str().unwrap();
        let made = self.mts(&["init", "--name", "Shop", "--root", root, "--key-set", set.to_str().unwrap()]);
        let request = made["certificate_request"].as_str().unwrap();
        let merchant = self.tps(&["merchant", "register", request])["merchant"].as_str().unwrap().to_owned();
        self.tps(&["merchant", "approve", &merchant, "--certificate-out", certificate.to_str().unwrap()]);
        self.mts(&["certificate", "import", certificate.to_str().unwrap()]);
        let mut command = Command::new(program("mts"));
        command.arg("-d").arg(self.path("shop")).arg("serve").arg("--catalogue").arg(goods);
        command.args(["--listen", &self.shop_url]);
        let (server, url) = Server::start(&mut command, "Payments: ", &self.path("mts.log"));
        (self.mts, self.shop_url) = (Some(server), url);
    }

    pub(crate) fn tps_output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("tps"));
        command.arg("--data").arg(self.path("tps")).arg("--json").args(arguments).output().unwrap()
    }

    pub(crate) fn tps(&self, arguments: &[&str]) -> Value {
        let output = self.tps_output(arguments);
        assert!(output.status.success(), "tps {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    }

    fn mts(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(program("mts"));
        let output = command.arg("-d").arg(self.path("shop")).arg("--json").args(arguments).output().unwrap();
        assert!(output.status.success(), "mts {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    }

    /// Runs a customer's client, with the PIN on a descriptor; its exit code and answer.
    pub(crate) fn cts_output(&self, directory: &str, arguments: &[&str], pin: Option<&str>) -> (i32, Value) {
        let mut command = Command::new(program("cts"));
        command.arg("--dir").arg(self.path(directory)).arg("--json").args(arguments);
        let mut file = tempfile::tempfile().unwrap();
        if let Some(pin) = pin {
            writeln!(file, "{pin}").unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            // The child inherits descriptors that are not closed on exec.
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
            command.arg("--pin-fd").arg(file.as_raw_fd().to_string());
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), json(&output))
    }

    pub(crate) fn cts(&self, directory: &str, arguments: &[&str], pin: Option<&str>) -> Value {
        let (code, value) = self.cts_output(directory, arguments, pin);
        assert_eq!(code, 0, "cts {arguments:?}: {value}");
        value
    }

    /// Tries to buy a song; the exit code of the client.
    pub(crate) fn buy(&self, directory: &str, pin: &str) -> (i32, Value) {
        let out = tempfile::tempdir().unwrap();
        let song = out.path().join("song");
        self.cts_output(
            directory,
            &["buy", &self.shop_url, "song", "--yes", "--out", song.to_str().unwrap()],
            Some(pin),
        )
    }

    /// Calls the VRU and presses keys, a part whenever it waits; everything that the voice said.
    pub(crate) fn call(&self, parts: &[&str]) -> String {
        let (code, said) = self.call_with(&[], parts);
        assert_eq!(code, 0, "{said}");
        said
    }

    /// The same with more arguments; exit code and what was said, errors too.
    pub(crate) fn call_with(&self, arguments: &[&str], parts: &[&str]) -> (i32, String) {
        let mut command = Command::new(program("tps"));
        // A telephone: no data directory, no configuration, nothing but the address.
        command.env_clear().current_dir("/").arg("vru-phone").arg(&self.vru_address).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut keys = child.stdin.take().unwrap();
        for part in parts {
            let _ = writeln!(keys, "{part}");
        }
        drop(keys);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), said)
    }

    /// Calls as the customer.
    pub(crate) fn customer_calls(&self, parts: &[&str]) -> String {
        let credentials = [self.mailer.number.as_str(), self.mailer.passcode.as_str()];
        self.call(&[&credentials[..], parts].concat())
    }

    /// Gets a new PIN from the VRU.
    pub(crate) fn new_pin(&self) -> String {
        let said = self.customer_calls(&["1", "1", "2", "0"]);
        let line = said.lines().find_map(|line| line.strip_prefix("Your new PIN is "));
        let spoken = line.unwrap_or_else(|| panic!("{said}")).split('.').next().unwrap();
        spoken.replace(' ', "")
    }

    /// Files below `name` that hold `text`.
    pub(crate) fn holds(&self, name: &str, text: &str) -> String {
        let found = Command::new("grep").arg("-rlaF").arg(text).arg(self.path(name)).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    }
}
