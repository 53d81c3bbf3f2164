//! The secrets of endpoints, with which pushes are signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The prefix of a secret of Standard Webhooks.
pub(super) const PREFIX: &str = "whsec_";

/// A secret of an endpoint: 32 random bytes. Nothing but [`EndpointSecret::reveal`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSecret([u8; 32]);

impl EndpointSecret {
    /// Makes a secret.
    pub fn mint() -> Self {
        Self(rand::random())
    }

    /// Accepts a stored secret; `None` for another number of bytes.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store, which are the key of signatures.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the text that an operator gives to the receiver.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EndpointSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signature::Secrets;

    #[test]
    fn a_secret_has_the_form_of_the_standard_and_is_shown_on_demand_alone() {
        let secret = EndpointSecret::mint();
        assert!(Secrets::standard(&secret.reveal()).is_ok() && secret.reveal().len() == 50);
        assert!(EndpointSecret::mint() != secret && EndpointSecret::stored(secret.bytes()) == Some(secret.clone()));
        assert_eq!(EndpointSecret::stored(&[0; 31]), None);
        assert_eq!(format!("{secret:?}"), "EndpointSecret");
    }
}
