//! The command line's side of the admin socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use zeroize::Zeroizing;

use super::{AdminError, AdminErrorCode, AdminReply, AdminRequest, AdminResponse, LINE_BYTES_MAX};

/// A connection to a running server.
pub struct AdminClient {
    stream: BufReader<UnixStream>,
}

impl AdminClient {
    /// Connects; `None` where no server answers at `socket`.
    ///
    /// # Errors
    /// [`AdminError`] where one does, but not to us.
    pub fn connect(socket: &Path) -> Result<Option<Self>, AdminError> {
        match UnixStream::connect(socket) {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream) })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(unavailable(format!(
                "cannot connect to the server's socket {}: {error}; run this as the user who runs the server",
                socket.display()
            ))),
        }
    }

    /// Has one command carried out.
    ///
    /// # Errors
    /// What the server says, or that it went away: then it is unknown whether the command was carried out.
    pub fn call(&mut self, request: &AdminRequest) -> Result<AdminResponse, AdminError> {
        let lost = |error: std::io::Error| {
            unavailable(format!(
                "the server went away ({error}) before it answered: look with a `list` or `show` command whether it was done"
            ))
        };
        let line = serde_json::to_vec(request).map_err(|error| AdminError::bad_input(error.to_string()))?;
        let mut line = Zeroizing::new(line);
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(lost)?;
        let mut answer = Zeroizing::new(Vec::new());
        self.stream.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut answer).map_err(lost)?;
        if answer.last() != Some(&b'\n') {
            return Err(lost(ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_slice(&answer) {
            Ok(AdminReply::Ok(response)) => Ok(*response),
            Ok(AdminReply::Error(error)) => Err(error),
            Err(error) => Err(unavailable(format!(
                "the server's answer is not understood ({error}): it may be another version; use the `tps` that it was started with"
            ))),
        }
    }
}

fn unavailable(message: String) -> AdminError {
    AdminError::new(AdminErrorCode::Unavailable, message)
}
