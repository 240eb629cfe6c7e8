//! `mts init`, `mts certificate`, `mts key-set`.

use std::path::Path;

use anyhow::Context;
use mts_plugin::clock;
use mts_plugin::home::{Home, MerchantFile};
use protocol::certificate::VerifiedCertificate;
use protocol::codec::Canonical;
use protocol::key_set::PinnedKeySet;
use protocol::session::AgreementSecret;
use serde_json::json;

use super::{CertificateCommand, Failure, InitArguments, KeySetCommand, print};

pub(super) fn init(directory: &Path, arguments: InitArguments, as_json: bool) -> Result<(), Failure> {
    let mut settings = MerchantFile::new(arguments.name, arguments.root.0);
    if let Some(listen) = arguments.listen {
        settings.listen = listen;
    }
    let session = AgreementSecret::from_random(clock::random());
    let home = Home::initialise(directory, settings, session, clock::random())?;
    if let Some(path) = arguments.key_set {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        home.import_key_set(&bytes, clock::now())?;
    }
    requested(&home, as_json)
}

fn requested(home: &Home, as_json: bool) -> Result<(), Failure> {
    let path = home.request_path();
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let request = protocol::certificate::CertificateRequest::decode(&bytes)?;
    let value = json!({ "certificate_request": path, "fingerprint": request.fingerprint() });
    let text = format!(
        "Certificate request: {}\nFingerprint:         {}\n\n\
         Give the request to the TPS's operator and tell the fingerprint over another channel.\n\
         Then run `mts certificate import FILE` with what comes back.",
        path.display(),
        request.fingerprint()
    );
    print(as_json, &value, &text);
    Ok(())
}

pub(super) fn certificate(directory: &Path, command: CertificateCommand, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    match command {
        CertificateCommand::Request => {
            home.request_certificate(AgreementSecret::from_random(clock::random()))?;
            requested(&home, as_json)
        }
        CertificateCommand::Import { file } => {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            show(&[home.import_certificate(&bytes, clock::now())?], as_json);
            Ok(())
        }
        CertificateCommand::Show => {
            let now = clock::now();
            let keys = home.certified_keys(&home.key_set(now)?, now)?;
            let certificates: Vec<_> = keys.into_iter().map(|key| key.certificate).collect();
            show(&certificates, as_json);
            Ok(())
        }
    }
}

fn show(certificates: &[VerifiedCertificate], as_json: bool) {
    let values: Vec<_> = certificates
        .iter()
        .map(|certificate| {
            json!({
                "merchant": certificate.merchant(),
                "name": certificate.name(),
                "serial": certificate.serial(),
                "valid_until_ms": certificate.valid_until(),
                "digest": certificate.digest(),
            })
        })
        .collect();
    let mut text: Vec<_> = certificates
        .iter()
        .map(|certificate| {
            format!(
                "Certificate {} for `{}`, merchant {}\n    valid until {}\n    digest {}",
                certificate.serial(),
                certificate.name(),
                certificate.merchant(),
                certificate.valid_until(),
                certificate.digest()
            )
        })
        .collect();
    if text.is_empty() {
        text.push("No valid certificate: the merchant sells nothing until one is imported.".to_owned());
    }
    print(as_json, &json!(values), &text.join("\n"));
}

pub(super) fn key_set(directory: &Path, command: KeySetCommand, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let now = clock::now();
    let set: PinnedKeySet = match command {
        KeySetCommand::Import { file } => {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            home.import_key_set(&bytes, now)?
        }
        KeySetCommand::Show => home.key_set(now)?,
    };
    let keys: Vec<_> = set
        .keys()
        .iter()
        .map(|key| json!({ "role": key.role, "id": key.id, "valid_until_ms": key.valid_until, "revoked": key.revoked }))
        .collect();
    let value = json!({
        "realm": set.realm(), "number": set.number(), "expires_at_ms": set.expires_at(), "keys": keys,
    });
    let mut text =
        format!("Key set {} of realm {}\n    to be relied upon until {}", set.number(), set.realm(), set.expires_at());
    for key in set.keys() {
        let revoked = if key.revoked { ", revoked" } else { "" };
        text += &format!("\n    {:?} key {} until {}{revoked}", key.role, key.id, key.valid_until);
    }
    print(as_json, &value, &text);
    Ok(())
}
