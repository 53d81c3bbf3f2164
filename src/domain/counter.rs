//! The names of counters of units: of what a buyer has of a product, and of what a caller holds.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Owner;

/// Returns the name of the counter of a buyer's units of a product; `None` without a buyer.
pub fn of_buyer(product_id: i64, owner: &Owner) -> Option<Uuid> {
    of_owner(b"product", product_id, owner)
}

/// Returns the name of the counter of a buyer's units of all ticket types of an event; `None` without a buyer.
pub fn of_buyer_at_event(event_id: i64, owner: &Owner) -> Option<Uuid> {
    of_owner(b"event", event_id, owner)
}

fn of_owner(kind: &[u8], id: i64, owner: &Owner) -> Option<Uuid> {
    let buyer = owner.buyer.as_deref()?;
    let (id, client_id) = (id.to_be_bytes(), owner.client_id.unwrap_or(0).to_be_bytes());
    Some(name(&[kind, &id, &client_id, buyer.as_bytes()]))
}

/// Returns the name of the counter of the units that a buyer of a client holds.
pub fn of_held_by_buyer(client_id: i64, buyer: &str) -> Uuid {
    name(&[b"held", b"buyer", &client_id.to_be_bytes(), buyer.as_bytes()])
}

/// Returns the name of the counter of the units that callers at an address, or in a network, hold.
pub fn of_held_at(address: &[u8]) -> Uuid {
    name(&[b"held", b"address", address])
}

/// Returns half of the digest of these parts. All of them but the last have no zero byte or a fixed length.
fn name(parts: &[&[u8]]) -> Uuid {
    let mut digest = Sha256::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            digest.update([0]);
        }
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let (half, _) = digest.split_at(16);
    Uuid::from_slice(half).expect("16 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_product_client_buyer_and_address_has_a_counter_of_its_own() {
        let owner = |client_id, buyer: &str| Owner { client_id, buyer: Some(buyer.into()) };
        let names = [
            of_buyer(1, &owner(None, "a")),
            of_buyer(2, &owner(None, "a")),
            of_buyer(1, &owner(Some(1), "a")),
            of_buyer(1, &owner(Some(1), "b")),
            of_buyer_at_event(1, &owner(None, "a")),
            of_buyer_at_event(2, &owner(None, "a")),
            of_buyer_at_event(1, &owner(Some(1), "a")),
            Some(of_held_by_buyer(1, "a")),
            Some(of_held_by_buyer(2, "a")),
            Some(of_held_at(&[192, 0, 2, 1])),
            Some(of_held_at(&[0x20, 0x01, 0, 0, 0, 0, 0, 1])),
        ];
        let different: HashSet<&Option<Uuid>> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(of_buyer(1, &Owner { client_id: Some(1), buyer: None }), None);
        // names are stored: another one would lose what is counted
        assert_eq!(of_buyer(1, &owner(Some(2), "a")), of_buyer(1, &owner(Some(2), "a")));
    }
}
