//! Reads over several tables.

pub mod audit;
pub mod events;
pub mod lists;
pub mod operators;
pub mod pushes;
