//! One connection through the proxy: reads the client's packets, and applies the rules that match their statements.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
};

use super::{Action, Shared, Strike, lock, wait_for};

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
const PACKET_HEADER: usize = 4;
/// How a command begins that commits and reads in one round trip. The proxy runs each statement of it as a command, so that a rule can
/// act between them.
const COMMIT_AND: &str = "COMMIT;\n";
/// How a command begins that writes for the feed, commits, and may read in one round trip.
const TELL_AND: &str = "-- feed_batches/insert:";
/// What stands before its COMMIT.
const THEN_COMMIT: &str = ";\nCOMMIT";
/// How the answer to a statement without rows begins.
const OK: u8 = 0x00;
/// The flag of an answer that another one follows.
const MORE_RESULTS: u8 = 0x08;
/// A packet this long is continued by the next one.
const LONGEST_PACKET: usize = 0x00ff_ffff;

/// How much is read at a time; without it, a `Vec` would offer 64 bytes.
const BUFFER: usize = 64 * 1024;

pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.connects.fetch_add(1, Ordering::Relaxed);
        if let Some(connections) = lock(&shared.connections).as_mut() {
            while connections.try_join_next().is_some() {}
            let relay = Relay::run(client, Arc::clone(&shared));
            // An error is an end like any other here: both sockets close, and the client reports it.
            connections.spawn(async move { drop(relay.await) });
        }
    }
}

/// One client's connection and its counterpart at the server.
struct Relay {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    /// How many seconds the clock of this session is ahead.
    clock: i64,
    /// Bytes of the server that the client has not received yet.
    answer: Vec<u8>,
    /// By how much the numbers of the server's packets are too low for the client, which counts those of a COMMIT as well.
    shift: u8,
    /// The SQL text whose preparation the server has not answered yet.
    preparing: Option<String>,
    prepared: HashMap<[u8; 4], String>,
}

impl Relay {
    /// Forwards in both directions until one side ends or a rule cuts. Both reads may be
    /// cancelled at any time without a loss, which is what `select!` does to the slower one.
    async fn run(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
        let upstream = *lock(&shared.upstream);
        let server = TcpStream::connect(upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut relay = Self {
            client,
            server,
            shared,
            clock: 0,
            answer: Vec::with_capacity(BUFFER),
            shift: 0,
            preparing: None,
            prepared: HashMap::new(),
        };
        let mut received = Vec::with_capacity(BUFFER);
        loop {
            let length = tokio::select! {
                biased;
                length = relay.server.read_buf(&mut relay.answer) => length?,
                length = relay.client.read_buf(&mut received) => length?,
            };
            if length == 0 {
                return Ok(());
            }
            relay.speak().await;
            relay.deliver().await?;
            while let Some(packets) = take_command(&mut received) {
                relay.on_command(&packets).await?;
            }
        }
    }

    /// Waits while the database is frozen.
    async fn speak(&self) {
        let mut silent = self.shared.silent.subscribe();
        let spoken = silent.wait_for(|silent| !silent).await;
        drop(spoken);
    }

    /// Passes the server's bytes on, after having taken the statement's id from them if they
    /// answer a preparation.
    async fn deliver(&mut self) -> io::Result<()> {
        if self.preparing.is_some() {
            let start = self.answer.get(PACKET_HEADER..PACKET_HEADER + 5);
            let Some(&[status, a, b, c, d]) = start else {
                return Ok(());
            };
            if let (0, Some(text)) = (status, self.preparing.take()) {
                self.prepared.insert([a, b, c, d], text);
            }
        }
        let whole = if self.shift == 0 { self.answer.len() } else { renumber(&mut self.answer, self.shift) };
        self.client.write_all(&self.answer[..whole]).await?;
        self.answer.drain(..whole);
        Ok(())
    }

    /// Handles the client's packets as the rules demand. An error ends the connection.
    async fn on_command(&mut self, packets: &[u8]) -> io::Result<()> {
        let statement = self.statement(packets);
        if statement.is_some() {
            self.set_clock().await?;
            lock(&self.shared.commands).push(packets.len());
        }
        self.shift = 0;
        let text = statement.as_deref().unwrap_or_default();
        match text.split_once(THEN_COMMIT).filter(|_| text.starts_with(TELL_AND)) {
            Some((told, read)) => self.commit_and(Some(told), read.strip_prefix(";\n")).await,
            None if text.starts_with(COMMIT_AND) => self.commit_and(None, text.strip_prefix(COMMIT_AND)).await,
            None => self.on_statement(packets, statement).await,
        }
    }

    /// Handles a COMMIT with what travels with it, one after the other.
    async fn commit_and(&mut self, told: Option<&str>, read: Option<&str>) -> io::Result<()> {
        if let Some(told) = told {
            if !self.part(told, true).await? {
                return Ok(());
            }
            self.shift = 1;
        }
        if self.part("COMMIT", read.is_some()).await?
            && let Some(read) = read
        {
            self.shift += 1;
            return self.on_statement(&command(read), Some(read.to_owned())).await;
        }
        Ok(())
    }

    /// Handles a statement without rows that others may follow in the same command. Returns false when they do not run.
    async fn part(&mut self, text: &str, more: bool) -> io::Result<bool> {
        let statement = command(text);
        let strike = self.shared.strike(text);
        match strike.as_ref().map(|strike| strike.action) {
            None | Some(Action::PauseAfter | Action::CutAfter) => {}
            Some(Action::PauseBefore) => strike.as_ref().expect("a rule applies").hit().await,
            Some(_) => return self.act(&statement, strike.expect("a rule applies")).await.map(|()| false),
        }
        self.server.write_all(&statement).await?;
        let mut answer = self.read_packet().await?;
        if let Some(strike) = strike.filter(|strike| !matches!(strike.action, Action::PauseBefore)) {
            strike.hit().await;
            if matches!(strike.action, Action::CutAfter) {
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
        answer[3] += self.shift;
        // the server runs no statement behind one that failed
        let is_ok = answer[PACKET_HEADER] == OK;
        if is_ok && more {
            let flags = flags(&answer);
            answer[flags] |= MORE_RESULTS;
        }
        self.client.write_all(&answer).await?;
        Ok(is_ok)
    }

    /// Reads one packet of the server.
    async fn read_packet(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = vec![0; PACKET_HEADER];
        self.server.read_exact(&mut packet).await?;
        let length = usize::from(u16::from_le_bytes([packet[0], packet[1]]));
        packet.resize(PACKET_HEADER + length, 0);
        self.server.read_exact(&mut packet[PACKET_HEADER..]).await?;
        Ok(packet)
    }

    /// Handles the packets of one statement as the rules demand.
    async fn on_statement(&mut self, packets: &[u8], statement: Option<String>) -> io::Result<()> {
        let Some(strike) = statement.and_then(|statement| self.shared.strike(&statement)) else {
            return self.server.write_all(packets).await;
        };
        self.act(packets, strike).await
    }

    /// Applies a rule to the packets of a statement.
    async fn act(&mut self, packets: &[u8], strike: Strike) -> io::Result<()> {
        if matches!(strike.action, Action::PauseAfter | Action::CutAfter) {
            self.server.write_all(packets).await?;
            if self.server.read_buf(&mut self.answer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        strike.hit().await;
        match strike.action {
            Action::PauseBefore => self.server.write_all(packets).await,
            Action::PauseAfter => self.deliver().await,
            Action::CutBefore | Action::CutAfter => Err(ErrorKind::ConnectionAborted.into()),
            Action::Error(code, state, message) => {
                let error = error_packet(packets, self.shift, code, state, message);
                self.client.write_all(&error).await
            }
            Action::Blackhole => {
                let swallowed = copy(&mut self.client, &mut sink()).await;
                swallowed.and(Err(ErrorKind::ConnectionAborted.into()))
            }
            Action::Partition => {
                let swallowed = copy(&mut self.client, &mut sink()).await;
                wait_for(&strike.progress, |progress| progress.withdrawn).await;
                swallowed.and(Err(ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    /// Sets the clock of the session, which stands still from then on and is therefore set before every command.
    async fn set_clock(&mut self) -> io::Result<()> {
        let seconds = self.shared.clock.load(Ordering::SeqCst);
        if seconds == 0 && self.clock == 0 {
            return Ok(());
        }
        let clock = if seconds == 0 { "DEFAULT".into() } else { format!("UNIX_TIMESTAMP(SYSDATE(6)) + {seconds}") };
        let statement = format!("SET timestamp = {clock}");
        self.server.write_all(&command(&statement)).await?;
        let answer = self.read_packet().await?;
        assert_eq!(answer.get(PACKET_HEADER), Some(&OK), "{}", String::from_utf8_lossy(&answer));
        self.clock = seconds;
        Ok(())
    }

    /// Returns the SQL text that the packets execute, if any, and keeps track of prepared statements.
    fn statement(&mut self, packets: &[u8]) -> Option<String> {
        let payload = payload(packets);
        let (command, body) = payload.split_first().filter(|_| packets[3] == 0)?;
        let id = body.first_chunk::<4>();
        let text = || String::from_utf8_lossy(body).into_owned();
        match *command {
            COM_QUERY => return Some(text()),
            COM_STMT_EXECUTE => return self.prepared.get(id?).cloned(),
            COM_STMT_PREPARE => self.preparing = Some(text()),
            COM_STMT_CLOSE => drop(self.prepared.remove(id?)),
            _ => {}
        }
        None
    }
}

/// Returns where the flags of an OK begin: behind the rows changed and the last id, whose first bytes say how long they are.
fn flags(answer: &[u8]) -> usize {
    let behind = |place: usize| {
        place
            + match answer[place] {
                0xfc => 3,
                0xfd => 4,
                0xfe => 9,
                _ => 1,
            }
    };
    behind(behind(PACKET_HEADER + 1))
}

/// Builds the packet of a query.
fn command(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len() + 1).expect("a short statement");
    let [a, b, c, _] = length.to_le_bytes();
    [&[a, b, c, 0, COM_QUERY], text.as_bytes()].concat()
}

/// Adds `shift` to the numbers of the packets that are complete, and returns how long they are together.
fn renumber(bytes: &mut [u8], shift: u8) -> usize {
    let mut end = 0;
    while let Some(&[a, b, c, _]) = bytes[end..].first_chunk::<PACKET_HEADER>() {
        let next = end + PACKET_HEADER + u32::from_le_bytes([a, b, c, 0]) as usize;
        if next > bytes.len() {
            break;
        }
        bytes[end + 3] = bytes[end + 3].wrapping_add(shift);
        end = next;
    }
    end
}

/// Takes the first command off the bytes, in all of its packets, once it is complete.
fn take_command(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut end = 0;
    loop {
        let &[a, b, c, _sequence] = received.get(end..)?.first_chunk::<PACKET_HEADER>()?;
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        end += PACKET_HEADER + length;
        if length < LONGEST_PACKET {
            return (end <= received.len()).then(|| received.drain(..end).collect());
        }
    }
}

/// Joins the payloads of one command's packets: all but the last one have the maximum length.
fn payload(packets: &[u8]) -> Vec<u8> {
    let packets = packets.chunks(PACKET_HEADER + LONGEST_PACKET);
    let payloads: Vec<&[u8]> = packets.map(|packet| &packet[PACKET_HEADER..]).collect();
    payloads.concat()
}

/// Builds the packet that answers a command with an error; its number follows those of the command.
fn error_packet(packets: &[u8], shift: u8, code: u16, state: &str, message: &str) -> Vec<u8> {
    let [low, high] = code.to_le_bytes();
    let body = [&[0xff, low, high, b'#'], state.as_bytes(), message.as_bytes()].concat();
    let length = u32::try_from(body.len()).expect("an error message is short");
    let [a, b, c, _] = length.to_le_bytes();
    let sequence = u8::try_from(packets.len() / (PACKET_HEADER + LONGEST_PACKET) + 1);
    let sequence = sequence.expect("a command has few packets") + shift;
    [&[a, b, c, sequence], &body[..]].concat()
}
