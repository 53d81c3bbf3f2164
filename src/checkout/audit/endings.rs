//! Events that were cancelled: nothing of them is held, and what was paid for them is due.

use super::Audit;
use crate::db::views::audit::{self, DUE_REFUNDS, ENDINGS, PAYING_CHARGES};
use crate::db::{Failure, Tx};

impl Audit {
    /// Compares cancelled events with what was sold for them, and due refunds with their charges. Without any cancelled event, no
    /// charge is read.
    pub(super) async fn look_at_endings(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.check_all_of(tx, &DUE_REFUNDS).await?;
        if audit::has_endings(tx).await? {
            self.check_all_of(tx, &ENDINGS).await?;
            self.check_all_of(tx, &PAYING_CHARGES).await?;
        }
        Ok(())
    }
}
