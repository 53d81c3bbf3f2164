//! The names of endpoints. A name is resolved where a connection is made, its addresses are judged, and the connection is made to
//! exactly these addresses: a name that has other addresses a moment later changes nothing.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names.
pub trait Names: Send + Sync {
    /// Returns all addresses of a name.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub struct System;

impl Names for System {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
pub(super) struct NotResolved;

/// One of the addresses of a name is not allowed, so that none is tried.
#[derive(Debug, thiserror::Error)]
#[error("the name has an address that is not allowed")]
pub(super) struct NotAllowed;

/// The resolver of the client.
pub(super) struct Guarded {
    pub(super) names: Arc<dyn Names>,
    pub(super) allows: fn(IpAddr) -> bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (addresses, allows) = (self.names.resolve(name.as_str()), self.allows);
        async move {
            let addresses = addresses.await.unwrap_or_default();
            if addresses.is_empty() {
                return Err(Box::new(NotResolved) as Box<dyn Error + Send + Sync>);
            }
            if !addresses.iter().all(|address| allows(*address)) {
                return Err(Box::new(NotAllowed) as Box<dyn Error + Send + Sync>);
            }
            // the client sets the port of the URL
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        }
        .boxed()
    }
}
