//! The server programs of this machine, and how to use them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::time::timeout;

use super::error::DevError;
use super::folder::{Folder, remove, write};
use super::limits::READY_LIMIT;
use super::supervisor::{Supervised, describe};

/// Folders of servers besides `PATH`, which seldom contains these folders for an ordinary user.
const SERVER_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/bin"];
/// The file with the name of the engine that initialised the data folder. It is in that folder, so that both appear together.
pub(super) const ENGINE_MARKER: &str = "engine";
/// MySQL creates `root@localhost` alone, which a server that resolves no names does not recognise over TCP.
const MYSQL_ROOT: &str = "CREATE USER 'root'@'127.0.0.1';\nGRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n";

/// The two kinds of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    MariaDb,
    MySql,
}

impl Flavor {
    fn name(self) -> &'static str {
        match self {
            Flavor::MariaDb => "MariaDB",
            Flavor::MySql => "MySQL",
        }
    }
}

/// A server program that this machine has.
#[derive(Debug)]
pub(super) struct Engine {
    flavor: Flavor,
    version: String,
    program: PathBuf,
    installer: Option<PathBuf>,
}

impl Engine {
    /// The first server found, or the first of the engine that initialised the folder.
    pub(super) async fn choose(folder: &Folder, places: &[PathBuf]) -> Result<Engine, DevError> {
        let marker = folder.data().join(ENGINE_MARKER);
        let initialised_by = match folder.data().exists() {
            true => Some(fs::read_to_string(&marker).map_err(DevError::file(marker))?),
            false => None,
        };
        let mut found = Vec::new();
        for program in places.iter().flat_map(|place| ["mariadbd", "mysqld"].map(|name| place.join(name))) {
            if let Some(engine) = Engine::recognise(program, places).await {
                if initialised_by.as_deref().is_none_or(|name| name.trim() == engine.flavor.name()) {
                    return Ok(engine);
                }
                found.push(engine);
            }
        }
        match (initialised_by, found.first()) {
            (Some(name), Some(engine)) => Err(DevError::OtherEngine {
                folder: folder.path().to_owned(),
                initialised_by: name.trim().to_owned(),
                found: engine.name(),
            }),
            _ => Err(DevError::NoServer),
        }
    }

    /// Identifies a program by its `--version`: MariaDB is often installed under MySQL's name as well.
    async fn recognise(program: PathBuf, places: &[PathBuf]) -> Option<Engine> {
        if !program.is_file() {
            return None;
        }
        let output = Command::new(&program).args(["--no-defaults", "--version"]).output().await.ok()?;
        let banner = String::from_utf8_lossy(&output.stdout).into_owned();
        let (flavor, version) = parse_banner(&banner)?;
        let names = ["mariadb-install-db", "mysql_install_db"];
        let beside = program.parent().map(|parent| parent.join("../bin"));
        let installers = places.iter().cloned().chain(beside).flat_map(|place| names.map(|name| place.join(name)));
        let installer = installers.into_iter().find(|path| path.is_file());
        Some(Engine { flavor, version, program, installer })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.flavor.name(), self.version)
    }

    /// Creates the data folder under another name and renames it when it is complete: an incomplete one is never used.
    pub(super) async fn initialise(&self, folder: &Folder) -> Result<(), DevError> {
        let unfinished = folder.data_unfinished();
        remove(&unfinished)?;
        tracing::info!(engine = self.name(), folder = %folder.path().display(), "creating the database folder");
        let log_start = folder.log_length();
        let (program, arguments) = self.initialise_command(folder)?;
        let mut running = Supervised::spawn(&program, &arguments, folder.path(), folder)?;
        let reason = match timeout(READY_LIMIT, running.ended()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(ended) => Some(describe(ended)),
            Err(_) => Some(format!("not done in {READY_LIMIT:?}")),
        };
        if let Some(reason) = reason {
            let log = folder.log_since(log_start);
            if log.contains("my_print_defaults") {
                return Err(DevError::NoInstaller { engine: self.name() });
            }
            return Err(DevError::Initialise { engine: self.name(), reason, log });
        }
        write(&unfinished.join(ENGINE_MARKER), self.flavor.name())?;
        fs::rename(&unfinished, folder.data()).map_err(DevError::file(folder.data()))
    }

    /// Returns the command that creates a data folder with a root user without a password.
    fn initialise_command(&self, folder: &Folder) -> Result<(PathBuf, Vec<OsString>), DevError> {
        let missing = || DevError::NoInstaller { engine: self.name() };
        let mut arguments = vec!["--no-defaults".into(), option("--datadir=", &folder.data_unfinished())];
        arguments.extend(user_option());
        let program = match self.flavor {
            Flavor::MariaDb => {
                // `--force` accepts a machine that cannot resolve its own name.
                let options = ["--force", "--skip-name-resolve", "--skip-test-db"].map(OsString::from);
                arguments.extend(options);
                arguments.push("--auth-root-authentication-method=normal".into());
                self.installer.clone().ok_or_else(missing)?
            }
            Flavor::MySql => {
                let root_user = folder.path().join("root-user.sql");
                write(&root_user, MYSQL_ROOT)?;
                arguments.extend(["--initialize-insecure", "--secure-file-priv=NULL"].map(OsString::from));
                arguments.push(option("--init-file=", &root_user));
                self.program.clone()
            }
        };
        Ok((program, arguments))
    }

    /// Durability stays at the servers' own default: every commit is on disk before it is acknowledged. Socket and pid
    /// file are relative to the data folder, since a socket's path may not exceed 107 bytes.
    pub(super) fn server_arguments(&self, folder: &Folder, port: u16) -> Vec<OsString> {
        let common = [
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--socket=server.sock",
            "--pid-file=server.pid",
            "--max-connections=1000",
            "--innodb-buffer-pool-size=256M",
            "--character-set-server=utf8mb4",
        ];
        let own: &[&str] = match self.flavor {
            Flavor::MariaDb => &["--skip-log-bin"],
            Flavor::MySql => &["--mysqlx=OFF", "--secure-file-priv=NULL"],
        };
        let mut arguments: Vec<OsString> = common.iter().chain(own).map(OsString::from).collect();
        if self.flavor == Flavor::MariaDb {
            // MariaDB cannot switch file access off, only lock it into a folder.
            arguments.push(option("--secure-file-priv=", &folder.files()));
        }
        arguments.extend([option("--datadir=", &folder.data()), format!("--port={port}").into()]);
        arguments.extend(user_option());
        arguments
    }
}

/// Parses the output of `--version`, such as `mysqld  Ver 10.11.6-MariaDB-log for …`.
pub(super) fn parse_banner(banner: &str) -> Option<(Flavor, String)> {
    let version = banner.split_whitespace().skip_while(|word| *word != "Ver").nth(1)?;
    let flavor = if banner.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
    Some((flavor, version.split('-').next().unwrap_or(version).to_owned()))
}

/// Returns the option without which both servers refuse to run as root, and which they accept only from root. `/proc/self`
/// belongs to the user of this process. The form is short, because MariaDB's installer reacts to the long one: it changes
/// owners, also of system files, and breaks on a folder with a space in its name.
fn user_option() -> Option<OsString> {
    let uid = fs::metadata("/proc/self").map(|process| process.uid());
    matches!(uid, Ok(0)).then(|| "-uroot".into())
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// The folders in which server programs are looked for.
pub(super) fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let named = env::split_paths(&path).filter(|place| place.is_absolute());
    named.chain(SERVER_FOLDERS.map(PathBuf::from)).collect()
}
