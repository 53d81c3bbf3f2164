//! Who reads the feed: a storefront, of its own events, or an operator. A browser with a buyer's token does not: it would go through
//! everything that its shop sells.

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::{Access, Admitted, buyer, require, requirement, schemes};
use crate::app::App;
use crate::domain::Caller;
use crate::http::problem::Problem;

/// Proof that a storefront or an operator sent the request.
#[derive(Debug)]
pub struct FeedReader(pub Caller);

impl Admitted for FeedReader {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        buyer::narrow(require(Access::Storefront, app, request)?, request.headers()).map(Self)
    }
}

requirement!(FeedReader, [schemes::STOREFRONT, schemes::OPERATOR], false);
