//! `docs/protocol.md` and `docs/errors.md` against the code: every name and number that the documents promise.

use std::collections::BTreeSet;

use protocol::certificate::CertificateError;
use protocol::desk::{AnswerError, DescriptionError, DeskErrorCode, EntryRefusal};
use protocol::error::ErrorCode;
use protocol::frame::MessageType;
use protocol::hash::Purpose;
use protocol::key_set::KeySetError;
use protocol::limits;
use protocol::proof::verify::ProofError;
use protocol::purchase::{LoyaltyIdError, MerchantErrorCode, MerchantMessageType};
use protocol::response::Reason;
use protocol::settlement::SettlementError;
use protocol::signature::{
    CertificateRole, Clause, CustomerRole, DeskRole, Domain, FundingRole, MerchantRole, NotaryRole, ProofRole, RootRole,
};

pub(crate) const PROTOCOL: &str = include_str!("../../../docs/protocol.md");
const ERRORS: &str = include_str!("../../../docs/errors.md");

/// A table of the document: its rows, cell by cell, without head and rule.
pub(crate) fn table_after<'a>(marker: &str, text: &'a str) -> Vec<Vec<&'a str>> {
    let (_, rest) = text.split_once(marker).unwrap_or_else(|| panic!("the document has no {marker}"));
    rest.lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn table(name: &str) -> Vec<Vec<&'static str>> {
    table_after(&format!("<!-- table: {name} -->"), PROTOCOL)
}

/// Cells without the backticks.
fn rows(name: &str, columns: &[usize]) -> Vec<Vec<String>> {
    let cell = |row: &Vec<&str>, column: &usize| row[*column].trim_matches('`').to_owned();
    table(name).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect()
}

fn yes(condition: bool) -> String {
    if condition { "yes" } else { "no" }.to_owned()
}

#[test]
fn every_purpose_is_documented() {
    let documented: Vec<String> =
        rows("purposes", &[0]).into_iter().map(|row| format!("quittance v1 {}", row[0])).collect();
    let known: Vec<&str> = Purpose::ALL.iter().map(|purpose| purpose.text()).collect();
    assert_eq!(documented, known);
}

#[test]
fn every_domain_is_documented() {
    let domains: [(&[u8], &str); 13] = [
        (Domain::<CustomerRole>::REQUEST_FOR_PAYMENT.prefix(), "customer"),
        (Domain::<CustomerRole>::ENROLMENT.prefix(), "customer"),
        (Domain::<ProofRole>::BATCH_ROOT.prefix(), "proof"),
        (Domain::<CertificateRole>::MERCHANT_CERTIFICATE.prefix(), "certificate"),
        (Domain::<MerchantRole>::CERTIFICATE_REQUEST.prefix(), "merchant"),
        (Domain::<MerchantRole>::DESK_BATCH.prefix(), "merchant"),
        (Domain::<DeskRole>::DESK_ANSWER.prefix(), "desk"),
        (Domain::<DeskRole>::SETTLEMENT_REPORT.prefix(), "desk"),
        (Domain::<DeskRole>::ARCHIVE_SEGMENT.prefix(), "desk"),
        (Domain::<FundingRole>::FUNDING_INSTRUCTION.prefix(), "funding"),
        (Domain::<DeskRole>::DESK_DESCRIPTION.prefix(), "desk"),
        (Domain::<NotaryRole>::NOTARY_RECEIPT.prefix(), "notary"),
        (Domain::<RootRole>::KEY_SET.prefix(), "root"),
    ];
    let known: Vec<Vec<String>> = domains
        .iter()
        .map(|(prefix, role)| {
            let text = std::str::from_utf8(prefix.strip_suffix(b"\0").unwrap()).unwrap();
            vec![text.to_owned(), (*role).to_owned()]
        })
        .collect();
    assert_eq!(rows("domains", &[0, 1]), known);
    // And there is no further one in the code.
    let source = include_str!("../../src/signature/domain.rs");
    let (_, listed) = source.split_once("\nroles! {").unwrap();
    let (listed, _) = listed.split_once("\n}").unwrap();
    assert_eq!(listed.matches(" = \"").count(), domains.len());
}

#[test]
fn message_types_and_clauses_are_documented() {
    let known: Vec<Vec<String>> =
        MessageType::ALL.iter().map(|kind| vec![format!("0x{:02x}", *kind as u8), format!("{kind:?}")]).collect();
    assert_eq!(rows("message types", &[0, 1]), known);
    let known: Vec<Vec<String>> = MerchantMessageType::ALL
        .iter()
        .map(|kind| vec![format!("0x{:02x}", *kind as u8), format!("{kind:?}")])
        .collect();
    assert_eq!(rows("merchant message types", &[0, 1]), known);
    let known: Vec<Vec<String>> = Clause::ALL
        .iter()
        .enumerate()
        .map(|(place, clause)| vec![(place + 1).to_string(), clause.name().to_owned()])
        .collect();
    assert_eq!(rows("clauses", &[0, 2]), known);
}

#[test]
fn error_codes_and_reasons_are_documented() {
    let known: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|code| vec![(*code as u16).to_string(), format!("{code:?}"), yes(code.is_transient())])
        .collect();
    assert_eq!(rows("error codes", &[0, 1, 2]), known);
    let known: Vec<Vec<String>> = MerchantErrorCode::ALL
        .iter()
        .map(|code| vec![(*code as u16).to_string(), format!("{code:?}"), yes(code.is_transient())])
        .collect();
    assert_eq!(rows("merchant error codes", &[0, 1, 2]), known);
    let known: Vec<Vec<String>> = Reason::ALL
        .iter()
        .map(|reason| vec![(*reason as u8).to_string(), format!("{reason:?}"), yes(reason.consumes_count())])
        .collect();
    assert_eq!(rows("reasons", &[0, 1, 2]), known);
    let known: Vec<Vec<String>> = DeskErrorCode::ALL
        .iter()
        .map(|code| vec![(*code as u16).to_string(), format!("{code:?}"), yes(code.is_transient())])
        .collect();
    assert_eq!(rows("desk error codes", &[0, 1, 2]), known);
    let known: Vec<Vec<String>> = EntryRefusal::ALL
        .iter()
        .map(|reason| vec![(*reason as u8).to_string(), format!("{reason:?}"), yes(reason.is_transient())])
        .collect();
    assert_eq!(rows("desk refusals", &[0, 1, 2]), known);
}

macro_rules! limits {
    ($($name:ident)*) => { [$((stringify!($name).to_owned(), limits::$name.to_string())),*] };
}

#[test]
fn every_limit_is_documented() {
    let mut known = Vec::from(limits! {
        PROTOCOL_VERSION SUITE PROOF_VERSION TPS_PORT UDP_PAYLOAD_BYTES_MAX AMOUNT_MAX ASSET_EXPONENT_MAX BATCH_REQUESTS_MAX
        PROOF_PATH_NODES_MAX PIN_FAILURES_MAX PIN_DIGITS_MIN PIN_DIGITS_MAX PIN_DIGITS QUOTE_LIFETIME_MS
        VALID_UNTIL_AHEAD_MAX_MS MERCHANT_KEY_LIFETIME_MAX_MS SESSION_KEY_LIFETIME_MAX_MS QUOTE_ITEMS_MAX
        ITEM_CODE_BYTES_MAX ITEM_DESCRIPTION_BYTES_MAX MERCHANT_NAME_BYTES_MAX CERTIFICATE_BYTES_MAX QUOTE_BYTES_MAX
        ADDRESS_BYTES_MAX LOYALTY_ID_BYTES_MAX DELIVERY_TEXT_BYTES_MAX MERCHANT_MESSAGE_BYTES_MAX GOODS_CHUNK_BYTES GOODS_BYTES_MAX
        KEY_SET_KEYS_MAX KEY_SET_BYTES_MAX PERMITTED_MERCHANTS_MAX FRAME_MESSAGE_BYTES_MAX DESK_BATCH_ENTRIES_MAX
        SETTLEMENT_PAGE_LINES_MAX SETTLEMENT_PAGES_MAX SETTLEMENT_PAGE_BYTES_MAX DESK_BATCH_BYTES_MAX DESK_ANSWER_BYTES_MAX SETTLEMENT_REPORT_BYTES_MAX SETTLEMENT_CYCLES_MAX
    });
    known.push(("ALPN".to_owned(), String::from_utf8(limits::ALPN.to_vec()).unwrap()));
    let known: BTreeSet<(String, String)> = known.into_iter().collect();
    let documented: BTreeSet<(String, String)> =
        rows("limits", &[0, 1]).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented, known);
    let source = include_str!("../../src/limits.rs");
    let in_source: BTreeSet<&str> =
        source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()).collect();
    let names: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, in_source);
}

/// The name of an error, so that a new variant does not compile until it is documented.
fn proof_error(error: &ProofError) -> &'static str {
    match error {
        ProofError::Malformed(_) => "Malformed",
        ProofError::OtherRealm(_) => "OtherRealm",
        ProofError::UnknownKey(_) => "UnknownKey",
        ProofError::OutsideValidity { .. } => "OutsideValidity",
        ProofError::BadSignature => "BadSignature",
    }
}

fn certificate_error(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Malformed(_) => "Malformed",
        CertificateError::Issuer(_) => "Issuer",
        CertificateError::WrongRealm { .. } => "WrongRealm",
        CertificateError::BadSignature => "BadSignature",
        CertificateError::NotYetValid(_) => "NotYetValid",
        CertificateError::Expired(_) => "Expired",
        CertificateError::NoPossession => "NoPossession",
    }
}

fn key_set_error(error: &KeySetError) -> &'static str {
    match error {
        KeySetError::WrongRoot => "WrongRoot",
        KeySetError::WrongAudience { .. } => "WrongAudience",
        KeySetError::WrongRealm { .. } => "WrongRealm",
        KeySetError::LowerNumber { .. } => "LowerNumber",
        KeySetError::TooOld { .. } => "TooOld",
        KeySetError::FromTheFuture { .. } => "FromTheFuture",
        KeySetError::UnknownKey(_) => "UnknownKey",
        KeySetError::Revoked(_) => "Revoked",
        KeySetError::OutsideValidity { .. } => "OutsideValidity",
        KeySetError::NoSessionKey(_) => "NoSessionKey",
    }
}

fn answer_error(error: &AnswerError) -> &'static str {
    match error {
        AnswerError::Malformed(_) => "Malformed",
        AnswerError::Key(_) => "Key",
        AnswerError::BadSignature => "BadSignature",
        AnswerError::OtherBatch => "OtherBatch",
    }
}

fn description_error(error: &DescriptionError) -> &'static str {
    match error {
        DescriptionError::Malformed(_) => "Malformed",
        DescriptionError::Key(_) => "Key",
        DescriptionError::BadSignature => "BadSignature",
        DescriptionError::OtherRealm(_) => "OtherRealm",
    }
}

fn loyalty_id_error(error: &LoyaltyIdError) -> &'static str {
    match error {
        LoyaltyIdError::Blank => "Blank",
        LoyaltyIdError::TooLong { .. } => "TooLong",
        LoyaltyIdError::ControlCharacters => "ControlCharacters",
    }
}

fn settlement_error(error: &SettlementError) -> &'static str {
    match error {
        SettlementError::Malformed(_) => "Malformed",
        SettlementError::NotOurs => "NotOurs",
        SettlementError::Signer(_) => "Signer",
        SettlementError::BadSignature => "BadSignature",
        SettlementError::Page(_) => "Page",
        SettlementError::Totals(_) => "Totals",
        SettlementError::OtherCycle { .. } => "OtherCycle",
    }
}

/// The names in the first column of the table below a heading that begins so.
fn explained(heading: &str) -> Vec<String> {
    let (_, rest) = ERRORS.split_once(heading).unwrap_or_else(|| panic!("docs/errors.md has no {heading}"));
    let lines = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn every_error_is_explained() {
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let codes: Vec<String> = ErrorCode::ALL.iter().map(|code| format!("{code:?}")).collect();
    assert_eq!(explained("## Errors of the TPS"), codes);
    let reasons: Vec<String> = Reason::ALL.iter().map(|reason| format!("{reason:?}")).collect();
    assert_eq!(explained("## Reasons"), reasons);
    let merchant: Vec<String> = MerchantErrorCode::ALL.iter().map(|code| format!("{code:?}")).collect();
    assert_eq!(explained("## Errors of the merchant"), merchant);

    let loyalty_id = [LoyaltyIdError::Blank, LoyaltyIdError::TooLong { bytes: 65 }, LoyaltyIdError::ControlCharacters];
    assert_eq!(explained("## Loyalty ids"), names(&loyalty_id.each_ref().map(loyalty_id_error)));

    let desk: Vec<String> = DeskErrorCode::ALL.iter().map(|code| format!("{code:?}")).collect();
    assert_eq!(explained("## Errors of the desk"), desk);
    let refusals: Vec<String> = EntryRefusal::ALL.iter().map(|reason| format!("{reason:?}")).collect();
    assert_eq!(explained("## Refusals of the desk"), refusals);

    let (key, at) = (protocol::ids::KeyId::ZERO, protocol::time::Timestamp(0));
    let malformed = || protocol::codec::DecodeError::NotCanonical { what: "" };
    let realm = protocol::ids::RealmId::ZERO;
    let proof = [
        ProofError::Malformed(malformed()),
        ProofError::OtherRealm(realm),
        ProofError::UnknownKey(key),
        ProofError::OutsideValidity { key, batch_time: at },
        ProofError::BadSignature,
    ];
    assert_eq!(explained("## Proofs"), names(&proof.each_ref().map(proof_error)));
    let certificate = [
        CertificateError::Malformed(malformed()),
        CertificateError::Issuer(KeySetError::WrongRoot),
        CertificateError::WrongRealm { expected: realm, actual: realm },
        CertificateError::BadSignature,
        CertificateError::NotYetValid(at),
        CertificateError::Expired(at),
        CertificateError::NoPossession,
    ];
    assert_eq!(explained("## Certificates"), names(&certificate.each_ref().map(certificate_error)));
    let audience = protocol::key_set::Audience::Merchant;
    let key_set = [
        KeySetError::WrongRoot,
        KeySetError::WrongAudience { expected: audience, actual: audience },
        KeySetError::WrongRealm { expected: realm, actual: realm },
        KeySetError::LowerNumber { minimum: 0, actual: 0 },
        KeySetError::TooOld { expired_at: at },
        KeySetError::FromTheFuture { issued_at: at },
        KeySetError::UnknownKey(key),
        KeySetError::Revoked(key),
        KeySetError::OutsideValidity { key, at },
        KeySetError::NoSessionKey(at),
    ];
    assert_eq!(explained("## Key sets"), names(&key_set.each_ref().map(key_set_error)));
    let answer = [
        AnswerError::Malformed(malformed()),
        AnswerError::Key(KeySetError::WrongRoot),
        AnswerError::BadSignature,
        AnswerError::OtherBatch,
    ];
    let mut answers = names(&answer.each_ref().map(answer_error));
    let description = [
        DescriptionError::Malformed(malformed()),
        DescriptionError::Key(KeySetError::WrongRoot),
        DescriptionError::BadSignature,
        DescriptionError::OtherRealm(realm),
    ];
    for name in names(&description.each_ref().map(description_error)) {
        if !answers.contains(&name) {
            answers.push(name);
        }
    }
    assert_eq!(explained("## Answers and descriptions of the desk"), answers);
    let settlement = [
        SettlementError::Malformed(malformed()),
        SettlementError::NotOurs,
        SettlementError::Signer(KeySetError::WrongRoot),
        SettlementError::BadSignature,
        SettlementError::Page(0),
        SettlementError::Totals(protocol::money::Asset::USD6),
        SettlementError::OtherCycle { asked: 1, got: 2 },
    ];
    assert_eq!(explained("## Settlement reports"), names(&settlement.each_ref().map(settlement_error)));
}

#[test]
fn every_vector_file_is_named() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") {
            assert!(PROTOCOL.contains(&format!("`{name}`")), "docs/protocol.md does not name {name}");
        }
    }
}
