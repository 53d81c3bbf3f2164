//! Tokens as an attacker or a careless storefront may make them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;
use crate::domain::Role;

const NOW: i64 = 1_800_000_000;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn public(pair: &Ed25519KeyPair) -> PublicKey {
    PublicKey::stored(pair.public_key().as_ref()).expect("32 bytes")
}

/// The clients `shop` with key 1 as `k1`, and `other` with key 2 as `k2`.
fn find(name: &str, kid: &str) -> Option<(Arc<Client>, PublicKey)> {
    let (id, seed) = match (name, kid) {
        ("shop", "k1") => (1, 1),
        ("other", "k2") => (2, 2),
        _ => return None,
    };
    let client = Client { id, name: name.to_owned(), role: Role::Storefront };
    Some((Arc::new(client), public(&pair(seed))))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn signed(seed: u8, header: &Value, claims: &Value) -> String {
    let text = unsigned(header, claims);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(pair(seed).sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" })
}

fn claims() -> Value {
    json!({ "iss": "shop", "sub": "buyer-7", "aud": "holdfast", "exp": NOW + 600 })
}

fn with(value: &Value, name: &str, field: Value) -> Value {
    let mut value = value.clone();
    value[name] = field;
    value
}

fn verify(token: &str) -> Result<Caller, BuyerTokenError> {
    verify_buyer_token(token.as_bytes(), NOW, find)
}

#[test]
fn a_token_that_the_client_has_signed_speaks_for_its_buyer() {
    let caller = verify(&signed(1, &header(), &claims())).expect("a valid token");
    assert_eq!(caller.buyer().map(|buyer| &**buyer), Some("buyer-7"));
    assert_eq!(caller.as_client().map(|client| client.id), Some(1));
    assert_eq!(caller.role(), None, "it has none of the client's own rights");
    let several = with(&claims(), "aud", json!(["elsewhere", "holdfast"]));
    assert!(verify(&signed(1, &header(), &several)).is_ok());
}

#[test]
fn only_the_signature_of_the_clients_own_live_key_counts() {
    use BuyerTokenError as Fault;
    let key_of_other = with(&header(), "kid", json!("k2"));
    let no_key = json!({ "alg": "EdDSA" });
    for (token, fault) in [
        (signed(2, &header(), &claims()), Fault::WrongSignature),
        (signed(2, &key_of_other, &claims()), Fault::UnknownKey),
        (signed(1, &header(), &with(&claims(), "iss", json!("other"))), Fault::UnknownKey),
        (signed(1, &header(), &with(&claims(), "iss", json!("unknown"))), Fault::UnknownKey),
        (signed(1, &with(&header(), "kid", json!("k9")), &claims()), Fault::UnknownKey),
        (signed(1, &no_key, &claims()), Fault::UnknownKey),
        (format!("{}.", unsigned(&header(), &claims())), Fault::WrongSignature),
        (signed(1, &header(), &claims()).replace("eyJhdWQ", "eyJhdWR"), Fault::Malformed),
    ] {
        assert_eq!(verify(&token), Err(fault), "{token}");
    }
    let token = signed(1, &header(), &claims());
    let (text, _) = token.rsplit_once('.').expect("three parts");
    let moved =
        format!("{}.{}", unsigned(&header(), &with(&claims(), "sub", json!("buyer-8"))), &token[text.len() + 1..]);
    assert_eq!(verify(&moved), Err(Fault::WrongSignature), "another buyer under the same signature");
}

#[test]
fn no_other_algorithm_exists() {
    let key = public(&pair(1));
    for algorithm in ["none", "None", "HS256", "HS512", "RS256", "ES256", "PS256", "EdDSA ", ""] {
        let header = with(&header(), "alg", json!(algorithm));
        let text = unsigned(&header, &claims());
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let forged = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&secret, text.as_bytes()));
        for signature in ["", &forged] {
            let verified = verify(&format!("{text}.{signature}"));
            assert_eq!(verified, Err(BuyerTokenError::Malformed), "{algorithm}");
        }
    }
    let critical = with(&header(), "crit", json!(["b64"]));
    assert_eq!(verify(&signed(1, &critical, &claims())), Err(BuyerTokenError::Malformed));
}

#[test]
fn a_token_counts_from_its_beginning_to_its_end_and_a_day_at_most() {
    use BuyerTokenError as Fault;
    let expiring = |seconds: i64| verify(&signed(1, &header(), &with(&claims(), "exp", json!(NOW + seconds)))).err();
    assert_eq!([-30, -29, 86_430, 86_431].map(expiring), [Some(Fault::NotNow), None, None, Some(Fault::TooLong)]);
    let beginning = |seconds: i64| verify(&signed(1, &header(), &with(&claims(), "nbf", json!(NOW + seconds)))).err();
    assert_eq!([30, 31].map(beginning), [None, Some(Fault::NotNow)]);
    for exp in [json!(i64::MAX), json!(i64::MIN)] {
        assert!(verify(&signed(1, &header(), &with(&claims(), "exp", exp))).is_err());
    }
}

#[test]
fn a_claim_of_another_type_or_a_missing_one_is_no_claim() {
    use BuyerTokenError as Fault;
    for (name, value) in [
        ("exp", json!("1900000000")),
        ("exp", json!(1.5)),
        ("exp", Value::Null),
        ("nbf", json!("soon")),
        ("aud", json!(7)),
        ("aud", Value::Null),
        ("sub", json!(["buyer"])),
        ("iss", json!(1)),
    ] {
        let fault = verify(&signed(1, &header(), &with(&claims(), name, value.clone()))).err();
        assert_eq!(fault, Some(Fault::Malformed), "{name}: {value}");
    }
    for aud in [json!("holdfast "), json!(""), json!([]), json!(["elsewhere"])] {
        let fault = verify(&signed(1, &header(), &with(&claims(), "aud", aud.clone()))).err();
        assert_eq!(fault, Some(Fault::WrongAudience), "{aud}");
    }
    for sub in ["", "a b", "ä", "a\n", &"b".repeat(129)] {
        let fault = verify(&signed(1, &header(), &with(&claims(), "sub", json!(sub)))).err();
        assert_eq!(fault, Some(Fault::InvalidBuyer), "{sub}");
    }
}

#[test]
fn garbage_and_a_token_of_a_megabyte_are_refused_before_anything_is_verified() {
    let long = signed(1, &header(), &with(&claims(), "more", json!("x".repeat(1_000_000))));
    let unread = |_: &str, _: &str| -> Option<(Arc<Client>, PublicKey)> { panic!("no key is looked up") };
    for token in
        ["", ".", "..", "...", "a.b.c", "e30.e30.", "ä.ö.ü", &long, &".".repeat(4096), &format!("{}.x", header())]
    {
        let verified = verify_buyer_token(token.as_bytes(), NOW, unread);
        assert_eq!(verified.err(), Some(BuyerTokenError::Malformed), "{} bytes", token.len());
    }
}
