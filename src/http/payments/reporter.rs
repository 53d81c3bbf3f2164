//! How a delivery to the canonical webhook shows who sends it: by its signature, by the token of a provider, or by both.

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::app::App;
use crate::domain::WebhookAuth;
use crate::http::access::{Access, Admitted, require, requirement, schemes};
use crate::http::problem::Problem;

/// The header of the signature.
const SIGNATURE: &str = "webhook-signature";

/// What a delivery must show. The result of its token is kept until its body was read.
#[derive(Debug)]
pub enum Reporter {
    /// A signature; any token is ignored.
    Signature,
    /// A provider's token; any signature is ignored.
    Token(Result<(), Problem>),
    /// A signature and a provider's token.
    Both(Result<(), Problem>),
}

impl Admitted for Reporter {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        let token = || require(Access::Provider, app, request).map(drop);
        Ok(match app.webhook_auth {
            WebhookAuth::Signature => Self::Signature,
            // a wrong signature is not made good by a token: the event's key depends on which of them counts
            WebhookAuth::Either if request.headers().contains_key(SIGNATURE) => Self::Signature,
            WebhookAuth::Token | WebhookAuth::Either => Self::Token(token()),
            WebhookAuth::Both => Self::Both(token()),
        })
    }
}

requirement!(Reporter, [schemes::PROVIDER], true);
