//! Who redeems tickets: a gate, or an operator.

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::{Access, Admitted, require, requirement, schemes};
use crate::app::App;
use crate::domain::Caller;
use crate::http::problem::Problem;

/// Proof that a gate or an operator sent the request.
#[derive(Debug)]
pub struct Redeemer {
    /// The name of the client, for what it redeems.
    pub name: String,
    /// The caller, for the scope of its keys.
    pub caller: Caller,
}

impl Admitted for Redeemer {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        let caller = require(Access::Gate, app, request)?;
        let name = caller.operator_name().or_else(|| caller.as_client().map(|client| client.name.as_str()));
        Ok(Self { name: name.unwrap_or_default().to_owned(), caller })
    }
}

requirement!(Redeemer, [schemes::GATE, schemes::OPERATOR], false);
