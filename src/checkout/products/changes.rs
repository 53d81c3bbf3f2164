//! Changes of products by operators: each is one transaction with its rows in the trail. A change compares what it was made from
//! in the guard of its statement, so that a change by another program is never lost.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::FutureExt as _;

use super::reads::{Shown, show_or_guess};
use super::records::{changed, created};
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::idempotency_keys::wait_for_disk;
use crate::db::tables::product_trail::{self, Author, ProductAction, ProductChange, ProductTrailEntry};
use crate::db::tables::products::{self, Product};
use crate::db::{Failure, Tx};
use crate::domain::product::MOST_STOCK;
use crate::domain::status::named;
use crate::domain::{ProductDetails, Refusal};

/// A product as an operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Everything but its stock.
    pub details: ProductDetails,
    /// Its stock: needed for a new product; an existing one has this stock already, or the request is refused.
    pub stock: Option<i64>,
}

named! {
    /// What a request did with one of its products.
    Upserted {
        /// The product is new.
        Created = "created",
        /// The product has changed.
        Changed = "changed",
        /// The product was as requested before.
        Unchanged = "unchanged",
    }
}

/// One line of a list of products, after it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The product.
    pub product_id: i64,
    /// Its sku.
    pub sku: String,
    /// What was done.
    pub outcome: Upserted,
}

impl Checkout {
    /// Creates a product.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`], [`Refusal::SkuTaken`].
    pub async fn create_product(&self, author: &Author, draft: &Draft) -> Result<Shown, Error> {
        draft.details.check(None)?;
        let stock = stock_of(draft)?;
        let product = self
            .database
            .transaction("products.create", |tx| {
                async move {
                    let created = create(tx, author, &draft.details, stock).await;
                    unless_made(tx, author, created).await
                }
                .boxed()
            })
            .await?;
        Ok(show_or_guess(&self.database, &self.supplies, product).await)
    }

    /// Creates the product with the sku of the draft, or makes it equal to the draft. Returns whether it is new.
    ///
    /// # Errors
    /// [`Refusal::InvalidProduct`], [`Refusal::StockNotHere`].
    pub async fn put_product(&self, author: &Author, draft: Draft) -> Result<(Shown, bool), Error> {
        let drafts = &[Ok(draft)];
        let put = self.database.transaction("products.put", |tx| {
            async move {
                let line = upsert(tx, author, drafts).await?.pop();
                let line = line.ok_or_else(|| Failure::Broken("a list of one product is empty".to_owned()))?;
                let product = products::find(tx, line.product_id).await?;
                Ok((product.ok_or(Failure::Refused(Refusal::ProductNotFound))?, line.outcome == Upserted::Created))
            }
            .boxed()
        });
        match put.await.map_err(Error::from) {
            Ok((product, is_new)) => Ok((show_or_guess(&self.database, &self.supplies, product).await, is_new)),
            Err(Error::Refused(Refusal::InvalidLines(mut lines))) if lines.len() == 1 => {
                let (_, refusal) = lines.remove(0);
                Err(refusal.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Does the same for many products, all of them or none; a draft may be refused already. Returns one line for each, in their
    /// order.
    ///
    /// # Errors
    /// [`Refusal::InvalidLines`] with each line that cannot be applied.
    pub async fn put_products(&self, author: &Author, drafts: &[Result<Draft, Refusal>]) -> Result<Vec<Line>, Error> {
        let put = self.database.transaction("products.put_all", |tx| upsert(tx, author, drafts).boxed());
        Ok(put.await?)
    }

    /// Changes a product as `change` says, which gets the product as it is now and may run several times. `tags`: entity tags of
    /// which the product must have one; `None`: any.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`], [`Refusal::PreconditionFailed`], [`Refusal::InvalidProduct`], [`Refusal::SkuTaken`],
    /// [`Refusal::StockNotHere`]; those of `change`.
    pub async fn change_product(
        &self,
        author: &Author,
        product_id: i64,
        tags: Option<&[String]>,
        change: &(dyn Fn(&Product) -> Result<Draft, Refusal> + Send + Sync),
    ) -> Result<Shown, Error> {
        let product = self
            .database
            .transaction("products.change", |tx| {
                async move {
                    if own_changes(tx, author).await?.is_empty() {
                        let changed = change_one(tx, author, product_id, tags, change).await;
                        unless_made(tx, author, changed).await?;
                    } else {
                        wait_for_disk(tx).await?;
                    }
                    products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))
                }
                .boxed()
            })
            .await?;
        Ok(show_or_guess(&self.database, &self.supplies, product).await)
    }

    /// Returns up to `limit` rows of a product's trail, the newest first, from before the place `before`.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`] when there is neither a row nor a product.
    pub async fn product_trail(
        &self,
        product_id: i64,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ProductTrailEntry>, Error> {
        let read = self.database.read("product_trail.list", |tx| {
            async move {
                let entries = product_trail::list(tx, product_id, before, limit).await?;
                if entries.is_empty() && products::find(tx, product_id).await?.is_none() {
                    return Err(Refusal::ProductNotFound.into());
                }
                Ok(entries)
            }
            .boxed()
        });
        Ok(read.await?)
    }
}

/// Returns what an earlier attempt of this change has done, whose COMMIT had no answer, by product.
pub(in crate::checkout) async fn own_changes(
    tx: &mut Tx<'_>,
    author: &Author,
) -> Result<HashMap<i64, ProductAction>, Failure> {
    match tx.after_unknown() {
        true => Ok(product_trail::list_of_change(tx, author.change_id).await?.into_iter().collect()),
        false => Ok(HashMap::new()),
    }
}

/// Returns the result of a change. A refusal is none when the change itself is what it rests on: an earlier attempt whose COMMIT had
/// no answer may take effect while a later one reads. Then the change is found by another attempt.
pub(in crate::checkout) async fn unless_made<T>(
    tx: &mut Tx<'_>,
    author: &Author,
    result: Result<T, Failure>,
) -> Result<T, Failure> {
    match result {
        Err(Failure::Refused(_)) if !own_changes(tx, author).await?.is_empty() => Err(Failure::Raced("product_trail")),
        result => result,
    }
}

async fn create(tx: &mut Tx<'_>, author: &Author, details: &ProductDetails, stock: i64) -> Result<Product, Failure> {
    let earlier = own_changes(tx, author).await?.into_keys().next();
    let product_id = match earlier {
        Some(product_id) => {
            wait_for_disk(tx).await?;
            product_id
        }
        None => {
            sku_is_free(tx, details, None).await?;
            if !products::insert_all(tx, &[(details, stock)]).await? {
                return Err(Failure::Raced("products/insert_all"));
            }
            let product_id = tx.last_insert_id().and_then(|id| i64::try_from(id).ok());
            let product_id = product_id.ok_or_else(|| Failure::Broken("a new product has no id".to_owned()))?;
            product_trail::insert_all(tx, author, &[created(product_id, details, stock, [])]).await?;
            product_id
        }
    };
    products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))
}

async fn change_one(
    tx: &mut Tx<'_>,
    author: &Author,
    product_id: i64,
    tags: Option<&[String]>,
    change: &(dyn Fn(&Product) -> Result<Draft, Refusal> + Send + Sync),
) -> Result<(), Failure> {
    let before = products::find(tx, product_id).await?.ok_or(Failure::Refused(Refusal::ProductNotFound))?;
    let tag = before.details.etag();
    if tags.is_some_and(|tags| !tags.contains(&tag)) {
        return Err(Refusal::PreconditionFailed.into());
    }
    let Draft { details: mut after, stock } = change(&before)?;
    after.sale.ticket = before.details.sale.ticket;
    if stock.is_some_and(|stock| stock != before.stock) {
        return Err(Refusal::StockNotHere.into());
    }
    after.check(Some(&before.details))?;
    let Some(changed) = changed(product_id, &before.details, &after) else { return wait_for_disk(tx).await };
    sku_is_free(tx, &after, Some(product_id)).await?;
    products::change_all(tx, &[(product_id, &before.details, &after)]).await?;
    product_trail::insert_all(tx, author, &[changed]).await
}

/// Refuses a sku that another product has than `own`.
pub(in crate::checkout) async fn sku_is_free(
    tx: &mut Tx<'_>,
    details: &ProductDetails,
    own: Option<i64>,
) -> Result<(), Failure> {
    let skus: BTreeSet<&str> = details.sku.as_deref().into_iter().collect();
    match products::list_by_sku(tx, &skus).await?.pop().filter(|other| Some(other.id) != own) {
        Some(Product { id: product_id, .. }) => Err(Refusal::SkuTaken { product_id }.into()),
        None => Ok(()),
    }
}

/// Applies all drafts, each of which has a sku.
async fn upsert(tx: &mut Tx<'_>, author: &Author, drafts: &[Result<Draft, Refusal>]) -> Result<Vec<Line>, Failure> {
    let mut done = own_changes(tx, author).await?;
    let skus: BTreeSet<&str> = drafts.iter().flatten().filter_map(|draft| draft.details.sku.as_deref()).collect();
    let found = by_sku(tx, &skus).await?;
    let drafts = &of_tickets(drafts, &found);
    let mut ids: HashMap<String, i64> = found.iter().map(|(sku, product)| (sku.clone(), product.id)).collect();
    if done.is_empty() {
        let plan = Plan::of(drafts, &found)?;
        let rows = plan.write(tx, author).await?;
        done = rows.iter().map(|change| (change.product_id, change.action)).collect();
        let made = rows.iter().filter(|change| change.action == ProductAction::Created);
        let skus = plan.new.iter().filter_map(|(details, _)| details.sku.clone());
        ids.extend(skus.zip(made.map(|change| change.product_id)));
    } else {
        wait_for_disk(tx).await?;
    }
    let line = |draft: &Draft| {
        let sku = draft.details.sku.clone().unwrap_or_default();
        let product_id = *ids.get(&sku).ok_or(Failure::Raced("products/list_by_sku"))?;
        let outcome = match done.get(&product_id) {
            Some(ProductAction::Created) => Upserted::Created,
            Some(_) => Upserted::Changed,
            None => Upserted::Unchanged,
        };
        Ok(Line { product_id, sku, outcome })
    };
    drafts.iter().flatten().map(line).collect()
}

/// Returns the drafts, those of ticket types with what these have of their events, which no draft changes.
fn of_tickets(drafts: &[Result<Draft, Refusal>], found: &HashMap<String, Product>) -> Vec<Result<Draft, Refusal>> {
    let mut drafts = drafts.to_vec();
    for draft in drafts.iter_mut().flatten() {
        let known = draft.details.sku.as_ref().and_then(|sku| found.get(sku));
        draft.details.sale.ticket = known.and_then(|product| product.details.sale.ticket);
    }
    drafts
}

async fn by_sku(tx: &mut Tx<'_>, skus: &BTreeSet<&str>) -> Result<HashMap<String, Product>, Failure> {
    let found = products::list_by_sku(tx, skus).await?;
    Ok(found.into_iter().filter_map(|product| Some((product.details.sku.clone()?, product))).collect())
}

/// What has to be written so that products are as their drafts say.
struct Plan<'a> {
    /// Products with other details, by id: before and after, and their rows of the trail.
    changes: Vec<(i64, &'a ProductDetails, &'a ProductDetails)>,
    rows: Vec<ProductChange>,
    /// New products with their stock, by sku.
    new: Vec<(&'a ProductDetails, i64)>,
}

impl<'a> Plan<'a> {
    /// Compares the drafts with the products that exist.
    ///
    /// # Errors
    /// [`Refusal::InvalidLines`] with each draft that cannot be applied.
    fn of(drafts: &'a [Result<Draft, Refusal>], found: &'a HashMap<String, Product>) -> Result<Self, Refusal> {
        let mut plan = Self { changes: Vec::new(), rows: Vec::new(), new: Vec::new() };
        let (mut wrong, mut seen) = (Vec::new(), HashSet::new());
        for (place, draft) in drafts.iter().enumerate() {
            let added = match draft {
                Ok(draft) => plan.add(draft, found, &mut seen),
                Err(refusal) => Err(refusal.clone()),
            };
            wrong.extend(added.err().map(|refusal| (place, refusal)));
        }
        if !wrong.is_empty() {
            return Err(Refusal::InvalidLines(wrong));
        }
        plan.changes.sort_unstable_by_key(|&(product_id, ..)| product_id);
        plan.new.sort_unstable_by(|(one, _), (other, _)| one.sku.cmp(&other.sku));
        Ok(plan)
    }

    fn add(
        &mut self,
        draft: &'a Draft,
        found: &'a HashMap<String, Product>,
        seen: &mut HashSet<&'a str>,
    ) -> Result<(), Refusal> {
        let known = draft.details.sku.as_deref().and_then(|sku| found.get(sku));
        draft.details.check(known.map(|product| &product.details))?;
        let invalid = |reason: &str| Refusal::InvalidProduct { field: "sku", reason: reason.to_owned() };
        let sku = draft.details.sku.as_deref().ok_or_else(|| invalid("must be given"))?;
        if !seen.insert(sku) {
            return Err(invalid("must not be that of an earlier line"));
        }
        match known {
            None => self.new.push((&draft.details, stock_of(draft)?)),
            Some(product) if draft.stock.is_some_and(|stock| stock != product.stock) => {
                return Err(Refusal::StockNotHere);
            }
            Some(product) => {
                if let Some(row) = changed(product.id, &product.details, &draft.details) {
                    self.changes.push((product.id, &product.details, &draft.details));
                    self.rows.push(row);
                }
            }
        }
        Ok(())
    }

    /// Writes all of it, first what exists, by ascending id. Returns the rows of the trail, those of new products last and in
    /// the order of the plan.
    async fn write(&self, tx: &mut Tx<'_>, author: &Author) -> Result<Vec<ProductChange>, Failure> {
        if self.changes.is_empty() && self.new.is_empty() {
            wait_for_disk(tx).await?;
            return Ok(Vec::new());
        }
        products::change_all(tx, &self.changes).await?;
        let mut rows = self.rows.clone();
        if !self.new.is_empty() {
            if !products::insert_all(tx, &self.new).await? {
                return Err(Failure::Raced("products/insert_all"));
            }
            let skus = self.new.iter().filter_map(|(details, _)| details.sku.as_deref()).collect();
            let made = by_sku(tx, &skus).await?;
            for (details, stock) in &self.new {
                let product = details.sku.as_deref().and_then(|sku| made.get(sku));
                let product = product.ok_or(Failure::Raced("products/list_by_sku"))?;
                rows.push(created(product.id, details, *stock, []));
            }
        }
        product_trail::insert_all(tx, author, &rows).await?;
        Ok(rows)
    }
}

/// Returns the stock of a new product.
pub(in crate::checkout) fn stock_of(draft: &Draft) -> Result<i64, Refusal> {
    let invalid = |reason| Refusal::InvalidProduct { field: "stock", reason };
    let stock = draft.stock.ok_or_else(|| invalid("must be given for a new product".to_owned()))?;
    match (0..=MOST_STOCK).contains(&stock) {
        true => Ok(stock),
        false => Err(invalid(format!("must be from 0 to {MOST_STOCK}"))),
    }
}
