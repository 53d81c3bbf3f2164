//! A proxy between the service and its database that forces races and faults.
//!
//! It reads the client's half of the MySQL protocol, so that a test can say "hold this COMMIT
//! back", "lose the answer of this UPDATE" or "answer this SELECT with a deadlock". Nothing here
//! sleeps: a test waits for [`Handle::reached`] and orders events with [`Handle::release`].
//!
//! It relies on what `mysql_async` does: one command at a time, no TLS, no compression, no query
//! attributes. The login needs no special care: a command is a packet numbered 0, and in a login
//! the server speaks first, so the client's packets are numbered from 1.

mod relay;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use self::relay::listen;

/// How long a test waits for a command that a rule matches.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// The length of each command with statements, in bytes.
    commands: Mutex<Vec<usize>>,
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
            commands: Mutex::default(),
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

    /// The lengths in bytes of the commands seen so far that carried statements: each is one round trip.
    pub(crate) fn trips(&self) -> Vec<usize> {
        lock(&self.shared.commands).clone()
    }

    /// Forgets the statements seen so far; the rules stay.
    pub(crate) fn clear(&self) {
        lock(&self.shared.commands).clear();
        lock(&self.shared.statements).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        lock(&self.shared.connections).take();
    }
}
