//! The signatures of pushes, by Standard Webhooks; `signature` verifies those of messages that come in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::endpoint_secret::EndpointSecret;

/// Returns the header `webhook-signature` of a message: one signature for each secret, separated by spaces, so that a receiver
/// accepts the message with either of two secrets. The id must not contain a dot.
pub fn sign_standard(secrets: &[EndpointSecret], id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let sign = |secret: &EndpointSecret| signature(secret.bytes(), id, timestamp_seconds, body);
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

fn signature(key: &[u8], id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;
    use crate::domain::signature::{Secrets, Standard};

    #[test]
    fn the_published_vector_of_the_standard_is_signed_alike() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_of_two_secrets_verifies_what_both_sign() {
        let (secrets, at) = ([EndpointSecret::mint(), EndpointSecret::mint()], 1_764_158_405);
        let header = sign_standard(&secrets, "event-1", at, b"{}");
        let parts: Vec<&str> = header.split(' ').collect();
        assert_eq!(parts.len(), 2);
        let verify = |secret: &EndpointSecret, header: &str, body: &[u8]| {
            let message = Standard { id: b"event-1", timestamp: b"1764158405", signatures: header.as_bytes() };
            message.verify(&Secrets::standard(&secret.reveal()).expect("a secret"), body, at).is_ok()
        };
        for (secret, own) in secrets.iter().zip(&parts) {
            assert!(verify(secret, &header, b"{}") && verify(secret, own, b"{}"));
            assert!(!verify(secret, &header, b"{ }") && !verify(&EndpointSecret::mint(), &header, b"{}"));
            let library = Webhook::new(&secret.reveal()).expect("a secret").sign("event-1", at, b"{}");
            assert_eq!(library.as_deref().ok(), Some(*own));
        }
        assert!(!verify(&secrets[0], parts[1], b"{}"), "the other one's signature alone");
        assert_eq!(sign_standard(&[], "event-1", at, b"{}"), "");
    }
}
