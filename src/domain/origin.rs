//! Origins of browsers (RFC 6454): the scheme, the host and the port of a page.

use std::net::Ipv6Addr;

/// The origins whose pages may call the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Parses a list of origins, separated by commas.
    ///
    /// # Errors
    /// All entries that are no origins as browsers send them.
    pub fn parse(list: &str) -> Result<Self, Vec<String>> {
        let (origins, others): (Vec<&str>, Vec<&str>) =
            list.split(',').map(str::trim).partition(|text| is_origin(text));
        if others.is_empty() {
            return Ok(Self(origins.into_iter().map(str::to_owned).collect()));
        }
        let problem = |text: &str| {
            format!("`{text}` is no origin as browsers send it, such as https://shop.example or http://localhost:3000")
        };
        Err(others.into_iter().map(problem).collect())
    }

    /// All origins; none: pages of other origins may not call the service.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// Whether a browser may send this text: lower case, no path, and no port that is the default of the scheme.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| {
        let number = port.parse::<u16>().ok().filter(|number| *number != default_port && *number != 0);
        number.is_some_and(|number| number.to_string() == port)
    };
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let list = "https://shop.example, http://localhost:3000,https://[2001:db8::1]:8443,http://10.0.0.1";
        assert_eq!(Origins::parse(list).expect("origins").as_slice().len(), 4);
        let wrong = [
            "*",
            "null",
            "",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://Shop.example",
            "ftp://a",
            "https://shop.example:443",
            "http://shop.example:80",
            "http://a:0",
            "http://a:080",
            "http://a:x",
            "https://*.shop.example",
            "https://a b",
            "https://[::1",
            "https://user@shop.example",
        ];
        for text in wrong {
            let problems = Origins::parse(&format!("https://shop.example,{text}")).expect_err(text);
            assert_eq!(problems.len(), 1, "{text}");
        }
    }
}
