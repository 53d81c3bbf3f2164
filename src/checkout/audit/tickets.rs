//! Tickets: one for each paid unit of a ticket type, and none for others.

use super::Audit;
use crate::db::views::audit::{self, ORDERS_WITH_TICKETS, TICKETS, Table};
use crate::db::{Failure, Tx};

impl Audit {
    /// Compares the tickets with the units of the orders.
    pub(super) async fn look_at_tickets(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        if audit::has_ticket_types(tx).await? {
            self.check_all_of(tx, &ORDERS_WITH_TICKETS).await?;
        }
        self.check_all_of(tx, &TICKETS).await
    }

    /// Makes the checks of a table on all of its pages.
    pub(super) async fn check_all_of(&mut self, tx: &mut Tx<'_>, table: &Table) -> Result<(), Failure> {
        let mut first = Some(table.first());
        while let Some(page) = self.next_page(tx, table, &mut first).await? {
            self.make_own_checks(tx, table, &page).await?;
        }
        Ok(())
    }
}
