//! Seats: as many as the units of their ticket type, and each with its hold.

use super::Audit;
use crate::db::views::audit::{self, Finding, Kind, SEATS, SeatSum};
use crate::db::{Failure, Tx};

impl Audit {
    /// Compares the seats of all ticket types with their products, holds and orders.
    pub(super) async fn look_at_seats(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut first = Some(SEATS.first());
        while let Some(page) = self.next_page(tx, &SEATS, &mut first).await? {
            let sums = audit::sum_seats(tx, &page).await?;
            self.findings.add(sums.iter().filter_map(finding));
            if sums.iter().any(|sum| sum.odd > 0) {
                self.make_own_checks(tx, &SEATS, &page).await?;
            }
        }
        Ok(())
    }
}

fn finding(sum: &SeatSum) -> Option<Finding> {
    let &SeatSum { product_id, stock, reserved, seats, taken, .. } = sum;
    let detail = format!("{taken} of {seats} seats are taken, of {stock} units {reserved} are reserved");
    let id = product_id.to_string();
    (seats != stock || taken != reserved).then_some(Finding { kind: Kind::SeatsNotConserved, id, detail })
}
