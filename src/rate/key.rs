//! The caller that a request counts for.

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest as _, Sha256};

use crate::domain::Caller;

/// The caller that a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A client by its id.
    Client(i64),
    /// One buyer of a client, by half of the digest of the buyer's name.
    Buyer(i64, [u8; 16]),
    /// The operators' token of the configuration.
    Operator,
    /// An address.
    V4(Ipv4Addr),
    /// The first 64 bits of an address: one network has all addresses behind them.
    V6(u64),
}

impl Key {
    /// Returns the key of a caller with this address: the client, with its buyer where the caller is narrowed to one. Without
    /// the token of a client it is the address alone, since everyone can name a buyer.
    pub fn new(caller: &Caller, address: IpAddr) -> Self {
        match (caller.as_client(), caller.buyer()) {
            (Some(client), Some(buyer)) => Self::Buyer(client.id, digest(buyer)),
            (Some(client), None) => Self::Client(client.id),
            (None, _) if caller.operator_name().is_some() => Self::Operator,
            (None, _) => match address.to_canonical() {
                IpAddr::V4(address) => Self::V4(address),
                IpAddr::V6(address) => {
                    let [first, ..] = split(address.to_bits());
                    Self::V6(first)
                }
            },
        }
    }
}

/// Returns the two halves of an address.
fn split(bits: u128) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
    [half(bits >> 64), half(bits)]
}

fn digest(buyer: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(buyer).into();
    let (half, _) = digest.split_at(16);
    half.try_into().expect("16 bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Client, Role};

    #[test]
    fn a_client_counts_by_itself_or_by_its_buyer_and_everyone_else_by_the_address() {
        let client = |id| Caller::client(Arc::new(Client { id, name: "shop".to_owned(), role: Role::Storefront }));
        let [here, there]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        assert_eq!(Key::new(&client(1), here), Key::new(&client(1), there));
        let keys = [
            Key::new(&client(1), here),
            Key::new(&client(2), here),
            Key::new(&client(1).for_buyer("a".into()), here),
            Key::new(&client(1).for_buyer("b".into()), here),
            Key::new(&client(2).for_buyer("a".into()), here),
            Key::new(&Caller::anonymous(), here),
            Key::new(&Caller::anonymous(), there),
            Key::new(&Caller::operator(), here),
        ];
        let different: std::collections::HashSet<&Key> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        let buyer = Caller::anonymous().for_buyer("a".into());
        assert_eq!(Key::new(&buyer, here), Key::new(&Caller::anonymous(), here));
        assert_eq!(Key::new(&Caller::operator(), here), Key::new(&Caller::operator(), there));
    }

    #[test]
    fn an_address_of_ipv6_counts_by_its_first_64_bits_and_a_mapped_one_as_ipv4() {
        let key = |text: &str| Key::new(&Caller::anonymous(), text.parse().expect("an address"));
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
