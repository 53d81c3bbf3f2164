//! A proxy between the service and its database that forces races and faults.
//!
//! It reads the client's half of the MySQL protocol, so that a test can say "hold this COMMIT
//! back", "lose the answer of this UPDATE" or "answer this SELECT with a deadlock". Nothing here
//! sleeps: a test waits for [`Handle::reached`] and orders events with [`Handle::release`].
//!
//! It relies on what `mysql_async` does: one command at a time, no TLS, no compression, no query
//! attributes. The login needs no special care: a command is a packet numbered 0, and in a login
//! the server speaks first, so the client's packets are numbered from 1.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
const PACKET_HEADER: usize = 4;
/// A packet this long is continued by the next one.
const LONGEST_PACKET: usize = 0x00ff_ffff;
/// How long a test waits for a command that a rule matches.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much is read at a time; without it, a `Vec` would offer 64 bytes.
const BUFFER: usize = 64 * 1024;

/// The action on a command that a [`Rule`] matches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// The command is held back until it is released; the server has not seen it.
    PauseBefore,
    /// The server executes the command; its answer is held back until it is released.
    PauseAfter,
    /// The connection is closed; the server never sees the command, and rolls the transaction
    /// back once it notices the end, which may be a moment after the client does.
    CutBefore,
    /// The server executes the command; instead of its answer, the client sees the connection end.
    CutAfter,
    /// The client gets this error (code, SQLSTATE, message); the server never sees the command.
    /// A real 1213 rolls the transaction back, this one does not: its locks stay until the client
    /// sends a ROLLBACK or disconnects.
    Error(u16, &'static str, &'static str),
    /// The connection stays open, but neither this command nor any later one on it is forwarded
    /// or answered; the server's transaction stays open until the client closes the connection.
    Blackhole,
    /// Like [`Action::Blackhole`], but the server does not learn either that the client has closed
    /// the connection, as long as the handle lives.
    Partition,
}

impl Action {
    /// The error that the victim of a deadlock gets.
    pub(crate) const DEADLOCK: Self = Self::Error(1213, "40001", "Deadlock found");
}

/// Which commands an [`Action`] applies to: queries, and executions (not preparations) of
/// prepared statements, by their SQL text. By default, a rule applies once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    text: String,
    whole: bool,
    skip: usize,
    budget: usize,
}

impl Rule {
    /// Matches this SQL text and no longer one. `COMMIT` needs this, because it is also a part of
    /// `SET TRANSACTION ISOLATION LEVEL READ COMMITTED`.
    pub(crate) fn exactly(text: &str) -> Self {
        let mut rule = Self::from(text);
        rule.whole = true;
        rule
    }

    /// The rule skips this many matches first.
    pub(crate) fn skip(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// The rule applies to this many matches.
    pub(crate) fn times(self, budget: usize) -> Self {
        Self { budget, ..self }
    }

    /// The rule applies to every match.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn matches(&self, statement: &str) -> bool {
        statement == self.text || (!self.whole && statement.contains(&self.text))
    }
}

/// Matches every SQL text that contains this one.
impl From<&str> for Rule {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), whole: false, skip: 0, budget: 1 }
    }
}

/// How far a rule has come; shared by the rule and its handle.
#[derive(Debug, Default)]
struct Progress {
    hits: usize,
    released: usize,
    withdrawn: bool,
}

/// The test's end of a rule. Dropping it withdraws the rule and releases what it holds back.
#[must_use = "dropping the handle withdraws the rule at once"]
#[derive(Debug)]
pub(crate) struct Handle(watch::Sender<Progress>);

impl Handle {
    /// How many commands the rule has acted on. A pause counts when the command is held back, so
    /// after the server's answer has arrived in the case of [`Action::PauseAfter`].
    pub(crate) fn hits(&self) -> usize {
        self.0.borrow().hits
    }

    /// Waits until the rule has acted on a command.
    pub(crate) async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until the rule has acted on that many commands; fails the test when they do not come.
    pub(crate) async fn reached_by(&self, commands: usize) {
        let reached = wait_for(&self.0, |progress| progress.hits >= commands);
        let waited = tokio::time::timeout(PATIENCE, reached).await;
        assert!(waited.is_ok(), "the rule was to act on {commands} commands and acted on {}", self.hits());
    }

    /// Lets the command go on that has been held back for the longest time, or the next one to
    /// come if there is none.
    pub(crate) fn release(&self) {
        self.0.send_modify(|progress| progress.released += 1);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.withdrawn = true);
    }
}

async fn wait_for(progress: &watch::Sender<Progress>, reached: impl FnMut(&Progress) -> bool) {
    let mut changes = progress.subscribe();
    let waited = changes.wait_for(reached).await;
    waited.expect("the borrowed sender keeps the channel open");
}

/// The action of a rule, and the progress that it records.
#[derive(Clone)]
struct Strike {
    action: Action,
    progress: watch::Sender<Progress>,
}

impl Strike {
    /// Records the hit and, for a pause, waits for the release of as many hits.
    async fn hit(&self) {
        let mut place = 0;
        self.progress.send_modify(|progress| {
            progress.hits += 1;
            place = progress.hits;
        });
        if matches!(self.action, Action::PauseBefore | Action::PauseAfter) {
            let passed = |progress: &Progress| progress.withdrawn || progress.released >= place;
            wait_for(&self.progress, passed).await;
        }
    }
}

/// The state that the connections and the test share.
struct Shared {
    upstream: Mutex<SocketAddr>,
    rules: Mutex<Vec<(Rule, Strike)>>,
    statements: Mutex<Vec<String>>,
    /// None while connections are refused.
    connections: Mutex<Option<JoinSet<()>>>,
    /// Whether nothing is passed on, in either direction.
    silent: watch::Sender<bool>,
    /// How many connections were made, those that were refused included.
    connects: AtomicUsize,
    /// How many seconds the server's clock is ahead for connections through the proxy.
    clock: AtomicI64,
}

impl Shared {
    /// Logs the statement and takes one hit from the first rule for it that has any left.
    fn strike(&self, statement: &str) -> Option<Strike> {
        lock(&self.statements).push(statement.to_owned());
        let mut rules = lock(&self.rules);
        rules.retain(|(rule, strike)| rule.budget > 0 && !strike.progress.borrow().withdrawn);
        for (rule, strike) in rules.iter_mut().filter(|(rule, _)| rule.matches(statement)) {
            if rule.skip == 0 {
                rule.budget -= 1;
                return Some(strike.clone());
            }
            rule.skip -= 1;
        }
        None
    }
}

/// Locks also a poisoned mutex: a failed test must not hide its message behind a second panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy in front of one database server. Dropping it closes every connection through it.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

impl Proxy {
    /// Listens on a port of its own and forwards to that server.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("the proxy gets a port");
        let address = listener.local_addr().expect("the proxy knows its port");
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            rules: Mutex::default(),
            statements: Mutex::default(),
            connections: Mutex::new(Some(JoinSet::new())),
            silent: watch::Sender::new(false),
            connects: AtomicUsize::new(0),
            clock: AtomicI64::new(0),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, listening }
    }

    /// Returns the database URL through the proxy. It ends in `prefer_socket=false`, because
    /// `mysql_async` asks a server on a loopback address for its Unix socket and, where it can
    /// open that, silently goes on there and bypasses the proxy.
    pub(crate) fn url(&self, database_url: &str) -> String {
        let parts = database_url.split_once("://");
        let (scheme, rest) = parts.expect("a database URL has a scheme");
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let user = authority.rfind('@').map_or("", |at| &authority[..=at]);
        let separator = if path.contains('?') { '&' } else { '?' };
        let address = self.address;
        format!("{scheme}://{user}{address}{path}{separator}prefer_socket=false")
    }

    /// Adds a rule; of several that match, the one added first and not used up applies.
    pub(crate) fn on(&self, rule: impl Into<Rule>, action: Action) -> Handle {
        let progress = watch::Sender::<Progress>::default();
        let handle = Handle(progress.clone());
        lock(&self.shared.rules).push((rule.into(), Strike { action, progress }));
        handle
    }

    /// Makes the database unavailable: cuts every connection and closes new ones before the
    /// greeting. On return, the sockets are closed.
    pub(crate) async fn refuse(&self) {
        let open = lock(&self.shared.connections).take();
        open.unwrap_or_default().shutdown().await;
    }

    /// Makes the database available again for new connections.
    pub(crate) fn accept(&self) {
        lock(&self.shared.connections).get_or_insert_default();
    }

    /// Sends new connections to this server, as a load balancer may.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = upstream;
    }

    /// How many connections were made so far, those that were refused included.
    pub(crate) fn connects(&self) -> usize {
        self.shared.connects.load(Ordering::Relaxed)
    }

    /// Freezes the database: connections stay open and new ones are accepted, but nothing is passed on.
    pub(crate) fn freeze(&self) {
        self.shared.silent.send_replace(true);
    }

    /// Lets the database go on where it was frozen.
    pub(crate) fn thaw(&self) {
        self.shared.silent.send_replace(false);
    }

    /// Puts the server's clock forward by so many seconds, or back, for every statement that is sent from now on.
    pub(crate) fn set_clock(&self, seconds: i64) {
        self.shared.clock.store(seconds, Ordering::SeqCst);
    }

    /// The SQL texts seen so far, in order, whether or not a rule applied: queries, and one for
    /// each execution of a prepared statement. `mysql_async` adds a `SELECT @@...` of its own to
    /// every new connection and sends transactions as text (`START TRANSACTION`, `COMMIT`).
    pub(crate) fn statements(&self) -> Vec<String> {
        lock(&self.shared.statements).clone()
    }

    /// Forgets the statements seen so far; the rules stay.
    pub(crate) fn clear(&self) {
        lock(&self.shared.statements).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        lock(&self.shared.connections).take();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
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
        self.client.write_all(&self.answer).await?;
        self.answer.clear();
        Ok(())
    }

    /// Handles the client's packets as the rules demand. An error ends the connection.
    async fn on_command(&mut self, packets: &[u8]) -> io::Result<()> {
        let statement = self.statement(packets);
        if statement.is_some() {
            self.set_clock().await?;
        }
        let Some(strike) = statement.and_then(|statement| self.shared.strike(&statement)) else {
            return self.server.write_all(packets).await;
        };
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
                let error = error_packet(packets, code, state, message);
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
        let length = u8::try_from(statement.len() + 1).expect("a short statement");
        self.server.write_all(&[&[length, 0, 0, 0, COM_QUERY], statement.as_bytes()].concat()).await?;
        let mut header = [0; PACKET_HEADER];
        self.server.read_exact(&mut header).await?;
        let mut answer = vec![0; usize::from(u16::from_le_bytes([header[0], header[1]]))];
        self.server.read_exact(&mut answer).await?;
        assert_eq!(answer.first(), Some(&0), "{}", String::from_utf8_lossy(&answer));
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
fn error_packet(packets: &[u8], code: u16, state: &str, message: &str) -> Vec<u8> {
    let [low, high] = code.to_le_bytes();
    let body = [&[0xff, low, high, b'#'], state.as_bytes(), message.as_bytes()].concat();
    let length = u32::try_from(body.len()).expect("an error message is short");
    let [a, b, c, _] = length.to_le_bytes();
    let sequence = u8::try_from(packets.len() / (PACKET_HEADER + LONGEST_PACKET) + 1);
    let sequence = sequence.expect("a command has few packets");
    [&[a, b, c, sequence], &body[..]].concat()
}
