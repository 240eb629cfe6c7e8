//! The command `cts` as a person or an agent runs it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::{PIN, WRONG_PIN, World};

/// Runs `cts` with `input` on standard input, where `--pin-fd 0` finds it.
pub(crate) fn cts(directory: &Path, arguments: &[&str], input: &str, crash_at: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cts"));
    command.arg("--dir").arg(directory).args(arguments);
    command.env_remove("CTS_CRASH_AT").env_remove("CTS_DIR").envs(crash_at.map(|point| ("CTS_CRASH_AT", point)));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that needs no PIN may have ended before it is written.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

/// The command blocks, the world around it must not.
pub(crate) async fn run(directory: &Path, arguments: &[&str], input: &str, crash_at: Option<&str>) -> Output {
    let directory = directory.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let (input, crash_at) = (input.to_owned(), crash_at.map(str::to_owned));
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        cts(&directory, &arguments, &input, crash_at.as_deref())
    })
    .await
    .unwrap()
}

// spec: K-26, K-125
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sees_json_and_exit_codes() {
    let world = World::new().await;
    let directory = world.directory(1);
    let url = world.shop.url();
    let bundle = world.output("bundle");
    std::fs::write(&bundle, protocol::codec::Canonical::encode(&world.tps.bundle(1))).unwrap();
    let song = world.output("song").display().to_string();
    let code = |output: &Output| output.status.code().unwrap();

    assert_eq!(code(&run(&directory, &["status"], "", None).await), 1, "not initialised");
    assert_eq!(code(&run(&directory, &["buy"], "", None).await), 2);
    assert_eq!(code(&run(&directory, &["--help"], "", None).await), 0);
    let init = run(&directory, &["--json", "init", bundle.to_str().unwrap()], "", None).await;
    assert_eq!(code(&init), 0, "{}", json(&init));
    world.tps.set_pin(1, PIN);

    let quote = json(&run(&directory, &["--json", "quote", &url, "song=2"], "", None).await);
    assert_eq!((quote["total"].as_u64(), quote["merchant_name"].as_str()), (Some(100_000), Some("Elm Music")));
    let buy = |extra: &[&'static str]| {
        let mut arguments = vec!["--json", "buy", &url, "song", "--out", &song, "--pin-fd", "0"];
        arguments.extend(extra);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run_buy = async |extra: &[&'static str], pin: &str| {
        let arguments = buy(extra);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&directory, &arguments, pin, None).await
    };
    let declined = run_buy(&[], PIN).await;
    assert_eq!(code(&declined), 8, "nobody confirmed");
    assert_eq!(code(&run_buy(&["--yes", "--max-amount", "0.049"], PIN).await), 8);
    assert_eq!(code(&run_buy(&["--yes"], "12").await), 1, "not a PIN");
    assert!(world.tps.state().requests.is_empty());
    assert_eq!(code(&run_buy(&["--yes"], WRONG_PIN).await), 6);
    let open = json(&run(&directory, &["--json", "status"], "", None).await);
    assert_eq!(open["open_payment"]["attempts_unanswered"], 0);
    let resumed = run(&directory, &["--json", "resume", "--pin-fd", "0"], PIN, None).await;
    assert_eq!(code(&resumed), 0, "{}", json(&resumed));
    assert_eq!(std::fs::read(&song).unwrap(), crate::shop::song());
    std::fs::remove_file(&song).unwrap();
    let bought = run_buy(&["--yes", "--max-amount", "0.05"], PIN).await;
    let receipt = json(&bought);
    assert_eq!((code(&bought), receipt["state"].as_str()), (0, Some("received")));
    let order = receipt["order"].as_str().unwrap().to_owned();
    std::fs::remove_file(&song).unwrap();
    assert_eq!(code(&run(&directory, &["recover", &order], "", None).await), 0);
    assert_eq!(std::fs::read(&song).unwrap(), crate::shop::song());

    // A bare payment from a file, its proof to a file; then an empty account.
    let (offer, proof) = (world.output("offer"), world.output("proof"));
    let (offer, proof) = (offer.to_str().unwrap(), proof.to_str().unwrap());
    assert_eq!(code(&run(&directory, &["quote", &url, "song", "--out", offer], "", None).await), 0);
    let pay = ["--json", "pay", offer, "--proof-out", proof, "--yes", "--pin-fd", "0"];
    assert_eq!(code(&run(&directory, &pay, PIN, None).await), 0);
    protocol::proof::Proof::decode(&std::fs::read(proof).unwrap()).unwrap();
    let (first, debits) = (std::fs::read(proof).unwrap(), world.tps.state().debits.len());
    // Killed before the proof was kept: the same command gives it again and pays nothing.
    std::fs::remove_file(proof).unwrap();
    assert_eq!(code(&run(&directory, &pay, PIN, None).await), 0);
    assert_eq!((std::fs::read(proof).unwrap(), world.tps.state().debits.len()), (first, debits));
    world.tps.state().account.balance = 0;
    std::fs::remove_file(&song).unwrap();
    let denied = run_buy(&["--yes"], PIN).await;
    assert_eq!(
        (code(&denied), json(&denied)["reason"].as_str().map(str::to_owned)),
        (3, Some("InsufficientFunds".into()))
    );
    let history = json(&run(&directory, &["--json", "history"], "", None).await);
    assert_eq!((history["payments"].as_array().unwrap().len(), history["orders"].as_array().unwrap().len()), (4, 3));

    // Somebody else used the instrument.
    world.tps.instrument(1, |instrument| instrument.state.last_count += 1);
    let breach = run_buy(&["--yes"], PIN).await;
    assert_eq!(code(&breach), 5);
    assert_eq!(code(&run(&directory, &["status"], "", None).await), 5);
    world.tps.set_pin(1, "445566778899");
    assert_eq!(code(&run(&directory, &["new-pin", "--pin-fd", "0"], "445566778899\n", None).await), 5);
    let last = world.tps.instrument(1, |instrument| instrument.state.last_count).to_string();
    assert_eq!(code(&run(&directory, &["resync", "--count", &last], "", None).await), 0);
    world.tps.state().account.balance = 1_000_000;
    let paid = run_buy(&["--yes"], "445566778899").await;
    assert_eq!(code(&paid), 0, "{}", json(&paid));
}

// spec: K-125
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_fetches_what_is_paid_without_a_pin_and_tells_by_its_exit_code_what_became_of_the_rest() {
    let world = World::new().await;
    world.enrol(1).await;
    let (directory, url) = (world.directory(1), world.shop.url());
    let (first, second) = (world.output("first").display().to_string(), world.output("second").display().to_string());
    let buy = async |out: &str, pin: &str| {
        let arguments = ["buy", &url, "song", "--yes", "--out", out, "--pin-fd", "0"];
        run(&directory, &arguments, pin, None).await.status.code()
    };
    world.shop.tamper(|route, bytes| {
        if route == "proof" {
            bytes.clear();
        }
    });
    assert_eq!(buy(&first, PIN).await, Some(7));
    world.shop.honest();
    assert_eq!(buy(&second, WRONG_PIN).await, Some(6));

    let resumed = run(&directory, &["--json", "resume"], "", None).await;
    assert_eq!((resumed.status.code(), json(&resumed)["exit_code"].as_u64()), (Some(6), Some(6)));
    assert_eq!(std::fs::read(&first).unwrap(), crate::shop::song());
    world.tps.state().account.balance = 0;
    let resumed = run(&directory, &["--json", "resume", "--pin-fd", "0"], PIN, None).await;
    assert_eq!((resumed.status.code(), json(&resumed)["exit_code"].as_u64()), (Some(3), Some(3)));
    assert!(!world.output("second").exists());

    // A payment that belongs to no order of ours.
    let (offer, proof) = (world.output("offer").display().to_string(), world.output("proof").display().to_string());
    assert!(run(&directory, &["quote", &url, "song", "--out", &offer], "", None).await.status.success());
    let pay = ["pay", &offer, "--proof-out", &proof, "--yes", "--pin-fd", "0"];
    assert_eq!(run(&directory, &pay, WRONG_PIN, None).await.status.code(), Some(6));
    assert_eq!(run(&directory, &["resume", "--pin-fd", "0"], PIN, None).await.status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_show_the_protocol_and_no_secret() {
    let world = World::new().await;
    world.enrol(1).await;
    let (directory, url) = (world.directory(1), world.shop.url());
    let song = world.output("song").display().to_string();
    let arguments = ["--frames", "buy", &url, "song", "--yes", "--out", &song, "--pin-fd", "0"];
    let output = run(&directory, &arguments, PIN, None).await;
    assert!(output.status.success());
    let frames = String::from_utf8(output.stderr).unwrap();
    let order = [
        "CTS -> MTS  quote request",
        "MTS -> CTS  quote offer",
        "CTS -> MTS  confirmation",
        "MTS -> CTS  authenticated quote",
        "CTS -> TPS  request-for-payment",
        "TPS -> CTS  response",
        "CTS -> MTS  proof",
        "MTS -> CTS  shipping advice",
        "CTS -> MTS  send-goods message",
        "MTS -> CTS  sealed goods",
    ];
    let mut rest = frames.as_str();
    for step in order {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing in\n{frames}")).1;
    }
    assert!(!frames.contains(PIN));
    for file in ["keys.json", "payment.json"] {
        let stored: Value = serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap();
        for secret in
            stored.as_object().unwrap().values().filter_map(|value| value.as_str().filter(|text| text.len() > 20))
        {
            assert!(!frames.contains(secret), "{file}");
        }
    }
}
