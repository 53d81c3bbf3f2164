//! Holdfast sells limited stock in a flash sale: it answers how many units are left, takes short holds, makes orders of
//! them, and settles them from payment webhooks that come late, twice, out of order or before their order.
//!
//! The map, and who may call whom (arrows point one way, down this list):
//!
//! - `main.rs`: the command line
//! - [`serve`], [`dev`]: start everything and stop it gracefully; a private database server
//! - [`app`]: the state that handlers and workers share
//! - [`http`]: one file per resource, problem+json, request limits
//! - [`workers`]: when and how often
//! - [`checkout`]: the use cases; one public function is one transaction, or two that must find each other
//! - [`batch`]: the hot path's machinery, which knows neither HTTP nor SQL
//! - [`db`]: the only place that speaks SQL
//! - [`domain`]: what is true without a database
//! - [`config`]: the environment, read once by `main`, `serve` and `app`
//! - [`telemetry`]: logs and the names of all metrics, called from everywhere

pub mod app;
pub mod batch;
pub mod checkout;
pub mod config;
pub mod db;
pub mod dev;
pub mod domain;
pub mod http;
pub mod serve;
pub mod telemetry;
pub mod workers;
