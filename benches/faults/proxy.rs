//! A TCP proxy between the service and its database: it forwards packets, delays them, or holds them back.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The delay of a packet, in milliseconds.
const LATE_MS: Range<u64> = 100..200;

/// The handling of packets, in both directions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Forward,
    /// Forwards each packet after 100 to 200 ms.
    Late,
    /// Forwards nothing until another mode is set, but accepts new connections.
    Swallow,
}

/// A running proxy; dropping the value ends its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("an address");
        let mode = watch::Sender::new(Mode::Forward);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, mode.clone()));
        Self { address, mode, _tasks: tasks }
    }

    /// Changes the mode.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, mode: watch::Sender<Mode>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connection(client, upstream, mode.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, mode: watch::Sender<Mode>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, mode.subscribe()) => {}
        () = pump(from_server, to_client, mode.subscribe()) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await
        && count > 0
    {
        if *mode.borrow() == Mode::Late {
            sleep(Duration::from_millis(rand::random_range(LATE_MS))).await;
        }
        if mode.wait_for(|mode| *mode != Mode::Swallow).await.is_err() || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
