//! The addresses in `Forwarded` (RFC 7239) and in `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the addresses in all lines of `Forwarded`, the last hop first; `None` in place of one that is not an address. `None`
/// as a whole: the lines are malformed.
pub(super) fn of_forwarded(text: &str) -> Option<Vec<Option<IpAddr>>> {
    let elements = split(text, ',')?.into_iter().rev().filter(|element| !element.trim().is_empty());
    elements.map(|element| Some(node(element)?.and_then(address))).collect()
}

/// Returns the same of `X-Forwarded-For`, one at a time: what clients wrote on the left is never read.
pub(super) fn of_x_forwarded_for(text: &str) -> impl Iterator<Item = Option<IpAddr>> {
    text.rsplit(',').map(str::trim).filter(|part| !part.is_empty()).map(address)
}

/// Splits at a separator outside quoted strings. `None`: a quotation does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (position, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            letter if letter == separator && !is_quoted => {
                parts.push(&text[start..position]);
                start = position + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// Returns the node in the `for` of one element, if it has one. `None` as a whole: the element is malformed.
fn node(element: &str) -> Option<Option<&str>> {
    let mut node = None;
    for pair in split(element, ';')?.into_iter().filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if name.trim_start().eq_ignore_ascii_case("for") && node.replace(unquoted(value.trim_end())?).is_some() {
            return None;
        }
    }
    Some(node)
}

fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains('"')).then_some(inner)
}

/// Parses an address with or without a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `2001:db8::1`.
fn address(node: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (port.is_empty() || port.starts_with(':')).then_some(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?))?
    } else {
        match node.split_once(':') {
            Some((address, port)) if !port.contains(':') => IpAddr::V4(address.parse().ok()?),
            _ => node.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_writes_it() {
        for (text, nodes) in [
            ("for=192.0.2.43", vec![ip("192.0.2.43")]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec![ip("2001:db8:cafe::17")]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![ip("192.0.2.60")]),
            ("for=192.0.2.43, for=198.51.100.17:80", vec![ip("198.51.100.17"), ip("192.0.2.43")]),
            ("for=_hidden, for=unknown", vec![None, None]),
            (";by=x;, ,proto=\"a,b;c\\\"\";for=\"1.2.3.4\"", vec![ip("1.2.3.4"), None]),
            ("", vec![]),
        ] {
            assert_eq!(of_forwarded(text), Some(nodes), "{text}");
        }
        for text in ["for=\"1.2.3.4", "for", "for=\"a, for=\"[::1]:80\"", "for=1.2.3.4;for=1.2.3.5", "for=a\"b\""] {
            assert_eq!(of_forwarded(text), None, "{text}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_from_its_end_with_and_without_ports() {
        let read = |text| of_x_forwarded_for(text).collect::<Vec<_>>();
        assert_eq!(read("nonsense, 192.0.2.1:80,2001:db8::1"), [ip("2001:db8::1"), ip("192.0.2.1"), None]);
        assert_eq!(read("[2001:db8::1]:80, ::ffff:192.0.2.1"), [ip("192.0.2.1"), ip("2001:db8::1")]);
        assert_eq!(read("[::1]x, 1.2.3, [1.2.3.4]"), [None, None, None]);
    }
}
