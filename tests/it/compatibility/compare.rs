//! Compares two OpenAPI documents: what a client of the old one can no longer rely on.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Which way a value goes. What a request may have can only grow, what an answer may have can only shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Request,
    Answer,
}

/// A part of the old document and the same part of the new one.
type Pair<'doc> = (&'doc Value, &'doc Value);

/// Returns a line for each change that breaks a client of the old document, sorted.
pub(super) fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut compare = Compare { old, new, found: BTreeSet::new(), seen: BTreeSet::new() };
    for (path, methods) in fields(&old["paths"]) {
        for (method, operation) in fields(methods) {
            let place = format!("{} {path}", method.to_uppercase());
            match new["paths"][path].get(method) {
                Some(other) => compare.operation((operation, other), &place),
                None => compare.breaks(&place, "the operation is gone"),
            }
        }
    }
    for (name, _) in fields(&old["components"]["schemas"]) {
        if new["components"]["schemas"].get(name).is_none() {
            compare.breaks(name, "the schema is gone, whose name is that of a type in generated clients");
        }
    }
    compare.found.into_iter().collect()
}

struct Compare<'doc> {
    old: &'doc Value,
    new: &'doc Value,
    found: BTreeSet<String>,
    /// The named schemas that were compared.
    seen: BTreeSet<(String, String, Way)>,
}

impl Compare<'_> {
    fn breaks(&mut self, place: &str, what: &str) {
        self.found.insert(format!("{place}: {what}"));
    }

    fn operation(&mut self, (old, new): Pair, place: &str) {
        if old["operationId"] != new["operationId"] {
            self.breaks(place, "`operationId` is another one, which is a name in generated clients");
        }
        let is_accepted = |scheme: &&Value| !list(&new["security"]).contains(*scheme);
        let is_open = list(&new["security"]).is_empty();
        for scheme in list(&old["security"]).iter().filter(is_accepted).filter(|_| !is_open) {
            self.breaks(place, &format!("the token {scheme} is not accepted any more"));
        }
        if list(&old["security"]).is_empty() && !is_open && !list(&new["security"]).contains(&Value::Object(Map::new()))
        {
            self.breaks(place, "a token is needed");
        }
        self.parameters((&old["parameters"], &new["parameters"]), place);
        self.request((&old["requestBody"], &new["requestBody"]), place);
        self.answers((&old["responses"], &new["responses"]), place);
    }

    fn parameters(&mut self, (old, new): Pair, place: &str) {
        let key = |parameter: &Value| (parameter["in"].clone(), parameter["name"].clone());
        for parameter in list(old) {
            let place = format!("{place}, parameter {}", text(&parameter["name"]));
            match list(new).iter().find(|other| key(other) == key(parameter)) {
                None => self.breaks(&place, "it is gone"),
                Some(other) => {
                    if other["required"] == true && parameter["required"] != true {
                        self.breaks(&place, "it is required");
                    }
                    self.schema((&parameter["schema"], &other["schema"]), Way::Request, &place);
                }
            }
        }
        let is_new = |other: &&Value| list(old).iter().all(|parameter| key(parameter) != key(other));
        for other in list(new).iter().filter(is_new).filter(|other| other["required"] == true) {
            self.breaks(place, &format!("there is a new required parameter {}", text(&other["name"])));
        }
    }

    fn request(&mut self, (old, new): Pair, place: &str) {
        let place = format!("{place}, request");
        if new["required"] == true && old["required"] != true {
            self.breaks(&place, "a body is required");
        }
        self.contents((&old["content"], &new["content"]), Way::Request, &place);
    }

    fn answers(&mut self, (old, new): Pair, place: &str) {
        for (status, answer) in fields(old) {
            let place = format!("{place}, {status}");
            let Some(other) = new.get(status) else {
                self.breaks(&place, "the status is gone");
                continue;
            };
            for (header, said) in fields(&answer["headers"]) {
                match other["headers"].get(header) {
                    Some(new) => {
                        self.schema((&said["schema"], &new["schema"]), Way::Answer, &format!("{place}, {header}"));
                    }
                    None => self.breaks(&place, &format!("the header {header} is gone")),
                }
            }
            self.contents((&answer["content"], &other["content"]), Way::Answer, &place);
        }
        for (status, _) in fields(new).filter(|(status, _)| status.starts_with('2') && old.get(status).is_none()) {
            self.breaks(place, &format!("there is a new status {status} of a success"));
        }
    }

    fn contents(&mut self, (old, new): Pair, way: Way, place: &str) {
        for (kind, media) in fields(old) {
            match new.get(kind) {
                Some(other) => self.schema((&media["schema"], &other["schema"]), way, place),
                None => self.breaks(place, &format!("the content type {kind} is gone")),
            }
        }
    }

    fn schema(&mut self, (old, new): Pair, way: Way, place: &str) {
        if let (Some(one), Some(other)) = (old["$ref"].as_str(), new["$ref"].as_str()) {
            if !self.seen.insert((one.to_owned(), other.to_owned(), way)) {
                return;
            }
            // a break of a named schema is said once
            let name = one.rsplit('/').next().unwrap_or_default().to_owned();
            let part = if way == Way::Request { "in a request" } else { "in an answer" };
            let (old, new) = (resolved(self.old, old), resolved(self.new, new));
            return self.resolved((&old, &new), way, &format!("{name} {part}"));
        }
        let (old, new) = (resolved(self.old, old), resolved(self.new, new));
        self.resolved((&old, &new), way, place);
    }

    fn resolved(&mut self, (old, new): Pair, way: Way, place: &str) {
        // the side that may have less
        let (wide, narrow) = if way == Way::Request { (old, new) } else { (new, old) };
        for keyword in ["type", "format"] {
            if narrow[keyword] != wide[keyword] && !narrow[keyword].is_null() {
                self.breaks(place, &format!("`{keyword}` was {} and is {}", old[keyword], new[keyword]));
            }
        }
        if wide["nullable"] == true && narrow["nullable"] != true && !is_any(narrow) {
            self.breaks(place, if way == Way::Request { "it must not be null" } else { "it may be null" });
        }
        self.words((wide, narrow), way, place);
        self.bounds((old, new), (wide, narrow), place);
        self.objects((old, new), way, place);
        match (old.get("items"), new.get("items")) {
            (Some(one), Some(other)) => self.schema((one, other), way, &format!("{place}[]")),
            (None, Some(_)) if way == Way::Request => self.breaks(place, "its items have a schema"),
            (Some(_), None) if way == Way::Answer => self.breaks(place, "its items have no schema"),
            _ => {}
        }
        self.choices((old, new), way, place);
    }

    /// Compares closed sets of values.
    fn words(&mut self, (wide, narrow): Pair, way: Way, place: &str) {
        let Some(allowed) = narrow["enum"].as_array() else { return };
        let Some(words) = wide["enum"].as_array() else {
            return self.breaks(
                place,
                if way == Way::Request { "only some values are allowed" } else { "any value may come" },
            );
        };
        for word in words.iter().filter(|word| !allowed.contains(word)) {
            let what = if way == Way::Request { "is not allowed any more" } else { "may come now" };
            self.breaks(place, &format!("{word} {what}"));
        }
    }

    fn bounds(&mut self, (old, new): Pair, (wide, narrow): Pair, place: &str) {
        for keyword in
            ["minimum", "minLength", "minItems", "minProperties", "maximum", "maxLength", "maxItems", "maxProperties"]
        {
            let Some(bound) = narrow[keyword].as_f64() else { continue };
            let is_kept = |other: f64| if keyword.starts_with("min") { other >= bound } else { other <= bound };
            if !wide[keyword].as_f64().is_some_and(is_kept) {
                self.breaks(place, &format!("`{keyword}` was {} and is {}", old[keyword], new[keyword]));
            }
        }
        // one of these may be wider than the other, but that cannot be told
        for keyword in ["pattern", "multipleOf", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum"] {
            if !narrow[keyword].is_null() && narrow[keyword] != wide[keyword] {
                self.breaks(place, &format!("`{keyword}` was {} and is {}", old[keyword], new[keyword]));
            }
        }
    }

    fn objects(&mut self, (old, new): Pair, way: Way, place: &str) {
        for (name, field) in fields(&old["properties"]) {
            let inner = format!("{place}.{name}");
            match new["properties"].get(name) {
                Some(other) => self.schema((field, other), way, &inner),
                None => self.breaks(&inner, "the field is gone"),
            }
        }
        let (was, is) = (list(&old["required"]), list(&new["required"]));
        let (some, others) = if way == Way::Request { (is, was) } else { (was, is) };
        for name in some.iter().filter(|name| !others.contains(name)) {
            let inner = format!("{place}.{}", text(name));
            // a field that is gone was said
            if way == Way::Request || new["properties"].get(text(name)).is_some() {
                self.breaks(
                    &inner,
                    if way == Way::Request { "the field is required" } else { "the field may be missing" },
                );
            }
        }
        let (one, other) = (&old["additionalProperties"], &new["additionalProperties"]);
        if way == Way::Request && *other == false && *one != false && old["properties"].is_object() {
            self.breaks(place, "unknown fields are refused");
        }
        if one.is_object() || other.is_object() {
            self.schema((one, other), way, &format!("{place}.*"));
        }
    }

    /// Compares alternatives: each of the wide side has one that it fits on the narrow side.
    fn choices(&mut self, (old, new): Pair, way: Way, place: &str) {
        for keyword in ["oneOf", "anyOf"] {
            let (wide, narrow) = if way == Way::Request { (old, new) } else { (new, old) };
            if narrow[keyword].is_null() {
                continue;
            }
            if wide[keyword].is_null() {
                self.breaks(place, &format!("`{keyword}` was {} and is {}", old[keyword], new[keyword]));
            }
            for one in list(&wide[keyword]) {
                let fits = list(&narrow[keyword]).iter().any(|other| {
                    let mut inner = Compare { found: BTreeSet::new(), seen: self.seen.clone(), ..*self };
                    inner.schema(if way == Way::Request { (one, other) } else { (other, one) }, way, "");
                    inner.found.is_empty()
                });
                if !fits {
                    let what = if way == Way::Request { "is not allowed any more" } else { "may come now" };
                    self.breaks(place, &format!("the alternative {one} {what}"));
                }
            }
        }
    }
}

/// Follows references, and joins the schemas of `allOf`.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return resolved(document, &document["components"]["schemas"][name]);
    }
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut whole = schema.clone();
    for part in parts.iter().map(|part| resolved(document, part)) {
        for (keyword, says) in fields(&part) {
            match (keyword.as_str(), says, &mut whole[keyword]) {
                ("properties", Value::Object(more), Value::Object(has)) => has.extend(more.clone()),
                ("required", Value::Array(more), Value::Array(has)) => has.extend(more.clone()),
                (_, _, has) if has.is_null() => *has = says.clone(),
                _ => {}
            }
        }
    }
    whole
}

/// Whether a schema allows any value.
fn is_any(schema: &Value) -> bool {
    ["type", "enum", "oneOf", "anyOf", "allOf"].iter().all(|keyword| schema[keyword].is_null())
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
