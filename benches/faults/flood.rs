//! More requests at once than the service accepts: HTTP/2 connections with many streams each.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use h2::client::{Builder, SendRequest};
use poem::http::{Request, header};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::apart::Apart;
use crate::journal::{Journal, Kind, Sample};
use crate::support::client::Answer;

/// Timeout of a request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause of a client after any response but 201.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause before a lost connection is opened again.
const REOPEN: Duration = Duration::from_millis(50);

/// The body of a request.
type Body = Cursor<Vec<u8>>;

/// Clients that take holds of one product; dropping the value ends them.
pub(crate) struct Flood {
    _apart: Apart,
}

impl Flood {
    /// Starts the connections. Each stream sends a request, waits for the response, and sends the next one.
    pub(crate) fn start(
        address: SocketAddr,
        (connections, streams): (usize, usize),
        product_id: i64,
        journal: &Arc<Journal>,
    ) -> Self {
        let apart = Apart::new();
        {
            let _guard = apart.enter();
            for _ in 0..connections {
                tokio::spawn(connection(address, streams, product_id, Arc::clone(journal)));
            }
        }
        Self { _apart: apart }
    }
}

async fn connection(address: SocketAddr, streams: usize, product_id: i64, journal: Arc<Journal>) {
    loop {
        if let Ok(stream) = TcpStream::connect(address).await
            && stream.set_nodelay(true).is_ok()
            && let Ok((requests, connection)) = Builder::new().handshake::<_, Body>(stream).await
        {
            let mut tasks = JoinSet::new();
            for _ in 0..streams {
                tasks.spawn(ask(requests.clone(), product_id, Arc::clone(&journal)));
            }
            // The connection ends with an error, or when the service closes it.
            let _ = connection.await;
        }
        sleep(REOPEN).await;
    }
}

/// Takes holds in a loop, each on a new stream.
async fn ask(requests: SendRequest<Body>, product_id: i64, journal: Arc<Journal>) {
    loop {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, exchange(requests.clone(), product_id)).await.ok().and_then(Result::ok);
        let (status, retry_after) = match &answer {
            Some((status, retry_after, body)) => {
                if *status == 201 {
                    journal.held(&Answer { status: *status, head: &[], body }.id("hold_id"), product_id);
                }
                (Some(*status), *retry_after)
            }
            None => (None, false),
        };
        journal.answered(Sample { kind: Kind::Flood, asked, took: asked.elapsed(), status, retry_after });
        if status != Some(201) {
            sleep(PAUSE).await;
        }
    }
}

/// Sends a request and returns status, presence of `Retry-After`, and body of the response.
async fn exchange(requests: SendRequest<Body>, product_id: i64) -> Result<(u16, bool, Vec<u8>), h2::Error> {
    let body = format!(r#"{{"product_id":{product_id},"qty":1}}"#);
    let request = Request::post("http://localhost/api/holds").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(()).expect("a request");
    let (response, mut stream) = requests.ready().await?.send_request(request, false)?;
    stream.send_data(Cursor::new(body.into_bytes()), true)?;
    let response = response.await?;
    let (status, retry_after) = (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER));
    let (mut body, mut received) = (response.into_body(), Vec::new());
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        received.extend_from_slice(&part);
    }
    Ok((status, retry_after, received))
}
