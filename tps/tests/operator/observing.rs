//! What a running server tells programs over HTTP, and `tps top`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Installation, Server, text};
use crate::http::{get, sample};

/// Where a server answers operators' programs.
pub(crate) fn operations(tps: &Installation) -> SocketAddr {
    let status = tps.json(&["status"]);
    let listeners = status["listeners"].as_array().unwrap();
    let found = listeners.iter().find(|listener| listener["name"] == "operations").unwrap();
    assert_eq!(found["transport"], "tcp");
    found["address"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn json(address: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = get(address, path);
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn programs_ask_a_server_how_it_is() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let address = operations(&tps);
    assert!(address.ip().is_loopback() && address.port() != 0);
    let (status, version) = json(address, "/version");
    assert_eq!((status, &version["version"]), (200, &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(version["realm"], tps.json(&["status"])["realm"]);
    assert!(["ifma", "avx2", "portable"].contains(&version["kernels"].as_str().unwrap()), "{version}");
    let (status, live) = json(address, "/live");
    assert_eq!((status, &live["live"]), (200, &true.into()));
    assert_eq!(json(address, "/ready"), (200, serde_json::json!({ "ready": true, "reasons": [] })));
    assert_eq!(get(address, "/elsewhere").0, 404);

    tps.account();
    let deadline = Instant::now() + Duration::from_secs(20);
    let page = loop {
        let (status, page) = get(address, "/metrics");
        assert_eq!(status, 200);
        // The books are counted by the next probe.
        if sample(&page, "quittance_tps_accounts") == 1.0 {
            break page;
        }
        assert!(Instant::now() < deadline, "{page}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(page.ends_with("# EOF\n"));
    assert_eq!(sample(&page, "quittance_tps_ready"), 1.0);
    assert_eq!(sample(&page, "quittance_tps_intake{state=\"open\"}"), 1.0);
    assert_eq!(sample(&page, "quittance_tps_intake{state=\"draining\"}"), 0.0);
    // The account, and its deposit.
    assert_eq!(sample(&page, "quittance_tps_commits_total"), 2.0);
    assert_eq!(sample(&page, "quittance_tps_sync_seconds_count"), 2.0);
    assert_eq!(sample(&page, "quittance_tps_commit_requests_bucket{le=\"0.0\"}"), 2.0);
    assert!(sample(&page, "quittance_tps_sync_seconds_sum") > 0.0);
    assert_eq!(sample(&page, "quittance_tps_queue_length{queue=\"workers\"}"), 0.0);
    assert_eq!(sample(&page, "quittance_tps_queue_capacity{queue=\"workers\"}"), 16_384.0);
    assert!(sample(&page, "quittance_tps_disk_free_bytes") > 0.0);
    // Session keys are accepted for fourteen days, key sets relied upon for thirty.
    for (name, days) in [("key_remaining_seconds{role=\"session\"}", 14.0), ("key_set_remaining_seconds", 30.0)] {
        let left = sample(&page, &format!("quittance_tps_{name}")) / 86_400.0;
        assert!((days - 1.0..=days).contains(&left), "{name}: {left}");
    }
    assert!(sample(&page, "quittance_tps_progress_age_seconds") < 15.0);
    server.terminate();
}

#[test]
fn listeners_follow_the_payments_port_and_keep_theirs() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let before = operations(&tps);
    let started = || sample(&get(before, "/metrics").1, "quittance_tps_start_time_seconds");
    let first_started = started();
    tps.json(&["reload"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    // The next server, on the same ports.
    while !std::fs::read_to_string(&server.log).unwrap().contains("everything is answered")
        || operations(&tps) != before
    {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&server.log).unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(get(before, "/live").0, 200);
    assert_eq!(started(), first_started, "a reload is no start");
    let shown = text(&tps.run(&["status"]).stdout);
    assert!(
        shown.contains(&format!("operations on tcp {before}")) && shown.contains("payments on udp 127.0.0.1"),
        "{shown}"
    );
    // The same place for another server: refused, with the key's name.
    let other = Installation::new();
    let taken =
        other.command(&["serve", "--listen", "127.0.0.1:0"]).env("TPS_OPERATIONS_LISTEN", before.to_string()).output();
    let message = text(&taken.unwrap().stderr);
    assert!(message.contains("`operations_listen`") && message.contains(&before.to_string()), "{message}");
    server.terminate();

    let mut command = tps.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TPS_OPERATIONS_LISTEN", "off");
    let server = Server::start(command, tps.path("off.log"));
    let listeners = tps.json(&["status"])["listeners"].clone();
    assert!(listeners.as_array().unwrap().iter().all(|listener| listener["name"] != "operations"), "{listeners}");
    server.terminate();
}

#[test]
fn too_little_disk_space_is_no_readiness() {
    let tps = Installation::new();
    let mut command = tps.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TPS_DISK_LOW_BYTES", u64::MAX.to_string());
    let server = Server::start(command, tps.path("low.log"));
    let address = operations(&tps);
    let deadline = Instant::now() + Duration::from_secs(20);
    let (_, answer) = loop {
        let answer = json(address, "/ready");
        if answer.0 == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((&answer["ready"], &answer["reasons"][0]["reason"]), (&false.into(), &"disk-low".into()));
    assert_eq!(get(address, "/live").0, 200, "a new process would have no more space");
    let page = get(address, "/metrics").1;
    assert_eq!(sample(&page, "quittance_tps_intake{state=\"disk-low\"}"), 1.0);
    assert_eq!(sample(&page, "quittance_tps_ready"), 0.0);
    server.terminate();
}

#[test]
fn a_configuration_is_checked_and_explained_without_starting() {
    let tps = Installation::new();
    let port = |key: &str, checked: &Value| {
        let listeners = checked["listeners"].as_array().unwrap();
        listeners.iter().find(|listener| listener["key"] == key).unwrap()["place"].as_str().unwrap().to_owned()
    };
    std::fs::write(tps.data.join("tps.toml"), "listen = \"127.0.0.1:7000\"\nworkers = 3\n").unwrap();
    let checked = tps.json(&["config", "check"]);
    assert_eq!(port("listen", &checked), "udp 127.0.0.1:7000");
    assert_eq!(port("operations_listen", &checked), "tcp 127.0.0.1:7001");
    assert!(text(&tps.run(&["config", "check"]).stdout).contains("no mistake"));
    let printed = tps.command(&["config", "print", "--json"]).env("TPS_QUEUE_REQUESTS", "500").output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let file = tps.data.join("tps.toml").display().to_string();
    for (key, value, from) in [
        ("workers", Value::from(3), file.as_str()),
        ("queue_requests", 500.into(), "TPS_QUEUE_REQUESTS"),
        ("connections_max", 20_000.into(), "built in"),
        ("operations_listen", "127.0.0.1:7001".into(), "derived from `listen`"),
        ("vru_http_listen", "off".into(), "built in"),
    ] {
        assert_eq!((&printed[key]["value"], &printed[key]["from"]), (&value, &from.into()), "{key}");
    }
    let shown = text(&tps.run(&["config", "print"]).stdout);
    let again: toml::Table = shown.parse().unwrap();
    assert_eq!(again["workers"].as_integer(), Some(3), "what is printed is a configuration");

    std::fs::write(tps.data.join("tps.toml"), "operations_listen = \"192.0.2.1:80\"\n").unwrap();
    assert!(tps.refused(&["config", "check"]).contains("reverse proxy"));
    std::fs::write(tps.data.join("tps.toml"), "").unwrap();
    let keys = tps.data.join("keys");
    let proof =
        crate::harness::files(&keys).into_iter().find(|path| path.to_string_lossy().contains("/proof-")).unwrap();
    std::fs::rename(&proof, tps.path("proof")).unwrap();
    assert!(tps.refused(&["config", "check"]).contains("tps key rotate proof"));
}

#[test]
fn top_shows_what_happens_between_two_looks() {
    let tps = Installation::new();
    assert!(tps.refused(&["top", "--once"]).contains("no server runs"));
    let server = tps.serve(&[]);
    let picture = tps.json(&["top", "--once"]);
    assert!(picture["interval_ms"].as_u64().unwrap() >= 1_000, "{picture}");
    assert_eq!((&picture["intake"], picture["stages"].as_array().unwrap().len()), (&"open".into(), 7));
    // Standard output is no terminal here.
    let page = text(&tps.run(&["top"]).stdout);
    for expected in ["intake open", "STAGE", "workers", "until durable", "0/s received"] {
        assert!(page.contains(expected), "{page}");
    }
    server.terminate();
}

/// Every text in a parsed YAML file, but for the keys of mappings.
fn yaml_texts(value: &yaml_rust2::Yaml, texts: &mut Vec<String>) {
    use yaml_rust2::Yaml;
    match value {
        Yaml::String(text) => texts.push(text.clone()),
        Yaml::Array(values) => values.iter().for_each(|value| yaml_texts(value, texts)),
        Yaml::Hash(entries) => entries.iter().for_each(|(_, value)| yaml_texts(value, texts)),
        _ => {}
    }
}

fn json_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| json_texts(value, texts)),
        Value::Object(entries) => entries.values().for_each(|value| json_texts(value, texts)),
        _ => {}
    }
}

/// All words of `[a-z0-9_]` in a text that begin with `prefix`.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|character: char| !(character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'))
        .filter(move |word| word.starts_with(prefix))
}

/// Labels that Prometheus adds, which no page of a TPS has.
const ADDED_LABELS: [&str; 2] = ["job", "instance"];

/// Selectors such as `code="overloaded"` in a query, alternatives each for itself.
fn selectors(query: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let parts: Vec<&str> = query.split('"').collect();
    for pair in parts.chunks(2).filter(|pair| pair.len() == 2) {
        let label = pair[0].trim_end_matches(['=', '~', '!']);
        let begin =
            label.rfind(|character: char| !(character.is_ascii_lowercase() || character == '_')).map_or(0, |at| at + 1);
        let label = &label[begin..];
        if !ADDED_LABELS.contains(&label) {
            found.extend(pair[1].split('|').map(|value| (label.to_owned(), value.to_owned())));
        }
    }
    found
}

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    let tps = Installation::new();
    let server = tps.serve(&[]);
    let page = get(operations(&tps), "/metrics").1;
    server.terminate();
    let samples: std::collections::BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops");
    let read = |name: &str| std::fs::read_to_string(ops.join(name)).unwrap();
    let mut texts = Vec::new();
    let alerts = yaml_rust2::YamlLoader::load_from_str(&read("prometheus/alerts.yml")).unwrap();
    yaml_texts(&alerts[0], &mut texts);
    let scrape = yaml_rust2::YamlLoader::load_from_str(&read("prometheus/scrape.yml")).unwrap();
    assert_eq!(scrape[0]["scrape_configs"][0]["job_name"].as_str(), Some("quittance-tps"));
    let target = scrape[0]["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().unwrap().to_owned();
    let default = tps::config::Config::default().listener(&tps::config::OPERATIONS).unwrap().unwrap();
    assert_eq!(target, default.to_string());
    let dashboard: Value = serde_json::from_str(&read("grafana/quittance-tps.json")).unwrap();
    json_texts(&dashboard, &mut texts);
    let mut used = 0;
    for text in &texts {
        for name in words(text, "quittance_tps_") {
            assert!(samples.contains(name), "{name} is on no page, but in: {text}");
            used += 1;
        }
        if text.contains("quittance_tps_") {
            for (label, value) in selectors(text) {
                assert!(page.contains(&format!("{label}=\"{value}\"")), "no {label}=\"{value}\", but in: {text}");
            }
        }
    }
    assert!(used > 40, "{used}");
    // Each metric and each alert is explained.
    let guide = std::fs::read_to_string(ops.join("../docs/operations.md")).unwrap();
    for name in &samples {
        let name = name.strip_prefix("quittance_tps_").unwrap();
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
    for rule in alerts[0]["groups"][0]["rules"].as_vec().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(guide.contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(
        selectors("a{code=\"x\"} > b{role=~\"p|q\",job=\"j\"}"),
        [("code", "x"), ("role", "p"), ("role", "q")].map(|(label, value)| (label.to_owned(), value.to_owned()))
    );
}
