//! Who takes a hold: a caller, and its address where that matters.

use std::net::IpAddr;

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use uuid::Uuid;

use super::{Admitted, requirement, schemes};
use crate::app::App;
use crate::domain::{Caller, Details, counter};
use crate::http::problem::Problem;
use crate::http::server::rates;

/// A caller that takes a hold.
#[derive(Debug)]
pub struct Taker {
    /// The caller.
    pub(in crate::http) caller: Caller,
    /// The caller's address, while the service limits how many units one caller may hold.
    pub(in crate::http) address: Option<IpAddr>,
}

impl Admitted for Taker {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        let caller = Caller::admit(app, request)?;
        let address = app.checkout.limits_held_units().then(|| rates::address(&app.rate_limits, request));
        Ok(Self { caller, address })
    }
}

requirement!(Taker, [schemes::STOREFRONT, schemes::BUYER, schemes::OPERATOR], true);

/// Returns the counter of the units that a caller holds: of a client's buyer, or of the address of a caller without a client, since
/// everyone can name a buyer. An operator, and a client without a buyer, have none.
pub(in crate::http) fn held_counter(caller: &Caller, details: Option<&Details>, address: IpAddr) -> Option<Uuid> {
    if caller.operator_name().is_some() {
        return None;
    }
    if let Some(client) = caller.as_client() {
        let buyer = details.and_then(|details| details.owner.buyer.as_deref());
        return buyer.map(|buyer| counter::of_held_by_buyer(client.id, buyer));
    }
    Some(match address.to_canonical() {
        IpAddr::V4(address) => counter::of_held_at(&address.octets()),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            let network = [first, second, third, fourth].map(u16::to_be_bytes);
            counter::of_held_at(network.as_flattened())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Client, Role};

    fn at(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn an_address_without_a_client_counts_and_one_of_ipv6_by_its_first_64_bits() {
        let counter = |address: &str| held_counter(&Caller::anonymous(), None, at(address));
        assert_eq!(counter("2001:db8:0:1::1"), counter("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(counter("2001:db8:0:1::1"), counter("2001:db8:0:2::1"));
        assert_eq!(counter("::ffff:192.0.2.1"), counter("192.0.2.1"));
        assert_ne!(counter("192.0.2.1"), counter("192.0.2.2"));
        let named = Caller::anonymous().for_buyer("b".into());
        let details = Details::of_hold(&named, None, None, None).expect("a name");
        assert_eq!(held_counter(&named, details.as_deref(), at("192.0.2.1")), counter("192.0.2.1"));
    }

    #[test]
    fn a_buyer_of_a_client_counts_wherever_it_is_and_a_client_without_a_buyer_does_not() {
        let client = |role| Caller::client(Arc::new(Client { id: 1, name: "shop".to_owned(), role }));
        let counter = |caller: &Caller, buyer: Option<&str>, address: &str| {
            let details = Details::of_hold(caller, buyer.map(str::to_owned), None, None).expect("a name");
            held_counter(caller, details.as_deref(), at(address))
        };
        let storefront = client(Role::Storefront);
        let own = counter(&storefront, Some("b"), "192.0.2.1");
        assert!(own.is_some());
        assert_eq!(counter(&storefront.clone().for_buyer("b".into()), None, "192.0.2.2"), own);
        assert_ne!(counter(&storefront, Some("c"), "192.0.2.1"), own);
        assert_eq!(counter(&storefront, None, "192.0.2.1"), None);
        assert_eq!(counter(&client(Role::Admin), Some("b"), "192.0.2.1"), None);
        assert_eq!(counter(&Caller::operator(), Some("b"), "192.0.2.1"), None);
    }
}
