//! The errors of a private database server.

use std::io;
use std::path::PathBuf;

/// Why there is no private database server.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(
        "no MariaDB or MySQL server was found on this machine. Install one:\n  \
         Debian, Ubuntu: apt-get install mariadb-server-core mariadb-client-core\n  \
         Fedora:         dnf install mariadb-server\n  \
         macOS:          brew install mariadb\n\
         or run `holdfast serve` with HOLDFAST_DATABASE_URL naming a server that runs elsewhere"
    )]
    NoServer,
    #[error(
        "{engine} was found, but not mariadb-install-db and my_print_defaults, which create its data folder \
         (Debian, Ubuntu: apt-get install mariadb-server-core mariadb-client-core)"
    )]
    NoInstaller { engine: String },
    #[error("the database folder {} is already in use by {owner}", folder.display())]
    InUse { folder: PathBuf, owner: String },
    #[error(
        "the database folder {} was initialised by {initialised_by}, which cannot be found here; {found} cannot open \
         it. Install {initialised_by}, or move the folder away to start with an empty database", folder.display()
    )]
    OtherEngine { folder: PathBuf, initialised_by: String, found: String },
    #[error("the database folder {} is still in use by an earlier server (process {pids:?}), which does not end", folder.display())]
    Held { folder: PathBuf, pids: Vec<String> },
    #[error("{engine} could not create its data folder ({reason}); the end of its log:\n{log}")]
    Initialise { engine: String, reason: String, log: String },
    #[error("{engine} did not start ({reason}); the end of its log:\n{log}")]
    Start { engine: String, reason: String, log: String },
    #[error("another process took port {port} before the database server did")]
    PortTaken { port: u16 },
    #[error("{engine} ended unexpectedly ({reason}); the end of its log:\n{log}")]
    Died { engine: String, reason: String, log: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl DevError {
    /// Adds the path of a file to an error of the system.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File { path: path.into(), source }
    }
}
