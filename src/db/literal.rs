//! The one place where SQL text is built in code: the lists of a set-based statement, from numbers, hex literals and
//! names of our own alone.

use std::fmt;

use uuid::Uuid;

use crate::domain::Named;

/// A value that is safe to write into SQL text: no text given by others can become one.
#[derive(Debug, Clone, Copy)]
pub enum Literal {
    /// A number.
    Number(i64),
    /// A hold's or an order's id, as a hex literal.
    Id(Uuid),
    /// A word from one of our own closed sets.
    Word(&'static str),
    /// NULL.
    Null,
}

impl Literal {
    /// The word of a state.
    pub fn name(value: impl Named) -> Self {
        Self::Word(value.as_str())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Id(id) => write!(formatter, "x'{}'", id.simple()),
            Self::Word(word) => write!(formatter, "'{word}'"),
            Self::Null => formatter.write_str("NULL"),
        }
    }
}

/// `1, 2, 3`, for `IN ({ids})`.
pub fn list(values: impl IntoIterator<Item = Literal>) -> String {
    join(values.into_iter().map(|value| value.to_string()))
}

/// `(1, 2), (3, 4)`, for `VALUES {rows}` and `IN ({rows})`.
pub fn rows<const WIDTH: usize>(rows: impl IntoIterator<Item = [Literal; WIDTH]>) -> String {
    join(rows.into_iter().map(|row| format!("({})", list(row))))
}

/// `WHEN 1 THEN 2 WHEN 3 THEN 4`, for `CASE id {cases} END`.
pub fn cases(pairs: impl IntoIterator<Item = (Literal, Literal)>) -> String {
    let whens: Vec<String> = pairs.into_iter().map(|(when, then)| format!("WHEN {when} THEN {then}")).collect();
    whens.join(" ")
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
