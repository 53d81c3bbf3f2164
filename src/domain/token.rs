//! The token of operators.

use std::fmt;

use sha2::{Digest, Sha256};

/// The digest of the operators' token; the token itself is not kept and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The least number of characters in a token.
    pub const LEAST: usize = 16;

    /// Accepts a text of at least [`AdminToken::LEAST`] visible ASCII characters; `None` for any other.
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() >= Self::LEAST && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Sha256::digest(text).into()))
    }

    /// Whether `given` is the token. The duration reveals nothing about the token: whole digests are compared.
    pub fn matches(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        let differing = self.0.iter().zip(given).fold(0, |differing, (one, other)| differing | (one ^ other));
        std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_only_itself_and_is_never_shown() {
        let token = AdminToken::new("0123456789abcdef").expect("long enough");
        assert!(token.matches(b"0123456789abcdef"));
        for other in [&b"0123456789abcdeF"[..], b"0123456789abcdef0", b"0123456789abcde", b"", b"\0"] {
            assert!(!token.matches(other));
        }
        assert_eq!(format!("{token:?}"), "AdminToken");
        for text in ["", "0123456789abcde", "0123456789abcde f", "0123456789abcde\n", "0123456789abcdeé"] {
            assert_eq!(AdminToken::new(text), None, "{text}");
        }
    }
}
