//! Tells when all units of a product are gone, and when it has some again.
//!
//! A worker compares products with what was told last (`feed_products`). It looks each second at those that transactions of this
//! instance have touched, and page by page at all of them: that finds what was changed by another hand, or by an instance that ended
//! before it looked. Holds and payments write nothing for it. The statement that notes a state compares it once more, so that any number
//! of instances tell each change once.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::Error as DbError;
use crate::db::packets::tell_products;
use crate::db::tables::feed_products::{self, Told};
use crate::domain::mint_id;
use crate::telemetry;

/// The most products of one read.
const PAGE: u32 = 1000;
/// The most pages of touched products of one step.
const PAGES: usize = 70;
/// The most products of one transaction: a row of the feed has as many events.
const TOLD: usize = 100;

/// A page of the walk over all products.
#[derive(Debug, Clone, Copy)]
pub struct Walked {
    /// Whether it was the last one.
    pub is_whole: bool,
    /// How long the read took.
    pub took: Duration,
}

impl Checkout {
    /// Looks at the products that transactions of this instance have touched, and tells which of them are sold out, or available again.
    /// Those are looked at again by the next step: at most one event of a product is told within a second.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn tell_touched_products(&self) -> Result<(), Error> {
        let (mut again, mut told) = (Vec::new(), Ok(()));
        for _ in 0..PAGES {
            let touched = self.background.take_touched(PAGE as usize);
            if touched.is_empty() {
                break;
            }
            match self.look_at_products(&touched).await {
                Ok(changed) => again.extend(changed),
                Err(error) => {
                    again.extend(touched);
                    told = Err(error);
                    break;
                }
            }
        }
        self.background.touch(again);
        Ok(told?)
    }

    /// Looks at the next page of all products, in the same way.
    ///
    /// # Errors
    /// As every transaction; the next step looks at the same page.
    pub async fn walk_products(&self) -> Result<Walked, Error> {
        let mut walk = self.feed.walk.lock().await;
        let (began, after) = (Instant::now(), walk.after);
        walk.begin(began);
        let found = self.background.read("feed.list_products", move |tx| {
            async move { feed_products::list_page(tx, after, PAGE).await }.boxed()
        });
        let found = found.await?;
        let took = began.elapsed();
        let changed = changed(&found);
        self.tell_products(&changed).await?;
        self.background.touch(changed);
        let last = found.last().filter(|_| found.len() >= PAGE as usize).map(|product| product.product_id);
        let whole = walk.record(Instant::now(), last);
        whole.into_iter().for_each(telemetry::feed_walked);
        Ok(Walked { is_whole: whole.is_some(), took })
    }

    async fn look_at_products(&self, product_ids: &[i64]) -> Result<Vec<i64>, DbError> {
        let found = self
            .background
            .read("feed.find_products", |tx| async move { feed_products::list_some(tx, product_ids).await }.boxed());
        let changed = changed(&found.await?);
        self.tell_products(&changed).await?;
        Ok(changed)
    }

    async fn tell_products(&self, product_ids: &[i64]) -> Result<(), DbError> {
        for product_ids in product_ids.chunks(TOLD) {
            let batch = mint_id();
            let told = self.background.transaction("feed.tell_products", |tx| {
                async move { tell_products::tell(tx, batch, product_ids).await }.boxed()
            });
            told.await?;
        }
        Ok(())
    }
}

/// Returns the products of which there is something to tell.
fn changed(found: &[Told]) -> Vec<i64> {
    found.iter().filter(|product| product.has_changed()).map(|product| product.product_id).collect()
}
