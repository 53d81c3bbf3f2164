//! Names the commit in `--version`: the one that `SOURCE_COMMIT` names, or the one that is checked out here. Without either, such
//! as in a tarball, the version stands alone.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Digits of a commit's name that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let given = env::var("SOURCE_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let version = match given.or_else(checked_out) {
        Some(commit) => format!("{version} ({})", commit.trim().chars().take(DIGITS).collect::<String>()),
        None => version,
    };
    // without the prefix of settings: `cargo run` passes it to the program, which refuses unknown ones
    println!("cargo:rustc-env=BUILD_VERSION={version}");
}

/// Returns the commit that is checked out, and has the build run again after the next one.
fn checked_out() -> Option<String> {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    // a tarball may be unpacked in a folder of another repository
    let is_top = git(&folder, &["rev-parse", "--show-prefix"])?.is_empty();
    if !is_top {
        return None;
    }
    let commit = git(&folder, &["rev-parse", "HEAD"])?;
    watch(&folder);
    Some(commit)
}

/// Watches what a commit and a checkout change. A path that does not exist would make every build run this again.
fn watch(folder: &Path) {
    let mut names = vec!["HEAD".to_owned(), "logs/HEAD".to_owned(), "packed-refs".to_owned()];
    names.extend(git(folder, &["symbolic-ref", "--quiet", "HEAD"]));
    for name in names {
        let path = git(folder, &["rev-parse", "--git-path", &name]).map(|path| folder.join(path));
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
}

/// Returns the output of git; `None` without git, or outside a repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
