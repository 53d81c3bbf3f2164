//! Redemptions are batched to save commits, since all gates of a venue scan at the same time. One packet redeems all valid tickets of
//! a batch, and what it reads behind that decides each answer. A batch with both first redemptions and repetitions of earlier ones
//! cannot tell them apart by the number of changed rows: it rolls back, reads its tickets, and is tried once more.

use futures_util::FutureExt as _;

use crate::batch::{Attempt, JobOf, Turn, Work};
use crate::db::door::Database;
use crate::db::error::{Error, Failure};
use crate::db::packets::redeem_tickets::{Found, RedeemTickets, row_bytes};
use crate::db::packets::send;
use crate::db::share::Share;
use crate::db::tables::tickets::{self, Redeem, Ticket};
use crate::domain::{Missing, Refusal, TicketRefusal, TicketStatus};

/// The dependencies of a batch of redemptions.
pub(crate) struct RedeemWork {
    pub(crate) database: Database,
}

/// A ticket that admits, and whether an earlier request with the same key redeemed it.
pub(crate) struct Redeemed {
    pub(crate) ticket: Ticket,
    pub(crate) replayed: bool,
}

type RedeemJob = JobOf<RedeemWork>;

impl Work for RedeemWork {
    type Key = ();
    type Request = Redeem;
    type Response = Result<Redeemed, Error>;

    async fn attempt(&self, (): (), jobs: Vec<RedeemJob>, turn: Turn, _supply: Option<i64>) -> Attempt<RedeemJob> {
        let database = self.database.share(Share::of_batch(jobs.len()));
        let known = match turn {
            Turn::Second => list(&database, &jobs).await,
            Turn::First | Turn::Alone => Ok(Vec::new()),
        };
        let known = match known {
            Ok(known) => known,
            Err(error) => return refuse_all(jobs, &error),
        };
        let packet = RedeemTickets::new(jobs.iter().map(|job| &job.request), &known, turn != Turn::Alone);
        match send(&database, "tickets.redeem", &packet).await {
            Ok(found) => {
                for (job, found) in jobs.into_iter().zip(found) {
                    let answer = judge(&job.request, found);
                    job.answer(answer);
                }
                Attempt::done(None)
            }
            Err(Error::Stale(_)) => Attempt { spoiled: jobs, ..Attempt::done(None) },
            // a locked or damaged row of one job
            Err(Error::Abandoned(_) | Error::Broken(_)) if turn != Turn::Alone => {
                Attempt { alone: jobs, ..Attempt::done(None) }
            }
            Err(error) => refuse_all(jobs, &error),
        }
    }

    fn bytes(&self, request: &Redeem) -> usize {
        row_bytes(request)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

async fn list(database: &Database, jobs: &[RedeemJob]) -> Result<Vec<Ticket>, Error> {
    let codes = &jobs.iter().map(|job| job.request.code).collect();
    database.read("tickets.list_by_code", |tx| async move { tickets::list_by_code(tx, codes).await }.boxed()).await
}

fn refuse_all(jobs: Vec<RedeemJob>, error: &Error) -> Attempt<RedeemJob> {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
    Attempt::done(None)
}

/// Decides by the ticket, as it is after the batch.
fn judge(request: &Redeem, found: Option<Found>) -> Result<Redeemed, Error> {
    let Found { ticket, is_first } = found.ok_or(Refusal::Missing(Missing::Ticket))?;
    if !request.has_redeemed(&ticket) {
        return Err(match why_not(ticket) {
            Failure::Refused(refusal) => refusal.into(),
            other => Error::Broken(format!("{other:?}")),
        });
    }
    if ticket.gate != request.gate {
        return Err(Refusal::IdempotencyKeyReuse.into());
    }
    Ok(Redeemed { ticket, replayed: !is_first })
}

/// Returns why a ticket is not valid.
pub(crate) fn why_not(ticket: Ticket) -> Failure {
    match (ticket.place.status, ticket.redeemed_at) {
        (TicketStatus::Void, _) => Refusal::Ticket(TicketRefusal::Void).into(),
        (TicketStatus::Redeemed, Some(redeemed_at)) => {
            Refusal::Ticket(TicketRefusal::AlreadyRedeemed { redeemed_at, gate: ticket.gate }).into()
        }
        (TicketStatus::Redeemed, None) => Failure::Broken("a redeemed ticket has no time".to_owned()),
        (TicketStatus::Valid, _) => Failure::Raced("tickets/replace"),
    }
}
