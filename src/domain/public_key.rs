//! The public keys with which the tokens of buyers are verified.

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

/// The bytes before the key in a DER file (RFC 8410, 4 and 10.1): the algorithm is Ed25519.
const DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The longest text that is read as a key, in bytes.
const LONGEST: usize = 1024;

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a key: a PEM file (`openssl pkey -pubout`), or the base64 or base64url of its DER file or of the 32 bytes of the key
    /// (`x` of a JWK). `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let base64: String = match text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----") {
            Some(rest) => rest.strip_suffix("-----END PUBLIC KEY-----")?.split_whitespace().collect(),
            None => text.trim().to_owned(),
        };
        let decoded = BASE64_STANDARD.decode(&base64);
        let bytes = decoded.or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(base64.trim_end_matches('='))).ok()?;
        Self::stored(bytes.strip_prefix(&DER).unwrap_or(&bytes))
    }

    /// Accepts a stored key; `None` for another number of bytes.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes of the key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the key as `x` of a JWK.
    pub fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_each_of_its_usual_texts_and_from_nothing_else() {
        let key = PublicKey([251; 32]);
        let der = [DER.as_slice(), &key.0].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(&der));
        for text in [&pem, &BASE64_STANDARD.encode(&der), &BASE64_STANDARD.encode(key.0), &key.text()] {
            assert_eq!(PublicKey::parse(text), Some(key), "{text}");
        }
        let long = "A".repeat(LONGEST + 1);
        let private = pem.replace("PUBLIC", "PRIVATE");
        let short = BASE64_STANDARD.encode([1; 31]);
        let other = BASE64_STANDARD.encode([&der[..], &[0]].concat());
        for text in ["", "key", "-----BEGIN PUBLIC KEY-----", &long, &private, &short, &other] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
    }
}
