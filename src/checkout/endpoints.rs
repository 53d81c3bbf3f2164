//! Endpoints: where events are pushed. Operators register, change and delete them; every change is in a trail with the operator's name.
//!
//! As with clients, a change is one transaction that begins with the endpoint's row, and its id is made before it: after a COMMIT
//! without an answer, the trail tells whether the change was made.

use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use crate::checkout::error::Error;
use crate::checkout::state::Checkout;
use crate::db::tables::endpoint_trail::{self, EndpointChange};
pub use crate::db::tables::endpoint_trail::{EndpointAction, EndpointTrailEntry};
pub use crate::db::tables::endpoints::{AttemptRow, EndpointRow, EndpointTerms, ReplayRow};
use crate::db::tables::{clients, endpoints, feed, idempotency_keys, push_cursors, push_failures};
use crate::db::{Failure, Tx};
use crate::domain::{
    Audience, DisabledReason, EndpointRefusal, EndpointSecret, EndpointUrl, FeedItem, FeedType, Missing, Named as _,
    Refusal, Role, mint_id,
};

/// The name of the worker that pushes, in trails. No client has it, since names have no spaces.
const PUSH_WORKER: &str = "push worker";

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Where events are pushed.
    pub url: EndpointUrl,
    /// The types of events that it wants; `None`: all.
    pub types: Option<Vec<FeedType>>,
    /// The client whose events it gets; `None`: those of all.
    pub client_id: Option<i64>,
    /// Whether events are pushed to it.
    pub is_enabled: bool,
}

/// What an operator changes; what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct EndpointPatch {
    /// Where events are pushed.
    pub url: Option<EndpointUrl>,
    /// The types of events that it wants; the inner `None`: all.
    pub types: Option<Option<Vec<FeedType>>>,
    /// Whether events are pushed to it.
    pub is_enabled: Option<bool>,
}

impl EndpointPatch {
    fn applied(&self, terms: &EndpointTerms) -> EndpointTerms {
        EndpointTerms {
            url: self.url.as_ref().map_or_else(|| terms.url.clone(), |url| url.as_str().to_owned()),
            types: self.types.as_ref().unwrap_or(&terms.types).clone(),
            is_enabled: self.is_enabled.unwrap_or(terms.is_enabled),
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct EndpointPage<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The id behind which the next page begins; `None` on the last page.
    pub next_after: Option<i64>,
}

impl<T> EndpointPage<T> {
    /// Cuts a page from one more entry than it may have.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> i64) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_after = items.last().filter(|_| more).map(id);
        Self { items, next_after }
    }
}

impl Checkout {
    /// Registers an endpoint. Its secret is returned once.
    ///
    /// # Errors
    /// [`Refusal::ClientNotFound`], [`Refusal::ClientRevoked`], [`EndpointRefusal::NotAStorefront`].
    pub async fn add_endpoint(
        &self,
        operator: &str,
        new: &NewEndpoint,
    ) -> Result<(EndpointRow, EndpointSecret), Error> {
        let NewEndpoint { url, types, client_id, is_enabled } = new;
        let terms = &EndpointTerms { url: url.as_str().to_owned(), types: types.clone(), is_enabled: *is_enabled };
        let (secret, change) = (&EndpointSecret::mint(), &change(operator, EndpointAction::Added));
        let mut detail = differing(terms, None);
        detail.insert("client_id".to_owned(), json!(client_id));
        let detail = &Value::from(detail).to_string();
        let added = self.database.transaction("endpoints.add", |tx| {
            async move {
                if let Some(done) = done_before(tx, change).await? {
                    return Ok(done);
                }
                if let Some(client_id) = client_id {
                    check_client(tx, *client_id).await?;
                }
                let endpoint_id = endpoints::insert(tx, terms, *client_id, secret).await?;
                let feed = feed::find(tx).await?;
                push_cursors::insert(tx, endpoint_id, feed).await?;
                endpoint_trail::insert(tx, endpoint_id, change, Some(detail)).await?;
                find(tx, endpoint_id).await
            }
            .boxed()
        });
        let added = added.await?;
        report(&added, change);
        Ok((added, secret.clone()))
    }

    /// Changes an endpoint. What it has already changes nothing.
    ///
    /// # Errors
    /// [`Missing::Endpoint`], [`EndpointRefusal::Deleted`].
    pub async fn change_endpoint(
        &self,
        operator: &str,
        endpoint_id: i64,
        patch: &EndpointPatch,
    ) -> Result<EndpointRow, Error> {
        let change = &change(operator, EndpointAction::Changed);
        let changed = self.database.transaction("endpoints.change", |tx| {
            async move {
                if let Some(done) = begin(tx, endpoint_id, change).await? {
                    return Ok(done);
                }
                let terms = find(tx, endpoint_id).await?.terms;
                let wanted = patch.applied(&terms);
                if wanted != terms {
                    endpoints::change(tx, endpoint_id, &wanted).await?;
                    if wanted.url != terms.url || wanted.is_enabled && !terms.is_enabled {
                        push_cursors::begin_anew(tx, endpoint_id).await?;
                    }
                    if wanted.is_enabled && !terms.is_enabled {
                        push_failures::make_due(tx, endpoint_id).await?;
                    }
                    let detail = Value::from(differing(&wanted, Some(&terms))).to_string();
                    endpoint_trail::insert(tx, endpoint_id, change, Some(&detail)).await?;
                }
                find(tx, endpoint_id).await
            }
            .boxed()
        });
        let changed = changed.await?;
        report(&changed, change);
        Ok(changed)
    }

    /// Gives an endpoint a new secret, which is returned once. The last one stays live beside it, unless `end_old`; an older one ends.
    ///
    /// # Errors
    /// [`Missing::Endpoint`], [`EndpointRefusal::Deleted`].
    pub async fn rotate_endpoint(
        &self,
        operator: &str,
        endpoint_id: i64,
        end_old: bool,
    ) -> Result<(EndpointRow, EndpointSecret), Error> {
        let action = if end_old { EndpointAction::Replaced } else { EndpointAction::Rotated };
        let (secret, change) = (&EndpointSecret::mint(), &change(operator, action));
        let rotated = self.database.transaction("endpoints.rotate", |tx| {
            async move {
                if let Some(done) = begin(tx, endpoint_id, change).await? {
                    return Ok(done);
                }
                endpoints::rotate(tx, endpoint_id, secret, end_old).await?;
                endpoint_trail::insert(tx, endpoint_id, change, None).await?;
                find(tx, endpoint_id).await
            }
            .boxed()
        });
        let rotated = rotated.await?;
        report(&rotated, change);
        Ok((rotated, secret.clone()))
    }

    /// Ends the older of two live secrets. An endpoint with one secret stays as it is.
    ///
    /// # Errors
    /// [`Missing::Endpoint`], [`EndpointRefusal::Deleted`].
    pub async fn end_old_secret(&self, operator: &str, endpoint_id: i64) -> Result<EndpointRow, Error> {
        let change = &change(operator, EndpointAction::OldEnded);
        let ended = self.database.transaction("endpoints.end_old", |tx| {
            async move {
                if let Some(done) = begin(tx, endpoint_id, change).await? {
                    return Ok(done);
                }
                if endpoints::end_old(tx, endpoint_id).await? {
                    endpoint_trail::insert(tx, endpoint_id, change, None).await?;
                }
                find(tx, endpoint_id).await
            }
            .boxed()
        });
        let ended = ended.await?;
        report(&ended, change);
        Ok(ended)
    }

    /// Deletes an endpoint and its secrets for good. Its trail stays; one that is deleted stays as it is.
    ///
    /// # Errors
    /// [`Missing::Endpoint`].
    pub async fn delete_endpoint(&self, operator: &str, endpoint_id: i64) -> Result<EndpointRow, Error> {
        let change = &change(operator, EndpointAction::Deleted);
        let deleted = self.database.transaction("endpoints.delete", |tx| {
            async move {
                match endpoints::mark_deleted(tx, endpoint_id).await? {
                    true => endpoint_trail::insert(tx, endpoint_id, change, None).await?,
                    false => idempotency_keys::wait_for_disk(tx).await?,
                }
                find(tx, endpoint_id).await
            }
            .boxed()
        });
        let deleted = deleted.await?;
        report(&deleted, change);
        Ok(deleted)
    }

    /// Finds an endpoint, also one that is deleted.
    ///
    /// # Errors
    /// [`Missing::Endpoint`].
    pub async fn endpoint(&self, endpoint_id: i64) -> Result<EndpointRow, Error> {
        Ok(self.database.read("endpoints.find", |tx| find(tx, endpoint_id).boxed()).await?)
    }

    /// Lists a page of endpoints, by id, also those that are deleted.
    ///
    /// # Errors
    /// As every read.
    pub async fn list_endpoints(&self, after: i64, limit: u32) -> Result<EndpointPage<EndpointRow>, Error> {
        let read = self.database.read("endpoints.list", |tx| endpoints::list(tx, after, limit + 1).boxed());
        Ok(EndpointPage::cut(read.await?, limit, |endpoint| endpoint.id))
    }

    /// Lists a page of the changes of an endpoint, the newest first. `before`: the id before which it begins.
    ///
    /// # Errors
    /// [`Missing::Endpoint`].
    pub async fn endpoint_trail(
        &self,
        endpoint_id: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<EndpointPage<EndpointTrailEntry>, Error> {
        let read = self.database.read("endpoints.list_trail", |tx| {
            async move {
                find(tx, endpoint_id).await?;
                let found = endpoint_trail::list(tx, endpoint_id, before.unwrap_or(i64::MAX), limit + 1).await?;
                Ok(EndpointPage::cut(found, limit, |entry| entry.id))
            }
            .boxed()
        });
        Ok(read.await?)
    }

    /// Disables an endpoint that has failed for too long. Returns false when it is disabled already.
    ///
    /// # Errors
    /// As every transaction.
    pub async fn disable_failing_endpoint(&self, endpoint_id: i64) -> Result<bool, Error> {
        let change = &change(PUSH_WORKER, EndpointAction::Disabled);
        let disabled = self.database.transaction("endpoints.disable", |tx| {
            async move {
                if done_before(tx, change).await?.is_some() {
                    return Ok(true);
                }
                disable(tx, endpoint_id, DisabledReason::Failing, change).await
            }
            .boxed()
        });
        let is_disabled = disabled.await?;
        if is_disabled {
            warn!(endpoint = endpoint_id, "an endpoint has failed for too long and is disabled");
        }
        Ok(is_disabled)
    }
}

pub(super) fn change(operator: &str, action: EndpointAction) -> EndpointChange<'_> {
    EndpointChange { id: mint_id(), operator, action }
}

/// Returns the new values for the trail: all, or those that differ from the earlier ones.
fn differing(terms: &EndpointTerms, from: Option<&EndpointTerms>) -> Map<String, Value> {
    let names = terms.types.as_ref().map(|types| types.iter().map(|known| known.as_str()).collect::<Vec<_>>());
    let mut values = Map::new();
    if from.is_none_or(|from| from.url != terms.url) {
        values.insert("url".to_owned(), json!(terms.url));
    }
    if from.is_none_or(|from| from.types != terms.types) {
        values.insert("types".to_owned(), json!(names));
    }
    if from.is_none_or(|from| from.is_enabled != terms.is_enabled) {
        values.insert("enabled".to_owned(), json!(terms.is_enabled));
    }
    values
}

/// Logs a change after its COMMIT, without the URL, which may have a token in it.
pub(super) fn report(endpoint: &EndpointRow, change: &EndpointChange<'_>) {
    let EndpointChange { operator, action, .. } = change;
    info!(operator, endpoint = endpoint.id, action = action.as_str(), "an operator changed an endpoint");
}

/// Returns the endpoint of a change that an earlier attempt has made, whose COMMIT had no answer.
async fn done_before(tx: &mut Tx<'_>, change: &EndpointChange<'_>) -> Result<Option<EndpointRow>, Failure> {
    if !tx.after_unknown() {
        return Ok(None);
    }
    match endpoint_trail::find(tx, change.id).await? {
        Some(endpoint_id) => find(tx, endpoint_id).await.map(Some),
        None => Ok(None),
    }
}

/// Begins a change of an endpoint, whose row is locked from here on; or returns the endpoint, changed by an earlier attempt.
pub(super) async fn begin(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    change: &EndpointChange<'_>,
) -> Result<Option<EndpointRow>, Failure> {
    if let Some(done) = done_before(tx, change).await? {
        return Ok(Some(done));
    }
    if endpoints::count_change(tx, endpoint_id).await? {
        return Ok(None);
    }
    find(tx, endpoint_id).await?;
    Err(Refusal::from(EndpointRefusal::Deleted).into())
}

pub(super) async fn find(tx: &mut Tx<'_>, endpoint_id: i64) -> Result<EndpointRow, Failure> {
    let found = endpoints::find(tx, endpoint_id).await?;
    found.ok_or_else(|| Refusal::Missing(Missing::Endpoint).into())
}

/// Disables an endpoint, and tells its client. Returns false when it is disabled already.
async fn disable(
    tx: &mut Tx<'_>,
    endpoint_id: i64,
    reason: DisabledReason,
    change: &EndpointChange<'_>,
) -> Result<bool, Failure> {
    if !endpoints::disable(tx, endpoint_id, reason).await? {
        return Ok(false);
    }
    endpoint_trail::insert(tx, endpoint_id, change, None).await?;
    let audience = find(tx, endpoint_id).await?.client_id.map_or(Audience::Operators, Audience::Client);
    let told = FeedItem::new(FeedType::EndpointDisabled, audience).of_endpoint(endpoint_id);
    tx.tell([told.because(reason.as_str())]);
    Ok(true)
}

/// Disables the endpoints of a client that is revoked: its feed goes nowhere until an operator says so.
pub(super) async fn disable_of_client(tx: &mut Tx<'_>, operator: &str, client_id: i64) -> Result<(), Failure> {
    for endpoint_id in endpoints::list_of_client(tx, client_id).await? {
        disable(tx, endpoint_id, DisabledReason::Revoked, &change(operator, EndpointAction::Disabled)).await?;
    }
    Ok(())
}

async fn check_client(tx: &mut Tx<'_>, client_id: i64) -> Result<(), Failure> {
    let client = clients::find(tx, client_id).await?.ok_or(Refusal::ClientNotFound)?;
    if client.revoked_at.is_some() {
        return Err(Refusal::ClientRevoked.into());
    }
    if client.role != Role::Storefront {
        return Err(Refusal::from(EndpointRefusal::NotAStorefront).into());
    }
    // a revocation at the same time waits for the endpoint, and disables it
    clients::count_change(tx, client_id).await?.then_some(()).ok_or_else(|| Refusal::ClientRevoked.into())
}
