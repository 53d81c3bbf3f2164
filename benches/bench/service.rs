//! Starts the service with the settings of the benchmark.

use crate::Plan;
use crate::database::Ground;
pub(crate) use crate::support::service::Served;

impl Served {
    /// Starts the service with its defaults, the echo route, unsigned webhooks, and holds that expire after a day.
    pub(crate) async fn start(ground: &Ground, plan: &Plan) -> Self {
        Self::start_with(ground, plan, 86_400).await
    }

    /// The same with holds that expire after `hold_ttl_seconds`.
    pub(crate) async fn start_with(ground: &Ground, plan: &Plan, hold_ttl_seconds: u64) -> Self {
        Self::start_all(ground, plan, hold_ttl_seconds, &[]).await
    }

    /// The same as [`Served::start`] with an operator's token.
    pub(crate) async fn start_as(ground: &Ground, plan: &Plan, operator: &str) -> Self {
        Self::start_all(ground, plan, 86_400, &[("HOLDFAST_ADMIN_TOKEN", operator)]).await
    }

    /// The same, and events are pushed to this machine.
    pub(crate) async fn start_pushing(ground: &Ground, plan: &Plan, operator: &str) -> Self {
        let settings = [("HOLDFAST_ADMIN_TOKEN", operator), ("HOLDFAST_PUSH_PRIVATE", "on")];
        Self::start_all(ground, plan, 86_400, &settings).await
    }

    async fn start_all(ground: &Ground, plan: &Plan, hold_ttl_seconds: u64, more: &[(&str, &str)]) -> Self {
        let settings = [
            ("HOLDFAST_WEBHOOK_SECRETS", "off"),
            ("HOLDFAST_STOREFRONT", "open"),
            ("HOLDFAST_HOLD_TTL_SECONDS", &hold_ttl_seconds.to_string()),
            ("HOLDFAST_ORDER_TTL_SECONDS", "86400"),
            ("BENCH_ECHO", "1"),
        ];
        Self::start_on(&ground.url, &plan.log, &[&settings[..], more].concat()).await
    }
}
