//! The service as it is measured.

use crate::Plan;
use crate::database::Ground;
pub(crate) use crate::support::service::Served;

impl Served {
    /// Starts it with its defaults but for holds that outlast every figure, and with the echo.
    pub(crate) async fn start(ground: &Ground, plan: &Plan) -> Self {
        Self::start_with(ground, plan, 86_400).await
    }

    /// The same with holds that run out after so many seconds.
    pub(crate) async fn start_with(ground: &Ground, plan: &Plan, hold_ttl_seconds: u64) -> Self {
        let settings = [
            ("HOLDFAST_WEBHOOK_SECRETS", "off"),
            ("HOLDFAST_HOLD_TTL_SECONDS", &hold_ttl_seconds.to_string()),
            ("HOLDFAST_ORDER_TTL_SECONDS", "86400"),
            ("HOLDFAST_BENCH_ECHO", "1"),
        ];
        Self::start_on(&ground.url, &plan.log, &settings).await
    }
}
