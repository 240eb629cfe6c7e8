//! `mts verify`: a proof, judged with what is in the merchant's directory and nothing else.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use mts_plugin::proofs::ProofChecker;
use mts_plugin::store::Store;
use mts_plugin::{Home, clock};
use protocol::codec::Canonical;
use protocol::order::judge;
use protocol::proof::PROOF_BYTES_MAX;
use protocol::quote::Quote;
use serde_json::json;

use super::{Failure, VerifyArguments, print};

/// Longest file read: a quote in hexadecimal with line ends.
const FILE_BYTES_MAX: u64 = 4 * protocol::limits::QUOTE_BYTES_MAX as u64;

pub(super) fn verify(directory: &Path, arguments: &VerifyArguments, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let now = clock::now();
    let checker = ProofChecker::new(home.key_set(now)?);
    let bytes = read(&arguments.proof)?;
    if bytes.len() > PROOF_BYTES_MAX {
        return Err(Failure::Refused(format!(
            "this is not a proof: it has {} bytes, at most {PROOF_BYTES_MAX} are possible",
            bytes.len()
        )));
    }
    let verified = checker.verify(&bytes, now).map_err(|error| Failure::Refused(error.to_string()))?;
    let statement = verified.statement();

    let judged = if arguments.signature_only {
        "signed by the TPS; not compared with an order"
    } else {
        let quote = match &arguments.quote {
            Some(path) => Quote::decode(&read(path)?).map_err(|error| Failure::Refused(error.to_string()))?,
            None => {
                let order = Store::open(&home.orders_path())?.order(statement.number)?;
                order.ok_or_else(|| Failure::Refused(format!("there is no order {} here", statement.number)))?.quote
            }
        };
        judge(&verified, &quote).map_err(|refusal| Failure::Refused(refusal.to_string()))?;
        "signed by the TPS, and pays for the quote"
    };
    let value = json!({
        "valid": true,
        "judged": judged,
        "outcome": verified.outcome(),
        "merchant": statement.merchant,
        "number": statement.number,
        "payment": statement.payment,
        "amount": statement.amount,
        "asset": statement.asset,
        "quote_digest": statement.quote_digest,
        "batch_time_ms": statement.batch_time,
    });
    let text = format!(
        "Valid: {judged}\n    outcome  {:?}\n    amount   {} {}\n    merchant {}\n    number   {}\n    payment  {}\n    time     {}",
        verified.outcome(),
        statement.amount.units(),
        statement.asset,
        statement.merchant,
        statement.number,
        statement.payment,
        statement.batch_time
    );
    print(as_json, &value, &text);
    Ok(())
}

/// A file or standard input; hexadecimal is decoded, as proofs are often pasted.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    let text = std::str::from_utf8(&bytes).ok().map(|text| text.split_ascii_whitespace().collect::<String>());
    Ok(text.and_then(|text| hex::decode(text).ok()).unwrap_or(bytes))
}
