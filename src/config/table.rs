//! The table of settings. A new setting is one entry here, beside the code that uses it (and its field, if it is a rule of
//! [`Policy`]).

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use mysql_async::Opts;

use super::problems::Problems;
use super::setting::Setting;
use super::values;
use crate::checkout::{Policy, WholeReads};
use crate::domain::signature::Secrets;
use crate::domain::{AdminToken, Named as _, Origins, PushPrivate, StorefrontMode, WebhookAuth};
use crate::push::TIME;
use crate::rate::TrustedProxies;
use crate::telemetry::StatsdStyle;

const NO_DATABASE: &str = "it is not set: mysql://user:password@host:port/database";
/// The problem of missing secrets, with a way to create one.
const NO_SECRETS: &str = "it is not set, so that no client could report a payment: `whsec_` and 24 to 64 random bytes in \
    base64, which the sender gets too, such as whsec_$(openssl rand -base64 32); `off` accepts unsigned events from \
    every client";

/// The time of a hold of a shop that does not set it.
const HOLD_TTL_SECONDS: &str = "120";

/// The problem of a storefront that is neither open nor closed.
const NO_STOREFRONT: &str = "it is not set: `open` lets every client read products, hold and order; `token` lets only \
    storefronts, which `holdfast client add NAME --role storefront` adds";

/// Defines all settings: [`ALL`], the texts in [`Settings`], the values in [`Config`] and [`Policy`].
///
/// An entry is `VARIABLE field: Type = description => parser;` after its documentation; a rule has its type in [`Policy`]. The
/// option has the name of the field.
macro_rules! settings {
    (
        service { $($(#[doc = $doc:literal])+ $variable:ident $field:ident: $type:ty = $about:expr => $parse:expr;)+ }
        policy { $($(#[doc = $rule_doc:literal])+ $rule_variable:ident $rule:ident = $rule_about:expr => $rule_parse:expr;)+ }
    ) => {
        settings! {
            @texts
            $($(#[doc = $doc])+ $variable $field = $about;)+
            $($(#[doc = $rule_doc])+ $rule_variable $rule = $rule_about;)+
        }

        /// The validated configuration of a service.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// The rules of the shop.
            pub policy: Policy,
            /// How long an attempt to push may take; no setting.
            pub push_time: Duration,
            /// Whether `POST /dev/pay` pays orders; no setting.
            pub pays_orders: bool,
        }

        impl Settings {
            /// Parses all settings. An empty one counts as not set.
            ///
            /// # Errors
            /// All problems, each with the name of its variable.
            pub fn read(&self) -> Result<Config, Problems> {
                self.read_beside(Problems::default())
            }

            /// Does the same; `problems` were found before.
            ///
            /// # Errors
            /// As [`Settings::read`].
            pub fn read_beside(&self, mut problems: Problems) -> Result<Config, Problems> {
                $(let $field = problems.read(&$variable, self.$field.as_deref(), $parse);)+
                let policy = self.read_policy(&mut problems);
                self.check_together(&mut problems);
                if !problems.0.is_empty() {
                    return Err(problems);
                }
                let config = || Some(Config { $($field: $field?,)+ policy: policy?, push_time: TIME, pays_orders: false });
                config().ok_or(problems)
            }

            fn read_policy(&self, problems: &mut Problems) -> Option<Policy> {
                $(let $rule = problems.read(&$rule_variable, self.$rule.as_deref(), $rule_parse);)+
                Some(Policy { $($rule: $rule?,)+ whole_reads: WholeReads::default() })
            }
        }
    };
    (@texts $($(#[doc = $doc:literal])+ $variable:ident $field:ident = $about:expr;)+) => {
        $(pub(super) const $variable: Setting = $about.named(stringify!($variable), concat!($($doc),+));)+

        /// All settings, in the order of the help.
        pub const ALL: &[Setting] = &[$($variable),+];

        /// The options of a service, as written: texts, and of secrets the paths of files.
        #[derive(Debug, Clone, Default, Args)]
        pub struct Options {
            $($(#[doc = $doc])+
            #[arg(long = $variable.option(), env = $variable.option_variable(),
                  value_name = $variable.option_value(), help = $variable.help())]
            $field: Option<String>,)+
        }

        impl Options {
            /// Returns the texts of all settings: of options, of variables, and of the files of secrets. Adds the problems of
            /// files.
            pub fn texts(&self, problems: &mut Problems) -> Settings {
                Settings { $($field: problems.text(&$variable, self.$field.as_deref()),)+ }
            }
        }

        /// The texts of all settings. All are text here, so that all mistakes can be reported together.
        #[derive(Debug, Clone, Default)]
        pub struct Settings {
            $($(#[doc = $doc])+
            pub $field: Option<String>,)+
        }

        impl Settings {
            /// Sets the defaults of `holdfast dev`, where they differ.
            pub fn use_dev_defaults(&mut self) {
                $(self.$field = self.$field.take().or($variable.dev_default.map(str::to_owned));)+
            }
        }
    };
}

settings! {
    service {
        /// The database: mysql://user:password@host:port/database?…
        HOLDFAST_DATABASE_URL database_url: Opts = Setting::required("URL", NO_DATABASE).secret() => values::database;
        /// Address or name, and port; of a name, the first address is used, of IPv4 if there is one; port 0 picks a free one
        /// and logs it
        HOLDFAST_LISTEN listen: SocketAddr = Setting::optional("ADDRESS", "127.0.0.1:8080") => values::address;
        /// Connections to the database
        HOLDFAST_POOL_SIZE pool_size: usize = Setting::number("CONNECTIONS", "16", 2, 500) => values::number;
        /// How long no hold and no order expires after the database's clock jumped by more than 5 s (0: no pause)
        HOLDFAST_CLOCK_JUMP_SECONDS clock_jump_seconds: u64 = Setting::number("SECONDS", "60", 0, 86_400) => values::number;
        /// How long requests may take to finish when the service stops
        HOLDFAST_DRAIN_SECONDS drain_seconds: u64 = Setting::number("SECONDS", "10", 0, 300) => values::number;
        /// How long the service continues to accept requests after /readyz begins to fail
        HOLDFAST_LINGER_SECONDS linger_seconds: u64 = Setting::number("SECONDS", "0", 0, 300) => values::number;
        /// Secrets of the senders of payment events (Standard Webhooks), newest first, comma-separated: whsec_ + base64 of 24
        /// to 64 bytes; `off` accepts unsigned events from every client
        HOLDFAST_WEBHOOK_SECRETS webhook_secrets: Option<Secrets> =
            Setting::required("SECRETS", NO_SECRETS).secret() => values::webhook_secrets;
        /// Secrets of Stripe's endpoints as Stripe shows them, comma-separated; `off`: there is no route for Stripe
        HOLDFAST_STRIPE_SECRETS stripe_secrets: Option<Secrets> =
            Setting::optional("SECRETS", values::OFF).secret() => values::stripe_secrets;
        /// What a payment event must show: `signature`, `token` (of a client with the role provider), `either` or `both`
        HOLDFAST_WEBHOOK_AUTH webhook_auth: WebhookAuth = Setting::optional("AUTH", "signature") => values::webhook_auth;
        /// `open`: every client may read products, hold and order; `token`: only storefronts, with their tokens
        HOLDFAST_STOREFRONT storefront: StorefrontMode =
            Setting::required("MODE", NO_STOREFRONT).in_dev("open") => values::storefront;
        /// Token of operators of last resort, at least 16 visible characters; not set: only clients with the role admin are
        /// operators
        HOLDFAST_ADMIN_TOKEN admin_token: Option<AdminToken> = Setting::optional("TOKEN", "").secret() => values::admin_token;
        /// Requests that read, per minute and caller; not set: no limit
        HOLDFAST_RATE_READS rate_reads: Option<NonZeroU32> = Setting::number("REQUESTS", "", 1, 1_000_000) => values::rate;
        /// Requests that write, per minute and caller; not set: no limit
        HOLDFAST_RATE_WRITES rate_writes: Option<NonZeroU32> = Setting::number("REQUESTS", "", 1, 1_000_000) => values::rate;
        /// Deliveries of payment events that cannot be verified, per minute and caller; verified ones have no limit; not set:
        /// no limit
        HOLDFAST_RATE_WEBHOOKS rate_webhooks: Option<NonZeroU32> =
            Setting::number("REQUESTS", "", 1, 1_000_000) => values::rate;
        /// Requests for operators' routes, per minute and caller; not set: no limit
        HOLDFAST_RATE_ADMIN rate_admin: Option<NonZeroU32> = Setting::number("REQUESTS", "", 1, 1_000_000) => values::rate;
        /// Networks of proxies whose `Forwarded` or `X-Forwarded-For` names the address of a client, comma-separated:
        /// `10.0.0.0/8`; not set: no header does
        HOLDFAST_TRUSTED_PROXIES trusted_proxies: TrustedProxies = Setting::optional("NETWORKS", "") => values::proxies;
        /// Origins whose pages may call the service from a browser, comma-separated: `https://shop.example`; `off`: none
        HOLDFAST_CORS_ORIGINS cors_origins: Origins = Setting::optional("ORIGINS", values::OFF) => values::origins;
        /// `on`: events are pushed over plain HTTP and to private addresses, too; for development and tests
        HOLDFAST_PUSH_PRIVATE push_private: PushPrivate =
            Setting::optional("MODE", values::OFF).in_dev("on") => values::push_private;
        /// Where metrics go, host:port, or `off`
        HOLDFAST_STATSD statsd: Option<String> =
            Setting::optional("SERVER", values::OFF).in_dev("127.0.0.1:8125") => values::statsd;
        /// How labels are sent to StatsD: `plain` (their values in the names), `dogstatsd` (tags behind `#`) or
        /// `graphite` (tags behind `;`)
        HOLDFAST_STATSD_STYLE statsd_style: StatsdStyle = Setting::optional("STYLE", "plain") => values::statsd_style;
        /// Address and port where `GET /metrics` needs no token, for a private network; not set: only operators may read it, on the
        /// port of the service
        HOLDFAST_METRICS_LISTEN metrics_listen: Option<SocketAddr> =
            Setting::optional("ADDRESS", "") => values::optional_address;
        /// Products whose units on sale are a metric, those with most holds in the last minutes
        HOLDFAST_STOCK_METRICS stock_metrics: usize = Setting::number("PRODUCTS", "20", 0, 1000) => values::number;
        /// Log filter, as in tracing-subscriber's EnvFilter; `info,holdfast::http=debug` shows every request
        HOLDFAST_LOG log: String =
            Setting::optional("FILTER", "info").in_dev("info,poem=warn,holdfast::http=debug") => values::log_filter;
    }
    policy {
        /// How long a hold lasts
        HOLDFAST_HOLD_TTL_SECONDS hold_ttl_seconds =
            Setting::number("SECONDS", HOLD_TTL_SECONDS, 1, 86_400) => values::number;
        /// How long an order may stay unpaid
        HOLDFAST_ORDER_TTL_SECONDS order_ttl_seconds = Setting::number("SECONDS", "900", 1, 2_592_000) => values::number;
        /// Until how long after it was made a hold or an order can be extended; not less than the time of a hold
        HOLDFAST_MAX_HOLD_SECONDS max_hold_seconds = Setting::number("SECONDS", "3600", 1, 2_592_000) => values::number;
        /// Units that one hold may ask for
        HOLDFAST_MAX_QTY max_qty = Setting::number("UNITS", "10", 1, 1000) => values::number;
        /// Units that a buyer, or an address without the token of a client, may have in active holds; not set: no limit
        HOLDFAST_MAX_HELD_UNITS max_held_units = Setting::number("UNITS", "", 1, 1_000_000) => values::rate;
        /// `on`: the feed tells of holds, too: when they were taken, extended, made smaller, released, and ran out
        HOLDFAST_FEED_HOLDS feed_holds = Setting::optional("MODE", values::OFF) => values::feed_holds;
        /// How long a payment event waits for its order
        HOLDFAST_PARK_SECONDS park_seconds = Setting::number("SECONDS", "86400", 1, 31_536_000) => values::number;
        /// `apply`: a payment event is applied before the response; `queue`: right after it, for providers with short timeouts
        HOLDFAST_WEBHOOK_MODE webhook_mode = Setting::optional("MODE", "apply") => values::webhook_mode;
    }
}

impl Settings {
    /// Checks settings that depend on each other.
    fn check_together(&self, problems: &mut Problems) {
        let is = |text: &Option<String>, value: &str| text.as_deref().is_some_and(|text| text.trim() == value);
        let auth =
            [WebhookAuth::Either, WebhookAuth::Both].into_iter().find(|auth| is(&self.webhook_auth, auth.as_str()));
        if let Some(auth) = auth.filter(|_| is(&self.webhook_secrets, values::OFF)) {
            let (own, secrets) = (HOLDFAST_WEBHOOK_AUTH.variable, HOLDFAST_WEBHOOK_SECRETS.variable);
            problems.0.push(format!("{own}: `{auth}` verifies signatures, and {secrets} is off"));
        }
        // a shop that has not set it, whose holds last longer than the default, extends none of them
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
        let default = |text: &str| text.parse().unwrap_or(0);
        let hold_ttl = number(&self.hold_ttl_seconds).unwrap_or_else(|| default(HOLD_TTL_SECONDS));
        if number(&self.max_hold_seconds).is_some_and(|most| most < hold_ttl) {
            let (own, hold) = (HOLDFAST_MAX_HOLD_SECONDS.variable, HOLDFAST_HOLD_TTL_SECONDS.variable);
            problems.0.push(format!("{own}: it is less than {hold}, which is {hold_ttl}"));
        }
    }
}

impl Default for Policy {
    /// Returns the defaults of the settings.
    fn default() -> Self {
        Settings::default().read_policy(&mut Problems::default()).expect("the defaults are valid")
    }
}
