//! The running server's side of the admin socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{AdminError, AdminReply};
use crate::data_directory::{DataDirectory, DataError};
use crate::operator::Operator;

/// Longest request in bytes: ten thousand rows of an import fit, each with the longest label.
const REQUEST_BYTES_MAX: u64 = 8 << 20;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// A bound admin socket; its file is removed when this is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket of a data directory. Whoever holds the database's lock may do this: a socket that is left there
    /// belongs to a server that is gone. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn bind(data: &DataDirectory) -> Result<Self, DataError> {
        let path = data.admin_socket()?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DataError::system("remove the old socket", &path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(DataError::system("listen on", &path))?;
        // Nobody else can come in between: the directory is closed to others.
        let closed = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600));
        closed.map_err(DataError::system("close to others", &path))?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stop` becomes true, then finishes what was begun.
    pub async fn run(self, operator: Arc<Operator>, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stop_for_connections = stop.clone();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(serve(stream, Arc::clone(&operator), stop_for_connections.clone()));
                    }
                    Ok(_) => tracing::warn!("too many connections to the admin socket; one was closed"),
                    Err(error) => {
                        tracing::warn!(%error, "the admin socket cannot accept a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped(&mut stop) => break,
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(stream: UnixStream, operator: Arc<Operator>, mut stop: watch::Receiver<bool>) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Zeroizing::new(Vec::new());
        let mut limited = (&mut reading).take(REQUEST_BYTES_MAX);
        let read = tokio::select! {
            read = limited.read_until(b'\n', &mut line) => read,
            () = stopped(&mut stop) => return,
        };
        if !matches!(read, Ok(length) if length > 0) {
            return;
        }
        let too_long = line.last() != Some(&b'\n');
        let operator = Arc::clone(&operator);
        let reply = if too_long {
            AdminReply::Error(AdminError::bad_input("the request is cut off, or longer than 8 MiB"))
        } else {
            let executed = tokio::task::spawn_blocking(move || execute(&operator, &line)).await;
            executed.unwrap_or_else(|_| AdminReply::Error(AdminError::refused("the command failed within the server")))
        };
        let mut answer = Zeroizing::new(serde_json::to_vec(&reply).unwrap_or_default());
        answer.push(b'\n');
        if writing.write_all(&answer).await.is_err() || too_long {
            return;
        }
    }
}

fn execute(operator: &Operator, line: &[u8]) -> AdminReply {
    let result = match serde_json::from_slice(line) {
        Ok(request) => operator.execute(request),
        Err(error) => Err(AdminError::bad_input(format!("the request is not understood: {error}"))),
    };
    match result {
        Ok(response) => AdminReply::Ok(Box::new(response)),
        Err(error) => AdminReply::Error(error),
    }
}

/// Returns once `stop` is true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard must not live across another await: it is bound to this thread.
    let _ = stop.wait_for(|stop| *stop).await.map(drop);
}
