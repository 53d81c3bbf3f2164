//! The batching of the hot path. Requests that arrive while a database round trip is under way travel together in the next
//! one. This module knows neither HTTP nor SQL; a [`Work`] defines what a batch does.
//!
//! A [`Lanes`] has one lane per key (a product, a page of a list). A lane appears when its first job arrives, and is removed
//! when it has been idle for a moment, so that memory follows the present requests and not all past ones. A lane takes all
//! waiting jobs, up to a cap, and runs them as one batch; meanwhile, jobs gather for the next one. The slower the last batch
//! was, the larger the next one becomes. A job that finds no batch running starts at once.
//!
//! If the work allows it, a second batch starts before the first one returns, as soon as it is as large as the first: a smaller
//! one would make all later batches smaller than necessary. A lane tells its work how much supply was left when the last
//! batch returned, and starts another one only if [`Work::may_overlap`] agrees. There is no timer, except that jobs do not
//! gather for long behind a batch that does not return.
//!
//! The protocol is the same for every kind of work. A job that is past its deadline, or whose client has disconnected, is
//! dropped before each attempt. A batch whose rows another transaction has changed is rolled back (the jobs are *spoiled*) and
//! tried once more; then its jobs run one by one, beside the batches and a few at a time: single jobs use no batch slot, so they
//! delay only each other. A job that fails every attempt gets [`Unanswered::Contended`]; no job is lost.
//!
//! A job's first batch starts after the job arrived, so a batch never reads data older than any of its jobs.

mod job;
mod lane;
mod lanes;
mod shared;
mod work;

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod tests;

pub use self::job::{Job, Unanswered};
pub use self::lanes::Lanes;
pub use self::work::{Attempt, JobOf, Limits, Turn, Work};
