//! The addresses that a push may reach: those of the internet. An address of this machine, of its network, or one in which such an
//! address is embedded belongs to none of a shop's endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{Ipv4Net, Ipv6Net};

/// The networks of IPv4 that are not the internet (IANA's registry of special-purpose addresses, RFC 6890).
const NOT_PUBLIC_V4: [&str; 18] = [
    "0.0.0.0/8",        // this network
    "10.0.0.0/8",       // private
    "100.64.0.0/10",    // behind a carrier's NAT; Alibaba's metadata
    "127.0.0.0/8",      // loopback
    "168.63.129.16/32", // Azure's own services for a machine
    "169.254.0.0/16",   // link-local; the metadata of most clouds
    "172.16.0.0/12",    // private
    "192.0.0.0/24",     // protocols; Oracle's metadata
    "192.0.2.0/24",     // documentation
    "192.52.193.0/24",  // relays of multicast
    "192.88.99.0/24",   // relays of 6to4
    "192.168.0.0/16",   // private
    "198.18.0.0/15",    // benchmarks
    "198.51.100.0/24",  // documentation
    "203.0.113.0/24",   // documentation
    "224.0.0.0/4",      // multicast
    "240.0.0.0/4",      // reserved
    "255.255.255.255/32",
];

/// All networks of IPv6 that are the internet. Outside: loopback, unspecified, IPv4-mapped and -compatible, unique local (the metadata
/// of some clouds), link-local, site-local, multicast.
const PUBLIC_V6: &str = "2000::/3";
/// The networks within it that are not.
const NOT_PUBLIC_V6: [&str; 4] = [
    "2001::/23",     // protocols; Teredo, which embeds an address of IPv4
    "2001:db8::/32", // documentation
    "2002::/16",     // 6to4, which embeds one
    "3fff::/20",     // documentation
];
/// Addresses of IPv4 as a network without IPv4 reaches them (RFC 6052): as public as what they embed.
const NAT64: &str = "64:ff9b::/96";

struct Networks {
    not_public_v4: Vec<Ipv4Net>,
    public_v6: Ipv6Net,
    not_public_v6: Vec<Ipv6Net>,
    nat64: Ipv6Net,
}

static NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
    let v4 = |text: &&str| text.parse::<Ipv4Net>().expect("a network");
    let v6 = |text: &str| text.parse::<Ipv6Net>().expect("a network");
    Networks {
        not_public_v4: NOT_PUBLIC_V4.iter().map(v4).collect(),
        public_v6: v6(PUBLIC_V6),
        not_public_v6: NOT_PUBLIC_V6.iter().map(|text| v6(text)).collect(),
        nat64: v6(NAT64),
    }
});

/// Returns whether an address is one of the internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NETWORKS.not_public_v4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let networks = &*NETWORKS;
    if networks.nat64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    networks.public_v6.contains(&address) && !networks.not_public_v6.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> bool {
        is_public(text.parse().unwrap_or_else(|_| panic!("{text} is an address")))
    }

    #[test]
    fn addresses_of_the_internet_are_public_up_to_the_borders_of_every_other_network() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2600::1",
            "2a00:1450:4001:82a::200e",
            "2001:200::1",
            "2001:db7:ffff::",
            "2003::1",
            "3ffe::1",
            "64:ff9b::101:101",
        ] {
            assert!(judge(address), "{address}");
        }
    }

    #[test]
    fn no_other_address_is_public_however_it_is_written_or_embedded() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",         // IPv4-compatible
            "::ffff:127.0.0.1", // IPv4-mapped
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",  // no resolver returns one
            "::ffff:0:7f00:1", // translated (RFC 2765)
            "64:ff9b::7f00:1", // NAT64
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::101:101", // NAT64 of a network of one's own
            "100::1",             // discarded
            "2001::1",            // Teredo
            "2001:0:0:0:0:0:80ff:fffe",
            "2001:2::1", // benchmarks
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::", // 6to4
            "2002:101:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254", // metadata
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!judge(address), "{address}");
        }
    }
}
