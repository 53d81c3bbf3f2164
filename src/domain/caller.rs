//! Callers of the service: programs with a token, anonymous programs, and the buyers on whose behalf they act.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::status::named;

named! {
    /// What a client may do.
    Role {
        /// Sells: reads products, takes holds, makes orders, and sees its own.
        Storefront = "storefront",
        /// Reports payments.
        Provider = "provider",
        /// Redeems tickets.
        Gate = "gate",
        /// Everything.
        Admin = "admin",
    }
}

named! {
    /// Who may sell without a token.
    StorefrontMode {
        /// Every caller may read products, hold and order.
        Open = "open",
        /// Only storefronts and their buyers may.
        Token = "token",
    }
}

/// A program that calls the service with a token of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id, from 1.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What the credentials of a request show.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// There are none.
    Anonymous,
    /// The token of a client.
    Client(Arc<Client>),
    /// A token that a client has signed for one of its buyers.
    Buyer(Arc<Client>),
    /// The operators' token from the configuration.
    Operator,
}

/// The caller of a request, and the buyer on whose behalf it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    identity: Identity,
    buyer: Option<Arc<str>>,
}

/// Who owns a hold or an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The client that took it; `None`: an anonymous caller.
    pub client_id: Option<i64>,
    /// The buyer, as the client calls it.
    pub buyer: Option<Arc<str>>,
}

impl Caller {
    /// Returns a caller without credentials.
    pub const fn anonymous() -> Self {
        Self { identity: Identity::Anonymous, buyer: None }
    }

    /// Returns a caller with the operators' token from the configuration.
    pub const fn operator() -> Self {
        Self { identity: Identity::Operator, buyer: None }
    }

    /// Returns a caller with the token of this client.
    pub fn client(client: Arc<Client>) -> Self {
        Self { identity: Identity::Client(client), buyer: None }
    }

    /// Returns a caller with a token that this client has signed for this buyer.
    pub fn signed_buyer(client: Arc<Client>, buyer: Arc<str>) -> Self {
        Self { identity: Identity::Buyer(client), buyer: Some(buyer) }
    }

    /// Narrows the caller to one buyer; one with a buyer's token stays with that buyer.
    #[must_use]
    pub fn for_buyer(mut self, buyer: Arc<str>) -> Self {
        self.buyer.get_or_insert(buyer);
        self
    }

    /// Returns the buyer that the caller is narrowed to.
    pub fn buyer(&self) -> Option<&Arc<str>> {
        self.buyer.as_ref()
    }

    /// Returns the client whose token was used or whose key signed it.
    pub fn as_client(&self) -> Option<&Arc<Client>> {
        match &self.identity {
            Identity::Client(client) | Identity::Buyer(client) => Some(client),
            Identity::Anonymous | Identity::Operator => None,
        }
    }

    /// Returns whether the caller has no credentials.
    pub fn is_anonymous(&self) -> bool {
        self.identity == Identity::Anonymous
    }

    /// Returns the name under which this caller acts as an operator, if it is one.
    pub fn operator_name(&self) -> Option<&str> {
        match &self.identity {
            Identity::Operator => Some("operator"),
            Identity::Client(client) if client.role == Role::Admin => Some(&client.name),
            _ => None,
        }
    }

    /// Returns the role of the caller's own token; `None` without one, and for a buyer's token.
    pub fn role(&self) -> Option<Role> {
        match &self.identity {
            Identity::Client(client) => Some(client.role),
            Identity::Operator => Some(Role::Admin),
            Identity::Anonymous | Identity::Buyer(_) => None,
        }
    }

    /// Returns the owner of what this caller takes.
    pub fn owner(&self) -> Owner {
        Owner { client_id: self.as_client().map(|client| client.id), buyer: self.buyer.clone() }
    }

    /// Whether this caller may see and change what has this owner: an operator everything, a client its own, an anonymous caller
    /// what anonymous callers took; with a buyer, only that buyer's.
    pub fn sees(&self, owner: &Owner) -> bool {
        let is_ours = match self.operator_name() {
            Some(_) => true,
            None => self.as_client().map(|client| client.id) == owner.client_id,
        };
        is_ours && self.buyer.as_ref().is_none_or(|buyer| owner.buyer.as_ref() == Some(buyer))
    }

    /// Returns the scope of the caller's idempotency keys, at most 64 bytes: all anonymous callers without a buyer share one, so
    /// their keys must be random.
    pub fn key_scope(&self) -> String {
        match (&self.identity, &self.buyer) {
            (Identity::Anonymous | Identity::Operator, None) => String::new(),
            (Identity::Anonymous | Identity::Operator, Some(buyer)) => format!("anonymous/{}", digest(buyer)),
            (Identity::Client(client), _) => format!("client/{}", client.id),
            (Identity::Buyer(client), buyer) => {
                format!("client/{}/{}", client.id, buyer.as_deref().map(digest).unwrap_or_default())
            }
        }
    }
}

/// Returns half of the digest of a buyer's name, in hex.
fn digest(buyer: &str) -> String {
    Sha256::digest(buyer).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: i64, role: Role) -> Arc<Client> {
        Arc::new(Client { id, name: format!("client {id}"), role })
    }

    #[test]
    fn a_caller_sees_its_own_alone_and_an_operator_everything() {
        let (one, other) = (client(1, Role::Storefront), client(2, Role::Storefront));
        let buyer: Arc<str> = "b".into();
        let callers = [
            Caller::anonymous(),
            Caller::anonymous().for_buyer(Arc::clone(&buyer)),
            Caller::client(Arc::clone(&one)),
            Caller::client(Arc::clone(&one)).for_buyer(Arc::clone(&buyer)),
            Caller::signed_buyer(Arc::clone(&one), Arc::clone(&buyer)),
            Caller::client(other),
            Caller::operator(),
            Caller::client(client(3, Role::Admin)),
        ];
        let owner = |client_id, buyer: Option<&str>| Owner { client_id, buyer: buyer.map(Arc::from) };
        for (owner, seen) in [
            (owner(None, None), [true, false, false, false, false, false, true, true]),
            (owner(None, Some("b")), [true, true, false, false, false, false, true, true]),
            (owner(None, Some("c")), [true, false, false, false, false, false, true, true]),
            (owner(Some(1), None), [false, false, true, false, false, false, true, true]),
            (owner(Some(1), Some("b")), [false, false, true, true, true, false, true, true]),
            (owner(Some(1), Some("c")), [false, false, true, false, false, false, true, true]),
            (owner(Some(2), Some("b")), [false, false, false, false, false, true, true, true]),
        ] {
            assert_eq!(callers.each_ref().map(|caller| caller.sees(&owner)), seen, "{owner:?}");
        }
    }

    #[test]
    fn the_scope_of_keys_is_one_of_a_client_or_a_signed_buyer_and_fits_its_column() {
        let (one, long): (_, Arc<str>) = (client(i64::MAX, Role::Storefront), "b".repeat(128).into());
        let scopes = [
            Caller::anonymous().key_scope(),
            Caller::anonymous().for_buyer(Arc::clone(&long)).key_scope(),
            Caller::anonymous().for_buyer("c".into()).key_scope(),
            Caller::client(Arc::clone(&one)).key_scope(),
            Caller::client(client(2, Role::Storefront)).key_scope(),
            Caller::signed_buyer(Arc::clone(&one), Arc::clone(&long)).key_scope(),
            Caller::signed_buyer(Arc::clone(&one), "c".into()).key_scope(),
        ];
        let different: std::collections::HashSet<&String> = scopes.iter().collect();
        assert_eq!(different.len(), scopes.len());
        assert!(scopes.iter().all(|scope| scope.len() <= 64 && !scope.contains('\0')), "{scopes:?}");
        assert_eq!(Caller::operator().key_scope(), "", "an operator's keys from before clients existed stay valid");
        assert_eq!(Caller::client(Arc::clone(&one)).for_buyer(long).key_scope(), Caller::client(one).key_scope());
        // a signed buyer stays with its buyer
        let signed = Caller::signed_buyer(client(1, Role::Storefront), "b".into()).for_buyer("c".into());
        assert_eq!(signed.buyer().map(|buyer| &**buyer), Some("b"));
    }
}
