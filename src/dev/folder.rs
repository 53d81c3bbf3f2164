//! The folder of one private server, which has one owner at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;

use tokio::time::{Instant, sleep};

use super::error::DevError;
use super::limits::{KILL_LIMIT, POLL, TERM_LIMIT};
use super::signal::send_signal;

/// How many of the last lines of its log an error quotes.
const LOG_LINES_QUOTED: usize = 20;

/// The folder of one private server, locked while this value exists.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where needed and locks it. Children do not inherit the lock: its file closes on exec.
    pub(super) fn claim(path: &Path) -> Result<Folder, DevError> {
        fs::create_dir_all(path).map_err(DevError::file(path))?;
        let path = path.canonicalize().map_err(DevError::file(path))?;
        let lock_path = path.join("lock");
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = opened.map_err(DevError::file(&lock_path))?;
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
            Err(TryLockError::Error(source)) => return Err(DevError::file(lock_path)(source)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id())).map_err(DevError::file(lock_path))?;
        Ok(Folder { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where a data folder is prepared; it becomes [`Folder::data`] when it is complete.
    pub(super) fn data_unfinished(&self) -> PathBuf {
        self.path.join("data.new")
    }

    /// The only folder, an empty one, in which SQL may read and write files: every client of the port is root.
    pub(super) fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("database.log")
    }

    pub(super) fn log_length(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |file| file.len())
    }

    /// The last lines that were logged after `start`.
    pub(super) fn log_since(&self, start: u64) -> String {
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
    pub(super) async fn end_predecessors(&self) -> Result<(), DevError> {
        for (signal, limit) in [("TERM", TERM_LIMIT), ("KILL", KILL_LIMIT)] {
            let pids = self.predecessors();
            if pids.is_empty() {
                return Ok(());
            }
            tracing::warn!(?pids, signal, "waiting for an earlier database server on the same folder to end");
            send_signal(signal, &pids).await;
            let deadline = Instant::now() + limit;
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

pub(super) fn write(path: &Path, text: &str) -> Result<(), DevError> {
    fs::write(path, text).map_err(DevError::file(path))
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), DevError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DevError::file(path)(error)),
        _ => Ok(()),
    }
}
