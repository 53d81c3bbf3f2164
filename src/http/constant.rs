//! Texts that stay the same while the process runs: the API's document and its page. A client that has them gets 304, and one
//! that reads gzip gets a twentieth of the document's bytes.

use std::io::Write as _;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::{Request, Response};
use sha2::{Digest as _, Sha256};

/// The document changes with the running version: a cache may keep it, but must revalidate it before each use.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
pub(super) const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// A text, served from one buffer that all responses share: clients that read slowly do not use more memory.
pub(super) struct Constant {
    content_type: HeaderValue,
    plain: Bytes,
    /// The same, compressed by the first request that accepts it.
    compressed: OnceLock<Bytes>,
    /// The tags of both: what they tag differs.
    tags: [HeaderValue; 2],
}

impl Constant {
    pub(super) fn new(content_type: &'static str, text: String) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(&text)[..16]);
        let tag = |suffix: &str| HeaderValue::try_from(format!("\"{digest}{suffix}\"")).expect("base64 is ASCII");
        let (content_type, tags) = (HeaderValue::from_static(content_type), [tag(""), tag("-gzip")]);
        Self { content_type, plain: Bytes::from(text), compressed: OnceLock::new(), tags }
    }

    /// Responds with the text, or with 304 if the client has it.
    pub(super) fn respond(&self, request: &Request) -> Response {
        let is_compressed = accepts_gzip(request.headers());
        let tag = &self.tags[usize::from(is_compressed)];
        let head = Response::builder()
            .header(header::CACHE_CONTROL, REVALIDATE)
            .header(header::VARY, ACCEPT_ENCODING)
            .header(header::ETAG, tag);
        if is_known(request.headers(), tag) {
            return head.status(StatusCode::NOT_MODIFIED).finish();
        }
        let head = head.header(header::CONTENT_TYPE, &self.content_type);
        match is_compressed {
            true => head.header(header::CONTENT_ENCODING, "gzip").body(self.gzip()),
            false => head.body(self.plain.clone()),
        }
    }

    fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.plain).expect("memory can be written to");
            Bytes::from(encoder.finish().expect("memory can be written to"))
        };
        self.compressed.get_or_init(compress).clone()
    }
}

/// Returns the elements of a header that is a list.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether `If-None-Match` has this tag; it is compared weakly (RFC 9110, 13.1.2).
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let own = tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes());
    let is_it = |sent: &str| sent == "*" || sent.trim_start_matches("W/").as_bytes() == own;
    elements(headers, header::IF_NONE_MATCH).any(is_it)
}

/// Whether `Accept-Encoding` accepts gzip: by its name, or else by `*` (RFC 9110, 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for element in elements(headers, header::ACCEPT_ENCODING) {
        let (coding, weight) = element.split_once(';').unwrap_or((element, "q=1"));
        let weight =
            weight.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('=')?.parse::<f32>().ok());
        let is_accepted = weight.is_some_and(|weight| weight > 0.0);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                return is_accepted;
            }
            "*" => any = is_accepted,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn gzip_is_sent_to_those_that_accept_it() {
        let accepts = |lines: &[&'static str]| accepts_gzip(&headers(header::ACCEPT_ENCODING, lines));
        for lines in [&["gzip"][..], &["br, GZIP;q=0.1"], &["*"], &["br", "x-gzip; q=1.0"], &["identity;q=0, *;q=0.5"]]
        {
            assert!(accepts(lines), "{lines:?}");
        }
        for lines in
            [&[][..], &[""], &["br"], &["gzip;q=0"], &["*, gzip;q=0.000"], &["*;q=0"], &["gzip;q=x"], &["gzipped"]]
        {
            assert!(!accepts(lines), "{lines:?}");
        }
    }

    #[test]
    fn a_tag_is_found_in_the_list_that_a_client_sends() {
        let known = |lines: &[&'static str]| {
            is_known(&headers(header::IF_NONE_MATCH, lines), &HeaderValue::from_static("\"a\""))
        };
        for lines in [&["\"a\""][..], &["W/\"a\""], &["\"b\", \"a\""], &["\"b\"", "\"a\""], &["*"]] {
            assert!(known(lines), "{lines:?}");
        }
        let weak = HeaderValue::from_static("W/\"a\"");
        assert!(is_known(&headers(header::IF_NONE_MATCH, &["W/\"a\""]), &weak));
        assert!(!is_known(&headers(header::IF_NONE_MATCH, &["W/\"b\""]), &weak));
        for lines in [&[][..], &["a"], &["\"b\""], &["\"a-gzip\""], &[""]] {
            assert!(!known(lines), "{lines:?}");
        }
    }
}
