//! Reads over several tables.

pub mod audit;
pub mod operators;
