//! `docs/errors.md`: every code of a problem.

use std::fmt::Write as _;

use super::codes;

const HEAD: &str = "# Errors

Every error is `application/problem+json` with a `code` that stays the same: program against it, and not against the texts. `GET
/openapi.json` has the codes of each operation, with an example of each. `holdfast errors` prints this page.

A request that was answered 4xx has changed nothing. After 503, or without an answer, send the same request again: with an
`Idempotency-Key` this is safe.

| code | status | for example | what to do |
| --- | --- | --- | --- |
";

/// Returns the page as Markdown.
pub fn errors() -> String {
    let mut page = HEAD.to_owned();
    for code in codes::all() {
        let (name, status) = (code.example.code(), code.example.status().as_u16());
        let detail = code.example.as_json()["detail"].as_str().unwrap_or_default().replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {status} | {detail} | {} |", code.action);
    }
    page
}
