//! Checks responses against the OpenAPI document: status, content type, headers, and the body by its schema. It supports only
//! the keywords that the document uses, and panics at any other.

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::Answer;

/// The checked-in document.
pub(crate) struct Document {
    json: Value,
    /// Whether a time may have any form of RFC 3339, as in requests.
    is_of_requests: bool,
}

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        Self { json: serde_json::from_str(text).expect("the document is JSON"), is_of_requests: false }
    }

    /// Reads it for values of requests, which are not as narrow as those of responses.
    pub(crate) fn of_requests(text: &str) -> Self {
        Self { is_of_requests: true, ..Self::read(text) }
    }

    /// Checks an answer of `method` on `path`, which is written as in the document.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let wrong = self.fault(method, path, answer);
        assert!(wrong.is_none(), "{method} {path}: {} in {answer:?}", wrong.unwrap_or_default());
    }

    /// Checks that an example fits a schema of the document.
    #[track_caller]
    pub(crate) fn fits(&self, schema: &Value, example: &Value, place: &str) {
        assert_eq!(self.misfit(schema, example, place), None);
    }

    fn fault(&self, method: &str, path: &str, answer: &Answer) -> Option<String> {
        let response = &self.json["paths"][path][method.to_lowercase()]["responses"][answer.status.to_string()];
        let Some(content) = response["content"].as_object() else {
            return Some(format!("the document has no status {}", answer.status));
        };
        let Some(media) = content.get(answer.header("content-type")) else {
            return Some(format!("the document has no content type {:?}", answer.header("content-type")));
        };
        let headers = response["headers"].as_object().into_iter().flatten();
        for (name, header) in headers {
            if header["required"] == true && answer.header(name).is_empty() {
                return Some(format!("no header {name}"));
            }
        }
        self.misfit(&media["schema"], &answer.body, "body")
    }

    /// Returns the first part that does not fit, with its place.
    fn misfit(&self, schema: &Value, value: &Value, place: &str) -> Option<String> {
        let keywords = schema.as_object().expect("a schema is an object");
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            return self.misfit(&self.json["components"]["schemas"][name], value, place);
        }
        if value.is_null() && schema["nullable"] == true {
            return None;
        }
        keywords.iter().find_map(|(keyword, says)| match keyword.as_str() {
            "type" => (!is_of_type(says, value)).then(|| format!("{place} is not {says}: {value}")),
            "format" => (!self.has_format(says, value)).then(|| format!("{place} is not {says}: {value}")),
            "enum" => (!says.as_array()?.contains(value)).then(|| format!("{place} is none of {says}: {value}")),
            "required" => says.as_array()?.iter().find_map(|name| {
                let is_there = value.get(name.as_str()?).is_some();
                (!is_there).then(|| format!("{place} has no {name}"))
            }),
            "properties" => value.as_object()?.iter().find_map(|(name, value)| match says.get(name) {
                Some(schema) => self.misfit(schema, value, &format!("{place}.{name}")),
                None => Some(format!("{place}.{name} is not in the document")),
            }),
            "allOf" => says.as_array()?.iter().find_map(|schema| self.misfit(schema, value, place)),
            "items" => value.as_array()?.iter().find_map(|item| self.misfit(says, item, &format!("{place}[]"))),
            "oneOf" => {
                let fits = says.as_array()?.iter().any(|schema| self.misfit(schema, value, place).is_none());
                (!fits).then(|| format!("{place} fits none of {says}: {value}"))
            }
            // a field that is not among the properties is a fault anyway
            "additionalProperties" if says.is_boolean() => None,
            "additionalProperties" => value.as_object()?.values().find_map(|field| self.misfit(says, field, place)),
            "minimum" => (value.as_i64()? < says.as_i64()?).then(|| format!("{place} is less than {says}: {value}")),
            "maximum" => (value.as_i64()? > says.as_i64()?).then(|| format!("{place} is more than {says}: {value}")),
            "minLength" | "minItems" => {
                (size(value) < says.as_u64()?).then(|| format!("{place} is shorter than {says}: {value}"))
            }
            "maxLength" | "maxItems" | "maxProperties" => {
                (size(value) > says.as_u64()?).then(|| format!("{place} is longer than {says}: {value}"))
            }
            // other tools compare with the patterns
            "pattern" => None,
            "title" | "description" | "default" | "example" | "nullable" => None,
            unknown => panic!("{place}: the keyword {unknown} is not supported"),
        })
    }

    fn has_format(&self, name: &Value, value: &Value) -> bool {
        let text = value.as_str().unwrap_or_default();
        // the service promises more than the format does: microseconds and a Z
        let is_full = self.is_of_requests || text.len() == 27 && text.ends_with('Z');
        match name.as_str() {
            Some("uuid") => text.len() == 36 && Uuid::parse_str(text).is_ok(),
            Some("date-time") => is_full && DateTime::parse_from_rfc3339(text).is_ok(),
            Some("int64") => value.is_i64(),
            Some("uint16") => value.as_u64().is_some_and(|number| number <= u64::from(u16::MAX)),
            Some("uri") => text.starts_with("https://"),
            Some("double") => value.is_number(),
            _ => panic!("the format {name} is not supported"),
        }
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => panic!("the type {name} is not supported"),
    }
}

/// The characters of a text, or the items of a list or of an object.
fn size(value: &Value) -> u64 {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => panic!("{value} has no size"),
    };
    size.try_into().expect("a size")
}
