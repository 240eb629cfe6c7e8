//! The program under test, its directory and its server.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use protocol::certificate::CertificateRequest;
use protocol::codec::Canonical;
use protocol::enrolment::EnrolmentBundle;
use protocol::session::AgreementSecret;
use protocol::signature::SigningKey;
use serde_json::Value;

pub(crate) const TPS: &str = env!("CARGO_BIN_EXE_tps");

/// A directory with a TPS in it.
pub(crate) struct Installation {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) data: PathBuf,
}

/// A server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    ready: String,
    pub(crate) log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let errors = std::fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().and_then(Result::ok).unwrap_or_default();
        assert!(ready.starts_with("tps: ready on "), "{ready}{}", std::fs::read_to_string(&log).unwrap());
        Self { child, ready, log }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Has it end in order; what it logged.
    pub(crate) fn terminate(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.ready.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let made = Command::new(TPS).arg("init").arg(&data).args(options).env_remove("TPS_DATA").output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        Self { directory, data }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TPS);
        // No terminal: whatever asks for a passphrase must fail instead of waiting.
        command.args(arguments).env("TPS_DATA", &self.data).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; its answer.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that must fail with exit code 1 and one line on standard error; that line.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty() && message.starts_with("tps: ") && message.lines().count() == 1, "{message}");
        message
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Server::start(command, self.path("server.log"))
    }

    /// An account with ten dollars.
    pub(crate) fn account(&self) -> String {
        let account = id(&self.json(&["account", "open", "--reference", "agency/17"]), "account");
        self.json(&["account", "fund", &account, "10", "--deposit", "first"]);
        account
    }

    /// An instrument of an account, and its bundle.
    pub(crate) fn enrol(&self, account: &str, label: &str) -> (String, EnrolmentBundle) {
        let file = format!("{label}.bundle");
        let order =
            ["instrument", "enrol", account, "--label", label, "--bundle", &file, "--address", "127.0.0.1:4433"];
        let told = self.json(&order);
        assert_eq!(mode(&self.path(&file)), 0o600);
        (id(&told, "instrument"), EnrolmentBundle::decode(&std::fs::read(self.path(&file)).unwrap()).unwrap())
    }

    /// A file with the request of a merchant of this name.
    pub(crate) fn request(&self, name: &str, seed: u8) -> CertificateRequest {
        let session = AgreementSecret::from_random([seed; 32]).public();
        let request = CertificateRequest::new(name.to_owned(), session, &SigningKey::from_seed([seed; 32])).unwrap();
        std::fs::write(self.path(&format!("{name}.request")), request.encode()).unwrap();
        request
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text field of an answer.
pub(crate) fn id(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")).to_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
