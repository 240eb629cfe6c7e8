//! `tps funding`: what the funding agency needs on its side. It works without a TPS.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use protocol::signature::{FundingRole, SigningKey};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use super::output::NewFile;
use crate::admin::{AdminError, AdminErrorCode};
use crate::data_directory::{read_private, read_text, write_private};
use crate::funding::instruction::Instruction;

#[derive(Debug, Subcommand)]
pub(super) enum FundingCommand {
    /// Make the agency's signing key; the public key belongs into `funding_key` of tps.toml
    NewKey {
        /// The new file for the secret key
        file: PathBuf,
    },
    /// Sign an instruction, for the folder DATA/funding/in
    #[command(after_help = "An instruction is a JSON object, for example\n\
        {\"instruction\":\"deposit\",\"id\":\"2026-11-21/1\",\"account\":\"ID or reference\",\"asset\":\"USD6\",\"amount\":\"10.00\"}\n\
        {\"instruction\":\"payout-returned\",\"id\":\"2026-11-22/7\",\"payout\":\"ID\"}")]
    Sign {
        /// The agency's secret key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The instruction
        instruction: PathBuf,
        /// The new file for the signed instruction; its name must end in .json
        signed: PathBuf,
    },
}

impl FundingCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        match self {
            Self::NewKey { file } => new_key(context, &file),
            Self::Sign { key, instruction, signed } => sign(context, &key, &instruction, &signed),
        }
    }
}

fn new_key(context: &Context, path: &Path) -> Result<(), AdminError> {
    let file = NewFile::create(path)?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(|_| AdminError::from(crate::keys::KeyError::NoRandomness))?;
    let public = hex::encode(SigningKey::<FundingRole>::from_seed(*seed).public());
    file.keep(Zeroizing::new(hex::encode(&seed[..])).as_bytes())?;
    let text = format!(
        "secret key   {}\nfunding_key = \"{public}\"\n\nNext: put the second line into tps.toml.\n",
        path.display()
    );
    context.output.told(&json!({ "result": "made", "file": path, "funding_key": public }), &text);
    Ok(())
}

fn sign(context: &Context, key: &Path, instruction: &Path, signed: &Path) -> Result<(), AdminError> {
    if signed.extension().is_none_or(|end| end != "json") {
        return Err(AdminError::bad_input(format!("{} must end in .json, or nobody reads it", signed.display())));
    }
    let secret = read_private(key)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(secret.trim_ascii(), &mut seed[..]).map_err(|_| {
        AdminError::new(
            AdminErrorCode::Keys,
            format!("{} is no key: make one with `tps funding new-key`", key.display()),
        )
    })?;
    let wrong = |error: crate::funding::instruction::InstructionError| {
        AdminError::bad_input(format!("{}: {error}", instruction.display()))
    };
    let parsed = Instruction::parse(&read_text(instruction)?).map_err(wrong)?;
    let text = parsed.sign(&SigningKey::from_seed(*seed));
    if signed.exists() {
        let message = format!("{} exists already; nothing was done: name a new file", signed.display());
        return Err(AdminError::bad_input(message));
    }
    // It has its name only when it is whole: the TPS may look into the folder at any moment.
    write_private(signed, text.as_bytes())?;
    context.output.told(&json!({ "result": "signed", "file": signed }), &format!("signed  {}\n", signed.display()));
    Ok(())
}
