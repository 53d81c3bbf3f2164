//! A private database server, for `holdfast dev` and for the test suite, and the banner of that command.
//!
//! [`PrivateServer`] runs the `mariadbd` or `mysqld` of this machine, on a free loopback port, with all its files in one
//! folder. It runs exactly as long as its owner: a small shell supervisor holds a pipe from the owner and shuts the server
//! down when that pipe closes, however the owner ended. Two servers never open the same folder: an advisory lock, which is
//! released when its holder ends, excludes a second owner, and a server that an earlier owner left running is ended first.

mod banner;
mod engine;
mod error;
mod folder;
mod limits;
mod server;
mod signal;
mod supervisor;
#[cfg(test)]
mod tests;

pub use self::banner::{Banner, DATABASE, DevOperator, Signer};
pub use self::error::DevError;
pub use self::server::PrivateServer;
