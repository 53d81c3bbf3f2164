//! The socket, its target, which is resolved again from time to time, and packets.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// The payload of one Ethernet frame.
pub(super) const PACKET_BYTES: usize = 1432;
/// How often the server's name is looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// How often the log tells that packets are lost.
const REPORT_EVERY: Duration = Duration::from_secs(3600);

/// Sends packets to a server. A server that is away costs only its metrics.
#[derive(Debug)]
pub(super) struct Sender {
    server: String,
    target: Option<(UdpSocket, SocketAddr)>,
    resolved_at: Option<Instant>,
    /// The lines of the last packet, of which the system may still report that they were refused.
    unconfirmed: u64,
    /// When the log last told that packets are lost.
    reported_at: Option<Instant>,
}

impl Sender {
    pub(super) fn new(server: &str) -> Self {
        Self { server: server.to_owned(), target: None, resolved_at: None, unconfirmed: 0, reported_at: None }
    }

    /// Sends lines, and returns how many are known to be lost.
    pub(super) fn send(&mut self, lines: &[String]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        if self.resolved_at.is_none_or(|at| at.elapsed() > RESOLVE_EVERY) {
            self.resolve();
        }
        let mut lost = 0;
        for (packet, lines) in packets(lines) {
            if packet.len() > PACKET_BYTES {
                lost += lines;
                continue;
            }
            lost += self.send_packet(&packet, lines);
        }
        lost
    }

    fn send_packet(&mut self, packet: &str, lines: u64) -> u64 {
        let Some((socket, _)) = &self.target else { return lines };
        let mut sent = socket.send(packet.as_bytes());
        let mut lost = 0;
        if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            // about the packet before; this one was not sent
            lost = self.unconfirmed;
            self.report(&io::ErrorKind::ConnectionRefused.into());
            sent = self.target.as_ref().map_or(Ok(0), |(socket, _)| socket.send(packet.as_bytes()));
        }
        self.unconfirmed = 0;
        match sent {
            Ok(_) => self.unconfirmed = lines,
            Err(error) => {
                lost += lines;
                self.report(&error);
            }
        }
        lost
    }

    fn report(&mut self, error: &io::Error) {
        if self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported_at = Some(Instant::now());
            warn!(server = self.server, %error, "packets for the StatsD server are lost");
        }
    }

    fn resolve(&mut self) {
        let is_first = self.resolved_at.is_none();
        match open(&self.server) {
            Ok((socket, address)) => {
                if self.target.as_ref().is_none_or(|(_, before)| *before != address) {
                    info!(server = self.server, %address, "metrics go to StatsD");
                }
                self.target = Some((socket, address));
            }
            Err(error) => {
                if self.target.take().is_some() || is_first {
                    warn!(server = self.server, %error, "the StatsD server does not resolve; metrics are dropped");
                }
            }
        }
        self.resolved_at = Some(Instant::now());
    }
}

/// Puts lines together into packets that fit into a frame, each with its number of lines.
fn packets(lines: &[String]) -> Vec<(String, u64)> {
    let mut packets: Vec<(String, u64)> = Vec::new();
    for line in lines {
        match packets.last_mut() {
            Some((packet, count)) if packet.len() + 1 + line.len() <= PACKET_BYTES => {
                packet.push('\n');
                packet.push_str(line);
                *count += 1;
            }
            _ => packets.push((line.clone(), 1)),
        }
    }
    packets
}

fn open(server: &str) -> io::Result<(UdpSocket, SocketAddr)> {
    let address = server
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)?;
    // the system then reports a server that is away
    socket.connect(address)?;
    // A datagram that does not fit into the socket's buffer is dropped; the thread does not wait.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_share_packets_that_fit_into_a_frame() {
        let lines: Vec<String> = (0..500).map(|number| format!("holdfast.a.{number}:1|c")).collect();
        let packets = packets(&lines);
        assert!(packets.iter().all(|(packet, _)| packet.len() <= PACKET_BYTES));
        let (_, full) = packets.split_last().expect("packets");
        assert!(full.iter().all(|(packet, _)| packet.len() > PACKET_BYTES - 20), "packets are full");
        let sent: Vec<&str> = packets.iter().flat_map(|(packet, _)| packet.split('\n')).collect();
        assert_eq!(sent, lines);
        assert_eq!(packets.iter().map(|(_, lines)| lines).sum::<u64>(), 500);
    }

    #[test]
    fn lines_for_a_server_that_is_away_are_counted_as_lost() {
        let free = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let mut sender = Sender::new(&free.to_string());
        let line = ["holdfast.a:1|c".to_owned()];
        let lost: u64 = (0..10).map(|_| sender.send(&line)).sum();
        assert!((5..=10).contains(&lost), "the system reports refused packets: {lost}");
        let mut nowhere = Sender::new("no-such-host.invalid:8125");
        assert_eq!(nowhere.send(&line), 1);
        let long = ["x".repeat(PACKET_BYTES + 1)];
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let mut sender = Sender::new(&server.local_addr().expect("an address").to_string());
        assert_eq!((sender.send(&long), sender.send(&line)), (1, 0));
    }
}
