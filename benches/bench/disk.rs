//! The disk under the server: the time of an fsync, and a simulated slow disk.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Number of writes of which the median counts.
pub(crate) const SYNCS: usize = 200;
/// Bytes of one write, the least that a redo log writes.
pub(crate) const BLOCK: usize = 512;

/// Measures a write of [`BLOCK`] bytes with fdatasync on the disk of `folder`: the median of [`SYNCS`]. The writes go into an
/// existing file, as into a redo log, so that they do not change its size.
pub(crate) fn sync_time(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!("bench-fsync-{}", std::process::id()));
    let measured = sync_file(&path);
    fs::remove_file(&path)?;
    measured
}

fn sync_file(path: &Path) -> io::Result<Duration> {
    let file = File::create(path)?;
    file.write_all_at(&[0; SYNCS * BLOCK], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let begin = Instant::now();
        file.write_all_at(&[1; BLOCK], (number * BLOCK) as u64)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// Makes every fsync of this process and of the private server take so many milliseconds more: compiles a library and restarts
/// this process with it preloaded, which its children inherit. Returns in the restarted process.
pub(crate) fn slow_down(milliseconds: f64) {
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("slow-fsync.so");
    if env::var_os("LD_PRELOAD").is_none_or(|loaded| loaded != library) {
        compile(&library, milliseconds);
        let program = env::current_exe().expect("the path of this program");
        let error = Command::new(program).args(env::args_os().skip(1)).env("LD_PRELOAD", &library).exec();
        panic!("this program cannot be restarted: {error}");
    }
    let took = sync_time(library.parent().expect("a folder")).expect("an fsync");
    assert!(took.as_secs_f64() * 1e3 >= milliseconds, "the library was not preloaded: an fsync takes {took:?}");
}

fn compile(library: &Path, milliseconds: f64) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench/slow_fsync.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall"]).arg(format!("-DDELAY_US={:.0}", milliseconds * 1e3));
    let status = compiler.arg("-o").arg(library).arg(source).status();
    assert!(status.as_ref().is_ok_and(ExitStatus::success), "cc cannot compile {source}: {status:?}");
}
