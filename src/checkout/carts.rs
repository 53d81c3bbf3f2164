//! Carts: holds of several products, all or nothing, and holds that replace another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::Error;
use super::holds::NewHold;
use super::holds::answers::Taken;
use super::holds::carts::CartRequest;
use super::patience::{ask, deadline};
use super::state::Checkout;
use crate::db::tables::idempotency_keys::IdempotentRequest;
use crate::db::tables::products;
use crate::domain::product::{MOST_LINES, MOST_PER_HOLD};
use crate::domain::seating::SeatWish;
use crate::domain::{Details, Refusal, RefusedLine, mint_id};

/// Why lines that ask for seats cannot be added up.
const SEATS_ONCE: &str =
    "The lines of a ticket type must all name seats, each once, or ask for the best ones in one line";

/// A cart to take.
#[derive(Debug, Clone)]
pub struct NewCart {
    /// Its lines; equal products are added up.
    pub lines: Vec<NewLine>,
    /// The products that they name by their skus, from [`Checkout::find_skus`].
    pub skus: Skus,
    /// The hold that it replaces, of the same owner.
    pub replaces: Option<Uuid>,
    /// The client's idempotency key, if it sent one.
    pub keyed: Option<IdempotentRequest>,
    /// Its owner, and what is written on it, if there is something to store.
    pub details: Option<Arc<Details>>,
    /// The counter of held units, if the caller is limited.
    pub held_on: Option<Uuid>,
    /// The name of the operator that asks for it. An operator may pass the limit of a buyer.
    pub operator: Option<Arc<str>>,
}

/// The products that the lines of a cart name by their skus, as they were found.
#[derive(Debug, Clone, Default)]
pub struct Skus {
    found: HashMap<String, i64>,
    /// Until when the client waits: finding them is a part of that.
    deadline: Option<Instant>,
}

/// A line of a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// The product.
    pub product: Named,
    /// How many units.
    pub qty: i64,
    /// The seats that it asks for, if its units are seats.
    pub seats: Option<SeatWish>,
}

/// A product as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// By its id.
    Id(i64),
    /// By its sku.
    Sku(String),
}

impl NewLine {
    /// Returns the lines as one text, for the fingerprint of a request: the same lines in any order are the same request.
    pub fn text_of(lines: &[Self], replaces: Option<Uuid>) -> String {
        let seats = |wish: &Option<SeatWish>| match wish {
            None => String::new(),
            Some(SeatWish::Best { split }) => format!(":best:{split}"),
            Some(SeatWish::Named(labels)) => {
                format!(":seats:{}", labels.iter().map(|label| format!("{}:{label}", label.len())).collect::<String>())
            }
        };
        let line = |(product, Sum { qty, seats: wish, .. }): (Named, Sum)| match product {
            Named::Id(product_id) => format!("{product_id}:{qty}{}", seats(&wish)),
            Named::Sku(sku) => format!("sku:{}:{sku}:{qty}{}", sku.len(), seats(&wish)),
        };
        let lines: Vec<String> = added_up(lines).into_iter().map(line).collect();
        format!("lines:{}:{}:{}", lines.len(), lines.join(","), replaces.map_or_else(String::new, |id| id.to_string()))
    }

    /// Returns whether any of these lines names its product by its sku.
    pub fn any_sku(lines: &[Self]) -> bool {
        lines.iter().any(|line| matches!(line.product, Named::Sku(_)))
    }

    /// Returns the product and the units of lines that all name one product by its id.
    pub fn single(lines: &[Self]) -> Option<(i64, i64)> {
        match added_up(lines).into_iter().collect::<Vec<_>>().as_slice() {
            [(Named::Id(product_id), Sum { qty, seats: None, .. })] => Some((*product_id, *qty)),
            _ => None,
        }
    }
}

/// What the lines of one product ask for together.
#[derive(Debug, Default)]
struct Sum {
    qty: i64,
    seats: Option<SeatWish>,
    /// Whether some lines ask for seats in another way than others, or twice for the same seat.
    differs: bool,
}

impl Sum {
    fn add(&mut self, qty: i64, seats: Option<&SeatWish>, is_first: bool) {
        self.qty = self.qty.saturating_add(qty);
        match (&mut self.seats, seats) {
            _ if is_first => self.seats = seats.cloned(),
            (Some(SeatWish::Named(all)), Some(SeatWish::Named(more))) => all.extend(more.iter().cloned()),
            (own, other) => self.differs |= own.as_ref() != other,
        }
        if let Some(SeatWish::Named(labels)) = &mut self.seats {
            labels.sort_unstable();
            self.differs |= labels.windows(2).any(|pair| pair[0] == pair[1]);
        }
    }
}

/// Adds up the units of equal products.
fn added_up(lines: &[NewLine]) -> BTreeMap<Named, Sum> {
    let mut sums: BTreeMap<Named, Sum> = BTreeMap::new();
    for NewLine { product, qty, seats } in lines {
        let is_first = !sums.contains_key(product);
        sums.entry(product.clone()).or_default().add(*qty, seats.as_ref(), is_first);
    }
    sums
}

/// The products of a cart, as they were found.
#[derive(Debug, Default)]
struct Resolved {
    lines: BTreeMap<i64, i64>,
    /// The seats that some of them ask for.
    seats: BTreeMap<i64, SeatWish>,
    /// The skus by which some of them were named.
    skus: HashMap<i64, String>,
    /// Lines whose sku no product has.
    unknown: Vec<RefusedLine>,
}

impl Checkout {
    /// Takes a hold on units of several products, all of them or none, and gives back the hold that it replaces.
    ///
    /// # Errors
    /// [`Refusal::InvalidItems`]; [`Refusal::RefusedLines`] with the lines that cannot be had; [`Refusal::MixedCurrencies`];
    /// [`Refusal::HoldNotFound`], [`Refusal::HoldUsed`], [`Refusal::HoldExpired`] or [`Refusal::HoldReleased`] when the other
    /// hold cannot be replaced; [`Refusal::IdempotencyKeyReuse`]; [`Error::Overloaded`] when too many carts wait.
    pub async fn create_cart(&self, new: NewCart) -> Result<Taken, Error> {
        self.record_hold(self.queue_for_cart(new).await)
    }

    async fn queue_for_cart(&self, new: NewCart) -> Result<Taken, Error> {
        let NewCart { lines, skus, replaces, keyed, details, held_on, operator } = new;
        let deadline = skus.deadline.unwrap_or_else(deadline);
        self.check(&lines)?;
        let Resolved { lines, seats, skus, unknown } = resolve(&lines, &skus.found)?;
        let line = |(&product_id, &qty): (&i64, &i64)| NewLine { product: Named::Id(product_id), qty, seats: None };
        let added_up = lines.iter().map(line);
        self.check_quantities(&added_up.collect::<Vec<_>>()).map_err(|error| with_skus(error.into(), &skus))?;
        let taken = match (lines.first_key_value(), lines.len(), unknown.is_empty() && seats.is_empty(), replaces) {
            (Some((&product_id, &qty)), 1, true, None) => {
                let taken = self.queue_for_hold(NewHold { product_id, qty, keyed, details, held_on, operator }).await;
                taken.map_err(|error| of_line(error, product_id, qty))
            }
            _ => {
                let hold_id = mint_id();
                let lane = seats.keys().next().copied();
                let request =
                    CartRequest { hold_id, lines, seats, unknown, replaces, details, keyed, held_on, operator };
                match lane {
                    Some(product_id) => ask(&self.seats, product_id, request, deadline).await,
                    None => ask(&self.carts, 0, request, deadline).await,
                }
            }
        };
        taken.map_err(|error| with_skus(error, &skus))
    }

    /// Finds the products that these lines name by their skus, in one read. It finds none for lines that are refused without it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_skus(&self, lines: &[NewLine]) -> Result<Skus, Error> {
        let deadline = Some(deadline());
        let sku = |line: &NewLine| match &line.product {
            Named::Sku(sku) => Some(sku.clone()),
            Named::Id(_) => None,
        };
        let skus: BTreeSet<String> = lines.iter().filter_map(sku).collect();
        if skus.is_empty() || self.check(lines).is_err() {
            return Ok(Skus { found: HashMap::new(), deadline });
        }
        let skus: BTreeSet<&str> = skus.iter().map(String::as_str).collect();
        let skus = &skus;
        let found = self
            .database
            .read("products.list_by_sku", |tx| async move { products::list_by_sku(tx, skus).await }.boxed())
            .await?;
        let found = found.into_iter().filter_map(|product| Some((product.details.sku?, product.id))).collect();
        Ok(Skus { found, deadline })
    }

    /// Refuses lines that no products allow.
    fn check(&self, lines: &[NewLine]) -> Result<(), Refusal> {
        match (1..=MOST_LINES).contains(&lines.len()) {
            true => self.check_quantities(lines),
            false => Err(Refusal::InvalidItems { max: MOST_LINES }),
        }
    }

    /// Refuses quantities that no product allows.
    fn check_quantities(&self, lines: &[NewLine]) -> Result<(), Refusal> {
        let wrong = lines.iter().filter(|line| !(1..=MOST_PER_HOLD).contains(&line.qty));
        let refused = |line: &NewLine| {
            let (product_id, sku) = match &line.product {
                Named::Id(product_id) => (Some(*product_id), None),
                Named::Sku(sku) => (None, Some(sku.clone())),
            };
            let known = product_id.and_then(|product_id| self.known_products.peek(product_id));
            let max = self.policy.max_qty;
            let max = known.map_or(max, |known| known.terms.sale.max_units(max));
            let refusal = Refusal::InvalidQuantity { max };
            RefusedLine { product_id, sku, requested: line.qty, available_stock: None, refusal }
        };
        let refused: Vec<RefusedLine> = wrong.map(refused).collect();
        if refused.is_empty() { Ok(()) } else { Err(Refusal::RefusedLines(refused)) }
    }
}

/// Adds up the lines of each product.
fn resolve(lines: &[NewLine], found: &HashMap<String, i64>) -> Result<Resolved, Refusal> {
    let mut resolved = Resolved::default();
    for (product, Sum { qty, seats, differs }) in added_up(lines) {
        if differs {
            return Err(Refusal::InvalidSeats(SEATS_ONCE.to_owned()));
        }
        let (product_id, sku) = match product {
            Named::Id(product_id) => (Some(product_id), None),
            Named::Sku(sku) => (found.get(&sku).copied(), Some(sku)),
        };
        match product_id {
            Some(product_id) => {
                if resolved.lines.contains_key(&product_id)
                    && (seats.is_some() || resolved.seats.contains_key(&product_id))
                {
                    return Err(Refusal::InvalidSeats(SEATS_ONCE.to_owned()));
                }
                resolved.seats.extend(seats.map(|seats| (product_id, seats)));
                *resolved.lines.entry(product_id).or_insert(0) += qty;
                resolved.skus.extend(sku.map(|sku| (product_id, sku)));
            }
            None => resolved.unknown.push(RefusedLine {
                product_id: None,
                sku,
                requested: qty,
                available_stock: None,
                refusal: Refusal::ProductNotFound,
            }),
        }
    }
    Ok(resolved)
}

/// Turns the refusal of a hold of one product into that of its line.
fn of_line(error: Error, product_id: i64, requested: i64) -> Error {
    let Error::Refused(refusal) = error else { return error };
    let available_stock = match refusal {
        Refusal::SoldOut { available_stock } | Refusal::AllHeld { available_stock, .. } => Some(available_stock),
        Refusal::IdempotencyKeyReuse => return refusal.into(),
        _ => None,
    };
    let line = RefusedLine { product_id: Some(product_id), sku: None, requested, available_stock, refusal };
    Refusal::RefusedLines(vec![line]).into()
}

/// Adds the skus by which the caller named products.
fn with_skus(error: Error, skus: &HashMap<i64, String>) -> Error {
    match error {
        Error::Refused(Refusal::RefusedLines(mut lines)) => {
            for line in &mut lines {
                let sku = line.product_id.and_then(|product_id| skus.get(&product_id));
                line.sku = line.sku.take().or(sku.cloned());
            }
            Refusal::RefusedLines(lines).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: Named, qty: i64) -> NewLine {
        NewLine { product, qty, seats: None }
    }

    #[test]
    fn requests_have_the_same_text_only_if_they_ask_for_the_same() {
        let sku = |sku: &str| Named::Sku(sku.to_owned());
        let one = [line(Named::Id(2), 1), line(Named::Id(1), 1), line(Named::Id(2), 2)];
        assert_eq!(NewLine::text_of(&one, None), "lines:2:1:1,2:3:");
        assert_eq!(
            NewLine::text_of(&[line(Named::Id(1), 1), line(Named::Id(2), 3)], None),
            NewLine::text_of(&one, None)
        );
        let different = [
            vec![line(Named::Id(1), 1), line(Named::Id(2), 2)],
            vec![line(Named::Id(1), 1), line(sku("2"), 3)],
            vec![line(sku("a:1,2:3"), 1)],
            vec![line(sku("a"), 1), line(Named::Id(2), 3)],
            vec![line(sku("a"), 1), line(sku("a,b"), 1)],
            vec![line(sku("a"), i64::MAX), line(sku("a"), 1)],
        ];
        let mut texts: Vec<String> = different.iter().map(|lines| NewLine::text_of(lines, None)).collect();
        texts.extend([NewLine::text_of(&one, None), NewLine::text_of(&one, Some(Uuid::nil()))]);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 8, "{texts:?}");
    }

    #[test]
    fn equal_lines_of_one_product_are_a_single_hold() {
        assert_eq!(NewLine::single(&[line(Named::Id(7), 1), line(Named::Id(7), 2)]), Some((7, 3)));
        assert_eq!(NewLine::single(&[line(Named::Id(7), 1), line(Named::Id(8), 2)]), None);
        assert_eq!(NewLine::single(&[line(Named::Sku("7".to_owned()), 1)]), None);
    }
}
