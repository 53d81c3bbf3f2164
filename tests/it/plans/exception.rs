//! The reasons in a statement's header why it may read more than others.

use super::check::Limits;

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    MariaDb,
    MySql,
}

/// The exceptions in a statement's header for one engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    /// Rows examined for each row returned or changed.
    rows_for_each: Option<i64>,
    /// It may walk delete-marked entries from the head of an index.
    pub(super) walks: bool,
    /// It may read everything.
    unbounded: bool,
    /// It reads no table, so it is not run.
    pub(super) memory: bool,
}

impl Exceptions {
    /// Reads the header.
    ///
    /// # Errors
    /// Returns the line that begins like an exception but does not have the form of one.
    pub(super) fn read(statement: &str, engine: Engine) -> Result<Self, String> {
        let mut exceptions = Self::default();
        for line in statement.lines().filter(|line| line.starts_with("-- reads ")) {
            let read = Self::read_line(line).ok_or_else(|| line.to_owned())?;
            let (exception, only) = read;
            if only.is_none_or(|only| only == engine) {
                exceptions.rows_for_each = exceptions.rows_for_each.or(exception.rows_for_each);
                exceptions.walks |= exception.walks;
                exceptions.unbounded |= exception.unbounded;
                exceptions.memory |= exception.memory;
            }
        }
        Ok(exceptions)
    }

    fn read_line(line: &str) -> Option<(Self, Option<Engine>)> {
        let (form, reason) = line.strip_prefix("-- reads ")?.split_once(": ")?;
        let (form, only) = match form.split_once(" on ") {
            Some((form, "MariaDB")) => (form, Some(Engine::MariaDb)),
            Some((form, "MySQL")) => (form, Some(Engine::MySql)),
            Some(_) => return None,
            None => (form, None),
        };
        let exception = match form {
            "more while purge waits" => Self { walks: true, ..Self::default() },
            "everything" => Self { unbounded: true, ..Self::default() },
            "no table" => Self { memory: true, ..Self::default() },
            _ => {
                let count = form.strip_prefix("up to ")?.strip_suffix(" rows for each")?;
                Self { rows_for_each: Some(count.parse().ok()?), ..Self::default() }
            }
        };
        (!reason.trim().is_empty()).then_some((exception, only))
    }

    /// Whether the header allows anything.
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// Returns the bounds that remain. `head`: the statement begins at the head of an index, among delete-marked entries.
    pub(super) fn limits(self, head: bool) -> Limits {
        Limits {
            rows_for_each: self.rows_for_each.unwrap_or(Limits::USUAL.rows_for_each),
            unbounded: self.unbounded || head && self.walks,
        }
    }
}

#[test]
fn an_exception_needs_the_right_form_and_a_reason() {
    let read = |line: &str| Exceptions::read(&format!("-- x/y: why\n{line}\nSELECT 1"), Engine::MySql);
    let eight = Exceptions { rows_for_each: Some(8), ..Exceptions::default() };
    let walks = Exceptions { walks: true, ..Exceptions::default() };
    let everything = Exceptions { unbounded: true, ..Exceptions::default() };
    let no_table = Exceptions { memory: true, ..Exceptions::default() };
    assert_eq!(read("-- reads up to 8 rows for each: it joins four tables"), Ok(eight));
    assert_eq!(read("-- reads up to 8 rows for each on MySQL: it joins four tables"), Ok(eight));
    assert_eq!(read("-- reads up to 8 rows for each on MariaDB: it joins four tables"), Ok(Exceptions::default()));
    assert_eq!(read("-- reads more while purge waits: an operator's list begins at the head"), Ok(walks));
    assert_eq!(read("-- reads everything: a count of all open events"), Ok(everything));
    assert_eq!(read("-- reads no table: the server keeps its connections in memory"), Ok(no_table));
    assert_eq!(read("-- another line"), Ok(Exceptions::default()));
    for bare in [
        "-- reads up to 8 rows for each",
        "-- reads up to 8 rows for each: ",
        "-- reads up to many rows for each: it joins four tables",
        "-- reads more: it joins four tables",
        "-- reads more while purge waits on Oracle: why not",
    ] {
        assert_eq!(read(bare), Err(bare.to_owned()));
    }
}
