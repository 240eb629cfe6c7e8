//! Instructions of the funding agency: what came in, and which payouts came back.
//!
//! An instruction is a text of two lines. The first is a JSON object, the second the agency's Ed25519 signature over the bytes of
//! the first (without its line feed) in the domain `quittance/v1/funding-instruction`, in hexadecimal.

use protocol::hash::{Purpose, tagged};
use protocol::ids::Digest;
use protocol::money::Asset;
use protocol::signature::{Domain, FundingRole, Signature, SigningKey, strict_verify};

/// Longest file with an instruction, in bytes.
pub const INSTRUCTION_BYTES_MAX: usize = 4_096;
/// Longest name of an instruction, in bytes.
const ID_BYTES_MAX: usize = 128;

/// What the agency instructs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "instruction", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Instruction {
    /// Money came in for an account.
    Deposit {
        /// The agency's name for it: the same is applied once.
        id: String,
        /// The account: its id, or what the agency calls it.
        account: String,
        /// Of what; must be the account's.
        asset: Asset,
        /// How much, decimal.
        amount: String,
    },
    /// A payout did not arrive; the merchant gets its money back.
    PayoutReturned {
        /// The agency's name for this message.
        id: String,
        /// The payout, as the list of payouts names it.
        payout: String,
    },
}

/// Why a file is no instruction of the agency's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// Not two lines.
    #[error(
        "it has not two lines, an instruction and its signature, of at most {INSTRUCTION_BYTES_MAX} bytes: make it with `tps funding sign`"
    )]
    Shape,
    /// The signature does not hold.
    #[error(
        "its signature is not one of the funding agency's key: it was altered, or `funding_key` in tps.toml is another key"
    )]
    Signature,
    /// Not an instruction.
    #[error("it cannot be understood: {0}")]
    Content(String),
    /// The name.
    #[error("its `id` must have 1 to {ID_BYTES_MAX} printable characters")]
    Id,
}

impl Instruction {
    /// The agency's name for it.
    pub fn id(&self) -> &str {
        match self {
            Self::Deposit { id, .. } | Self::PayoutReturned { id, .. } => id,
        }
    }

    /// The same text for the same instruction, to know a repeat under a name that was used.
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("an instruction is JSON");
        Digest(tagged(Purpose::FUNDING_INSTRUCTION, &text))
    }

    /// Reads a signed instruction.
    ///
    /// # Errors
    /// [`InstructionError`].
    pub fn read(bytes: &[u8], agency: &[u8; 32]) -> Result<Self, InstructionError> {
        if bytes.len() > INSTRUCTION_BYTES_MAX {
            return Err(InstructionError::Shape);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InstructionError::Shape)?;
        let (content, signature) = text.trim_end().split_once('\n').ok_or(InstructionError::Shape)?;
        let content = content.trim_end_matches('\r');
        let mut signed = [0; 64];
        hex::decode_to_slice(signature.trim(), &mut signed).map_err(|_| InstructionError::Shape)?;
        strict_verify(agency, Domain::FUNDING_INSTRUCTION, &[content.as_bytes()], &Signature(signed))
            .map_err(|_| InstructionError::Signature)?;
        Self::parse(content)
    }

    /// Reads an instruction that is not signed yet.
    ///
    /// # Errors
    /// [`InstructionError::Content`], [`InstructionError::Id`].
    pub fn parse(content: &str) -> Result<Self, InstructionError> {
        let instruction: Self =
            serde_json::from_str(content).map_err(|error| InstructionError::Content(error.to_string()))?;
        let id = instruction.id();
        let valid = !id.trim().is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control);
        if valid { Ok(instruction) } else { Err(InstructionError::Id) }
    }

    /// The two lines of a signed instruction.
    pub fn sign(&self, key: &SigningKey<FundingRole>) -> String {
        let content = serde_json::to_string(self).expect("an instruction is JSON");
        let signature = key.sign(Domain::FUNDING_INSTRUCTION, content.as_bytes());
        format!("{content}\n{}\n", hex::encode(signature.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deposit() -> Instruction {
        Instruction::Deposit {
            id: "2026-11-21/1".into(),
            account: "0a".repeat(16),
            asset: Asset::USD6,
            amount: "1.50".into(),
        }
    }

    #[test]
    fn only_what_the_agency_signed_is_believed() {
        let key = SigningKey::from_seed([1; 32]);
        let text = deposit().sign(&key);
        assert_eq!(Instruction::read(text.as_bytes(), &key.public()), Ok(deposit()));
        assert_eq!(Instruction::read(text.replace('\n', "\r\n").as_bytes(), &key.public()), Ok(deposit()));
        let other = SigningKey::<FundingRole>::from_seed([2; 32]).public();
        assert_eq!(Instruction::read(text.as_bytes(), &other), Err(InstructionError::Signature));
        let altered = text.replace("1.50", "9.50");
        assert_eq!(Instruction::read(altered.as_bytes(), &key.public()), Err(InstructionError::Signature));
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            assert!(Instruction::read(&text.as_bytes()[..cut], &key.public()).is_err());
        }
        assert_eq!(Instruction::read(&[b'x'; 5_000], &key.public()), Err(InstructionError::Shape));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, named) in [
            (r#"{"instruction":"deposit","id":"1","account":"a","asset":"USD6"}"#, "amount"),
            (r#"{"instruction":"gift","id":"1"}"#, "gift"),
            (r#"{"instruction":"payout-returned","id":"1","payout":"x","why":"y"}"#, "why"),
            (r#"{"instruction":"payout-returned","id":" ","payout":"x"}"#, "id"),
        ] {
            let error = Instruction::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
