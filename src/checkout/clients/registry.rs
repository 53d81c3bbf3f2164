//! The clients that may call, in memory: read again every second, so that a request costs a hash and a look-up, and a token that is
//! revoked, by whatever means, is dead within a second on every instance.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use tracing::{error, warn};

use crate::db::tables::clients::{self, LiveRow};
use crate::db::{Database, Lone};
use crate::domain::{Client, PublicKey, Role, TokenDigest};
use crate::telemetry::Throttle;

/// How long what was read counts while it cannot be read again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// How long a read may take.
const READ_LIMIT: Duration = Duration::from_secs(1);
/// The most rows that are read: a live client has one for each of its keys, and at least one.
const MOST_ROWS: usize = 40_000;

/// The clients were not read yet, or not for so long that they may have been revoked since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clients are not known")]
pub struct NotKnown;

/// The registry of one instance.
pub struct Registry {
    /// A connection of its own: in the pool, a read would wait exactly while an attack fills it.
    connection: Lone,
    /// The pool, for a server that accepts no connection beside those of the pool.
    pool: Database,
    /// One read at a time, so that no older one replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    known: RwLock<Option<Arc<Known>>>,
    /// Bounds the log of clients that are left out.
    left_out: Throttle,
}

/// What one read has shown.
struct Known {
    /// When the read began.
    at: Instant,
    by_token: HashMap<[u8; 16], (TokenDigest, Arc<Client>)>,
    /// The storefronts that have keys.
    signers: HashMap<String, Signer>,
    has_admin: bool,
}

struct Signer {
    client: Arc<Client>,
    keys: Vec<(String, PublicKey)>,
}

impl Registry {
    /// Creates a registry that knows nothing yet.
    pub(crate) fn new(pool: Database) -> Self {
        Self {
            connection: pool.lone(),
            pool,
            reading: tokio::sync::Mutex::default(),
            known: RwLock::default(),
            left_out: Throttle::lasting(),
        }
    }

    /// Reads all live clients.
    ///
    /// # Errors
    /// Why they could not be read; what was known stays.
    pub(crate) async fn read(&self) -> Result<(), String> {
        let _reading = self.reading.lock().await;
        let at = Instant::now();
        let rows = self.read_rows().await?;
        if rows.len() >= MOST_ROWS && self.left_out.count(at.into_std()).is_some() {
            error!(rows = rows.len(), "there are too many clients: those with the greatest ids are refused");
        }
        let known = Arc::new(self.known_of(at, rows));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }

    /// Reads outside the pool, unless the server accepts no further connection. The first connection is the pool's: where the server
    /// accepts one only, requests need it.
    async fn read_rows(&self) -> Result<Vec<LiveRow>, String> {
        if self.pool.connections().0 > 0 {
            let read = self.connection.read(READ_LIMIT, |tx| clients::list_live(tx, MOST_ROWS).boxed());
            if let Ok(rows) = read.await {
                return Ok(rows);
            }
        }
        let read = self.pool.read("clients.list_live", |tx| clients::list_live(tx, MOST_ROWS).boxed());
        let late = |_| "the database does not answer".to_owned();
        timeout(READ_LIMIT, read).await.map_err(late)?.map_err(|error| error.to_string())
    }

    fn known_of(&self, at: Instant, rows: Vec<LiveRow>) -> Known {
        let mut known = Known { at, by_token: HashMap::new(), signers: HashMap::new(), has_admin: false };
        let mut last: Option<Arc<Client>> = None;
        for LiveRow { id, name, role, digests, key } in rows {
            let Some(role) = role else {
                if self.left_out.count(at.into_std()).is_some() {
                    warn!(client = name, "a client has a role that this version does not know; it is refused");
                }
                continue;
            };
            let client = match last.take().filter(|last| last.id == id) {
                Some(client) => client,
                None => Arc::new(Client { id, name, role }),
            };
            for digest in digests {
                known.by_token.insert(digest.handle(), (digest, Arc::clone(&client)));
            }
            known.has_admin |= role == Role::Admin;
            if let Some(key) = key.filter(|_| role == Role::Storefront) {
                let signer = Signer { client: Arc::clone(&client), keys: Vec::new() };
                known.signers.entry(client.name.clone()).or_insert(signer).keys.push(key);
            }
            last = Some(client);
        }
        known
    }

    /// Returns what was read within [`KNOWN_FOR`] before `now`.
    fn known(&self, now: Instant) -> Result<Arc<Known>, NotKnown> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|known| now.saturating_duration_since(known.at) < KNOWN_FOR).ok_or(NotKnown)
    }

    /// Returns whether tokens can be checked at `now`.
    pub fn is_known(&self, now: Instant) -> bool {
        self.known(now).is_ok()
    }

    /// Returns the live client with this token.
    ///
    /// # Errors
    /// [`NotKnown`].
    pub fn find(&self, token: &TokenDigest, now: Instant) -> Result<Option<Arc<Client>>, NotKnown> {
        let known = self.known(now)?;
        let found = known.by_token.get(&token.handle());
        Ok(found.filter(|(digest, _)| digest.matches(token)).map(|(_, client)| Arc::clone(client)))
    }

    /// Returns the live storefront of this name, with its key of this `kid`.
    ///
    /// # Errors
    /// [`NotKnown`].
    pub fn find_key(&self, name: &str, kid: &str, now: Instant) -> Result<Option<(Arc<Client>, PublicKey)>, NotKnown> {
        let known = self.known(now)?;
        let Some(signer) = known.signers.get(name) else { return Ok(None) };
        let key = signer.keys.iter().find(|(own, _)| own == kid);
        Ok(key.map(|&(_, key)| (Arc::clone(&signer.client), key)))
    }

    /// Returns whether a client may act as an operator, as far as is known.
    pub fn has_admin(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|known| known.has_admin)
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::pool;
    use crate::domain::ClientToken;

    fn registry() -> Registry {
        let options = pool::options("mysql://127.0.0.1/nothing").expect("a URL");
        Registry::new(Database::new(options, 1))
    }

    fn row(id: i64, role: Option<Role>, token: &ClientToken, key: Option<(String, PublicKey)>) -> LiveRow {
        LiveRow { id, name: format!("client-{id}"), role, digests: vec![token.digest()], key }
    }

    fn learn(registry: &Registry, at: Instant, rows: Vec<LiveRow>) {
        let known = Arc::new(registry.known_of(at, rows));
        *registry.known.write().expect("no panic") = Some(known);
    }

    #[test]
    fn a_token_goes_on_for_a_minute_after_the_last_read_and_no_longer() {
        let (registry, token, at) = (registry(), ClientToken::mint(Role::Storefront), Instant::now());
        assert_eq!(registry.find(&token.digest(), at), Err(NotKnown), "nothing was read yet");
        learn(&registry, at, vec![row(1, Some(Role::Storefront), &token, None)]);
        let found = |seconds| {
            let found = registry.find(&token.digest(), at + Duration::from_secs(seconds));
            found.map(|client| client.map(|client| client.id))
        };
        assert_eq!([0, 59, 60, 3600].map(found), [Ok(Some(1)), Ok(Some(1)), Err(NotKnown), Err(NotKnown)]);
        let key = |seconds| registry.find_key("client-1", "k", at + Duration::from_secs(seconds));
        assert_eq!((key(59), key(60)), (Ok(None), Err(NotKnown)));
        assert!(registry.is_known(at) && !registry.is_known(at + KNOWN_FOR));
        learn(&registry, at + KNOWN_FOR, Vec::new());
        assert_eq!(found(60), Ok(None), "the next read counts alone");
    }

    #[test]
    fn a_key_is_looked_up_among_those_of_the_named_storefront_alone() {
        let (registry, at) = (registry(), Instant::now());
        let token = || ClientToken::mint(Role::Storefront);
        let key = |byte: u8, kid: &str| Some((kid.to_owned(), PublicKey::stored(&[byte; 32]).expect("32 bytes")));
        let storefront = Some(Role::Storefront);
        let (own, unknown) = (token(), token());
        learn(
            &registry,
            at,
            vec![
                row(1, storefront, &own, key(1, "a")),
                row(1, storefront, &own, key(2, "b")),
                row(2, storefront, &token(), key(3, "a")),
                row(3, Some(Role::Gate), &token(), key(4, "a")),
                row(4, None, &unknown, key(5, "a")),
            ],
        );
        let found = |name: &str, kid: &str| {
            let found = registry.find_key(name, kid, at).expect("it is known");
            found.map(|(client, key)| (client.id, key.bytes()[0]))
        };
        assert_eq!([found("client-1", "a"), found("client-1", "b")], [Some((1, 1)), Some((1, 2))]);
        assert_eq!([found("client-2", "a"), found("client-2", "b")], [Some((2, 3)), None]);
        assert_eq!([found("client-3", "a"), found("client-4", "a"), found("client-5", "a")], [None; 3]);
        assert_eq!(registry.find(&unknown.digest(), at), Ok(None), "a role of a newer version");
        assert!(!registry.has_admin());
    }
}
