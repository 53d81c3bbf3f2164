//! Reads over several tables.

pub mod audit;
pub mod lists;
pub mod operators;
