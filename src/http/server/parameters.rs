//! The query parameters of reads and lists under `/api`: one that a route does not have is refused, since a misspelled filter
//! would return everything. The document says which parameters a route has.

use std::collections::BTreeSet;

use poem::Request;
use poem::http::Method;
use serde_json::Value;

use crate::http::problem::Problem;

/// The code of the problem.
const CODE: &str = "unknown_parameter";

/// The parameters of all routes that read.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<Read>);

/// A route that reads.
#[derive(Debug)]
struct Read {
    /// The parts of its path; `None`: a parameter.
    parts: Vec<Option<String>>,
    /// Its query parameters.
    names: BTreeSet<String>,
}

impl Parameters {
    /// Reads the parameters from the document.
    pub(crate) fn of(document: &Value) -> Self {
        let read = |(path, operation): (&String, &Value)| {
            let part = |part: &str| (!part.starts_with('{')).then(|| part.to_owned());
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let names = parameters.filter(|parameter| parameter["in"] == "query");
            let names = names.filter_map(|parameter| parameter["name"].as_str().map(str::to_owned)).collect();
            Read { parts: path.split('/').map(part).collect(), names }
        };
        let mut reads: Vec<Read> = reads(document).map(read).collect();
        // a path without parameters is the better match
        reads.sort_by_key(|read| read.parts.iter().filter(|part| part.is_none()).count());
        Self(reads)
    }

    /// Checks the query of a request. A request without one, or of another kind, costs nothing.
    ///
    /// # Errors
    /// 400 `unknown_parameter`.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if request.uri().query().is_none_or(str::is_empty) || !is_read {
            return Ok(());
        }
        let Some(read) = self.find(request.uri().path()) else { return Ok(()) };
        // one that cannot be read is the framework's to refuse
        let given = request.params::<Vec<(String, String)>>().unwrap_or_default();
        match given.iter().find(|(name, _)| !read.names.contains(name)) {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad_request(CODE, detail(name, &read.names))),
        }
    }

    fn find(&self, path: &str) -> Option<&Read> {
        let given: Vec<&str> = path.split('/').collect();
        let fits = |read: &&Read| {
            let mut parts = read.parts.iter().zip(&given);
            read.parts.len() == given.len() && parts.all(|(part, given)| part.as_ref().is_none_or(|part| part == given))
        };
        self.0.iter().find(fits)
    }
}

/// Names the parameter, unless it is too long, and those that the route has.
fn detail(name: &str, known: &BTreeSet<String>) -> String {
    let name: String = name.chars().filter(|char| !char.is_control()).take(40).collect();
    match known.is_empty() {
        true => format!("`{name}` is no parameter of this route, which has none."),
        false => {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("`{name}` is no parameter of this route; it has {}.", known.join(", "))
        }
    }
}

/// Adds the problem to every route that reads.
pub(crate) fn describe(document: &mut Value) {
    let problem = serde_json::json!({
        "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } }
    });
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (_, methods) in paths.iter_mut().filter(|(path, _)| is_api(path)) {
        let Some(responses) = methods.get_mut("get").and_then(|get| get["responses"].as_object_mut()) else { continue };
        let response = responses.entry("400").or_insert_with(|| serde_json::json!({ "content": problem.clone() }));
        let codes = response["description"].as_str().map_or(String::new(), |codes| format!("{codes}, "));
        response["description"] = format!("{codes}`{CODE}`").into();
    }
}

fn reads(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.filter(|(path, _)| is_api(path)).filter_map(|(path, methods)| Some((path, methods.get("get")?)))
}

fn is_api(path: &str) -> bool {
    path.starts_with("/api/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_without_parameters_is_found_before_one_with_them() {
        let get = |name: &str| json!({ "get": { "parameters": [{ "in": "query", "name": name }], "responses": {} } });
        let document =
            json!({ "paths": { "/api/a/{id}": get("one"), "/api/a/b": get("other"), "/healthz": get("x") } });
        let parameters = Parameters::of(&document);
        let names = |path| parameters.find(path).map(|read| read.names.iter().cloned().collect::<Vec<_>>());
        assert_eq!(names("/api/a/1"), Some(vec!["one".to_owned()]));
        assert_eq!(names("/api/a/b"), Some(vec!["other".to_owned()]));
        assert_eq!((names("/healthz"), names("/api/a"), names("/api/a/b/")), (None, None, None));
    }
}
