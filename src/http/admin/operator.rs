//! The requirement of an operator's token, as the document shows it. It is checked before any other part of a request.

use std::sync::Arc;

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::app::App;
use crate::domain::Caller;
use crate::http::access::{Access, Admitted, require, requirement, schemes};
use crate::http::problem::Problem;

/// Proof that an operator sent the request.
#[derive(Debug)]
pub struct Operator {
    /// The name of the operator, for trails.
    pub name: Arc<str>,
    /// The operator as a caller, for the scope of its keys.
    pub caller: Caller,
}

impl Admitted for Operator {
    fn admit(app: &App, request: &Request) -> Result<Self, Problem> {
        let caller = require(Access::Operator, app, request)?;
        Ok(Self { name: caller.operator_name().ok_or_else(Problem::internal)?.into(), caller })
    }
}

requirement!(Operator, [schemes::OPERATOR], false);
