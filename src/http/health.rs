//! Liveness and readiness.

use std::sync::Arc;
use std::time::Duration;

use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::json::Json;
use super::problem::{Denials, Denied, Problem};
use super::tags::Tags;
use super::values::Text;
use crate::app::App;
use crate::checkout::readiness::Unready;

/// The time limit of the database check; a load balancer waits longer for `/readyz`.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// The instance is healthy.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Health", skip_serializing_if_is_none)]
pub struct HealthBody {
    /// `ok`
    status: Text,
    /// With `/readyz`: a condition that operators should know of although the instance can serve, such as clocks that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The health routes.
pub struct Health {
    /// The state that all routes share.
    pub app: Arc<App>,
}

const OK: Json<HealthBody> = Json(HealthBody { status: Text("ok"), detail: None });

/// The problems of `GET /readyz`.
#[derive(Debug)]
pub struct ReadyDenials;

impl Denials for ReadyDenials {
    const LIST: &'static [(u16, &'static str)] =
        &[(503, "`draining`, `schema_outdated`, `database_unavailable`; with `Retry-After`.")];
}

#[OpenApi(tag = "Tags::Health")]
impl Health {
    /// Check that the process is alive, without using the database
    ///
    /// The process runs. It does not ask the database, so that a database that is away does not end the process.
    #[oai(path = "/healthz", method = "get", operation_id = "getHealth")]
    async fn alive(&self) -> Json<HealthBody> {
        OK
    }

    /// Check that the instance can serve: the database accepts writes, its schema is current, and it is not stopping
    ///
    /// The database answers, its schema fits, and the instance is not stopping.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn ready(&self) -> Result<Json<HealthBody>, Denied<ReadyDenials>> {
        if self.app.is_draining() {
            return Err(Problem::unavailable("draining", "This instance is stopping.").into());
        }
        let app = Arc::clone(&self.app);
        let asked = self.app.run_to_its_end(async move { app.checkout.readiness().await });
        match tokio::time::timeout(CHECK_TIME, asked).await {
            Ok(Ok(())) => {
                let detail = self.app.checkout.clock_detail();
                Ok(Json(HealthBody { status: Text("ok"), detail }))
            }
            Ok(Err(Unready::Database(_))) => {
                Err(Problem::unavailable("database_unavailable", "The database does not accept writes.").into())
            }
            Ok(Err(outdated)) => Err(Problem::unavailable("schema_outdated", outdated.to_string()).into()),
            Err(_) => Err(Problem::unavailable("database_unavailable", "The database does not respond.").into()),
        }
    }
}
