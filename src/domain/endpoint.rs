//! Endpoints: addresses of shops to which events are pushed.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::is_public;
use super::endpoint_refusal::{EndpointRefusal, URL_BYTES, UrlProblem};
use super::feed::FeedType;
use super::status::{Named as _, named};

named! {
    /// Whether pushes may go over plain HTTP and to addresses that are not of the internet.
    PushPrivate {
        /// Only over HTTPS, and to addresses of the internet.
        Off = "off",
        /// Everywhere: for development and tests.
        On = "on",
    }
}

named! {
    /// Why an endpoint is disabled.
    DisabledReason {
        /// An operator disabled it.
        Operator = "operator",
        /// It has failed for too long.
        Failing = "failing",
        /// Its client was revoked.
        Revoked = "revoked",
        /// An operator deleted it.
        Deleted = "deleted",
    }
}

named! {
    /// The state of an event that an endpoint has not accepted.
    UndeliveredState {
        /// It is tried again.
        Waiting = "waiting",
        /// All attempts have failed.
        Failed = "failed",
    }
}

named! {
    /// How an attempt to push an event ended.
    AttemptOutcome {
        /// The endpoint answered 2xx.
        Delivered = "delivered",
        /// It answered with another status.
        Refused = "refused",
        /// It answered with a redirect, which is not followed.
        Redirected = "redirected",
        /// It did not answer in time.
        TimedOut = "timed_out",
        /// Its URL, or an address of its name, is not allowed.
        NotAllowed = "not_allowed",
        /// Its name has no address.
        NotResolved = "not_resolved",
        /// No connection to it could be made.
        NotConnected = "not_connected",
        /// Its certificate, or its TLS, is not valid.
        NotTrusted = "not_trusted",
        /// The connection ended before an answer, or the answer was not HTTP.
        Broken = "broken",
        /// Nothing was sent: its earlier events keep all of its connections busy.
        Busy = "busy",
    }
}

/// The URL of an endpoint, written as it is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    literal: Option<IpAddr>,
}

impl EndpointUrl {
    /// Parses a URL. An address in it is judged here; the addresses of a name are judged whenever it is resolved.
    ///
    /// # Errors
    /// [`UrlProblem`].
    pub fn parse(text: &str, private: PushPrivate) -> Result<Self, UrlProblem> {
        if text.len() > URL_BYTES {
            return Err(UrlProblem::Length);
        }
        // the parser would leave out line breaks and tabs
        if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return Err(UrlProblem::NoUrl);
        }
        let url = Url::parse(text).map_err(|_| UrlProblem::NoUrl)?;
        match (url.scheme(), private) {
            ("https", _) | ("http", PushPrivate::On) => {}
            _ => return Err(UrlProblem::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::User);
        }
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        let literal = match url.host().ok_or(UrlProblem::NoUrl)? {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(name) if private == PushPrivate::Off && is_local(name) => return Err(UrlProblem::Address),
            Host::Domain(_) => None,
        };
        if private == PushPrivate::Off && !literal.is_none_or(is_public) {
            return Err(UrlProblem::Address);
        }
        let text = String::from(url);
        // names of other scripts and escaped characters become longer
        if text.len() > URL_BYTES { Err(UrlProblem::Length) } else { Ok(Self { text, literal }) }
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address that stands in the place of a name.
    pub fn literal(&self) -> Option<IpAddr> {
        self.literal
    }
}

/// Names that are this machine, whatever a resolver says (RFC 6761, 6.3).
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Reads the types of events that an endpoint wants, each once. An empty list, and none, mean all types.
///
/// # Errors
/// [`EndpointRefusal::UnknownType`].
pub fn read_types(names: Option<&[String]>) -> Result<Option<Vec<FeedType>>, EndpointRefusal> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(None) };
    let unknown = |name: &String| EndpointRefusal::UnknownType { name: shown(name) };
    let mut types = Vec::new();
    for name in names {
        let feed_type = FeedType::from_name(name).ok_or_else(|| unknown(name))?;
        if !types.contains(&feed_type) {
            types.push(feed_type);
        }
    }
    Ok(Some(types))
}

/// A name as a problem repeats it.
fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, UrlProblem> {
        EndpointUrl::parse(text, PushPrivate::Off).map(|url| url.as_str().to_owned())
    }

    #[test]
    fn a_url_is_kept_as_it_is_sent_to() {
        for (text, kept) in [
            ("https://shop.example", "https://shop.example/"),
            ("https://SHOP.example:443/Events?a=b", "https://shop.example/Events?a=b"),
            ("https://shop.example:8443/", "https://shop.example:8443/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://1.1.1.1/", "https://1.1.1.1/"),
            ("https://[2600::1]/", "https://[2600::1]/"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn a_url_that_could_reach_something_else_is_refused() {
        use UrlProblem::{Address, Fragment, Length, NoUrl, Scheme, User};
        let long = format!("https://shop.example/{}", "a".repeat(URL_BYTES));
        let grown = format!("https://shop.example/{}", "ä".repeat(URL_BYTES / 4));
        for (text, problem) in [
            ("", NoUrl),
            ("shop.example", NoUrl),
            ("/events", NoUrl),
            ("https://", NoUrl),
            ("https://a b/", NoUrl),
            ("https://shop.example/\n", NoUrl),
            ("https://sh\top.example/", NoUrl),
            ("https://shop.example:99999/", NoUrl),
            ("http://shop.example/", Scheme),
            ("ftp://shop.example/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("https://user@shop.example/", User),
            ("https://user:password@shop.example/", User),
            ("https://:password@shop.example/", User),
            ("https://shop.example/#a", Fragment),
            ("https://shop.example/#", Fragment),
            ("https://localhost/", Address),
            ("https://LOCALHOST./", Address),
            ("https://a.localhost:8443/", Address),
            ("https://127.0.0.1/", Address),
            ("https://127.1/", Address),
            ("https://0x7f000001/", Address),
            ("https://2130706433/", Address),
            ("https://0177.0.0.1./", Address),
            ("https://１２７.0.0.1/", Address),
            ("https://169.254.169.254/latest/meta-data", Address),
            ("https://[::1]/", Address),
            ("https://[::ffff:10.0.0.1]/", Address),
            ("https://[fd00:ec2::254]/", Address),
            (&long, Length),
            (&grown, Length),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn private_addresses_and_plain_http_are_for_development() {
        for text in ["http://127.0.0.1:9000/events", "http://localhost/", "https://10.0.0.1/", "http://[::1]/"] {
            assert!(EndpointUrl::parse(text, PushPrivate::On).is_ok(), "{text}");
        }
        for text in ["ftp://localhost/", "http://user@localhost/", "http://localhost/#a"] {
            assert!(EndpointUrl::parse(text, PushPrivate::On).is_err(), "{text}");
        }
    }

    #[test]
    fn types_are_known_words_and_none_means_all() {
        let read = |names: &[&str]| read_types(Some(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()));
        let two = Some(vec![FeedType::TicketVoided, FeedType::OrderPaid]);
        assert_eq!(read(&["ticket.voided", "order.paid", "ticket.voided"]), Ok(two));
        assert_eq!((read(&[]), read_types(None)), (Ok(None), Ok(None)));
        for name in ["", "order", "Order.Paid", "order.paid "] {
            assert!(matches!(read(&[name]), Err(EndpointRefusal::UnknownType { .. })), "{name}");
        }
        assert_eq!(shown(&"\u{202e}ä\n<".repeat(50)), "<".repeat(40));
    }
}
