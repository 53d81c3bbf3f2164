//! Clients: who may call. Operators add, rotate and revoke them; every change is in a trail with the operator's name.
//!
//! Each change is one transaction that begins with the client's row, so that changes of a client happen one after another. Its id is
//! made before: after a COMMIT without an answer, the trail tells whether the change was made.

pub mod registry;

use std::collections::HashMap;

use futures_util::FutureExt as _;
use tracing::info;
use uuid::Uuid;

use self::registry::Registry;
use crate::checkout::endpoints::disable_of_client;
use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
pub use crate::db::tables::client_keys::KeyRow;
use crate::db::tables::client_trail::{self, Change};
pub use crate::db::tables::client_trail::{ClientAction, ClientTrailEntry};
pub use crate::db::tables::clients::ClientRow;
use crate::db::tables::{client_keys, clients, idempotency_keys};
use crate::db::{Failure, Tx};
use crate::domain::{ClientToken, Named as _, PublicKey, Refusal, Role, mint_id};

/// The most live keys of a client.
const MOST_KEYS: u32 = 4;
/// The most characters of a name and of a `kid`.
const MOST_CHARACTERS: usize = 64;
/// Names that stand for no client in trails.
const TAKEN_NAMES: [&str; 2] = ["operator", COMMAND_LINE];
/// The operator's name in the trail of a change from the command line.
pub const COMMAND_LINE: &str = "command-line";

/// A client with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// The client.
    pub client: ClientRow,
    /// The keys of its buyers' tokens, by name.
    pub keys: Vec<KeyRow>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct ClientPage<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The id behind which the next page begins; `None` on the last page.
    pub next_after: Option<i64>,
}

impl Checkout {
    /// Adds a client. Its token is returned once, and stored nowhere.
    ///
    /// # Errors
    /// [`Refusal::InvalidClientName`], [`Refusal::ClientExists`].
    pub async fn add_client(&self, operator: &str, name: &str, role: Role) -> Result<(ClientFile, ClientToken), Error> {
        if !is_visible(name) || TAKEN_NAMES.contains(&name) {
            return Err(Refusal::InvalidClientName.into());
        }
        let (token, change) = (ClientToken::mint(role), change(operator, ClientAction::Added, role.as_str()));
        let digest = &token.digest();
        let added = self.database.transaction("clients.add", |tx| {
            let change = &change;
            async move {
                if let Some(done) = done_before(tx, change.id).await? {
                    return Ok(done);
                }
                if !clients::insert(tx, name, role, digest).await? {
                    return Err(Refusal::ClientExists.into());
                }
                let client_id = clients::find_id(tx, name).await?.ok_or(Failure::Raced("clients/find_id"))?;
                client_trail::insert(tx, client_id, change).await?;
                file(tx, client_id).await
            }
            .boxed()
        });
        let added = added.await?;
        self.changed(&added, &change).await;
        Ok((added, token))
    }

    /// Gives a client a new token, which is returned once. The last one stays live beside it, unless `end_old`; an older one ends.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`], [`Refusal::ClientRevoked`].
    pub async fn rotate_client(
        &self,
        operator: &str,
        client_id: i64,
        end_old: bool,
    ) -> Result<(ClientFile, ClientToken), Error> {
        let role = self.client(client_id).await?.client.role;
        let action = if end_old { ClientAction::Replaced } else { ClientAction::Rotated };
        let (token, change) = (ClientToken::mint(role), change(operator, action, ""));
        let digest = &token.digest();
        let rotated = self.database.transaction("clients.rotate", |tx| {
            let change = &change;
            async move {
                if let Some(done) = begin(tx, client_id, change.id).await? {
                    return Ok(done);
                }
                clients::rotate(tx, client_id, digest, end_old).await?;
                client_trail::insert(tx, client_id, change).await?;
                file(tx, client_id).await
            }
            .boxed()
        });
        let rotated = rotated.await?;
        self.changed(&rotated, &change).await;
        Ok((rotated, token))
    }

    /// Ends the older of two live tokens. A client with one token stays as it is.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`], [`Refusal::ClientRevoked`].
    pub async fn end_old_token(&self, operator: &str, client_id: i64) -> Result<ClientFile, Error> {
        let change = change(operator, ClientAction::OldEnded, "");
        let ended = self.database.transaction("clients.end_old", |tx| {
            let change = &change;
            async move {
                if let Some(done) = begin(tx, client_id, change.id).await? {
                    return Ok(done);
                }
                if clients::end_old(tx, client_id).await? {
                    client_trail::insert(tx, client_id, change).await?;
                }
                file(tx, client_id).await
            }
            .boxed()
        });
        let ended = ended.await?;
        self.changed(&ended, &change).await;
        Ok(ended)
    }

    /// Revokes a client for good, with its tokens and keys. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`].
    pub async fn revoke_client(&self, operator: &str, client_id: i64) -> Result<ClientFile, Error> {
        let change = change(operator, ClientAction::Revoked, "");
        let revoked = self.database.transaction("clients.revoke", |tx| {
            let change = &change;
            async move {
                match clients::revoke(tx, client_id).await? {
                    true => {
                        client_trail::insert(tx, client_id, change).await?;
                        disable_of_client(tx, operator, client_id).await?;
                    }
                    false => idempotency_keys::wait_for_disk(tx).await?,
                }
                file(tx, client_id).await
            }
            .boxed()
        });
        let revoked = revoked.await?;
        self.changed(&revoked, &change).await;
        Ok(revoked)
    }

    /// Adds the public half of a key with which a storefront signs tokens for its buyers. A key that it has stays as it is.
    ///
    /// # Errors
    /// [`Refusal::InvalidKid`], [`Refusal::InvalidPublicKey`], [`Refusal::ClientNotFound`], [`Refusal::ClientRevoked`];
    /// [`Refusal::NotAStorefront`]; [`Refusal::ClientKeyExists`] when another key has this name; [`Refusal::TooManyClientKeys`].
    pub async fn add_client_key(
        &self,
        operator: &str,
        client_id: i64,
        kid: &str,
        public_key: &str,
    ) -> Result<ClientFile, Error> {
        if !is_visible(kid) {
            return Err(Refusal::InvalidKid.into());
        }
        let public_key = &PublicKey::parse(public_key).ok_or(Refusal::InvalidPublicKey)?;
        let change = change(operator, ClientAction::KeyAdded, kid);
        let added = self.database.transaction("clients.add_key", |tx| {
            let change = &change;
            async move {
                if let Some(done) = begin(tx, client_id, change.id).await? {
                    return Ok(done);
                }
                if add_key(tx, client_id, kid, public_key).await? {
                    client_trail::insert(tx, client_id, change).await?;
                }
                file(tx, client_id).await
            }
            .boxed()
        });
        let added = added.await?;
        self.changed(&added, &change).await;
        Ok(added)
    }

    /// Removes a key: tokens that it signed are dead.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`], [`Refusal::ClientRevoked`], [`Refusal::ClientKeyNotFound`].
    pub async fn remove_client_key(&self, operator: &str, client_id: i64, kid: &str) -> Result<ClientFile, Error> {
        // the database cannot compare other characters with a name
        if !is_visible(kid) {
            return Err(Refusal::ClientKeyNotFound.into());
        }
        let change = change(operator, ClientAction::KeyRemoved, kid);
        let removed = self.database.transaction("clients.remove_key", |tx| {
            let change = &change;
            async move {
                if let Some(done) = begin(tx, client_id, change.id).await? {
                    return Ok(done);
                }
                if !client_keys::delete(tx, client_id, kid).await? {
                    return Err(Refusal::ClientKeyNotFound.into());
                }
                client_trail::insert(tx, client_id, change).await?;
                file(tx, client_id).await
            }
            .boxed()
        });
        let removed = removed.await?;
        self.changed(&removed, &change).await;
        Ok(removed)
    }

    /// Returns a client with its keys.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`].
    pub async fn client(&self, client_id: i64) -> Result<ClientFile, Error> {
        Ok(self.database.read("clients.find", |tx| file(tx, client_id).boxed()).await?)
    }

    /// Returns the id of the client with this name.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`].
    pub async fn client_id(&self, name: &str) -> Result<i64, Error> {
        let found = self.database.read("clients.find_id", |tx| clients::find_id(tx, name).boxed()).await?;
        Ok(found.ok_or(Refusal::ClientNotFound)?)
    }

    /// Lists a page of clients, by id, also those that are revoked.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_clients(&self, after: i64, limit: u32) -> Result<ClientPage<ClientFile>, Error> {
        let read = self.database.read("clients.list", |tx| {
            async move {
                let found = clients::list(tx, after, limit + 1).await?;
                let page = page(found, limit, |client| client.id);
                let ids: Vec<i64> = page.items.iter().map(|client| client.id).collect();
                let mut keys: HashMap<i64, Vec<KeyRow>> = HashMap::new();
                for key in client_keys::list(tx, &ids).await? {
                    keys.entry(key.client_id).or_default().push(key);
                }
                let file = |client: ClientRow| ClientFile { keys: keys.remove(&client.id).unwrap_or_default(), client };
                Ok(ClientPage { items: page.items.into_iter().map(file).collect(), next_after: page.next_after })
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Lists a page of the changes of a client, the newest first. `before`: the id before which it begins.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`].
    pub async fn client_trail(
        &self,
        client_id: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<ClientPage<ClientTrailEntry>, Error> {
        let read = self.database.read("clients.list_trail", |tx| {
            async move {
                clients::find(tx, client_id).await?.ok_or(Refusal::ClientNotFound)?;
                let found = client_trail::list(tx, client_id, before.unwrap_or(i64::MAX), limit + 1).await?;
                Ok(page(found, limit, |entry| entry.id))
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Reads the live clients, by which tokens are checked.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was known goes on for a minute.
    pub async fn read_clients(&self) -> Result<(), Error> {
        // a frozen server counts every abandoned attempt to connect, and blocks this host after many
        if !self.database.is_available() {
            return Err(Error::Unavailable("the clients are not read during an outage".to_owned()));
        }
        self.clients.read().await.map_err(Error::Unavailable)
    }

    /// Returns the clients that may call, as this instance knows them.
    pub fn clients(&self) -> &Registry {
        &self.clients
    }

    /// Logs a change after its COMMIT, and makes it count on this instance at once.
    async fn changed(&self, file: &ClientFile, change: &Change<'_>) {
        let Change { operator, action, detail, .. } = change;
        info!(operator, client = file.client.name, action = action.as_str(), detail, "an operator changed a client");
        // the next read is due within a second anyway
        let _ = self.read_clients().await;
    }
}

fn is_visible(text: &str) -> bool {
    (1..=MOST_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn change<'a>(operator: &'a str, action: ClientAction, detail: &'a str) -> Change<'a> {
    Change { id: mint_id(), operator, action, detail }
}

/// Returns the client of a change that an earlier attempt has made, whose COMMIT had no answer.
async fn done_before(tx: &mut Tx<'_>, change_id: Uuid) -> Result<Option<ClientFile>, Failure> {
    if !tx.after_unknown() {
        return Ok(None);
    }
    match client_trail::find(tx, change_id).await? {
        Some(client_id) => file(tx, client_id).await.map(Some),
        None => Ok(None),
    }
}

/// Begins a change of a live client, whose row is locked from here on; or returns the client, changed by an earlier attempt.
async fn begin(tx: &mut Tx<'_>, client_id: i64, change_id: Uuid) -> Result<Option<ClientFile>, Failure> {
    if let Some(done) = done_before(tx, change_id).await? {
        return Ok(Some(done));
    }
    if clients::count_change(tx, client_id).await? {
        return Ok(None);
    }
    Err(match clients::find(tx, client_id).await? {
        Some(_) => Refusal::ClientRevoked.into(),
        None => Refusal::ClientNotFound.into(),
    })
}

/// Adds a key to a client whose row is locked. Returns false when it has exactly this key.
async fn add_key(tx: &mut Tx<'_>, client_id: i64, kid: &str, public_key: &PublicKey) -> Result<bool, Failure> {
    let client = clients::find(tx, client_id).await?.ok_or(Failure::Raced("clients/find"))?;
    if client.role != Role::Storefront {
        return Err(Refusal::NotAStorefront.into());
    }
    match client_keys::find(tx, client_id, kid).await? {
        Some(same) if same == *public_key => return Ok(false),
        Some(_) => return Err(Refusal::ClientKeyExists.into()),
        None => {}
    }
    match client_keys::insert(tx, client_id, kid, public_key, MOST_KEYS).await? {
        true => Ok(true),
        false => Err(Refusal::TooManyClientKeys.into()),
    }
}

async fn file(tx: &mut Tx<'_>, client_id: i64) -> Result<ClientFile, Failure> {
    let client = clients::find(tx, client_id).await?.ok_or(Refusal::ClientNotFound)?;
    let keys = client_keys::list(tx, &[client_id]).await?;
    Ok(ClientFile { client, keys })
}

/// Cuts a page from one more entry than it may have.
fn page<T>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> i64) -> ClientPage<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_after = items.last().filter(|_| more).map(id);
    ClientPage { items, next_after }
}
