//! A private database server, for `holdfast dev` and for the test suite.
//!
//! [`PrivateServer`] runs the `mariadbd` or `mysqld` of this machine, on a free loopback port, with all its files in one
//! folder. It runs exactly as long as its owner: a small shell supervisor holds a pipe from the owner and shuts the server
//! down when that pipe closes, however the owner ended. Two servers never open the same folder: an advisory lock, which is
//! released when its holder ends, excludes a second owner, and a server that an earlier owner left running is ended first.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout},
};

/// The only folder, an empty one, in which SQL may read and write files: every client of the port is root.
const FILES: &str = "files";
/// How long a start may take until the server answers, a crash recovery included.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a server may take to end after SIGTERM before it is killed; [`SUPERVISOR`] has the same limit.
const TERM_PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to end after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How many ports are tried when another process takes the chosen one before the server does.
const PORT_ATTEMPTS: u32 = 5;
const LOG_LINES_QUOTED: usize = 20;
/// Folders of servers besides `PATH`, which seldom contains these folders for an ordinary user.
const SERVER_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/bin"];
/// The file with the name of the engine that initialised the data folder. It is in that folder, so that both appear together.
const ENGINE_MARKER: &str = "engine";

/// Runs the command in its arguments, ends it when standard input closes, and ends itself with it. The subshell waits
/// on the pipe; the server gets neither end of it.
const SUPERVISOR: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
trap 'kill -s TERM "$server"' HUP INT TERM
(
    read -r _ <&3
    kill -s TERM "$server"
    left=30
    while [ "$left" -gt 0 ]; do sleep 1; left=$((left - 1)); done
    kill -s KILL "$server"
) 2>/dev/null &
watcher=$!
wait "$server"
status=$?
while kill -s 0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
kill "$watcher"
exit "$status"
"#;

/// MySQL creates `root@localhost` alone, which a server that resolves no names does not recognise over TCP.
const MYSQL_ROOT: &str = "CREATE USER 'root'@'127.0.0.1';\nGRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n";

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

/// A private database server. Dropping it shuts the server down too, but only [`PrivateServer::stop`] waits for the
/// end.
#[derive(Debug)]
pub struct PrivateServer {
    running: Supervised,
    engine: Engine,
    port: u16,
    folder: Folder,
    log_start: u64,
}

impl PrivateServer {
    /// Starts a server with its data in `folder`, which is created and initialised where needed, and returns once it
    /// answers. `extra` are options of the server, after (and so above) those given here.
    ///
    /// # Errors
    ///
    /// Every [`DevError`] but `Died`; those about the server quote what it logged.
    pub async fn start(folder: &Path, extra: &[&str]) -> Result<PrivateServer, DevError> {
        let folder = Folder::claim(folder)?;
        folder.end_predecessors().await?;
        let engine = Engine::choose(&folder, &search_path()).await?;
        if !folder.data().exists() {
            engine.initialise(&folder).await?;
        }
        let mut attempts = 1;
        let launched = loop {
            match launch(&folder, &engine, extra).await {
                Err(DevError::PortTaken { port }) if attempts < PORT_ATTEMPTS => {
                    tracing::warn!(port, "another process took the port; trying another port");
                    attempts += 1;
                }
                outcome => break outcome?,
            }
        };
        let (running, port, log_start) = launched;
        Ok(PrivateServer { running, engine, port, folder, log_start })
    }

    /// Returns the URL of `database`, which need not exist, on this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the engine's name and version, such as `MariaDB 10.11.6`.
    #[must_use]
    pub fn engine(&self) -> String {
        self.engine.name()
    }

    /// Returns the file to which the server logs.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.log()
    }

    /// Waits until the server ends unexpectedly, and returns the reason. May be cancelled and called again.
    pub async fn exited(&mut self) -> DevError {
        let reason = self.running.ended().await;
        DevError::Died { engine: self.engine(), reason, log: self.folder.log_since(self.log_start) }
    }

    /// Shuts the server down cleanly and waits for its end; a server that ignores SIGTERM is killed.
    pub async fn stop(self) {
        let Supervised { mut supervisor, lifeline } = self.running;
        let group = supervisor.id();
        drop(lifeline);
        if timeout(TERM_PATIENCE + KILL_PATIENCE, supervisor.wait()).await.is_err()
            && let Some(group) = group
        {
            tracing::warn!("the database server's supervisor does not end: killing both");
            send_signal("KILL", &[format!("-{group}")]).await;
        }
        // If the supervisor was killed before its server, the server still runs.
        match self.folder.end_predecessors().await {
            Ok(()) => tracing::info!(engine = self.engine.name(), "database server stopped"),
            Err(error) => tracing::error!(%error, "database server not stopped"),
        }
    }
}

/// Starts the server on a free port and waits until it answers. Also returns where in the log this start begins.
async fn launch(folder: &Folder, engine: &Engine, extra: &[&str]) -> Result<(Supervised, u16, u64), DevError> {
    // Left by a killed server; MySQL trusts a stale pid file when another process has the same id by now.
    for name in ["server.sock", "server.sock.lock", "server.pid"] {
        remove(&folder.data().join(name))?;
    }
    let files = folder.path.join(FILES);
    fs::create_dir_all(&files).map_err(|source| DevError::File { path: files, source })?;
    let port = free_port().map_err(|source| DevError::File { path: PathBuf::from("127.0.0.1:0"), source })?;
    let log_start = folder.log_length();
    let mut arguments = engine.server_arguments(&folder.data(), port);
    arguments.extend(extra.iter().map(OsString::from));
    let mut running = Supervised::spawn(&engine.program, &arguments, &folder.data(), folder)?;
    let deadline = Instant::now() + READY_LIMIT;
    let reason = loop {
        if let Ok(Some(status)) = running.supervisor.try_wait() {
            break status.to_string();
        }
        match probe(port, &folder.data()).await {
            Ok(()) => break String::new(),
            Err(reason) if Instant::now() >= deadline => break format!("no answer in {READY_LIMIT:?}: {reason}"),
            Err(_) => sleep(POLL).await,
        }
    };
    if reason.is_empty() {
        tracing::info!(engine = engine.name(), port, folder = %folder.path.display(), "database server ready");
        return Ok((running, port, log_start));
    }
    let log = folder.log_since(log_start);
    if log.contains("Address already in use") {
        return Err(DevError::PortTaken { port });
    }
    Err(DevError::Start { engine: engine.name(), reason, log })
}

/// Returns a port that is free now; another process may still take it before the server does.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Checks that the server on `port` answers a query and serves `data`: another server may have taken the port first.
/// Otherwise returns the problem.
#[expect(clippy::disallowed_methods, reason = "identifies the server before there is a database to connect to")]
async fn probe(port: u16, data: &Path) -> Result<(), String> {
    // The server names a socket relative to its data folder, of no use to a client.
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("root"));
    let question = async {
        let mut connection = Conn::new(options.prefer_socket(false)).await?;
        let served: Option<String> = connection.query_first("SELECT @@datadir").await?;
        connection.disconnect().await?;
        Ok::<_, mysql_async::Error>(served.unwrap_or_default())
    };
    match timeout(Duration::from_secs(5), question).await {
        Ok(Ok(served)) if Path::new(&served) == data => Ok(()),
        Ok(Ok(served)) => Err(format!("another server answers, which serves {served}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it accepts connections but does not answer".to_owned()),
    }
}

/// A command under [`SUPERVISOR`]; it ends when `lifeline` closes, so also with this process.
#[derive(Debug)]
struct Supervised {
    supervisor: Child,
    lifeline: ChildStdin,
}

impl Supervised {
    /// Starts the supervisor in a process group of its own: Ctrl-C in the terminal is for the owner, which stops the database
    /// last. It has a folder of its own for temporary files: a MariaDB server that starts removes those of every other server
    /// in the same folder. (The environment names it, because MariaDB's installer breaks on an option with a space.)
    fn spawn(program: &Path, arguments: &[OsString], place: &Path, folder: &Folder) -> Result<Supervised, DevError> {
        let (log, temporary) = (folder.log(), folder.temporary());
        fs::create_dir_all(&temporary).map_err(|source| DevError::File { path: temporary.clone(), source })?;
        let log_error = |source| DevError::File { path: log.clone(), source };
        let output = File::options().append(true).create(true).open(&log).map_err(log_error)?;
        let errors = output.try_clone().map_err(log_error)?;
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "holdfast-database"])
            .arg(program)
            .args(arguments)
            .env("TMPDIR", temporary)
            .current_dir(place)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| DevError::File { path: PathBuf::from("/bin/sh"), source })?;
        let lifeline = supervisor.stdin.take().expect("standard input is piped");
        Ok(Supervised { supervisor, lifeline })
    }

    /// Waits for the end and describes it.
    async fn ended(&mut self) -> String {
        match self.supervisor.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// The folder of one private server, locked while this value exists.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where needed and locks it. Children do not inherit the lock: its file closes on exec.
    fn claim(path: &Path) -> Result<Folder, DevError> {
        let file_error = |source| DevError::File { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(file_error)?;
        let path = path.canonicalize().map_err(file_error)?;
        let lock_error = |source| DevError::File { path: path.join("lock"), source };
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path.join("lock"));
        let mut lock = options.map_err(lock_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let owner = match lock.read_to_string(&mut pid) {
                    Ok(length) if length > 0 => format!("process {}", pid.trim()),
                    _ => "another process".to_owned(),
                };
                return Err(DevError::InUse { folder: path, owner });
            }
            Err(TryLockError::Error(source)) => return Err(lock_error(source)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id())).map_err(lock_error)?;
        Ok(Folder { path, _lock: lock })
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where a data folder is prepared; it becomes [`Folder::data`] when it is complete.
    fn data_unfinished(&self) -> PathBuf {
        self.path.join("data.new")
    }

    fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    fn log(&self) -> PathBuf {
        self.path.join("database.log")
    }

    fn log_length(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |file| file.len())
    }

    /// The last lines that were logged after `start`.
    fn log_since(&self, start: u64) -> String {
        let mut text = Vec::new();
        let read = File::open(self.log()).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("{}: {error}", self.log().display());
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_QUOTED)..].join("\n")
    }

    /// Returns the processes whose arguments name this folder's data. This process holds the lock, so an earlier owner left
    /// them. Empty if the system has no `/proc`; there the engine's own file locks make a second server wait.
    fn predecessors(&self) -> Vec<String> {
        let marks = [self.data(), self.data_unfinished()].map(|data| format!("--datadir={}", data.display()));
        let works_here = |process: &fs::DirEntry| {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|argument| marks.iter().any(|mark| mark.as_bytes() == argument))
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbered = processes.filter(|process| process.file_name().to_string_lossy().parse::<u32>().is_ok());
        numbered.filter(works_here).map(|process| process.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Ends the processes that still use this folder's data: sends SIGTERM, waits, and kills only those that ignore it.
    async fn end_predecessors(&self) -> Result<(), DevError> {
        for (signal, patience) in [("TERM", TERM_PATIENCE), ("KILL", KILL_PATIENCE)] {
            let pids = self.predecessors();
            if pids.is_empty() {
                return Ok(());
            }
            tracing::warn!(?pids, signal, "waiting for an earlier database server on the same folder to end");
            send_signal(signal, &pids).await;
            let deadline = Instant::now() + patience;
            while !self.predecessors().is_empty() && Instant::now() < deadline {
                sleep(POLL).await;
            }
        }
        match self.predecessors() {
            pids if pids.is_empty() => Ok(()),
            pids => Err(DevError::Held { folder: self.path.clone(), pids }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavor {
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
struct Engine {
    flavor: Flavor,
    version: String,
    program: PathBuf,
    installer: Option<PathBuf>,
}

impl Engine {
    /// The first server found, or the first of the engine that initialised the folder.
    async fn choose(folder: &Folder, places: &[PathBuf]) -> Result<Engine, DevError> {
        let marker = folder.data().join(ENGINE_MARKER);
        let initialised_by = match folder.data().exists() {
            true => Some(fs::read_to_string(&marker).map_err(|source| DevError::File { path: marker, source })?),
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
                folder: folder.path.clone(),
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

    fn name(&self) -> String {
        format!("{} {}", self.flavor.name(), self.version)
    }

    /// Creates the data folder under another name and renames it when it is complete: an incomplete one is never used.
    async fn initialise(&self, folder: &Folder) -> Result<(), DevError> {
        let unfinished = folder.data_unfinished();
        remove(&unfinished)?;
        tracing::info!(engine = self.name(), folder = %folder.path.display(), "creating the database folder");
        let log_start = folder.log_length();
        let (program, arguments) = self.initialise_command(folder)?;
        let mut running = Supervised::spawn(&program, &arguments, &folder.path, folder)?;
        let reason = match timeout(READY_LIMIT, running.supervisor.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(Ok(status)) => Some(status.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
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
        fs::rename(&unfinished, folder.data()).map_err(|source| DevError::File { path: folder.data(), source })
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
                let root_user = folder.path.join("root-user.sql");
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
    fn server_arguments(&self, data: &Path, port: u16) -> Vec<OsString> {
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
            arguments.push(option("--secure-file-priv=", &data.with_file_name(FILES)));
        }
        arguments.extend([option("--datadir=", data), format!("--port={port}").into()]);
        arguments.extend(user_option());
        arguments
    }
}

/// Parses the output of `--version`, such as `mysqld  Ver 10.11.6-MariaDB-log for …`.
fn parse_banner(banner: &str) -> Option<(Flavor, String)> {
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

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let named = env::split_paths(&path).filter(|place| place.is_absolute());
    named.chain(SERVER_FOLDERS.map(PathBuf::from)).collect()
}

/// Sends a signal by the shell's own `kill`: the standard library can only send SIGKILL, and only to a direct child.
async fn send_signal(signal: &str, pids: &[String]) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"kill -s "$0" -- "$@""#, signal]).args(pids).stderr(Stdio::null());
    if let Err(error) = command.status().await {
        tracing::warn!(%error, signal, "a signal could not be sent");
    }
}

fn write(path: &Path, text: &str) -> Result<(), DevError> {
    fs::write(path, text).map_err(|source| DevError::File { path: path.to_owned(), source })
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), DevError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DevError::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The folder of one test, removed when this value is dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("holdfast-{name}-{}", process::id()));
            fs::create_dir_all(&path).expect("the folder can be made");
            Self(path)
        }

        /// Adds a program that prints `banner` as its `--version`.
        fn with_program(self, name: &str, banner: &str) -> Self {
            let path = self.0.join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{banner}'\n")).expect("the program can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the program can be made executable");
            self
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn without_a_server_the_error_names_what_to_install() {
        let place = Place::new("none").with_program("mysqld", "command not found");
        let folder = Folder::claim(&place.0.join("data folder")).expect("a new folder");
        let missing = Engine::choose(&folder, std::slice::from_ref(&place.0)).await.expect_err("there is no server");
        assert!(matches!(missing, DevError::NoServer), "{missing}");
        assert!(missing.to_string().contains("apt-get install mariadb-server-core"), "{missing}");
    }

    #[tokio::test]
    async fn a_folder_stays_with_the_engine_that_made_it() {
        let place = Place::new("other").with_program("mariadbd", "mariadbd  Ver 10.11.6-MariaDB for Linux");
        let folder = Folder::claim(&place.0.join("database")).expect("a new folder");
        fs::create_dir(folder.data()).expect("a folder");
        write(&folder.data().join(ENGINE_MARKER), "MySQL").expect("a file");
        let places = std::slice::from_ref(&place.0);
        let other = Engine::choose(&folder, places).await.expect_err("MySQL made it");
        assert!(other.to_string().contains("initialised by MySQL"), "{other}");
        write(&folder.data().join(ENGINE_MARKER), "MariaDB").expect("a file");
        assert_eq!(Engine::choose(&folder, places).await.expect("its own engine").name(), "MariaDB 10.11.6");
    }

    #[tokio::test]
    async fn a_folder_has_one_owner_at_a_time() {
        let place = Place::new("owner");
        let owner = Folder::claim(&place.0).expect("a new folder");
        let second = Folder::claim(&place.0).expect_err("it is in use");
        assert!(second.to_string().contains(&format!("process {}", process::id())), "{second}");
        drop(owner);
        Folder::claim(&place.0).expect("it is free again");
    }

    #[test]
    fn a_server_is_known_by_its_banner() {
        let mariadb = "/usr/sbin/mysqld  Ver 11.4.2-MariaDB-ubu2404 for debian-linux-gnu on x86_64 (mariadb.org)";
        assert_eq!(parse_banner(mariadb), Some((Flavor::MariaDb, "11.4.2".to_owned())));
        let mysql = "mysqld  Ver 9.1.0 for Linux on x86_64 (MySQL Community Server - GPL)";
        assert_eq!(parse_banner(mysql), Some((Flavor::MySql, "9.1.0".to_owned())));
        assert_eq!(parse_banner("nothing of the kind"), None);
    }
}
