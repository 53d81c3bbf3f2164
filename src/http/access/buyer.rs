//! The header `Holdfast-Buyer`, with which a caller narrows itself to one buyer.

use std::sync::Arc;

use poem::http::HeaderMap;

use crate::domain::{Caller, check_buyer};
use crate::http::problem::Problem;

/// The name of the header in lower case.
pub(super) const NAME: &str = "holdfast-buyer";

/// Narrows the caller to the buyer that the request names, if it names one.
///
/// # Errors
/// 400 `invalid_buyer`; 422 `buyer_mismatch` when the token is one of another buyer.
pub(super) fn narrow(caller: Caller, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Some(buyer) = read(headers)? else { return Ok(caller) };
    if caller.buyer().is_some_and(|own| *own != buyer) {
        let detail = "`Holdfast-Buyer` differs from the buyer of the token.";
        return Err(Problem::unprocessable("buyer_mismatch", detail));
    }
    Ok(caller.for_buyer(buyer))
}

fn read(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let buyer = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => check_buyer(value.as_bytes()),
        (Some(_), Some(_)) => None,
    };
    let detail = "`Holdfast-Buyer` must be 1 to 128 visible ASCII characters, sent once.";
    buyer.map(Some).ok_or_else(|| Problem::bad_request("invalid_buyer", detail))
}
