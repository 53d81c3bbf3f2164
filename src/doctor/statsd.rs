//! What can be known about a StatsD server: UDP has no answer. A datagram without content is sent, and the machine says if there is
//! no such name, no way, or no listener.

use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

use super::report::Line;

const STATSD: &str = "statsd";
/// How long a name may take to resolve.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for the report that nothing listens.
const REFUSAL_LIMIT: Duration = Duration::from_millis(300);

/// Judges the server of `HOLDFAST_STATSD`.
pub(super) async fn line(server: Option<&str>) -> Line {
    let Some(server) = server else { return Line::ok(STATSD, "metrics are off (HOLDFAST_STATSD)") };
    match probe(server).await {
        Ok(address) => {
            let found = format!("{server} is {address}, and nothing refused a datagram; UDP shows no more");
            Line::ok(STATSD, format!("{found}: look there for names that begin with holdfast"))
        }
        Err(reason) => {
            let found = format!("metrics do not reach {server}: {reason}");
            Line::warn(STATSD, found, "start the server or correct HOLDFAST_STATSD; sales go on without metrics")
        }
    }
}

async fn probe(server: &str) -> Result<std::net::SocketAddr, String> {
    let resolved =
        timeout(RESOLVE_LIMIT, lookup_host(server)).await.map_err(|_| "its name does not resolve in time")?;
    let address = resolved.map_err(|error| error.to_string())?.next().ok_or("its name has no address")?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let ask = async {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        socket.send(&[]).await?;
        // a listener does not answer; the machine reports a closed port as an error of the socket
        timeout(REFUSAL_LIMIT, socket.recv(&mut [0; 1])).await.map_or(Ok(0), |received| received)
    };
    ask.await.map_err(|error: std::io::Error| error.to_string())?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[tokio::test]
    async fn a_listener_a_closed_port_and_a_name_without_address_are_told_apart() {
        let listener = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        assert_eq!(line(Some(&address)).await.level, Level::Ok);
        drop(listener);
        let closed = line(Some(&address)).await;
        assert!(closed.level == Level::Warn && closed.to_string().contains("refused"), "{closed}");
        assert_eq!(line(Some("no-such-host.invalid:8125")).await.level, Level::Warn);
        assert_eq!(line(None).await.level, Level::Ok);
    }
}
