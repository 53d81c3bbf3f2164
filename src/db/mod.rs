//! The only place with SQL: the pool, the transaction door, and one file per table.

mod attempt;
mod breaker;
pub mod clock;
mod column;
pub mod door;
pub mod due;
pub mod error;
mod guard;
pub mod id_range;
pub mod inspection;
pub mod literal;
pub mod lock_wait;
pub mod lone;
mod lost_connection;
pub mod migrations;
pub mod packets;
pub mod pool;
mod server;
pub mod share;
pub mod sold;
pub mod sql;
pub mod tables;
pub mod told;
mod touched;
mod trouble;
mod tx;
pub mod views;

pub use clock::Clock;
pub use door::{Database, Tx};
pub use error::{Error, Failure};
pub use lone::Lone;
pub use share::Share;
