//! The proxies in front of the service: which client a request comes from.

use std::net::IpAddr;

use ipnet::IpNet;

use super::forwarded::{of_forwarded, of_x_forwarded_for};

/// The networks of proxies whose headers name the address of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The problems of a list of networks, one per entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotNetworks(pub Vec<String>);

impl TrustedProxies {
    /// Parses a list of networks or addresses, separated by commas; an empty text is an empty list.
    ///
    /// # Errors
    /// All entries that are neither, or that contain every address.
    pub fn parse(list: &str) -> Result<Self, NotNetworks> {
        let entries = list.split(',').map(str::trim).filter(|_| !list.trim().is_empty());
        let (mut networks, mut problems) = (Vec::new(), Vec::new());
        for entry in entries {
            match network(entry).ok_or("is no network, such as 10.0.0.0/8 or 2001:db8::/32") {
                Ok(network) if network.prefix_len() > 0 => networks.push(network),
                Ok(_) => problems.push(format!("`{entry}` has every address: every client could choose its own")),
                Err(problem) => problems.push(format!("`{entry}` {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self(networks)) } else { Err(NotNetworks(problems)) }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the address of the client: the last hop that is no trusted proxy. Only a trusted peer's headers are read, from
    /// the end, since every client can send some. What is malformed, or two headers that differ, means the peer: a client may
    /// have sent the header that its proxy does not write.
    ///
    /// `forwarded` and `x_forwarded_for` are the lines of these headers, in their order.
    pub fn client<'line>(
        &self,
        peer: IpAddr,
        forwarded: impl Iterator<Item = &'line [u8]>,
        x_forwarded_for: impl Iterator<Item = &'line [u8]>,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let forwarded = joined(forwarded).map(|text| self.first_untrusted(of_forwarded(&text?)?.into_iter()));
        let listed = joined(x_forwarded_for).map(|text| self.first_untrusted(of_x_forwarded_for(&text?)));
        let client = match (forwarded, listed) {
            (Some(one), Some(other)) => one.filter(|one| Some(*one) == other),
            (one, other) => one.or(other).flatten(),
        };
        client.unwrap_or(peer)
    }

    /// Returns the first address that is no trusted proxy, or the last one. `None`: a hop before it is not an address.
    fn first_untrusted(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut found = None;
        for hop in hops {
            let address = hop?;
            found = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        found
    }
}

fn network(entry: &str) -> Option<IpNet> {
    entry.parse().ok().or_else(|| Some(IpNet::from(entry.parse::<IpAddr>().ok()?)))
}

/// Joins the lines of a header (RFC 9110, 5.3). `None`: there are none; `Some(None)`: they are no text.
fn joined<'line>(lines: impl Iterator<Item = &'line [u8]>) -> Option<Option<String>> {
    let lines: Vec<&[u8]> = lines.collect();
    let text = || String::from_utf8(lines.join(&b", "[..])).ok();
    (!lines.is_empty()).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'text>(texts: &'text [&str]) -> impl Iterator<Item = &'text [u8]> {
        texts.iter().map(|text| text.as_bytes())
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_no_trusted_proxy() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 2001:db8:1::/48, 192.0.2.7").expect("networks");
        let client = |peer: &str, forwarded: &[&str], listed: &[&str]| {
            let peer = peer.parse().expect("an address");
            proxies.client(peer, lines(forwarded), lines(listed)).to_string()
        };
        for (peer, forwarded, listed, wanted) in [
            // a peer that is no proxy
            ("198.51.100.1", &[][..], &["1.1.1.1"][..], "198.51.100.1"),
            ("192.0.2.8", &["for=1.1.1.1"], &["1.1.1.1"], "192.0.2.8"),
            // one proxy, two of them, a forged start, several lines
            ("10.1.2.3", &[], &[], "10.1.2.3"),
            ("10.1.2.3", &[], &["1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.1.2.3", &[], &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.1.2.3", &[], &["6.6.6.6, 1.1.1.1, 192.0.2.7"], "1.1.1.1"),
            ("10.1.2.3", &[], &["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            ("10.1.2.3", &[], &["nonsense, 1.1.1.1"], "1.1.1.1"),
            ("2001:db8:1::1", &["for=6.6.6.6, for=\"[2001:db8::9]:80\""], &[], "2001:db8::9"),
            // only proxies: the farthest one
            ("10.1.2.3", &[], &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            // malformed, or not an address
            ("10.1.2.3", &[], &["1.1.1.1, nonsense"], "10.1.2.3"),
            ("10.1.2.3", &["for=\"1.1.1.1"], &[], "10.1.2.3"),
            ("10.1.2.3", &["for=1.1.1.1, for=unknown"], &[], "10.1.2.3"),
            ("10.1.2.3", &["for=\"6.6.6.6, for=1.1.1.1"], &[], "10.1.2.3"),
            ("10.1.2.3", &[""], &[], "10.1.2.3"),
            // one of two headers is the client's
            ("10.1.2.3", &["for=6.6.6.6"], &["1.1.1.1"], "10.1.2.3"),
            ("10.1.2.3", &["for=1.1.1.1"], &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.1.2.3", &["for=1.1.1.1"], &["nonsense"], "10.1.2.3"),
            ("10.1.2.3", &["nonsense"], &["1.1.1.1"], "10.1.2.3"),
            ("10.1.2.3", &["nonsense"], &["nonsense"], "10.1.2.3"),
        ] {
            assert_eq!(client(peer, forwarded, listed), wanted, "{peer} {forwarded:?} {listed:?}");
        }
        let not_text = proxies.client("10.1.2.3".parse().expect("an address"), lines(&[]), [&b"\xff"[..]].into_iter());
        assert_eq!(not_text.to_string(), "10.1.2.3");
    }

    #[test]
    fn each_entry_that_is_no_network_is_a_problem_and_so_is_the_whole_internet() {
        assert_eq!(TrustedProxies::parse(""), Ok(TrustedProxies::default()));
        let problems =
            TrustedProxies::parse("10.0.0.0/8,10.0.0.0/33,proxy,,0.0.0.0/0,::/0").expect_err("five problems");
        assert_eq!(problems.0.len(), 5, "{problems:?}");
    }
}
