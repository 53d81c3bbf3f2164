//! The filters of the lists of holds and orders.

use super::paging::{filtered, read_page, read_time};
use super::problem::Problem;
use super::values::Word;
use crate::checkout::Error;
use crate::checkout::lists::Filter;
use crate::domain::details::is_name;
use crate::domain::{Caller, Named, Refusal};

/// The parameters of a list, as they were sent.
#[derive(Debug)]
pub struct Sent<Status> {
    /// The state.
    pub state: Option<Word<Status>>,
    /// The buyer.
    pub buyer: Option<String>,
    /// The reference.
    pub reference: Option<String>,
    /// The product.
    pub product_id: Option<i64>,
    /// From when on.
    pub created_from: Option<String>,
    /// Until when.
    pub created_to: Option<String>,
    /// The size of a page.
    pub limit: Option<u32>,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// A list that was read: its name in cursors, its filters, and the page.
#[derive(Debug)]
pub struct Listed<Status, Place> {
    /// The name that its cursors have.
    pub name: String,
    /// The filters.
    pub filter: Filter<Status>,
    /// The most items of a page.
    pub limit: u32,
    /// Behind what the page begins.
    pub behind: Option<Place>,
}

impl<Status: Named + std::fmt::Debug> Sent<Status> {
    /// Reads the parameters of the list `name` for this caller.
    ///
    /// # Errors
    /// 400 for each parameter, 422 `buyer_mismatch`.
    pub fn read<Place: std::fmt::Display + std::str::FromStr>(
        self,
        name: &str,
        caller: &Caller,
    ) -> Result<Listed<Status, Place>, Problem> {
        check_name("invalid_buyer", "buyer", self.buyer.as_deref())?;
        check_name("invalid_reference", "reference", self.reference.as_deref())?;
        if caller.buyer().zip(self.buyer.as_ref()).is_some_and(|(own, wanted)| **own != **wanted) {
            return Err(Error::from(Refusal::BuyerMismatch).into());
        }
        let time = |name, text: Option<String>| text.map(|text| read_time(name, &text)).transpose();
        let filter = Filter {
            status: self.state.map(|word| word.0),
            buyer: self.buyer,
            reference: self.reference,
            product_id: self.product_id,
            created_from: time("created_from", self.created_from)?,
            created_to: time("created_to", self.created_to)?,
        };
        if filter.created_from.zip(filter.created_to).is_some_and(|(from, to)| from >= to) {
            return Err(Problem::bad_request("invalid_time", "`created_from` must be before `created_to`."));
        }
        let name = filtered(name, &filter);
        let (limit, behind) = read_page(&name, self.limit, self.cursor.as_deref())?;
        Ok(Listed { name, filter, limit, behind })
    }
}

fn check_name(code: &'static str, name: &str, text: Option<&str>) -> Result<(), Problem> {
    if text.is_none_or(is_name) {
        return Ok(());
    }
    Err(Problem::bad_request(code, format!("`{name}` must have 1 to 128 visible ASCII characters.")))
}
