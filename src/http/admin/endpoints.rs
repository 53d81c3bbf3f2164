//! Routes of endpoints: where events are pushed.

use std::sync::Arc;

use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use super::endpoint_bodies::{
    CreateEndpoint, EndpointBody, EndpointChangeBody, EndpointListBody, EndpointPatchBody, EndpointTrailBody,
    RotateEndpoint, read_patch,
};
use super::operator::Operator;
use crate::app::App;
use crate::checkout::endpoints::EndpointPage;
use crate::http::json::{Json, OptionalJson};
use crate::http::large::MergePatch;
use crate::http::paging::{read_page, write_cursor};
use crate::http::problem::{Denied, denials};
use crate::http::tags::Tags;
use crate::http::values::Cursor;

/// The name of the list of endpoints in cursors.
const LIST: &str = "endpoints:";

/// The response to a new endpoint.
#[derive(ApiResponse)]
pub enum EndpointCreated {
    /// The endpoint is registered. This response alone has its secret.
    #[oai(status = 201)]
    Created(Json<EndpointBody>),
}

denials! {
    /// The problems of `POST /api/admin/endpoints`.
    CreateEndpointDenials {
        400 "`malformed_json`, `unreadable_body`",
        404 "`client_not_found`",
        408 "`body_timeout`",
        409 "`client_revoked`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `endpoint_url_not_allowed`, `unknown_event_type`, `not_a_storefront`",
    }
}
denials! {
    /// The problems of `GET /api/admin/endpoints`.
    ListEndpointsDenials { 400 "`invalid_limit`, `invalid_cursor`" }
}
denials! {
    /// The problems of `GET` and `DELETE` of an endpoint.
    EndpointDenials { 400 "`invalid_id`", 404 "`endpoint_not_found`" }
}
denials! {
    /// The problems of `PATCH /api/admin/endpoints/{endpoint_id}`.
    ChangeEndpointDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`endpoint_not_found`",
        408 "`body_timeout`",
        409 "`endpoint_deleted`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`, `endpoint_url_not_allowed`, `unknown_event_type`",
    }
}
denials! {
    /// The problems of `POST /api/admin/endpoints/{endpoint_id}/rotate`.
    RotateEndpointDenials {
        400 "`invalid_id`, `malformed_json`, `unreadable_body`",
        404 "`endpoint_not_found`",
        408 "`body_timeout`",
        409 "`endpoint_deleted`",
        413 "`body_too_large`",
        415 "`unsupported_media_type`",
        422 "`invalid_body`",
    }
}
denials! {
    /// The problems of `POST /api/admin/endpoints/{endpoint_id}/end-old`.
    EndOldSecretDenials { 400 "`invalid_id`", 404 "`endpoint_not_found`", 409 "`endpoint_deleted`" }
}
denials! {
    /// The problems of `GET /api/admin/endpoints/{endpoint_id}/trail`.
    EndpointTrailDenials { 400 "`invalid_id`, `invalid_limit`, `invalid_cursor`", 404 "`endpoint_not_found`" }
}

/// The routes of endpoints.
pub struct Endpoints {
    /// The state that all routes share.
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/api/admin/endpoints", tag = "Tags::Operators")]
impl Endpoints {
    /// Register an endpoint, to which events are pushed
    ///
    /// The response has its secret, which is shown once: pushes are signed with it, by Standard Webhooks.
    #[oai(path = "/", method = "post", operation_id = "createEndpoint")]
    async fn create(
        &self,
        operator: Operator,
        body: Json<CreateEndpoint>,
    ) -> Result<EndpointCreated, Denied<CreateEndpointDenials>> {
        let new = body.0.read(self.app.push_private)?;
        let app = Arc::clone(&self.app);
        let added = self.app.run(async move { app.checkout.add_endpoint(&operator.name, &new).await }).await?;
        Ok(EndpointCreated::Created(Json(added.into())))
    }

    /// List all endpoints, also those that are disabled or deleted, with their last attempts
    ///
    /// Each with how far it has the feed, and with how its last attempt ended: one that fails is seen here.
    #[oai(path = "/", method = "get", operation_id = "listEndpoints")]
    async fn list(
        &self,
        _operator: Operator,
        /// Endpoints per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<EndpointListBody>, Denied<ListEndpointsDenials>> {
        let (limit, behind) = read_page(LIST, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.list_endpoints(behind.unwrap_or(0), limit).await };
        let EndpointPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(EndpointListBody {
            items: items.into_iter().map(EndpointBody::from).collect(),
            next_cursor: Cursor(next_after.map(|id| write_cursor(LIST, id))),
        }))
    }

    /// Get an endpoint
    ///
    /// How far it has the feed, its replay if there is one, and how its last attempt ended.
    #[oai(path = "/:endpoint_id", method = "get", operation_id = "getEndpoint")]
    async fn find(
        &self,
        _operator: Operator,
        endpoint_id: Path<i64>,
    ) -> Result<Json<EndpointBody>, Denied<EndpointDenials>> {
        let app = Arc::clone(&self.app);
        let found = self.app.run(async move { app.checkout.endpoint(endpoint_id.0).await }).await?;
        Ok(Json(found.into()))
    }

    /// Change an endpoint by a JSON Merge Patch
    ///
    /// Fields that are left out stay as they are. A repeated request changes nothing.
    #[oai(path = "/:endpoint_id", method = "patch", operation_id = "changeEndpoint")]
    async fn change(
        &self,
        operator: Operator,
        endpoint_id: Path<i64>,
        body: MergePatch<EndpointPatchBody>,
    ) -> Result<Json<EndpointBody>, Denied<ChangeEndpointDenials>> {
        let patch = read_patch(body.patch, self.app.push_private)?;
        let app = Arc::clone(&self.app);
        let change = async move { app.checkout.change_endpoint(&operator.name, endpoint_id.0, &patch).await };
        Ok(Json(self.app.run(change).await?.into()))
    }

    /// Delete an endpoint for good, with its secrets
    ///
    /// Its trail stays. A repeated request gets the same response.
    #[oai(path = "/:endpoint_id", method = "delete", operation_id = "deleteEndpoint")]
    async fn delete(
        &self,
        operator: Operator,
        endpoint_id: Path<i64>,
    ) -> Result<Json<EndpointBody>, Denied<EndpointDenials>> {
        let app = Arc::clone(&self.app);
        let delete = async move { app.checkout.delete_endpoint(&operator.name, endpoint_id.0).await };
        Ok(Json(self.app.run(delete).await?.into()))
    }

    /// Give an endpoint a new secret
    ///
    /// The response has the secret, which is shown once. The last one stays live beside it, and a third one ends: pushes are signed with
    /// both until the old one is ended. With `end_old`, the new secret is the only one at once.
    #[oai(path = "/:endpoint_id/rotate", method = "post", operation_id = "rotateEndpoint")]
    async fn rotate(
        &self,
        operator: Operator,
        endpoint_id: Path<i64>,
        body: OptionalJson<RotateEndpoint>,
    ) -> Result<Json<EndpointBody>, Denied<RotateEndpointDenials>> {
        let end_old = body.0.unwrap_or_default().end_old.unwrap_or(false);
        let app = Arc::clone(&self.app);
        let rotate = async move { app.checkout.rotate_endpoint(&operator.name, endpoint_id.0, end_old).await };
        Ok(Json(self.app.run(rotate).await?.into()))
    }

    /// End the older of an endpoint's two secrets
    ///
    /// An endpoint with one secret stays as it is.
    #[oai(path = "/:endpoint_id/end-old", method = "post", operation_id = "endOldSecret")]
    async fn end_old(
        &self,
        operator: Operator,
        endpoint_id: Path<i64>,
    ) -> Result<Json<EndpointBody>, Denied<EndOldSecretDenials>> {
        let app = Arc::clone(&self.app);
        let end = async move { app.checkout.end_old_secret(&operator.name, endpoint_id.0).await };
        Ok(Json(self.app.run(end).await?.into()))
    }

    /// List the changes of an endpoint, the newest first
    ///
    /// Each change with the operator who made it. A trail is never changed.
    #[oai(path = "/:endpoint_id/trail", method = "get", operation_id = "listEndpointTrail")]
    async fn trail(
        &self,
        _operator: Operator,
        endpoint_id: Path<i64>,
        /// Changes per page, 1 to 100; 20 by default.
        limit: Query<Option<u32>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Json<EndpointTrailBody>, Denied<EndpointTrailDenials>> {
        let list = format!("endpoint {}:", endpoint_id.0);
        let (limit, before) = read_page(&list, limit.0, cursor.0.as_deref())?;
        let app = Arc::clone(&self.app);
        let read = async move { app.checkout.endpoint_trail(endpoint_id.0, before, limit).await };
        let EndpointPage { items, next_after } = self.app.run(read).await?;
        Ok(Json(EndpointTrailBody {
            items: items.into_iter().map(EndpointChangeBody::from).collect(),
            next_cursor: Cursor(next_after.map(|id| write_cursor(&list, id))),
        }))
    }
}
