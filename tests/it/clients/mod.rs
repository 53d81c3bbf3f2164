//! Clients: who may call, with which tokens, and for how long.

mod buyers;
mod commands;
pub(crate) mod documented;
mod keys;
mod managed;
mod matrix;
mod owned;
mod revoked;
mod secrecy;
mod webhook;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use holdfast::app::App;
use holdfast::config::Config;
use holdfast::domain::{AdminToken, Role};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::signatures::now;
use crate::support::{Answer, Bare, Client, Shop};

/// The operators' token of the configuration.
pub(crate) const OPERATOR: &str = "an-operators-token-of-these-tests";

/// A new client, as its operator knows it.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    id: i64,
    name: String,
    pub(crate) token: String,
}

/// Adds a client, which counts at once on this instance.
pub(crate) async fn add(app: &App, name: &str, role: Role) -> Added {
    let (file, token) = app.checkout.add_client("a test", name, role).await.expect("a new name");
    Added { id: file.client.id, name: name.to_owned(), token: token.reveal().to_owned() }
}

/// Returns a token with another last character, which its checksum shows.
fn mistyped(token: &str) -> String {
    let (start, last) = token.split_at(token.len() - 1);
    format!("{start}{}", if last == "x" { "y" } else { "x" })
}

/// An instance without workers and with the operators' token.
pub(crate) async fn managed(shop: &Shop) -> Bare {
    shop.serve_without_workers_as(Config { admin_token: AdminToken::new(OPERATOR), ..shop.config() }).await
}

/// A request with a token.
async fn ask(client: &Client, method: &str, path: &str, token: &str) -> Answer {
    client.send(client.request(method, path).bearer_auth(token)).await
}

/// A request with a token and a body.
async fn post(client: &Client, path: &str, token: &str, body: Value) -> Answer {
    client.send(client.request("POST", path).bearer_auth(token).json(&body)).await
}

/// A key of a storefront, with which it signs tokens for its buyers.
struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
}

impl Signer {
    fn new(seed: u8, kid: &str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        Self { pair, kid: kid.to_owned() }
    }

    /// Makes a key of this client.
    async fn of(app: &App, client: &Added, seed: u8, kid: &str) -> Self {
        let signer = Self::new(seed, kid);
        let added = app.checkout.add_client_key("a test", client.id, kid, &signer.public_key()).await;
        added.expect("the key is added");
        signer
    }

    fn public_key(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// Signs any header and claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid })
    }

    /// Signs a token that is valid for ten minutes.
    fn token(&self, client: &Added, buyer: &str) -> String {
        self.sign(&self.header(), &claims(client, buyer))
    }
}

fn claims(client: &Added, buyer: &str) -> Value {
    json!({ "iss": client.name, "sub": buyer, "aud": "holdfast", "exp": now() + 600 })
}
