//! Keys at rest: encrypted from the beginning or later, opened by whoever may, and in no file in clear.

use std::path::{Path, PathBuf};

use protocol::key_set::KeyRole;
use tps::data_directory::DataDirectory;
use tps::keys::{KeyFile, KeyRing, TlsKey};

use crate::harness::{Installation, files, id, mode, set_mode, text};

/// Names the key file in the configuration, as an operator does.
pub(crate) fn configure(tps: &Installation, line: &str) {
    std::fs::write(tps.data.join("tps.toml"), format!("{line}\n")).unwrap();
}

/// Makes a key file and returns its path as text.
pub(crate) fn key_file(tps: &Installation, name: &str) -> String {
    tps.json(&["key", "new-key-file", name]);
    assert_eq!(mode(&tps.path(name)), 0o600);
    tps.path(name).display().to_string()
}

/// A passphrase file.
fn passphrase_file(tps: &Installation, name: &str, passphrase: &str) -> String {
    std::fs::write(tps.path(name), passphrase).unwrap();
    set_mode(&tps.path(name), 0o600);
    tps.path(name).display().to_string()
}

/// Every secret of the directory, opened with what its configuration names: seeds and the TLS key.
pub(crate) fn secrets(tps: &Installation) -> Vec<Vec<u8>> {
    let data = DataDirectory::open(&tps.data).unwrap();
    let mut secrets = vec![TlsKey::load(&data).unwrap().private_key_pkcs8_der.to_vec()];
    for path in files(&data.keys()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        if path.ends_with("identity.toml") {
            continue;
        }
        let key = KeyFile::load(&path, None).unwrap();
        secrets.push(key.secret(data.vault(), &path).unwrap().unwrap().to_vec());
    }
    secrets
}

/// How many of `secrets` stand in a file of the directory, as bytes or in hexadecimal.
pub(crate) fn found(directory: &Path, secrets: &[Vec<u8>]) -> usize {
    // The database of a running server removes files of its own at any time; its socket is no file.
    let contents: Vec<Vec<u8>> = files(directory).iter().filter_map(|path| std::fs::read(path).ok()).collect();
    assert!(contents.len() > 10);
    let holds = |wanted: &[u8]| contents.iter().any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted));
    // Of the TLS key its secret part: the rest of the encoding is public.
    let part = |secret: &[u8]| if secret.len() > 32 { secret[36..68].to_vec() } else { secret.to_vec() };
    let shown = |secret: &&Vec<u8>| holds(&part(secret)) || holds(hex::encode(part(secret)).as_bytes());
    secrets.iter().filter(shown).count()
}

// spec: K-65
#[test]
fn protected_from_the_beginning_no_secret_ever_stands_in_a_file() {
    let plain = Installation::new();
    assert_eq!(found(&plain.data, &secrets(&plain)), 7, "the search finds what lies there in clear");

    let key = key_file(&plain, "tps.key");
    let tps = Installation::with(&["--key-file", &key]);
    for refused in [tps.refused(&["serve", "--listen", "127.0.0.1:0"]), tps.refused(&["key", "rotate", "session"])] {
        assert!(refused.contains("protected with a key file") && refused.contains("TPS_KEY_FILE"), "{refused}");
    }
    // Neither looking nor orders over a stopped server's ledger need a secret.
    assert_eq!(tps.json(&["key", "list"])["keys_protected"], true);
    tps.account();
    configure(&tps, &format!("key_file = \"{key}\""));
    assert_eq!(secrets(&tps).len(), 7);
    assert_eq!(found(&tps.data, &secrets(&tps)), 0);

    let shared = hex::decode(id(&tps.json(&["vru", "webhook-key"]), "key")).unwrap();
    assert_eq!(found(&tps.data, &[shared]), 0);

    // New keys are sealed, too, while the server runs, and it takes them.
    let server = tps.serve(&["--log-level", "trace"]);
    let before = secrets(&tps);
    for role in ["session", "proof", "certificate"] {
        tps.json(&["key", "rotate", role, "--at-once"]);
    }
    let request = tps.request("Elm", 1);
    let merchant = id(&tps.json(&["merchant", "register", "Elm.request"]), "merchant");
    tps.json(&["merchant", "approve", &merchant, "--certificate-out", "Elm.certificate"]);
    assert!(!request.fingerprint().is_empty());
    let all = [before, secrets(&tps)].concat();
    assert_eq!((all.len(), found(&tps.data, &all)), (17, 0));
    let log = server.terminate();
    assert!(all.iter().all(|secret| !log.contains(&hex::encode(secret))));
    tps.serve(&[]).terminate();
}

// spec: K-65
#[test]
fn an_existing_tps_is_protected_in_place_and_back() {
    let tps = Installation::new();
    let (first, second) = (key_file(&tps, "first.key"), key_file(&tps, "second.key"));
    let shared = [hex::decode(id(&tps.json(&["vru", "webhook-key"]), "key")).unwrap()];
    assert_eq!(found(&tps.data, &shared), 1);
    let before = secrets(&tps);
    let copy = tps.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for path in files(&tps.data.join("keys")) {
        std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    // Left by a process that was killed while it wrote a key in clear.
    std::fs::copy(tps.data.join("keys/root.toml"), tps.data.join("keys/root.toml.new")).unwrap();
    let protected = tps.json(&["key", "protect", "--key-file", &first]);
    assert_eq!(
        protected["files"].as_array().unwrap().len(),
        9,
        "identity, root, five keys, TLS, webhooks: {protected}"
    );
    assert_eq!((found(&tps.data, &before), found(&tps.data, &shared)), (0, 0));
    configure(&tps, &format!("key_file = \"{first}\""));
    assert_eq!(secrets(&tps), before, "the same keys");
    let again = tps.json(&["key", "protect", "--key-file", &first]);
    assert_eq!(again["files"].as_array().unwrap().len(), 0, "{again}");

    // Killed half-way: a mixture, which serves, and which is completed by doing it again.
    for (name, clear) in [("root.toml", 1), ("tls-key.der", 2)] {
        std::fs::copy(copy.join(name), tps.data.join("keys").join(name)).unwrap();
        assert_eq!((found(&tps.data, &before), secrets(&tps)), (clear, before.clone()));
    }
    tps.serve(&[]).terminate();
    assert_eq!(tps.json(&["key", "protect", "--key-file", &first])["files"].as_array().unwrap().len(), 2);
    assert_eq!(found(&tps.data, &before), 0);

    // Another key file takes the place of the first: the keys stay, and the first opens nothing any more.
    let changed = tps.json(&["key", "protect", "--key-file", &second]);
    assert_eq!(changed["files"].as_array().unwrap().len(), 2, "identity and root: {changed}");
    let wrong = tps.refused(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(wrong.contains("first.key does not open") && wrong.contains("identity.toml"), "{wrong}");
    configure(&tps, &format!("key_file = \"{second}\""));
    assert_eq!(secrets(&tps), before);

    tps.json(&["key", "unprotect"]);
    configure(&tps, "");
    assert_eq!((found(&tps.data, &before), found(&tps.data, &shared), secrets(&tps)), (7, 1, before));
    assert!(!tps.data.join("keys/identity.toml").exists());
    tps.serve(&[]).terminate();
}

#[test]
fn the_root_outlives_the_directory_it_was_made_in() {
    let tps = Installation::new();
    let key = key_file(&tps, "tps.key");
    let root = tps.path("root.toml");
    std::fs::rename(tps.data.join("keys/root.toml"), &root).unwrap();
    let root_text = root.display().to_string();
    tps.json(&["key", "protect", "--key-file", &key, "--root", &root_text]);
    configure(&tps, &format!("key_file = \"{key}\""));
    tps.json(&["key", "rotate", "session", "--root", &root_text]);
    assert!(!std::fs::read_to_string(&root).unwrap().contains("seed ="));
    // The directory is written in clear; the root, which is elsewhere, stays sealed and is opened by the same key file.
    tps.json(&["key", "unprotect"]);
    tps.json(&["key", "reissue", "--root", &root_text]);
    configure(&tps, "");
    let locked = tps.refused(&["key", "reissue", "--root", &root_text]);
    assert!(locked.contains("root.toml is protected with a key file"), "{locked}");
}

#[test]
fn a_passphrase_opens_the_keys_and_mistakes_are_named() {
    let tps = Installation::new();
    let right = passphrase_file(&tps, "right", "correct horse battery staple\n");
    let wrong = passphrase_file(&tps, "wrong", "incorrect horse battery staple\n");
    let key = key_file(&tps, "tps.key");
    for (content, named) in
        [("", "at least 8"), ("short\n", "at least 8"), ("two\nlines of it\n", "more than one line")]
    {
        let bad = passphrase_file(&tps, "bad", content);
        let message = tps.refused(&["key", "protect", "--passphrase-file", &bad]);
        assert!(message.contains(named), "{message}");
    }
    let bad = passphrase_file(&tps, "bad", "AGE-SECRET-KEY-1NONSENSE\n");
    assert!(tps.refused(&["key", "protect", "--key-file", &bad]).contains("tps key new-key-file"));
    assert!(tps.refused(&["key", "protect"]).contains("--passphrase-file or --key-file"), "no terminal here");
    assert!(!tps.data.join("keys/identity.toml").exists(), "nothing half done");
    tps.json(&["key", "protect", "--passphrase-file", &right]);

    let serve = |name: &str, value: &str| {
        let mut command = tps.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env(name, value).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let nothing = serve("TPS_LOG_LEVEL", "info");
    assert!(nothing.contains("protected with a passphrase") && nothing.contains("TPS_PASSPHRASE_FILE"), "{nothing}");
    assert!(nothing.contains("tps-key") && nothing.contains("terminal"), "{nothing}");
    let other = serve("TPS_PASSPHRASE_FILE", &wrong);
    assert!(other.contains(&format!("the passphrase in {wrong} does not open")), "{other}");
    assert!(!other.contains("incorrect horse"), "the secret is not told");
    let kind = serve("TPS_KEY_FILE", &key);
    assert!(kind.contains("tps.key does not open") && kind.contains("with a passphrase"), "{kind}");
    assert!(serve("TPS_PASSPHRASE_FILE", "/nowhere/at/all").contains("/nowhere/at/all"));
    set_mode(&tps.path("right"), 0o640);
    assert!(serve("TPS_PASSPHRASE_FILE", &right).contains(&format!("chmod 600 {right}")));
    set_mode(&tps.path("right"), 0o600);
    configure(&tps, &format!("key_file = \"{key}\"\npassphrase_file = \"{right}\""));
    assert!(tps.refused(&["key", "rotate", "session"]).contains("remove the other"));

    // The environment goes before the file; systemd's credential counts where neither names anything.
    configure(&tps, &format!("passphrase_file = \"{wrong}\""));
    let rotated = tps.command(&["key", "rotate", "session"]).env("TPS_PASSPHRASE_FILE", &right).output().unwrap();
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    configure(&tps, "");
    let credentials = tps.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::copy(tps.path("right"), credentials.join("tps-key")).unwrap();
    // As systemd shows it where an access list gives the right to the service's user.
    set_mode(&credentials.join("tps-key"), 0o440);
    let mut command = tps.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let server = crate::harness::Server::start(command, tps.path("server.log"));
    let log = server.terminate();
    assert!(!log.contains("correct horse"), "{log}");
}

#[test]
fn a_server_without_the_secret_of_newly_protected_keys_goes_on_with_those_it_has() {
    let tps = Installation::new();
    let key = key_file(&tps, "tps.key");
    let server = tps.serve(&[]);
    tps.json(&["key", "protect", "--key-file", &key]);
    assert!(tps.refused(&["reload"]).contains("protected with a key file"));
    let rotated = tps.command(&["key", "rotate", "session"]).env("TPS_KEY_FILE", &key).output().unwrap();
    assert!(text(&rotated.stdout).contains("goes on with its old keys"), "{}", text(&rotated.stderr));
    assert_eq!(tps.json(&["status"])["serving"], true);
    configure(&tps, &format!("key_file = \"{key}\""));
    tps.json(&["reload"]);
    assert!(!server.terminate().contains("cannot be opened"));
    tps.serve(&[]).terminate();
}

#[test]
fn the_key_of_the_webhooks_is_sealed_with_the_others() {
    let tps = Installation::new();
    let key = key_file(&tps, "tps.key");
    let file = tps.data.join("keys/vru-webhook.key");
    let holds = |text: &str| std::fs::read_to_string(&file).unwrap().contains(text);
    let first = id(&tps.json(&["vru", "webhook-key"]), "key");
    assert!(holds(&first));
    assert!(tps.refused(&["vru", "webhook-key"]).contains("--replace") && holds(&first));
    tps.json(&["key", "protect", "--key-file", &key]);
    assert!(!holds(&first));
    configure(
        &tps,
        &format!("key_file = \"{key}\"\nvru_http_listen = \"127.0.0.1:0\"\nvru_http_url = \"https://a\"\n"),
    );
    tps.json(&["config", "check"]);
    let second = id(&tps.json(&["vru", "webhook-key", "--replace"]), "key");
    assert!(second != first && !holds(&second));
    tps.serve(&[]).terminate();
    tps.json(&["key", "unprotect"]);
    assert!(holds(&second));
}

#[test]
fn damaged_protections_are_told_apart_from_wrong_secrets() {
    let tps = Installation::new();
    let key = key_file(&tps, "tps.key");
    tps.json(&["key", "protect", "--key-file", &key]);
    configure(&tps, &format!("key_file = \"{key}\""));
    let data = DataDirectory::open(&tps.data).unwrap();
    let proof: PathBuf = {
        let ring = KeyRing::load(&data).unwrap();
        let proof = ring.keys().iter().find(|key| key.role == KeyRole::Proof).unwrap();
        proof.path(&data.keys())
    };
    for path in [proof, data.keys().join("identity.toml"), data.keys().join("tls-key.der")] {
        let whole = std::fs::read_to_string(&path).unwrap();
        let (armor, _) = whole.split_once("-----END").unwrap();
        let cut = whole.replace(armor.rsplit('\n').nth(2).unwrap(), "");
        std::fs::write(&path, cut).unwrap();
        let message = tps.refused(&["serve", "--listen", "127.0.0.1:0"]);
        assert!(
            message.contains("is damaged") && message.contains(path.file_name().unwrap().to_str().unwrap()),
            "{message}"
        );
        std::fs::write(&path, whole).unwrap();
    }
    // An identity that belongs to other keys.
    let other = Installation::with(&["--key-file", &key]);
    std::fs::copy(other.data.join("keys/identity.toml"), data.keys().join("identity.toml")).unwrap();
    assert!(tps.refused(&["serve", "--listen", "127.0.0.1:0"]).contains("sealed for another directory"));
}
