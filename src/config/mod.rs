//! The environment and the command line, read once. Every option is also a variable; all problems are reported
//! together.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use clap::Args;
use mysql_async::Opts;

use crate::db::pool;
use crate::domain::AdminToken;
use crate::domain::signature::{BadSecrets, Secrets};
use crate::domain::{Named as _, WebhookMode};
use crate::telemetry;

/// The value that switches a feature off.
pub const OFF: &str = "off";
/// The problem of missing secrets, with a way to create one.
const NO_SECRETS: &str = "it is not set, so that no client could report a payment: `whsec_` and 24 to 64 random bytes in \
    base64, which the sender gets too, such as whsec_$(openssl rand -base64 32); `off` accepts unsigned events from \
    every client";

/// The options of a service, as written. All are text here, so that all mistakes can be reported together.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// The database: mysql://user:password@host:port/database?…
    #[arg(long, env = "HOLDFAST_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Address and port; port 0 picks a free one and logs it [default: 127.0.0.1:8080]
    #[arg(long, env = "HOLDFAST_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// How long a hold lasts, 1 to 86400 [default: 120]
    #[arg(long, env = "HOLDFAST_HOLD_TTL_SECONDS", value_name = "SECONDS")]
    pub hold_ttl_seconds: Option<String>,
    /// How long an order may stay unpaid, 1 to 2592000 [default: 900]
    #[arg(long, env = "HOLDFAST_ORDER_TTL_SECONDS", value_name = "SECONDS")]
    pub order_ttl_seconds: Option<String>,
    /// Units that one hold may ask for, 1 to 1000 [default: 10]
    #[arg(long, env = "HOLDFAST_MAX_QTY", value_name = "UNITS")]
    pub max_qty: Option<String>,
    /// How long a payment event waits for its order, 1 to 31536000 [default: 86400]
    #[arg(long, env = "HOLDFAST_PARK_SECONDS", value_name = "SECONDS")]
    pub park_seconds: Option<String>,
    /// `apply`: a payment event is applied before the response; `queue`: right after it, for providers with short timeouts
    /// [default: apply]
    #[arg(long, env = "HOLDFAST_WEBHOOK_MODE", value_name = "MODE")]
    pub webhook_mode: Option<String>,
    /// How long no hold and no order expires after the database's clock jumped by more than 5 s, 0 to 86400; 0: no pause
    /// [default: 60]
    #[arg(long, env = "HOLDFAST_CLOCK_JUMP_SECONDS", value_name = "SECONDS")]
    pub clock_jump_seconds: Option<String>,
    /// Connections to the database, 2 to 500 [default: 16]
    #[arg(long, env = "HOLDFAST_POOL_SIZE", value_name = "CONNECTIONS")]
    pub pool_size: Option<String>,
    /// How long requests may take to finish when the service stops, 0 to 300 [default: 10]
    #[arg(long, env = "HOLDFAST_DRAIN_SECONDS", value_name = "SECONDS")]
    pub drain_seconds: Option<String>,
    /// How long the service continues to accept requests after /readyz begins to fail, 0 to 300 [default: 0]
    #[arg(long, env = "HOLDFAST_LINGER_SECONDS", value_name = "SECONDS")]
    pub linger_seconds: Option<String>,
    /// Secrets of the senders of payment events (Standard Webhooks), newest first, comma-separated: whsec_ + base64 of 24 to
    /// 64 bytes; `off` accepts unsigned events from every client
    #[arg(long, env = "HOLDFAST_WEBHOOK_SECRETS", hide_env_values = true, value_name = "SECRETS")]
    pub webhook_secrets: Option<String>,
    /// Secrets of Stripe's endpoints as Stripe shows them, comma-separated [default: off, there is no route for Stripe]
    #[arg(long, env = "HOLDFAST_STRIPE_SECRETS", hide_env_values = true, value_name = "SECRETS")]
    pub stripe_secrets: Option<String>,
    /// Token of operators, at least 16 visible characters [default: none, the routes of operators are disabled]
    #[arg(long, env = "HOLDFAST_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Where metrics go, host:port, or `off` [default: off; 127.0.0.1:8125 for dev]
    #[arg(long, env = "HOLDFAST_STATSD", value_name = "SERVER")]
    pub statsd: Option<String>,
    /// Log filter, as in tracing-subscriber's EnvFilter; holdfast::http=debug shows every request [default: info; every request for dev]
    #[arg(long, env = "HOLDFAST_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The validated configuration of a service.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: Opts,
    /// The address on which to listen.
    pub listen: SocketAddr,
    /// How long a hold lasts.
    pub hold_ttl_seconds: u64,
    /// How long an order may stay unpaid.
    pub order_ttl_seconds: u64,
    /// Units that one hold may ask for.
    pub max_qty: i64,
    /// How long a payment event waits for its order.
    pub park_seconds: u64,
    /// When payment events are applied.
    pub webhook_mode: WebhookMode,
    /// How long nothing expires after the database's clock jumped; 0: no pause.
    pub clock_jump_seconds: u64,
    /// Connections to the database.
    pub pool_size: usize,
    /// How long requests may take to finish when the service stops.
    pub drain_seconds: u64,
    /// How long the service continues to accept requests after `/readyz` begins to fail.
    pub linger_seconds: u64,
    /// The secrets of the payment webhook; `None` accepts unsigned events.
    pub webhook_secrets: Option<Secrets>,
    /// The secrets of Stripe's webhook; `None` disables its route.
    pub stripe_secrets: Option<Secrets>,
    /// The token of operators; `None` disables their routes.
    pub admin_token: Option<AdminToken>,
    /// The StatsD server, `host:port`; `None` switches metrics off.
    pub statsd: Option<String>,
    /// Log filter.
    pub log: String,
}

/// All problems of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration is invalid:")?;
        self.0.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

impl Problems {
    fn add(&mut self, variable: &str, what: impl fmt::Display) {
        self.0.push(format!("{variable}: {what}"));
    }

    /// Parses secrets, or `off`.
    fn secrets(
        &mut self,
        variable: &str,
        list: &str,
        read: fn(&str) -> Result<Secrets, Vec<BadSecrets>>,
    ) -> Option<Secrets> {
        if list.trim() == OFF {
            return None;
        }
        if list.split(',').any(|secret| secret.trim() == OFF) {
            self.add(variable, "`off` must stand alone: every client could sign with it as a secret");
            return None;
        }
        read(list).map_err(|problems| problems.iter().for_each(|problem| self.add(variable, problem))).ok()
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        variable: &str,
        text: Option<&String>,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T {
        let Some(text) = text else { return default };
        match text.trim().parse::<T>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.add(variable, format!("`{text}` is not a number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }
}

impl Settings {
    /// Parses all options. An empty option counts as not set.
    ///
    /// # Errors
    /// All problems, each with the name of its variable.
    pub fn read(&self) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        let set = |option: &Option<String>| option.clone().filter(|text| !text.trim().is_empty());
        let database = read_database(set(&self.database_url).as_deref(), &mut problems);
        let listen = set(&self.listen).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = listen.parse().map_err(|_| {
            problems.add("HOLDFAST_LISTEN", format!("`{listen}` is not an address and port, such as 127.0.0.1:8080"));
        });
        let webhook_secrets = match set(&self.webhook_secrets) {
            Some(list) => problems.secrets("HOLDFAST_WEBHOOK_SECRETS", &list, Secrets::standard),
            None => {
                problems.add("HOLDFAST_WEBHOOK_SECRETS", NO_SECRETS);
                None
            }
        };
        let stripe_secrets = set(&self.stripe_secrets);
        let stripe_secrets =
            stripe_secrets.and_then(|list| problems.secrets("HOLDFAST_STRIPE_SECRETS", &list, Secrets::stripe));
        let admin_token = set(&self.admin_token).and_then(|text| {
            let token = AdminToken::new(text.trim());
            if token.is_none() {
                let least = AdminToken::LEAST;
                problems.add("HOLDFAST_ADMIN_TOKEN", format!("it must be at least {least} visible ASCII characters"));
            }
            token
        });
        let statsd = set(&self.statsd).filter(|server| server != OFF);
        if let Some(server) = &statsd
            && !is_host_and_port(server)
        {
            problems.add("HOLDFAST_STATSD", format!("`{server}` is not host:port"));
        }
        let log = set(&self.log).unwrap_or_else(|| "info".to_owned());
        if let Err(error) = telemetry::log_filter(&log) {
            problems.add("HOLDFAST_LOG", error);
        }
        let mut number =
            |variable, option, default, range| problems.number::<u64>(variable, set(option).as_ref(), default, range);
        let hold_ttl_seconds = number("HOLDFAST_HOLD_TTL_SECONDS", &self.hold_ttl_seconds, 120, 1..=86_400);
        let order_ttl_seconds = number("HOLDFAST_ORDER_TTL_SECONDS", &self.order_ttl_seconds, 900, 1..=2_592_000);
        let park_seconds = number("HOLDFAST_PARK_SECONDS", &self.park_seconds, 86_400, 1..=31_536_000);
        let clock_jump_seconds = number("HOLDFAST_CLOCK_JUMP_SECONDS", &self.clock_jump_seconds, 60, 0..=86_400);
        let drain_seconds = number("HOLDFAST_DRAIN_SECONDS", &self.drain_seconds, 10, 0..=300);
        let linger_seconds = number("HOLDFAST_LINGER_SECONDS", &self.linger_seconds, 0, 0..=300);
        let max_qty = problems.number("HOLDFAST_MAX_QTY", set(&self.max_qty).as_ref(), 10, 1..=1000);
        let pool_size = problems.number("HOLDFAST_POOL_SIZE", set(&self.pool_size).as_ref(), 16, 2..=500);
        let webhook_mode =
            set(&self.webhook_mode).map_or(Some(WebhookMode::Apply), |text| WebhookMode::from_name(&text));
        if webhook_mode.is_none() {
            problems.add("HOLDFAST_WEBHOOK_MODE", "it is neither `apply` nor `queue`");
        }
        match (database, listen) {
            (Some(database), Ok(listen)) if problems.0.is_empty() => Ok(Config {
                database,
                listen,
                hold_ttl_seconds,
                order_ttl_seconds,
                max_qty,
                park_seconds,
                webhook_mode: webhook_mode.unwrap_or(WebhookMode::Apply),
                clock_jump_seconds,
                pool_size,
                drain_seconds,
                linger_seconds,
                webhook_secrets,
                stripe_secrets,
                admin_token,
                statsd,
                log,
            }),
            _ => Err(problems),
        }
    }
}

/// Parses the database URL alone, for commands without other settings.
///
/// # Errors
/// The problem of the URL.
pub fn database(url: Option<&str>) -> Result<Opts, Problems> {
    let mut problems = Problems::default();
    read_database(url.filter(|url| !url.trim().is_empty()), &mut problems).ok_or(problems)
}

fn read_database(url: Option<&str>, problems: &mut Problems) -> Option<Opts> {
    let read = match url {
        Some(url) => pool::options(url),
        None => Err("it is not set: mysql://user:password@host:port/database".to_owned()),
    };
    read.map_err(|problem| problems.add("HOLDFAST_DATABASE_URL", problem)).ok()
}

fn is_host_and_port(server: &str) -> bool {
    match server.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_together_with_their_variables() {
        let settings = Settings {
            listen: Some("here".into()),
            hold_ttl_seconds: Some("0".into()),
            order_ttl_seconds: Some("soon".into()),
            max_qty: Some("-1".into()),
            clock_jump_seconds: Some("86401".into()),
            pool_size: Some("1".into()),
            webhook_secrets: Some("whsec_c2VjcmV0,MfKQ9r8G".into()),
            stripe_secrets: Some("s3cr3t,".into()),
            admin_token: Some("too short".into()),
            statsd: Some("nowhere".into()),
            log: Some("holdfast=loud".into()),
            ..Settings::default()
        };
        let problems = settings.read().expect_err("all options are invalid").to_string();
        for variable in [
            "HOLDFAST_DATABASE_URL",
            "HOLDFAST_LISTEN",
            "HOLDFAST_HOLD_TTL_SECONDS",
            "HOLDFAST_ORDER_TTL_SECONDS",
            "HOLDFAST_MAX_QTY",
            "HOLDFAST_CLOCK_JUMP_SECONDS",
            "HOLDFAST_POOL_SIZE",
            "HOLDFAST_WEBHOOK_SECRETS: secret 1 of 2",
            "HOLDFAST_WEBHOOK_SECRETS: secret 2 of 2",
            "HOLDFAST_STRIPE_SECRETS: secret 2 of 2",
            "HOLDFAST_ADMIN_TOKEN",
            "HOLDFAST_STATSD",
            "HOLDFAST_LOG",
        ] {
            assert!(problems.contains(variable), "{variable} in {problems}");
        }
        for secret in ["c2VjcmV0", "MfKQ9r8G", "s3cr3t"] {
            assert!(!problems.contains(secret), "{problems}");
        }
    }

    #[test]
    fn webhook_secrets_must_be_set_or_off() {
        let url = Some("mysql://db/shop".to_owned());
        let read = |webhook: Option<&str>, stripe: Option<&str>| {
            let (webhook_secrets, stripe_secrets) = (webhook.map(str::to_owned), stripe.map(str::to_owned));
            let config =
                Settings { database_url: url.clone(), webhook_secrets, stripe_secrets, ..Settings::default() }.read();
            config.map(|config| (config.webhook_secrets.is_some(), config.stripe_secrets.is_some()))
        };
        for nothing in [None, Some(""), Some("  ")] {
            let problems = read(nothing, None).expect_err("it must be set").to_string();
            assert!(problems.contains("HOLDFAST_WEBHOOK_SECRETS") && problems.contains("openssl rand"), "{problems}");
        }
        for with_others in [(Some("off"), Some("s3cr3t, off")), (Some("off,off"), None)] {
            let problems = read(with_others.0, with_others.1).expect_err("`off` is never a secret").to_string();
            assert!(problems.contains("`off` must stand alone"), "{problems}");
        }
        let secret = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(read(Some("off"), None), Ok((false, false)));
        assert_eq!(read(Some(" off "), Some("off")), Ok((false, false)));
        assert_eq!(read(secret, Some("")), Ok((true, false)));
        assert_eq!(read(secret, secret), Ok((true, true)));
    }

    #[test]
    fn an_option_that_is_not_set_has_its_documented_default() {
        let settings = Settings {
            database_url: Some("mysql://user:secret@db:3306/shop".into()),
            webhook_secrets: Some("off".into()),
            max_qty: Some(String::new()),
            ..Settings::default()
        };
        let config = settings.read().expect("no other option is required");
        assert_eq!((config.hold_ttl_seconds, config.order_ttl_seconds, config.max_qty), (120, 900, 10));
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((config.statsd, config.log.as_str()), (None, "info"));
    }

    #[test]
    fn a_url_must_name_a_database() {
        for url in ["mysql://db:3306/", "mysql://db", "postgres://db/shop", "db", ""] {
            assert!(database(Some(url)).is_err(), "{url}");
        }
    }
}
