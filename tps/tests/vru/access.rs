//! Who gets in, who does not, and how the line is kept private.

use std::io::{BufRead, BufReader, Write};

use crate::world::{Mailer, World};

#[test]
fn unknown_numbers_and_wrong_passcodes_are_told_in_the_same_words() {
    let world = World::without_shop("");
    let (number, passcode) = (world.mailer.number.clone(), world.mailer.passcode.clone());
    let wrong = if passcode == "00000000" { "00000001" } else { "00000000" };
    // Numbers of the same form with a right check digit that nobody has.
    let unknown = "5724000006";
    let heard = |number: &str, passcode: &str| world.call(&[number, passcode]);
    let refused = heard(&number, wrong);
    assert!(refused.contains("is not right"), "{refused}");
    assert_eq!(heard(&damm(unknown), wrong), refused);
    assert_eq!(heard(&damm(unknown), &passcode), refused);
    // A slip is told before any passcode is asked for.
    let mut slip: Vec<u8> = number.bytes().collect();
    slip[0] = if slip[0] == b'9' { b'0' } else { slip[0] + 1 };
    let slipped = world.call(&[std::str::from_utf8(&slip).unwrap()]);
    assert!(slipped.contains("mistyped") && !slipped.contains("passcode"), "{slipped}");
    let shown = world.tps(&["vru", "show", &world.instrument]);
    assert_eq!((shown["locked"].as_bool(), shown["failures"].as_u64()), (Some(false), Some(1)));
    assert!(world.customer_calls(&["0"]).contains("new PIN press 1"));
    assert_eq!(world.tps(&["vru", "show", &world.instrument])["failures"], 0);
}

/// Nine digits of `digits` and the check digit that they need: the only one of ten that a VRU does not call a slip.
fn damm(digits: &str) -> String {
    let mut candidates = (b'0'..=b'9').map(|check| format!("{}{}", &digits[..9], char::from(check)));
    candidates.find(|number| tps::vru::credentials::AccessNumber::parse(number).is_some()).unwrap()
}

// spec: K-112
#[test]
fn a_new_mailer_ends_the_old_access_and_lifts_a_lock() {
    let mut world = World::without_shop("");
    let passcode = world.mailer.passcode.clone();
    let wrong = if passcode == "00000000" { "00000001" } else { "00000000" };
    let number = world.mailer.number.clone();
    world.call(&[&number, wrong, &number, wrong, &number, wrong]);
    world.restart_tps();
    // Counted across calls and restarts, before the answer.
    world.call(&[&number, wrong, &number, wrong]);
    let shown = world.tps(&["vru", "show", &world.instrument]);
    assert_eq!((shown["locked"].as_bool(), shown["failures"].as_u64()), (Some(true), Some(5)));
    let refused = world.customer_calls(&[]);
    assert!(refused.contains("is not right") && !refused.contains("new PIN press 1"), "{refused}");
    assert_eq!(world.tps(&["report", "list"])["reports"][0]["reason"], "access-locked");
    world.tps(&["vru", "unlock", &world.instrument]);
    assert!(world.customer_calls(&["0"]).contains("new PIN press 1"));

    let sheet = world.path("second-mailer");
    world.tps(&["vru", "mailer", &world.instrument, sheet.to_str().unwrap()]);
    assert!(!world.customer_calls(&["0"]).contains("new PIN press 1"), "the old access has ended");
    world.mailer = Mailer::read(&sheet);
    assert!(world.customer_calls(&["0"]).contains("new PIN press 1"));
    // A file that is there is not overwritten, and nothing ends.
    assert!(!world.tps_output(&["vru", "mailer", &world.instrument, sheet.to_str().unwrap()]).status.success());
    assert!(world.customer_calls(&["0"]).contains("new PIN press 1"));
    world.tps(&["instrument", "revoke", &world.instrument]);
    assert!(world.customer_calls(&["1", "1", "0"]).contains("was revoked"));
    assert!(
        !world
            .tps_output(&["vru", "mailer", &world.instrument, world.path("third").to_str().unwrap()])
            .status
            .success()
    );
    assert!(!world.path("third").exists());
}

// spec: K-110
#[test]
fn the_line_can_be_under_tls_with_the_servers_certificate() {
    let world = World::without_shop("vru_tls = true\n");
    let line = world.mailer.text.lines().find(|line| line.contains("vru-phone")).unwrap();
    let fingerprint = line.split_whitespace().last().unwrap();
    let credentials = [world.mailer.number.as_str(), world.mailer.passcode.as_str(), "2", "0"];
    let (code, said) = world.call_with(&["--fingerprint", fingerprint], &credentials);
    assert!(code == 0 && said.contains("The balance is 1.000000 USD6."), "{said}");
    let other = "ab".repeat(32);
    let (code, said) = world.call_with(&["--fingerprint", &other], &credentials);
    assert!(code == 1 && !said.contains("Welcome"), "{said}");
    assert_eq!(world.call_with(&["--fingerprint", "12"], &credentials).0, 1);
    assert_eq!(world.mailer.call, world.vru_address);
    // No access ends whose mailer could not say how to call.
    let certificate = world.path("tps").join("keys/tls-certificate.der");
    std::fs::rename(&certificate, world.path("aside")).unwrap();
    let second = world.path("second-mailer");
    assert!(!world.tps_output(&["vru", "mailer", &world.instrument, second.to_str().unwrap()]).status.success());
    assert!(!second.exists());
    assert!(world.call_with(&["--fingerprint", fingerprint], &credentials).1.contains("The balance is"));
}

#[test]
fn the_phone_says_what_is_wrong() {
    let world = World::without_shop("");
    let numbers = format!("{},{},0", world.mailer.number, world.mailer.passcode);
    let (code, said) = world.call_with(&["--digits", &numbers], &[]);
    assert!(code == 0 && said.ends_with("Goodbye.\n"), "{said}");
    // Whoever hangs up early ends the call, and no telephone speaks like this.
    assert_eq!(world.call_with(&[], &[&world.mailer.number]).0, 0);
    // Something that listens and is no VRU is told at once.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || other.accept().unwrap().0.write_all(b"220 mail\r\n"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tps")).args(["vru-phone", &address]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("no VRU"), "{told}");
    let (code, said) = world.call_with(&[], &["hello"]);
    assert!(code == 1 && said.contains("0 to 9, * and #"), "{said}");
    let (code, said) = world.call_with(&["--digits", &"1".repeat(33)], &[]);
    assert!(code == 1 && said.contains("at most 32"), "{said}");
    // The VRU hangs up on what is no telephone, whether it ends its line or not.
    for nonsense in ["hello\n".to_owned(), "1".repeat(100)] {
        let mut line = std::net::TcpStream::connect(&world.vru_address).unwrap();
        let said = BufReader::new(line.try_clone().unwrap()).lines().map_while(Result::ok);
        let mut said = said.skip_while(|said| said != "keys 10 open");
        assert!(said.next().is_some());
        line.write_all(nonsense.as_bytes()).unwrap();
        assert_eq!(said.next(), None);
    }
}
