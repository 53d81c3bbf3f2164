//! Secrets come from variables or files alone: every user of a machine can read the options of a process.

use std::env::{self, VarError};
use std::fs;

use super::setting::Setting;

/// Returns the text of a secret, from its variable or from the file at this path, without the line break at the file's end.
/// An empty variable and an empty path count as not set.
///
/// # Errors
/// The problem of the file, which does not show its text.
pub(super) fn text(setting: &Setting, path: Option<&str>) -> Result<Option<String>, String> {
    text_of(setting, env::var(setting.variable), path)
}

fn text_of(setting: &Setting, given: Result<String, VarError>, path: Option<&str>) -> Result<Option<String>, String> {
    let variable = setting.variable;
    let given = match given {
        Err(VarError::NotUnicode(_)) => return Err(format!("{variable} is no UTF-8")),
        given => given.ok().filter(|text| !text.trim().is_empty()),
    };
    let Some(path) = path.filter(|path| !path.trim().is_empty()) else { return Ok(given) };
    if given.is_some() {
        return Err(format!("{variable} is set, too; set one of the two"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match text.trim().is_empty() {
        true => Err(format!("`{path}` is empty")),
        false => Ok(Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::table::HOLDFAST_DATABASE_URL;
    use super::*;

    fn read(given: Option<&str>, path: Option<&str>) -> Result<Option<String>, String> {
        text_of(&HOLDFAST_DATABASE_URL, given.map(str::to_owned).ok_or(VarError::NotPresent), path)
    }

    /// A file of one test, removed with this value.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, content: &[u8]) -> Self {
            let path = env::temp_dir().join(format!("holdfast-{name}-{}", std::process::id()));
            fs::write(&path, content).expect("the file can be written");
            Self(path)
        }

        fn path(&self) -> Option<&str> {
            self.0.to_str()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_line_break_at_the_end() {
        for content in ["a secret", "a secret\n", "a secret\r\n"] {
            let file = File::new("secret", content.as_bytes());
            assert_eq!(read(None, file.path()), Ok(Some("a secret".to_owned())), "{content:?}");
            assert_eq!(read(Some(" "), file.path()), Ok(Some("a secret".to_owned())), "an empty variable is not set");
        }
        assert_eq!(read(Some("given"), None), Ok(Some("given".to_owned())));
        assert_eq!([read(None, None), read(None, Some(""))], [Ok(None), Ok(None)]);
    }

    #[test]
    fn a_file_that_gives_no_secret_is_a_problem_that_does_not_show_one() {
        let (full, empty, bytes) =
            (File::new("full", b"S3CR3T"), File::new("empty", b"\n"), File::new("bytes", b"S3CR3T\xff"));
        for (given, path, problem) in [
            (Some("S3CR3T"), full.path(), "HOLDFAST_DATABASE_URL is set, too"),
            (None, empty.path(), "is empty"),
            (None, bytes.path(), "cannot be read"),
            (None, Some("/nowhere/at/all"), "`/nowhere/at/all` cannot be read"),
        ] {
            let problems = read(given, path).expect_err("a problem");
            assert!(problems.contains(problem), "{problems}");
            assert!(!problems.contains("S3CR3T"), "{problems}");
        }
    }
}
