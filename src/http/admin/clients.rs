//! Routes of clients: who may call.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::operator::Operator;
use crate::app::App;
use crate::checkout::clients::{ClientAction, ClientFile, ClientPage, ClientTrailEntry, KeyRow};
use crate::domain::{ClientToken, Named as _, Role};
use crate::http::json::{Json, OptionalJson};
use crate::http::paging::{read_page, write_cursor};
use crate::http::problem::{Denied, Problem, denials};
use crate::http::tags::Tags;
use crate::http::values::{Cursor, Timestamp, Word};

/// The name of the list of clients in cursors.
const LIST: &str = "clients:";

/// A request to add a client.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CreateClient", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct CreateClient {
    /// A name of 1 to 64 visible ASCII characters. It stays the client's after its end.
    name: String,
    /// What the client may do: `storefront`, `provider`, `gate` or `admin`.
    role: String,
}

/// A request for a new token.
#[derive(Debug, Default, Object, Deserialize)]
#[oai(rename = "RotateClient", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct RotateClient {
    /// End all other tokens at once. By default the last one stays live beside the new one.
    #[serde(default)]
    end_old: Option<bool>,
}

/// A request to add a key.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "AddClientKey", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct AddClientKey {
    /// The client's name for the key, which its tokens have in their header: 1 to 64 visible ASCII characters.
    kid: String,
    /// The Ed25519 public key: PEM, or the base64 of its DER file or of its 32 bytes.
    public_key: String,
}

/// A key with which a storefront signs tokens for its buyers.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ClientKey")]
pub struct KeyBody {
    /// The client's name for the key.
    kid: String,
    /// The public key, `x` of a JSON Web Key.
    public_key: String,
    /// When the key was added.
    added_at: Timestamp,
}

impl From<KeyRow> for KeyBody {
    fn from(KeyRow { kid, public_key, added_at, .. }: KeyRow) -> Self {
        Self { kid, public_key: public_key.text(), added_at: Timestamp(added_at) }
    }
}

/// A program that may call.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Client", skip_serializing_if_is_none)]
pub struct ClientBody {
    /// The client's id.
    id: i64,
    /// The client's name.
    name: String,
    /// What the client may do.
    role: Word<Role>,
    /// Number of live tokens.
    live_tokens: i64,
    /// The keys of its buyers' tokens.
    keys: Vec<KeyBody>,
    /// When the client was added.
    created_at: Timestamp,
    /// When the client was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// Its new token, in this response alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<ClientFile> for ClientBody {
    fn from(ClientFile { client, keys }: ClientFile) -> Self {
        let live_tokens = match client.revoked_at {
            Some(_) => 0,
            None => 1 + i64::from(client.has_older),
        };
        Self {
            id: client.id,
            name: client.name,
            role: Word(client.role),
            live_tokens,
            keys: keys.into_iter().map(KeyBody::from).collect(),
            created_at: Timestamp(client.created_at),
            revoked_at: client.revoked_at.map(Timestamp),
            token: None,
        }
    }
}

impl From<(ClientFile, ClientToken)> for ClientBody {
    fn from((file, token): (ClientFile, ClientToken)) -> Self {
        Self { token: Some(token.reveal().to_owned()), ..file.into() }
    }
}

/// One page of clients, by id.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ClientPage")]
pub struct ClientListBody {
    /// The clients.
    items: Vec<ClientBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// A change of a client.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ClientChange")]
pub struct ClientChangeBody {
    /// The change.
    action: Word<ClientAction>,
    /// The role of a new client, the name of a key, or nothing.
    detail: String,
    /// The operator who made it.
    operator: String,
    /// The time of the change.
    at: Timestamp,
}

impl From<ClientTrailEntry> for ClientChangeBody {
    fn from(ClientTrailEntry { action, detail, operator, at, .. }: ClientTrailEntry) -> Self {
        Self { action: Word(action), detail, operator, at: Timestamp(at) }
    }
}

/// One page of the changes of a client, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ClientChangePage")]
pub struct ClientTrailBody {
    /// The changes.
    items: Vec<ClientChangeBody>,
    /// The `cursor` of the next page; null on the last page.
    next_cursor: Cursor,
}

/// The response to a new client.
#[derive(ApiResponse)]
pub enum ClientCreated {
    /// The client may call within a second, on every instance.
    #[oai(status = 201)]
    Created(Json<ClientBody>),
}

denials! {
    /// The problems of `POST /api/admin/clients`.
    CreateClientDenials {
        400 "`malformed_json`, `unreadable_body`",
        408 "`body_timeout`",
        409 "`client_exists`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_client_name`, `invalid_role`",
    }
}
denials! {
    /// The problems of `GET /api/admin/clients`.
    ListClientsDenials { 400 "`invalid_limit`, `invalid_cursor`" }
}
denials! {
    /// The problems of `GET /api/admin/clients/{client_id}/trail`.
    ClientTrailDenials { 400 "`invalid_id`, `invalid_limit`, `invalid_cursor`", 404 "`client_not_found`" }
}
denials! {
    /// The problems of changes of a client.
    ChangeClientDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`client_not_found`",
        408 "`body_timeout`",
        409 "`client_revoked`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`",
    }
}
denials! {
    /// The problems of `POST /api/admin/clients/{client_id}/revoke`.
    RevokeClientDenials { 400 "`invalid_id`", 404 "`client_not_found`" }
}
denials! {
    /// The problems of `POST /api/admin/clients/{client_id}/end-old`.
    EndOldDenials { 400 "`invalid_id`", 404 "`client_not_found`", 409 "`client_revoked`" }
}
denials! {
    /// The problems of `POST /api/admin/clients/{client_id}/keys`.
    AddClientKeyDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`client_not_found`",
        408 "`body_timeout`",
        409 "`client_revoked`, `client_key_exists`, `too_many_client_keys`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `invalid_kid`, `invalid_public_key`, `not_a_storefront`",
    }
}
denials! {
    /// The problems of `DELETE /api/admin/clients/{client_id}/keys`.
    RemoveClientKeyDenials {
        400 "`invalid_id`, `invalid_parameter`",
        404 "`client_not_found`, `client_key_not_found`",
        409 "`client_revoked`",
    }
}

fn read_role(name: &str) -> Result<Role, Problem> {
    let detail = "`role` must be `storefront`, `provider`, `gate` or `admin`.";
    Role::from_name(name).ok_or_else(|| Problem::unprocessable("invalid_role", detail))
}

/// The routes of clients.
pub struct Clients {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin", tag = "Tags::Operators")]
impl Clients {
    /// Add a client
    ///
    /// The response has its token, which is shown once and stored nowhere.
    #[oai(path = "/clients", method = "post", operation_id = "createClient")]
    async fn create(
        &self,
        operator: Operator,
        body: Json<CreateClient>,
    ) -> Result<ClientCreated, Denied<CreateClientDenials>> {
        let CreateClient { name, role } = body.0;
        let role = read_role(&role)?;
        let app = Arc::clone(&self.app);
        let added = self.app.run(async move { app.checkout.add_client(&operator.name, &name, role).await }).await?;
        Ok(ClientCreated::Created(Json(added.into())))
    }

    /// List all clients, also those that are revoked
    ///
    /// Also those that were revoked, by id. Tokens are never shown again.
    #[oai(path = "/clients", method = "get", operation_id = "listClients")]
    async fn list(
        &self,
        _operator: Operator,
        /// Clients per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<ClientListBody>, Denied<ListClientsDenials>> {
        let (limit, behind) = read_page(LIST, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.list_clients(behind.unwrap_or(0), limit).await };
        let ClientPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(ClientListBody {
            items: items.into_iter().map(ClientBody::from).collect(),
            next_cursor: Cursor(next_after.map(|id| write_cursor(LIST, id))),
        }))
    }

    /// Give a client a new token
    ///
    /// The response has the token, which is shown once. The last one stays live beside it, and a third one ends: deploy the new
    /// token, and end the old one. With `end_old`, the new token is the only one at once.
    #[oai(path = "/clients/:client_id/rotate", method = "post", operation_id = "rotateClient")]
    async fn rotate(
        &self,
        operator: Operator,
        client_id: Path<i64>,
        body: OptionalJson<RotateClient>,
    ) -> Result<Json<ClientBody>, Denied<ChangeClientDenials>> {
        let end_old = body.0.unwrap_or_default().end_old.unwrap_or(false);
        let app = Arc::clone(&self.app);
        let rotate = async move { app.checkout.rotate_client(&operator.name, client_id.0, end_old).await };
        Ok(Json(self.app.run(rotate).await?.into()))
    }

    /// End the older of a client's two tokens
    ///
    /// A client with one token stays as it is.
    #[oai(path = "/clients/:client_id/end-old", method = "post", operation_id = "endOldToken")]
    async fn end_old(
        &self,
        operator: Operator,
        client_id: Path<i64>,
    ) -> Result<Json<ClientBody>, Denied<EndOldDenials>> {
        let app = Arc::clone(&self.app);
        let end = async move { app.checkout.end_old_token(&operator.name, client_id.0).await };
        Ok(Json(self.app.run(end).await?.into()))
    }

    /// Revoke a client for good
    ///
    /// Its tokens and those of its buyers are dead within a second, on every instance. A repeated request gets the same response.
    #[oai(path = "/clients/:client_id/revoke", method = "post", operation_id = "revokeClient")]
    async fn revoke(
        &self,
        operator: Operator,
        client_id: Path<i64>,
    ) -> Result<Json<ClientBody>, Denied<RevokeClientDenials>> {
        let app = Arc::clone(&self.app);
        let revoke = async move { app.checkout.revoke_client(&operator.name, client_id.0).await };
        Ok(Json(self.app.run(revoke).await?.into()))
    }

    /// Add a key with which a storefront signs tokens for its buyers
    ///
    /// A client has up to four. A repeated request gets the same response.
    #[oai(path = "/clients/:client_id/keys", method = "post", operation_id = "addClientKey")]
    async fn add_key(
        &self,
        operator: Operator,
        client_id: Path<i64>,
        body: Json<AddClientKey>,
    ) -> Result<ClientCreated, Denied<AddClientKeyDenials>> {
        let AddClientKey { kid, public_key } = body.0;
        let app = Arc::clone(&self.app);
        let add = async move { app.checkout.add_client_key(&operator.name, client_id.0, &kid, &public_key).await };
        Ok(ClientCreated::Created(Json(self.app.run(add).await?.into())))
    }

    /// Remove a key: the tokens that it signed are dead within a second
    ///
    /// Within a second, no instance accepts a token that was signed with it.
    #[oai(path = "/clients/:client_id/keys", method = "delete", operation_id = "removeClientKey")]
    async fn remove_key(
        &self,
        operator: Operator,
        client_id: Path<i64>,
        /// The client's name for the key.
        kid: Query<String>,
    ) -> Result<Json<ClientBody>, Denied<RemoveClientKeyDenials>> {
        let app = Arc::clone(&self.app);
        let remove = async move { app.checkout.remove_client_key(&operator.name, client_id.0, &kid.0).await };
        Ok(Json(self.app.run(remove).await?.into()))
    }

    /// List the changes of a client, the newest first
    ///
    /// Each change with the operator who made it. A trail is never changed.
    #[oai(path = "/clients/:client_id/trail", method = "get", operation_id = "listClientTrail")]
    async fn trail(
        &self,
        _operator: Operator,
        client_id: Path<i64>,
        /// Changes per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<ClientTrailBody>, Denied<ClientTrailDenials>> {
        let list = format!("client {}:", client_id.0);
        let (limit, before) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.client_trail(client_id.0, before, limit).await };
        let ClientPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(ClientTrailBody {
            items: items.into_iter().map(ClientChangeBody::from).collect(),
            next_cursor: Cursor(next_after.map(|id| write_cursor(&list, id))),
        }))
    }
}
