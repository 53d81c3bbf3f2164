//! The tokens of buyers: JSON Web Tokens (RFC 7519) that a storefront signs with a key of its own, Ed25519 alone (RFC 8037).
//!
//! The library splits and verifies a token. The rules about its claims are here, since they go by the database's clock.

use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use super::{Caller, Client, PublicKey};

/// The audience that a token must name.
const AUDIENCE: &str = "holdfast";
/// How far ahead a token may expire at most, in seconds.
const LONGEST_SECONDS: i64 = 24 * 60 * 60;
/// How far the storefront's clock may be from the database's, in seconds.
const TOLERANCE_SECONDS: i64 = 30;
/// The longest token, in bytes: nothing of a longer one is read.
const LONGEST_BYTES: usize = 4096;
/// The most visible characters of a buyer.
const BUYER_CHARACTERS: usize = 128;

/// Why a token of a buyer is not valid. No text of the token is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuyerTokenError {
    /// It is no token, has another algorithm, or claims of the wrong type.
    #[error("malformed")]
    Malformed,
    /// `iss` and `kid` name no key of a client.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("wrong signature")]
    WrongSignature,
    /// `aud` does not name this service.
    #[error("wrong audience")]
    WrongAudience,
    /// `exp` is past, or `nbf` is not yet reached.
    #[error("not valid now")]
    NotNow,
    /// `exp` is too far ahead.
    #[error("expires too late")]
    TooLong,
    /// `sub` is not 1 to 128 visible ASCII characters.
    #[error("invalid buyer")]
    InvalidBuyer,
}

/// The claims that count.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
}

/// One audience, or several (RFC 7519, 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Returns the buyer if the text is 1 to 128 visible ASCII characters.
pub fn check_buyer(text: &[u8]) -> Option<Arc<str>> {
    let visible = (1..=BUYER_CHARACTERS).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| visible).map(Arc::from)
}

/// Verifies a token of a buyer at `now`, in seconds since 1970. `find_key` returns the client of this name with its key of this
/// `kid`.
///
/// # Errors
/// See [`BuyerTokenError`].
pub fn verify_buyer_token(
    token: &[u8],
    now: i64,
    find_key: impl FnOnce(&str, &str) -> Option<(Arc<Client>, PublicKey)>,
) -> Result<Caller, BuyerTokenError> {
    use BuyerTokenError as Fault;
    if token.len() > LONGEST_BYTES {
        return Err(Fault::Malformed);
    }
    let header = decode_header(token).map_err(|_| Fault::Malformed)?;
    if header.alg != Algorithm::EdDSA || header.crit.is_some() {
        return Err(Fault::Malformed);
    }
    let kid = header.kid.ok_or(Fault::UnknownKey)?;
    // only the name of the signer: all other claims are read from the verified token
    let named: Claims = insecure_decode_claims(token).map_err(|_| Fault::Malformed)?;
    let (client, key) = find_key(&named.iss, &kid).ok_or(Fault::UnknownKey)?;
    let claims = verified(token, &key)?;
    if claims.iss != client.name {
        return Err(Fault::UnknownKey);
    }
    check_claims(&claims, now)?;
    let buyer = check_buyer(claims.sub.as_bytes()).ok_or(Fault::InvalidBuyer)?;
    Ok(Caller::signed_buyer(client, buyer))
}

/// Verifies the signature and reads the claims.
fn verified(token: &[u8], key: &PublicKey) -> Result<Claims, BuyerTokenError> {
    let _ = PROVIDER.install_default();
    let mut validation = Validation::new(Algorithm::EdDSA);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    validation.required_spec_claims.clear();
    let decoded = decode::<Claims>(token, &DecodingKey::from_ed_der(key.bytes()), &validation);
    decoded.map(|token| token.claims).map_err(|_| BuyerTokenError::WrongSignature)
}

fn check_claims(claims: &Claims, now: i64) -> Result<(), BuyerTokenError> {
    let is_for_us = match &claims.aud {
        Audience::One(audience) => audience == AUDIENCE,
        Audience::Several(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
    };
    if !is_for_us {
        return Err(BuyerTokenError::WrongAudience);
    }
    let has_begun = claims.nbf.is_none_or(|begins| begins <= now.saturating_add(TOLERANCE_SECONDS));
    if claims.exp.saturating_add(TOLERANCE_SECONDS) <= now || !has_begun {
        return Err(BuyerTokenError::NotNow);
    }
    match claims.exp > now.saturating_add(LONGEST_SECONDS + TOLERANCE_SECONDS) {
        true => Err(BuyerTokenError::TooLong),
        false => Ok(()),
    }
}

/// The only algorithm that the library has here: any other is an error before a key is looked at.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(new_error(ErrorKind::InvalidAlgorithm)),
    verifier_factory: |algorithm, key| match (algorithm, key.family()) {
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => Ok(Box::new(Ed25519::new(key)?)),
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Verifies with ring.
struct Ed25519(UnparsedPublicKey<Vec<u8>>);

impl Ed25519 {
    fn new(key: &DecodingKey) -> Result<Self, Error> {
        Ok(Self(UnparsedPublicKey::new(&ED25519, key.try_get_as_bytes()?.to_vec())))
    }
}

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
#[path = "buyer_token/tests.rs"]
mod tests;
