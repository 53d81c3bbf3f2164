//! The values in the API's bodies.

use std::borrow::Cow;
use std::fmt;

use chrono::{Datelike as _, NaiveDateTime, SecondsFormat, Timelike as _};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type};
use serde::{Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::domain::Named;

/// A point in time: RFC 3339, UTC, microseconds, `Z`.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp(pub NaiveDateTime);

impl Timestamp {
    fn text(self) -> String {
        self.0.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Returns the same text without an allocation; `None` for a year before 0 or after 9999.
    fn digits(self) -> Option<[u8; 27]> {
        let (date, time) = (self.0.date(), self.0.time());
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut write = |end: usize, mut number: u32| {
            let mut place = end;
            while number > 0 {
                place -= 1;
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        write(4, u32::try_from(date.year()).ok().filter(|year| *year < 10_000)?);
        write(7, date.month());
        write(10, date.day());
        write(13, time.hour());
        write(16, time.minute());
        write(19, time.second());
        write(26, time.nanosecond() / 1000 % 1_000_000);
        Some(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.digits().as_ref().map(|digits| std::str::from_utf8(digits)) {
            Some(Ok(text)) => serializer.serialize_str(text),
            _ => serializer.serialize_str(&self.text()),
        }
    }
}

/// A word from a closed set.
#[derive(Debug, Clone, Copy)]
pub struct Word<T>(pub T);

impl<T: Named> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de, T: Named> serde::Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        T::from_name(&name).map(Self).ok_or_else(|| {
            let words: Vec<&str> = T::ALL.iter().map(|word| word.as_str()).collect();
            de::Error::custom(format_args!("a word must be one of {}", words.join(", ")))
        })
    }
}

impl<T: Named> ParseFromParameter for Word<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        T::from_name(value).map(Self).ok_or_else(|| ParseError::custom("not one of the allowed values"))
    }
}

/// A static text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text(pub &'static str);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// The URI of a problem with this code, formatted only when it is sent.
#[derive(Debug, Clone, Copy)]
pub struct ProblemUri(pub &'static str);

impl fmt::Display for ProblemUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "urn:holdfast:problem:{}", self.0)
    }
}

/// The title of a problem with this code, formatted only when it is sent.
#[derive(Debug, Clone, Copy)]
pub struct ProblemTitle(pub &'static str);

impl fmt::Display for ProblemTitle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.split('_');
        words.next().map_or(Ok(()), |first| formatter.write_str(first))?;
        words.try_for_each(|word| write!(formatter, " {word}"))
    }
}

impl Serialize for ProblemUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ProblemTitle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! inline_type {
    (($($generics:tt)*) $type:ty, $name:expr, $schema:expr, $json:expr) => {
        impl<$($generics)*> Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl<$($generics)*> ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                let to_json: fn(&Self) -> Value = $json;
                Some(to_json(self))
            }
        }
    };
}
inline_type!(() Timestamp, "string_date-time", MetaSchema::new_with_format("string", "date-time"), |time| {
    Value::String(time.text())
});
inline_type!((T: Named) Word<T>, T::SET, words::<T>(), |word| Value::String(word.0.as_str().to_owned()));
inline_type!(() Text, "string", MetaSchema::new("string"), |text| Value::String(text.0.to_owned()));
inline_type!(() ProblemUri, "string", MetaSchema::new("string"), |kind| Value::String(kind.to_string()));
inline_type!(() ProblemTitle, "string", MetaSchema::new("string"), |title| Value::String(title.to_string()));
inline_type!(() Cursor, "cursor", cursor_schema(), |cursor| Value::from(cursor.0.clone()));
inline_type!(() Whole, "integer_int64", MetaSchema::new_with_format("integer", "int64"), |number| {
    Value::from(number.0)
});
inline_type!(() JsonObject, "object", MetaSchema::new("object"), |object| object.0.clone());
inline_type!(() Verbatim, "any", MetaSchema::ANY, |text| Value::String(text.0.clone()));
inline_type!(() AmountText, "amount", amount_schema(), |amount| Value::String(amount.0.clone()));

/// The position of the next page; null on the last page.
#[derive(Debug, Clone, Serialize)]
pub struct Cursor(pub Option<String>);

fn cursor_schema() -> MetaSchema {
    let mut schema = MetaSchema::new("string");
    schema.nullable = true;
    schema
}

fn words<T: Named>() -> MetaSchema {
    let mut schema = MetaSchema::new("string");
    schema.enum_items = T::ALL.iter().map(|word| Value::String(word.as_str().to_owned())).collect();
    schema
}

/// A whole number of any size: the domain, not the parser, refuses a number that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub i64);

impl<'de> serde::Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Whole;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(i64::try_from(number).unwrap_or(i64::MAX)))
            }
        }
        deserializer.deserialize_i64(Visitor)
    }
}

/// The text of a decimal amount in major units, from a JSON number or a JSON string, with its digits as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmountText(pub String);

impl<'de> serde::Deserialize<'de> for AmountText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let wrong = || de::Error::custom("an amount must be a number or a string");
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Self).map_err(de::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Self(text.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// Any JSON value as text: the content of a string, or the JSON of another value as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verbatim(pub String);

impl<'de> serde::Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        match raw.get().starts_with('"') {
            true => serde_json::from_str(raw.get()).map(Self).map_err(de::Error::custom),
            false => Ok(Self(raw.get().to_owned())),
        }
    }
}

/// A JSON object that the service keeps and returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JsonObject(pub Value);

impl JsonObject {
    /// Reads a stored text; `None` when it is not JSON.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }
}

fn amount_schema() -> MetaSchema {
    let one_of = |schema| MetaSchemaRef::Inline(Box::new(schema));
    let mut schema = MetaSchema::ANY;
    schema.one_of = vec![one_of(MetaSchema::new("string")), one_of(MetaSchema::new("number"))];
    schema
}

/// Implements a trait that poem-openapi requires and does not use: serde parses the bodies.
macro_rules! read_by_serde {
    ($($type:ty),+) => {
        $(impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
            }
        })+
    };
}
read_by_serde!(Whole, AmountText, Verbatim);

/// Implements a trait that poem-openapi requires, for types that are sent and never parsed.
macro_rules! never_read {
    ($(($($generics:tt)*) $type:ty),+) => {
        $(impl<$($generics)*> ParseFromJSON for $type {
            fn parse_from_json(_: Option<Value>) -> ParseResult<Self> {
                Err(ParseError::custom("this is never read"))
            }
        })+
    };
}
never_read!(() JsonObject, () ProblemUri, () ProblemTitle, () Timestamp, () Text, () Cursor, (T: Named) Word<T>);

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn a_time_always_has_six_decimals_and_a_z() {
        let date = NaiveDate::from_ymd_opt(2026, 1, 2).expect("a date");
        let whole = date.and_hms_opt(3, 4, 5).expect("a time");
        let micros = date.and_hms_micro_opt(3, 4, 5, 120).expect("a time");
        assert_eq!(Timestamp(whole).text(), "2026-01-02T03:04:05.000000Z");
        assert_eq!(Timestamp(micros).text(), "2026-01-02T03:04:05.000120Z");
        let late = date.and_hms_micro_opt(23, 59, 59, 999_999).expect("a time");
        for time in [whole, micros, late, NaiveDateTime::MAX, NaiveDateTime::MIN] {
            let written = serde_json::to_string(&Timestamp(time)).expect("text");
            assert_eq!(written, format!("\"{}\"", Timestamp(time).text()));
        }
    }

    #[test]
    fn an_amount_keeps_its_digits() {
        let read = |text| serde_json::from_str::<AmountText>(text).map(|amount| amount.0);
        assert_eq!(read("0.10").ok().as_deref(), Some("0.10"));
        assert_eq!(read("123456789012345678.99").ok().as_deref(), Some("123456789012345678.99"));
        assert_eq!(read("\"99.99\"").ok().as_deref(), Some("99.99"));
        for text in ["true", "[1]", "{}", "null"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
