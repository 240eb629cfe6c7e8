//! `tps vru-phone`.

use std::io::{IsTerminal, Write};

use clap::Args;
use zeroize::Zeroizing;

use crate::admin::{AdminError, AdminErrorCode};
use crate::vru::VRU_PORT;
use crate::vru::conversation::Conversation;
use crate::vru::phone::{PhoneError, call, dial};

/// `tps vru-phone`.
#[derive(Debug, Args)]
#[command(
    after_help = "What the voice says is printed, one sentence a line. It waits for keys: 0 to 9, * and #, a line at a time, from \
                        --digits, from the terminal (a passcode is not shown), or from standard input; where those end, the \
                        phone hangs up."
)]
pub(super) struct VruPhone {
    /// host:port of the VRU [default: 127.0.0.1:4435]
    address: Option<String>,
    /// Keys to press, a part for each time that the voice waits: 1234567890,12345678,2,0. Others on this machine can see them
    #[arg(long, value_name = "KEYS,KEYS...", value_delimiter = ',')]
    digits: Vec<String>,
    /// SHA-256 of the server's certificate, for a VRU under TLS
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

impl VruPhone {
    pub(super) fn run(self) -> Result<(), AdminError> {
        let address = self.address.unwrap_or_else(|| format!("127.0.0.1:{VRU_PORT}"));
        let line = dial(&address, self.fingerprint.as_deref())?;
        let given = !self.digits.is_empty();
        let mut digits = self.digits.into_iter().map(Zeroizing::new);
        let say = |sentence: &str| {
            // Whoever closes our output early has heard enough.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(sentence.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        };
        call(line, say, |hidden, _| if given { digits.next().map(checked).transpose() } else { pressed(hidden) })?;
        Ok(())
    }
}

/// What keys there are, for people.
const WRONG_KEYS: &str = "keys are 0 to 9, * and #, at most 32 at a time";

fn checked(keys: Zeroizing<String>) -> std::io::Result<Zeroizing<String>> {
    match Conversation::parse(keys.trim()) {
        Some(_) => Ok(keys),
        None => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, WRONG_KEYS)),
    }
}

/// A line of keys from the terminal or from standard input; `None` at its end. Whoever mistypes at a terminal may type again.
fn pressed(hidden: bool) -> std::io::Result<Option<Zeroizing<String>>> {
    let terminal = std::io::stdin().is_terminal();
    while let Some(keys) = typed(hidden && terminal)? {
        match checked(keys) {
            Err(error) if terminal => eprintln!("({error})"),
            checked => return checked.map(Some),
        }
    }
    Ok(None)
}

fn typed(hidden: bool) -> std::io::Result<Option<Zeroizing<String>>> {
    if hidden {
        return rpassword::prompt_password("").map(|keys| Some(Zeroizing::new(keys)));
    }
    let mut keys = Zeroizing::new(String::with_capacity(64));
    let read = std::io::stdin().read_line(&mut keys)?;
    Ok((read > 0).then_some(keys))
}

impl From<PhoneError> for AdminError {
    fn from(error: PhoneError) -> Self {
        let code = match &error {
            PhoneError::NotPrivate(_) | PhoneError::Fingerprint(_) | PhoneError::Keys(_) => AdminErrorCode::BadInput,
            PhoneError::NoAnswer { .. } | PhoneError::NoVru(_) | PhoneError::CutOff(_) => AdminErrorCode::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}
