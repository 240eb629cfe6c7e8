//! `tps dev`: a throw-away TPS on the memory store. It needs no database and leaves nothing behind.

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Announce, Loaded, ServeError, ServeOptions, run};
use crate::config::Config;
use crate::data_directory::{DataDirectory, DataError};
use crate::operator::installation::{InstallOptions, fill, genesis};
use crate::pipeline::clock::wall_clock;
use crate::store::memory::MemoryStore;

/// Where `tps dev` listens unless told otherwise.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), protocol::limits::TPS_PORT);

/// Removes the directory at the end, whatever happens.
struct ThrowAway(PathBuf);

impl Drop for ThrowAway {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a TPS in a temporary directory, or in `path`, which must not exist; serves it until it is told to stop, and
/// removes the directory.
///
/// # Errors
/// [`ServeError`].
pub fn dev(
    path: Option<&Path>,
    install: &InstallOptions,
    mut options: ServeOptions,
    log: impl FnOnce(&Config),
) -> Result<(), ServeError> {
    let path = match path {
        Some(path) => {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .create(path)
                .map_err(DataError::system("make the new directory", path))?;
            path.to_owned()
        }
        None => {
            let private = std::fs::Permissions::from_mode(0o700);
            let directory = tempfile::Builder::new().prefix("tps-dev-").permissions(private).tempdir();
            directory.map_err(DataError::system("make a directory in", &std::env::temp_dir()))?.keep()
        }
    };
    let throw_away = ThrowAway(path.clone());
    let realm = fill(&path, install, wall_clock())?;
    let data = DataDirectory::at(&path);
    options.overrides.listen.get_or_insert(LISTEN);
    let loaded = Loaded::from(&data, &realm, &options.overrides)?;
    log(&loaded.config);
    let store = Box::new(MemoryStore::new(genesis(&realm)));
    let announce = Announce::ReadyAnd(Box::new(move |_| next_steps(&path)));
    run(&data, &realm, loaded, store, &options, false, &announce, &mut None)?;
    drop(throw_away);
    Ok(())
}

/// The exact commands to try next.
fn next_steps(data: &Path) -> String {
    let program =
        std::env::args_os().next().map_or_else(|| "tps".into(), |program| program.to_string_lossy().into_owned());
    let data = data.display();
    format!(
        "\nThis TPS lives in memory and in {data}; both are gone when it ends (Ctrl-C). In another terminal:\n\n\
         \x20 export TPS_DATA={data}\n\
         \x20 {program} account open\n\
         \x20 {program} account fund ACCOUNT 10.00 --deposit first\n\
         \x20 {program} instrument enrol ACCOUNT --label laptop --bundle laptop.bundle --mailer laptop.mailer\n\
         \x20 cts --dir laptop init laptop.bundle\n\
         \x20 cat laptop.mailer    # how to call the VRU, which gives the PIN\n\
         \x20 {program} merchant register shop.request\n\
         \x20 {program} merchant approve MERCHANT --certificate-out shop.certificate\n\
         \x20 {program} key export --audience merchant shop.keyset\n\
         \x20 {program} status\n"
    )
}
