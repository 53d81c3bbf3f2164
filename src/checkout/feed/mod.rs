//! The feed: every event that a shop may want to hear, in one order that never changes.
//!
//! A transaction tells what it does with its COMMIT (`Tx::tell`). A sequencer, in any number of instances, gives committed events
//! their positions, without a gap. Readers see positions that are on disk alone.

pub mod availability;
pub mod epoch;
mod place;
pub(crate) mod progress;
pub mod reading;
mod sequencer;
pub(crate) mod walk;
