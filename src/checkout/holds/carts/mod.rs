//! One batch of carts: holds of several products, all or nothing. [`crate::batch`] forms the batches.
//!
//! It is right for the reasons that batches of holds of one product are (`../batch.rs`), and:
//! - One guarded statement reserves the units of all products of the batch, in the order of their ids, so that two batches do not
//!   wait for each other in a circle. Its row count is the number of products, or all of it rolls back.
//! - A cart that replaces a hold ends it in the same transaction, before its units are given back and the new ones are taken. If
//!   the new ones cannot be had, the old hold stays.
//! - Counters of buyers are in the same packet, as those of holds of one product: see `ledger.rs`.
//! - When the guard refuses, all products of the batch are read: carts that fit go again, the others are refused from that read.
//!   Carts that start over too often go alone.
//! - A packet holds its products while it waits for a locked one with a larger id, and delays their single holds. So it waits less
//!   than these do, also that of a single cart. Its carts go alone then, as often as any single job.

mod examine;
mod ledger;
mod left;
mod plans;
mod remembered;
mod request;
mod seating;
mod sifting;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::FutureExt as _;
use uuid::Uuid;

use self::ledger::Ledger;
pub(crate) use self::left::Left;
pub(crate) use self::plans::SeatPlans;
pub(crate) use self::request::CartRequest;
use self::request::Replaced;
use super::answers::{self, Taken, all, answer_stored, by_hold, refuse_all, replay};
use super::supply::Supplies;
use crate::batch::{Attempt, Job, JobOf, Turn, Work};
use crate::checkout::keys::{self, Sorted};
use crate::checkout::products::known::KnownProducts;
use crate::db::door::Database;
use crate::db::error::Error;
use crate::db::packets::counters::COUNTER_BYTES;
use crate::db::packets::keys::Keys;
use crate::db::packets::send;
use crate::db::packets::take_carts::{CART_BYTES, Cart, CartLine, LINE_BYTES, TakeCarts, TakenCarts};
use crate::db::packets::take_seats::SEAT_BYTES;
use crate::db::share::Share;
use crate::db::tables::holds::{self, HoldLine};
use crate::db::tables::idempotency_keys;
use crate::db::tables::owners;
use crate::domain::{HoldStatus, Refusal};

/// How often one attempt sends its packet.
const STARTS: u32 = 2;
/// How often one start goes on without some of its carts.
const APART: u32 = 3;

/// The dependencies of a batch of carts.
pub(crate) struct CartWork {
    pub(crate) database: Database,
    pub(crate) ttl_seconds: u64,
    /// The most units of a product that does not say so.
    pub(crate) max_qty: i64,
    /// The most units that a caller with a counter may hold.
    pub(crate) max_held: Option<i64>,
    pub(crate) supplies: Arc<Supplies>,
    pub(crate) products: Arc<KnownProducts>,
    /// What earlier batches left.
    pub(crate) left: Left,
    /// The plans of ticket types.
    pub(crate) plans: SeatPlans,
}

type CartJob = JobOf<CartWork>;
type Refused = answers::Refused<CartRequest>;
type Replays = answers::Replays<CartRequest>;
/// A cart that can be taken, as far as is known, with its lines.
struct Candidate {
    job: CartJob,
    cart: Cart,
}

impl Work for CartWork {
    /// The ticket type whose seats the carts of a lane take; 0 for carts without seats.
    type Key = i64;
    type Request = CartRequest;
    type Response = Result<Taken, Error>;

    async fn attempt(&self, _: i64, jobs: Vec<CartJob>, turn: Turn, _supply: Option<i64>) -> Attempt<CartJob> {
        let database = self.database.share(Share::of_batch(jobs.len()));
        let mut batch = Batch {
            work: self,
            database,
            // where all seats that are named are taken, no packet compares the terms; and a name may be new
            reads: turn != Turn::First || jobs.iter().any(|job| job.request.names_seats()),
            stocks: HashMap::new(),
            settled: BTreeSet::new(),
            again: Vec::new(),
            alone: Vec::new(),
            ledger: Ledger::default(),
        };
        let mut spoiled = jobs;
        for _ in 0..STARTS {
            spoiled = batch.start(spoiled).await;
            if spoiled.is_empty() {
                break;
            }
            // what was remembered or read for them has changed
            batch.reads = true;
        }
        let Batch { mut again, alone, .. } = batch;
        again.sort_by_key(Job::deadline);
        Attempt { again, spoiled, alone, supply: None }
    }

    fn bytes(&self, request: &CartRequest) -> usize {
        let replaced = if request.replaces.is_some() { CART_BYTES } else { 0 };
        let counters = usize::from(request.held_on.is_some()) + usize::from(request.buyer().is_some());
        let seats = |product_id: &i64| request.lines.get(product_id).copied().unwrap_or(0);
        let seats: i64 = request.seats.keys().map(seats).sum();
        replaced
            + usize::try_from(seats).unwrap_or(usize::MAX / 2).saturating_mul(SEAT_BYTES)
            + request.lines.len() * (LINE_BYTES + counters * COUNTER_BYTES)
            + request.keyed.as_ref().map_or(0, idempotency_keys::row_bytes)
            + request.details.as_deref().map_or(0, owners::row_bytes)
    }

    fn may_overlap(&self, _supply: Option<i64>, _weight: i64) -> bool {
        true
    }
}

/// A running attempt.
struct Batch<'work> {
    work: &'work CartWork,
    database: Database,
    /// Whether all products are read before the packet.
    reads: bool,
    /// The units of each product that were put on sale, as they were read or are remembered.
    stocks: HashMap<i64, i64>,
    /// Products of which nothing had run out when their supplies were read, before their seats.
    settled: BTreeSet<i64>,
    /// Jobs that come first in the next batch.
    again: Vec<CartJob>,
    /// Jobs that cannot run in a batch.
    alone: Vec<CartJob>,
    /// By which its carts are counted.
    ledger: Ledger,
}

impl Batch<'_> {
    /// Tries all jobs in one transaction, those that can be had. Returns the jobs of which nothing was written because another
    /// transaction was faster.
    async fn start(&mut self, jobs: Vec<CartJob>) -> Vec<CartJob> {
        self.settled.clear();
        let Sorted { first, again, replays, reused } = match keys::sort(&self.database, jobs).await {
            Ok(sorted) => sorted,
            Err((jobs, error)) => return self.refuse(jobs, &error),
        };
        self.again.extend(again);
        refuse_all(reused, &Refusal::IdempotencyKeyReuse.into());
        let first = self.one_per_replaced(first);
        let first = self.alone_if_replacing(first);
        let replaced = match self.read_replaced(&first).await {
            Ok(replaced) => replaced,
            Err(error) => {
                let jobs = all(first, Vec::new(), replays);
                return self.refuse(jobs, &error);
            }
        };
        let judged = match self.remembered_within_limits(&first, &replaced).await {
            Ok(Some(carts)) => {
                let pairs = first.into_iter().zip(carts);
                Ok((pairs.map(|(job, cart)| Candidate { job, cart }).collect(), Vec::new()))
            }
            Ok(None) => self.examine(first, &replaced).await,
            Err(error) => Err((first, error)),
        };
        let (candidates, rest) = match judged {
            Ok(judged) => judged,
            Err((jobs, error)) => {
                let jobs = all(jobs, Vec::new(), replays);
                return self.refuse(jobs, &error);
            }
        };
        match candidates.iter().any(|candidate| !candidate.job.request.seats.is_empty()) {
            true => self.write_seats(candidates, rest, replays, &replaced).await,
            false => self.write(candidates, rest, replays, &replaced).await,
        }
    }

    /// Keeps one job for each hold that is replaced. The others come again in the next batch, when the outcome of the first one
    /// is known.
    fn one_per_replaced(&mut self, jobs: Vec<CartJob>) -> Vec<CartJob> {
        let mut seen = HashSet::new();
        let is_first = |job: &CartJob| job.request.replaces.is_none_or(|hold_id| seen.insert(hold_id));
        let (first, later): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_first);
        self.again.extend(later);
        first
    }

    /// Reads the holds that these carts replace.
    async fn read_replaced(&self, jobs: &[CartJob]) -> Result<Replaced, Error> {
        let hold_ids: Vec<Uuid> = jobs.iter().filter_map(|job| job.request.replaces).collect();
        if hold_ids.is_empty() {
            return Ok(Replaced::default());
        }
        let hold_ids = &hold_ids;
        let read = self.database.read("holds.list_replaced", |tx| {
            async move { Ok((holds::list_rows(tx, hold_ids).await?, holds::list_counted(tx, hold_ids).await?)) }.boxed()
        });
        let (lines, counted) = read.await?;
        Ok(Replaced::new(by_hold(lines), counted))
    }

    /// Returns the cart of a request; `None` when its products have different currencies, or there are none.
    fn cart(&self, request: &CartRequest, lines: Vec<CartLine>) -> Option<Cart> {
        let currency = &lines.first()?.terms.currency;
        if lines.iter().any(|line| line.terms.currency != *currency) {
            return None;
        }
        let shop = self.work.ttl_seconds;
        let ttl_seconds = lines.iter().map(|line| line.terms.sale.hold_seconds(shop)).min().unwrap_or(shop);
        Some(Cart { hold_id: request.hold_id, replaces: request.replaces, lines, ttl_seconds })
    }

    /// Takes all carts, and then refuses `rest`. Returns all jobs when another transaction was faster.
    async fn write(
        &mut self,
        mut candidates: Vec<Candidate>,
        mut rest: Refused,
        replays: Replays,
        replaced: &Replaced,
    ) -> Vec<CartJob> {
        if !candidates.is_empty() || !replays.is_empty() {
            let mut taken = self.take(&candidates, &replays, replaced).await;
            for _ in 0..APART {
                let Err(Error::CountersOver(over)) = &taken else { break };
                candidates = self.put_apart(candidates, over, &mut rest);
                if candidates.is_empty() && replays.is_empty() {
                    return Vec::new();
                }
                taken = self.take(&candidates, &replays, replaced).await;
            }
            match taken {
                Ok(taken) => self.answer(candidates, taken),
                Err(error) => {
                    let jobs = candidates.into_iter().map(|candidate| candidate.job).collect();
                    let jobs = all(jobs, rest, replays);
                    return match error {
                        Error::Stale(_) | Error::CountersOver(_) => jobs,
                        error => self.refuse(jobs, &error),
                    };
                }
            }
        }
        for (refusal, job) in rest {
            job.answer(Err(refusal.into()));
        }
        replay(&self.database, replays).await;
        Vec::new()
    }

    /// Puts the carts of these counters apart, which have grown since they were read: the next batch reads them again. Returns the
    /// others: what was read for them still holds. `rest` did not fit beside all of them, so it comes again.
    fn put_apart(&mut self, candidates: Vec<Candidate>, over: &[Uuid], rest: &mut Refused) -> Vec<Candidate> {
        let is_over = |candidate: &Candidate| {
            let mut counters = ledger::counters_of(&candidate.job.request, &candidate.cart.lines);
            counters.any(|counter| over.contains(&counter))
        };
        let (put, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_over);
        self.again.extend(put.into_iter().map(|candidate| candidate.job));
        self.again.extend(std::mem::take(rest).into_iter().map(|(_, job)| job));
        others
    }

    /// Refuses a single job; several go alone, so that each gets its own result, and so does one that waited for a locked row in
    /// vain. Not when the database is unavailable: a COMMIT without an answer may have taken effect, which another transaction
    /// would not know.
    fn refuse(&mut self, jobs: Vec<CartJob>, error: &Error) -> Vec<CartJob> {
        match error {
            Error::Abandoned(_) => self.alone.extend(jobs),
            Error::Unavailable(_) => drop(refuse_all(jobs, error)),
            _ if jobs.len() <= 1 => drop(refuse_all(jobs, error)),
            _ => self.alone.extend(jobs),
        }
        Vec::new()
    }

    /// Takes all carts and counts every copy in `replays`, in one transaction. It changes a row for each of them, so that every
    /// response is durable.
    async fn take(
        &self,
        candidates: &[Candidate],
        replays: &Replays,
        replaced: &Replaced,
    ) -> Result<TakenCarts, Error> {
        let requests = || candidates.iter().map(|candidate| &candidate.job.request);
        let mut carts: Vec<Cart> = candidates.iter().map(|candidate| candidate.cart.clone()).collect();
        carts.sort_unstable_by_key(|cart| cart.hold_id);
        let owner = |request: &CartRequest| Some((request.hold_id, Arc::clone(request.details.as_ref()?)));
        let mut owners: Vec<_> = requests().filter_map(owner).collect();
        owners.sort_unstable_by_key(|&(hold_id, _)| hold_id);
        let pairs = candidates.iter().map(|candidate| (&candidate.job.request, &candidate.cart));
        let counted = self.ledger.count(pairs, replaced);
        let rows = requests().filter_map(|request| Some(replaced.counted(request.replaces?)));
        let mut replaced: Vec<holds::Counted> = rows.flatten().copied().collect();
        replaced.sort_unstable();
        let new = requests().filter_map(|request| Some((request.keyed.as_ref()?, request.hold_id)));
        let copies = replays.iter().filter_map(|(job, made)| Some((job.request.keyed.as_ref()?, made.resource_id)));
        let packet = TakeCarts { carts, owners, replaced, counted, keys: Keys::new(new, copies) };
        send(&self.database, "holds.create_carts", &packet).await
    }

    /// Answers all carts that were written.
    fn answer(&self, candidates: Vec<Candidate>, taken: TakenCarts) {
        match taken {
            TakenCarts::Nothing => {}
            TakenCarts::Now { left, taken_at } => {
                self.work.left.record(left);
                for Candidate { job, cart } in candidates {
                    self.record_moves(&cart, taken_at + Duration::from_secs(cart.ttl_seconds));
                    let taken = Taken::of(lines(&job.request, cart, taken_at), false);
                    job.answer(taken.ok_or_else(|| Error::Broken("a cart without lines was taken".to_owned())));
                }
            }
            TakenCarts::Before(stored) => {
                for Candidate { cart, .. } in &candidates {
                    if let Some(line) = stored.iter().find(|line| line.id == cart.hold_id) {
                        self.record_moves(cart, line.expires_at);
                    }
                }
                answer_stored(candidates.into_iter().map(|candidate| candidate.job).collect(), stored);
            }
        }
    }

    /// Records the deadline of the lines whose own time is another one.
    fn record_moves(&self, cart: &Cart, expires_at: NaiveDateTime) {
        let shop = self.work.ttl_seconds;
        let moved = |line: &&CartLine| ![shop, line.terms.sale.hold_seconds(shop)].contains(&cart.ttl_seconds);
        for line in cart.lines.iter().filter(moved) {
            self.work.supplies.outlooks.record_move(line.product_id, expires_at);
        }
    }
}

/// Returns the rows of a cart that was just taken.
fn lines(request: &CartRequest, cart: Cart, taken_at: NaiveDateTime) -> Vec<HoldLine> {
    let Cart { hold_id, lines, ttl_seconds, .. } = cart;
    let line = |CartLine { product_id, qty, terms, seats }: CartLine| HoldLine {
        id: hold_id,
        product_id,
        qty,
        unit_price_minor: terms.price_minor,
        currency: terms.currency.clone(),
        status: HoldStatus::Active,
        expires_at: taken_at + Duration::from_secs(ttl_seconds),
        order_id: None,
        details: request.details.clone(),
        server_time: taken_at,
        order_ttl_seconds: terms.sale.order_seconds(),
        held_on: request.held_on,
        changes: 0,
        seats: seats.or_else(|| terms.sale.ticket.map(|_| Arc::default())),
    };
    lines.into_iter().map(line).collect()
}

/// Returns the products of these carts.
fn products_of(jobs: &[CartJob]) -> BTreeSet<i64> {
    jobs.iter().flat_map(|job| job.request.lines.keys().copied()).collect()
}
