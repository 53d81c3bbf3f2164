//! Holdfast sells limited stock in a flash sale: it reports how many units are left, takes short holds, makes orders from
//! them, and settles these from payment webhooks that arrive late, twice, out of order or before their order.
//!
//! The map of the modules. Calls go in one direction, down this list; docs/architecture.md has the rules, and a test keeps
//! them:
//!
//! - `main.rs`: the command line
//! - [`serve`], [`dev`], [`doctor`]: start everything and stop it gracefully; a private database server; checks of what is around
//! - [`app`]: the state that handlers and workers share
//! - [`config`]: the settings, read once by `main`, `serve` and `app`; the only code below that it uses are types and parsers
//! - [`http`]: one file per resource, problem+json, request limits
//! - [`workers`]: when and how often background work runs
//! - [`checkout`]: the use cases; one public function is one transaction, or two, the second of which looks for
//!   rows that were committed beside the first
//! - [`batch`]: the hot path's machinery, which contains neither HTTP nor SQL
//! - [`db`]: the only place with SQL
//! - [`rate`]: limits on the rate of requests
//! - [`domain`]: rules that need no database
//! - [`telemetry`]: logs and the names of all metrics, called from everywhere

pub mod app;
pub mod batch;
pub mod checkout;
pub mod config;
pub mod db;
#[expect(missing_docs, reason = "the message of each error says what it is")]
pub mod dev;
pub mod doctor;
pub mod domain;
pub mod http;
pub mod push;
pub mod rate;
pub mod serve;
pub mod telemetry;
pub mod workers;
