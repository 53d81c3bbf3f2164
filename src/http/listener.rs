//! The listening socket: answers leave at once, and a failed accept is not the end.

use std::io;
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

/// How long to wait after a failed accept: out of file descriptors is the common reason, and closing takes a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for the framework, which on its own leaves Nagle's algorithm on and spins on accept errors.
pub struct Connections {
    listener: TcpListener,
    local: LocalAddr,
}

impl Connections {
    /// On this socket.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn on(listener: TcpListener) -> io::Result<Self> {
        let local = LocalAddr(listener.local_addr()?.into());
        Ok(Self { listener, local })
    }
}

impl Acceptor for Connections {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    // Without it small answers wait for the acknowledgement of those before them.
                    let _ = stream.set_nodelay(true);
                    return Ok((stream, self.local.clone(), RemoteAddr(remote.into()), Scheme::HTTP));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
