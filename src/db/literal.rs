//! The only place where SQL text is built in code: the lists of a set-based statement, only from numbers, times, hex
//! literals and words of this program.

use std::fmt::{self, Write as _};

use chrono::NaiveDateTime;
use uuid::Uuid;

use crate::domain::Named;

/// Text made of literals alone: the value of a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Literal<'_>> for Text {
    fn from(literal: Literal<'_>) -> Self {
        Self(literal.to_string())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How many bytes are converted to hex at a time.
const HEX_PART: usize = 64;

/// A value that is safe to write into SQL text: text from outside can become one only as hex.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Literal<'a> {
    /// A number.
    Number(i64),
    /// A number that is never negative.
    Count(u64),
    /// A hold's or an order's id, as a hex literal.
    Id(Uuid),
    /// Bytes from anywhere, as a hex literal.
    Bytes(&'a [u8]),
    /// A word from a closed set of this program.
    Word(&'static str),
    /// Text of visible ASCII characters without quotes of SQL and backslashes; see [`Literal::plain`].
    Plain(&'a str),
    /// The clock, `NOW(6)`, a column of the same row, or another word of SQL.
    Code(&'static str),
    /// So many seconds after the clock or a column.
    Later(&'static str, u64),
    /// An id that the last INSERT with generated ids gave to the row at a place, counted from 0; ids ascend by `step`.
    Generated {
        /// The row's place.
        place: u64,
        /// The difference of two ids.
        step: u64,
    },
    /// A time, UTC.
    Time(NaiveDateTime),
    /// NULL.
    Null,
}

impl<'a> Literal<'a> {
    /// Returns the literal of a state's name.
    pub fn name(value: impl Named) -> Self {
        Self::Word(value.as_str())
    }

    /// Returns the literal of a text: as it is, if no character of it can mean anything to SQL, else as hex.
    pub fn plain(text: &'a str) -> Self {
        match text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\'' && byte != b'\\') {
            true => Self::Plain(text),
            false => Self::Bytes(text.as_bytes()),
        }
    }

    /// Returns the literal of a text, NULL when it is missing.
    pub fn text(text: &'a Option<String>) -> Self {
        text.as_ref().map_or(Self::Null, |text| Self::Bytes(text.as_bytes()))
    }
}

impl Literal<'_> {
    /// Writes the literal. A batch writes thousands of them, so plain text goes straight into the target.
    fn write_to(&self, target: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Number(number) => write!(target, "{number}"),
            Self::Count(number) => write!(target, "{number}"),
            Self::Id(id) => {
                let mut hex = [0; uuid::fmt::Simple::LENGTH];
                target.write_str("x'")?;
                target.write_str(id.simple().encode_lower(&mut hex))?;
                target.write_char('\'')
            }
            Self::Bytes(bytes) => {
                target.write_str("x'")?;
                for part in bytes.chunks(HEX_PART) {
                    write_hex(target, part)?;
                }
                target.write_char('\'')
            }
            Self::Plain(word) | Self::Word(word) => {
                target.write_char('\'')?;
                target.write_str(word)?;
                target.write_char('\'')
            }
            Self::Code(code) => target.write_str(code),
            Self::Later(code, seconds) => write!(target, "{code} + INTERVAL {seconds} SECOND"),
            Self::Generated { place, step } => write!(target, "LAST_INSERT_ID() + {}", place * step),
            Self::Time(time) => write!(target, "'{}'", time.format("%Y-%m-%d %H:%M:%S%.6f")),
            Self::Null => target.write_str("NULL"),
        }
    }
}

/// Writes up to [`HEX_PART`] bytes as hex, at once: digit by digit is several times as slow.
fn write_hex(target: &mut impl fmt::Write, part: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 2 * HEX_PART];
    for (digits, byte) in hex.chunks_exact_mut(2).zip(part) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    target.write_str(str::from_utf8(&hex[..2 * part.len()]).unwrap_or_default())
}

impl fmt::Display for Literal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(formatter)
    }
}

/// Returns `1, 2, 3`, for `IN ({ids})`.
pub fn list<'a>(values: impl IntoIterator<Item = Literal<'a>>) -> Text {
    let mut text = String::new();
    append(&mut text, values);
    Text(text)
}

/// Returns the list of these ids, in their order.
pub fn ids(ids: &[Uuid]) -> Text {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    list(sorted.into_iter().map(Literal::Id))
}

/// Returns the list of these numbers, in their order.
pub fn numbers(numbers: &[i64]) -> Text {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    list(sorted.into_iter().map(Literal::Number))
}

/// Returns `(1, 2), (3, 4)`, for `VALUES {rows}` and `IN ({rows})`.
pub fn rows<'a, const WIDTH: usize>(rows: impl IntoIterator<Item = [Literal<'a>; WIDTH]>) -> Text {
    let mut text = String::new();
    for row in rows {
        text.push_str(if text.is_empty() { "(" } else { ", (" });
        append(&mut text, row);
        text.push(')');
    }
    Text(text)
}

/// Returns `WHEN 1 THEN 2 WHEN 3 THEN 4`, for `CASE id {cases} END`.
pub fn cases<'a>(pairs: impl IntoIterator<Item = (Literal<'a>, Literal<'a>)>) -> Text {
    let mut text = String::new();
    for (when, then) in pairs {
        let _ = write!(text, "WHEN {when} THEN {then} ");
    }
    Text(text)
}

/// Returns `CASE column WHEN 1 THEN 2 ELSE 0 END`, and without pairs only `0`, the value of all other rows.
pub fn choice<'a>(
    column: &'static str,
    pairs: impl IntoIterator<Item = (Literal<'a>, Literal<'a>)>,
    other: Literal<'_>,
) -> Text {
    let Text(cases) = cases(pairs);
    match cases.is_empty() {
        true => other.into(),
        false => Text(format!("CASE {column} {cases}ELSE {other} END")),
    }
}

/// Returns a value for each row: that of the first pair, unless a row has another.
pub fn each<'a>(column: &'static str, pairs: impl IntoIterator<Item = (Literal<'a>, Literal<'a>)>) -> Text {
    let mut pairs = pairs.into_iter();
    let first = pairs.next().map_or(Literal::Null, |(_, value)| value);
    choice(column, pairs.filter(|(_, value)| *value != first), first)
}

/// Returns the condition that a column is within one of these ranges; a range without an end has none.
pub fn within(column: &'static str, ranges: &[(NaiveDateTime, Option<NaiveDateTime>)]) -> Text {
    let range = |&(from, to): &(NaiveDateTime, Option<NaiveDateTime>)| match to {
        Some(to) => format!("{column} BETWEEN {} AND {}", Literal::Time(from), Literal::Time(to)),
        None => format!("{column} >= {}", Literal::Time(from)),
    };
    Text(ranges.iter().map(range).collect::<Vec<_>>().join(" OR "))
}

fn append<'a>(text: &mut String, values: impl IntoIterator<Item = Literal<'a>>) {
    for (position, value) in values.into_iter().enumerate() {
        if position > 0 {
            text.push_str(", ");
        }
        // writing to a string does not fail
        let _ = value.write_to(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_times_hex_and_own_names_get_into_sql() {
        let all: Vec<u8> = (0..=255).collect();
        let expected: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Literal::Bytes(&all).to_string(), format!("x'{expected}'"));
        let hostile = Literal::Bytes(b"'; DROP TABLE holds; --");
        assert_eq!(hostile.to_string(), "x'273b2044524f50205441424c4520686f6c64733b202d2d'");
        let row = [Literal::Number(-1), Literal::Id(Uuid::nil()), Literal::Code("NOW(6)"), Literal::Null];
        assert_eq!(
            rows([row, row]).as_str().matches("(-1, x'00000000000000000000000000000000', NOW(6), NULL)").count(),
            2
        );
        assert_eq!(list([Literal::Word("hold"), Literal::Bytes(b"")]).as_str(), "'hold', x''");
        let time = chrono::DateTime::from_timestamp(1, 2_000).expect("a time").naive_utc();
        assert_eq!(Literal::Time(time).to_string(), "'1970-01-01 00:00:01.000002'");
    }
}
