//! What one round trip does to several tables.

pub mod pay_orders;
