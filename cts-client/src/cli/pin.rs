//! Where the PIN comes from: a terminal without echo, or a descriptor that an agent's keeper fills. Never an argument and
//! never the environment, which others can read.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use protocol::pin::Pin;
use zeroize::Zeroizing;

use super::arguments::PinArguments;

/// Longer than any PIN with its line end.
const PIN_TEXT_BYTES_MAX: u64 = 64;

/// Reads a PIN; `Ok(None)` where there is neither a descriptor nor a terminal.
pub(super) fn read(arguments: &PinArguments, prompt: &str) -> anyhow::Result<Option<Pin>> {
    let text = match arguments.pin_fd {
        Some(descriptor) => {
            // The descriptor's path opens the same pipe or file without code that the compiler cannot check.
            let file = std::fs::File::open(format!("/proc/self/fd/{descriptor}"));
            let file = file.with_context(|| format!("--pin-fd {descriptor}: no such open descriptor"))?;
            let mut text = Zeroizing::new(String::with_capacity(PIN_TEXT_BYTES_MAX as usize));
            file.take(PIN_TEXT_BYTES_MAX).read_to_string(&mut text).context("the PIN cannot be read")?;
            text
        }
        None if std::io::stdin().is_terminal() => Zeroizing::new(rpassword::prompt_password(prompt)?),
        None => return Ok(None),
    };
    Ok(Some(Pin::parse(&text)?))
}

/// Whether a wrong PIN can be typed again.
pub(super) fn is_interactive(arguments: &PinArguments) -> bool {
    arguments.pin_fd.is_none() && std::io::stdin().is_terminal()
}
