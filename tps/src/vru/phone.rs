//! A telephone for terminals: connects to a VRU, prints what the voice says and sends the keys that are pressed. Knows the VRU's
//! address and nothing else; needs no data directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::fronts::{line::GREETING, tls};

/// Longest line of a VRU.
const LINE_BYTES_MAX: u64 = 8_192;
/// How long to wait for the first line, which comes at once.
const PATIENCE_FIRST: Duration = Duration::from_secs(10);
/// How long to wait for any other: refusals are held back for some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a call did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// Nobody answers.
    #[error("nobody answers at {address}: {error}; see the mailer, or `tps status` for where the VRU listens")]
    NoAnswer {
        /// Where.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The line is open to everybody on the way.
    #[error(
        "{0} is not this machine, and the line would be open to everybody on the way: name the server's certificate with \
         --fingerprint, as the mailer says"
    )]
    NotPrivate(String),
    /// The fingerprint is none.
    #[error("{0}")]
    Fingerprint(String),
    /// Something else listens there.
    #[error(
        "what answers there is no VRU, has another certificate than the fingerprint's, or has all its lines busy ({0}): see the \
         mailer, or call again later"
    )]
    NoVru(String),
    /// The line broke.
    #[error("the call was cut off: {0}; call again")]
    CutOff(std::io::Error),
    /// The keys cannot be read.
    #[error("that was not pressed: {0}")]
    Keys(std::io::Error),
}

/// The way to a VRU.
pub trait Line: Read + Write {
    /// How long to wait for a line from now on.
    ///
    /// # Errors
    /// The system's.
    fn wait(&self, patience: Duration) -> std::io::Result<()>;
}

impl Line for TcpStream {
    fn wait(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Line for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn wait(&self, patience: Duration) -> std::io::Result<()> {
        self.sock.wait(patience)
    }
}

/// Dials. Without a fingerprint only a VRU on this machine is called.
///
/// # Errors
/// [`PhoneError`].
pub fn dial(address: &str, fingerprint: Option<&str>) -> Result<Box<dyn Line>, PhoneError> {
    let no_answer = |error| PhoneError::NoAnswer { address: address.to_owned(), error };
    let resolved: Vec<_> = address.to_socket_addrs().map_err(no_answer)?.collect();
    if fingerprint.is_none() && resolved.iter().any(|address| !address.ip().is_loopback()) {
        return Err(PhoneError::NotPrivate(address.to_owned()));
    }
    let config = fingerprint.map(tls::client_config).transpose().map_err(PhoneError::Fingerprint)?;
    let stream = TcpStream::connect(&resolved[..]).map_err(no_answer)?;
    let Some(config) = config else { return Ok(Box::new(stream)) };
    let name = crate::keys::TLS_NAME.try_into().expect("it is a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name)
        .map_err(|error| PhoneError::Fingerprint(error.to_string()))?;
    Ok(Box::new(rustls::StreamOwned::new(session, stream)))
}

/// Makes a call on `line`: sentences go to `say`, keys come from `keys`, which is told whether they are a secret and how many
/// are expected; `None` hangs up.
///
/// # Errors
/// [`PhoneError`].
pub fn call(
    line: Box<dyn Line>,
    mut say: impl FnMut(&str),
    mut keys: impl FnMut(bool, usize) -> std::io::Result<Option<Zeroizing<String>>>,
) -> Result<(), PhoneError> {
    let mut line = BufReader::new(line);
    line.get_ref().wait(PATIENCE_FIRST).map_err(PhoneError::CutOff)?;
    match heard(&mut line) {
        Ok(first) if *first == GREETING => {}
        // A server of another kind says something else, or waits.
        Ok(_) => return Err(PhoneError::NoVru("it greets in another way".to_owned())),
        Err(error) => return Err(PhoneError::NoVru(error.to_string())),
    }
    line.get_ref().wait(PATIENCE).map_err(PhoneError::CutOff)?;
    loop {
        let told = heard(&mut line).map_err(PhoneError::CutOff)?;
        if *told == "bye" {
            return Ok(());
        } else if let Some(sentence) = told.strip_prefix("say ") {
            // Nothing that a terminal would obey.
            let plain: Zeroizing<String> =
                Zeroizing::new(sentence.chars().filter(|character| !character.is_control()).collect());
            say(&plain);
        } else if let Some(how) = told.strip_prefix("keys ") {
            let (count, hidden) = how.split_once(' ').unwrap_or((how, "hidden"));
            let pressed = keys(hidden != "open", count.parse().unwrap_or(1)).map_err(PhoneError::Keys)?;
            let mut sent = Zeroizing::new(String::with_capacity(64));
            sent.push_str(pressed.as_ref().map_or("hangup", |keys| keys.trim()));
            sent.push('\n');
            let writing = line.get_mut();
            writing.write_all(sent.as_bytes()).and_then(|()| writing.flush()).map_err(PhoneError::CutOff)?;
            if pressed.is_none() {
                return Ok(());
            }
        }
    }
}

/// The next line, without its end.
fn heard(line: &mut BufReader<Box<dyn Line>>) -> std::io::Result<Zeroizing<String>> {
    let mut told = Zeroizing::new(String::with_capacity(256));
    line.take(LINE_BYTES_MAX).read_line(&mut told).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => std::io::Error::new(std::io::ErrorKind::TimedOut, "nothing was said in time"),
        _ => error,
    })?;
    match told.pop() {
        Some('\n') => Ok(told),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_over_a_line_that_others_hear() {
        let refused = |address| dial(address, None).err().map(|error| error.to_string()).unwrap();
        assert!(refused("192.0.2.1:4435").contains("--fingerprint"));
        assert!(refused("127.0.0.1").contains("nobody answers"));
        // Told before anybody is called.
        assert!(matches!(dial("127.0.0.1:1", Some("12")), Err(PhoneError::Fingerprint(_))));
    }
}
