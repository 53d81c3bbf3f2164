//! All problems at once, the defaults, and what is no secret.

use super::*;
use crate::checkout::Policy;
use crate::domain::{Named as _, PushPrivate, StorefrontMode, WebhookAuth};

/// Settings of which only those of the storefront are set.
fn open() -> Settings {
    Settings { storefront: Some("open".into()), ..Settings::default() }
}

#[test]
fn the_storefront_must_be_open_or_closed() {
    let read = |storefront: Option<&str>| {
        let (database_url, webhook_secrets) = (Some("mysql://db/shop".to_owned()), Some("off".to_owned()));
        let storefront = storefront.map(str::to_owned);
        let settings = Settings { database_url, webhook_secrets, storefront, ..Settings::default() };
        settings.read().map(|config| config.storefront)
    };
    for nothing in [None, Some(" ")] {
        let problems = read(nothing).expect_err("it must be set").to_string();
        assert!(
            problems.contains("HOLDFAST_STOREFRONT: it is not set") && problems.contains("client add"),
            "{problems}"
        );
    }
    assert_eq!(read(Some("open")), Ok(StorefrontMode::Open));
    assert_eq!(read(Some("token")), Ok(StorefrontMode::Token));
}

#[test]
fn a_signature_that_is_asked_for_needs_secrets() {
    let read = |auth: &str, secrets: &str| {
        let (database_url, webhook_secrets) = (Some("mysql://db/shop".to_owned()), Some(secrets.to_owned()));
        let settings = Settings { database_url, webhook_secrets, webhook_auth: Some(auth.to_owned()), ..open() };
        settings.read().map(|config| config.webhook_auth)
    };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for auth in WebhookAuth::ALL {
        assert_eq!(read(auth.as_str(), secret), Ok(*auth));
    }
    assert_eq!([read("signature", "off"), read("token", "off")], [Ok(WebhookAuth::Signature), Ok(WebhookAuth::Token)]);
    for auth in ["either", " both "] {
        let problems = read(auth, "off").expect_err("each event would pass").to_string();
        assert!(
            problems.contains("HOLDFAST_WEBHOOK_AUTH") && problems.contains("HOLDFAST_WEBHOOK_SECRETS is off"),
            "{problems}"
        );
    }
    let all =
        Settings { webhook_auth: Some("both".into()), webhook_secrets: Some("off".into()), ..Settings::default() };
    let problems = all.read().expect_err("others are missing, too").to_string();
    assert!(problems.contains("HOLDFAST_DATABASE_URL") && problems.contains("HOLDFAST_WEBHOOK_AUTH"), "{problems}");
}

#[test]
fn all_problems_are_reported_together_with_their_variables() {
    let settings = Settings {
        listen: Some("here".into()),
        hold_ttl_seconds: Some("0".into()),
        order_ttl_seconds: Some("soon".into()),
        max_hold_seconds: Some("0".into()),
        max_qty: Some("-1".into()),
        clock_jump_seconds: Some("86401".into()),
        pool_size: Some("1".into()),
        webhook_secrets: Some("whsec_c2VjcmV0,MfKQ9r8G".into()),
        stripe_secrets: Some("s3cr3t,".into()),
        admin_token: Some("too short".into()),
        storefront: Some("ajar".into()),
        webhook_auth: Some("none".into()),
        rate_reads: Some("0".into()),
        rate_writes: Some("many".into()),
        rate_webhooks: Some("-1".into()),
        rate_admin: Some("1000001".into()),
        trusted_proxies: Some("10.0.0.0/8, proxy, 0.0.0.0/0".into()),
        cors_origins: Some("https://shop.example/, *".into()),
        push_private: Some("yes".into()),
        statsd: Some("nowhere".into()),
        statsd_style: Some("statsd".into()),
        metrics_listen: Some("9090".into()),
        stock_metrics: Some("1001".into()),
        log: Some("holdfast=loud".into()),
        ..Settings::default()
    };
    let problems = settings.read().expect_err("all options are invalid").to_string();
    for variable in [
        "HOLDFAST_DATABASE_URL",
        "HOLDFAST_LISTEN",
        "HOLDFAST_HOLD_TTL_SECONDS",
        "HOLDFAST_ORDER_TTL_SECONDS",
        "HOLDFAST_MAX_HOLD_SECONDS",
        "HOLDFAST_MAX_QTY",
        "HOLDFAST_CLOCK_JUMP_SECONDS",
        "HOLDFAST_POOL_SIZE",
        "HOLDFAST_WEBHOOK_SECRETS: secret 1 of 2",
        "HOLDFAST_WEBHOOK_SECRETS: secret 2 of 2",
        "HOLDFAST_STRIPE_SECRETS: secret 2 of 2",
        "HOLDFAST_ADMIN_TOKEN",
        "HOLDFAST_STOREFRONT: it must be one of `open`, `token`",
        "HOLDFAST_WEBHOOK_AUTH: it must be one of `signature`, `token`, `either`, `both`",
        "HOLDFAST_RATE_READS: `0`",
        "HOLDFAST_RATE_WRITES: `many`",
        "HOLDFAST_RATE_WEBHOOKS: `-1`",
        "HOLDFAST_RATE_ADMIN: `1000001`",
        "HOLDFAST_TRUSTED_PROXIES: `proxy`",
        "HOLDFAST_TRUSTED_PROXIES: `0.0.0.0/0`",
        "HOLDFAST_CORS_ORIGINS: `https://shop.example/`",
        "HOLDFAST_CORS_ORIGINS: `*`",
        "HOLDFAST_PUSH_PRIVATE: it must be one of `off`, `on`",
        "HOLDFAST_STATSD: `nowhere`",
        "HOLDFAST_METRICS_LISTEN: `9090`",
        "HOLDFAST_STOCK_METRICS: `1001`",
        "HOLDFAST_STATSD_STYLE: it must be one of `plain`, `dogstatsd`, `graphite`",
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
        let config = Settings { database_url: url.clone(), webhook_secrets, stripe_secrets, ..open() }.read();
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
        ..open()
    };
    let config = settings.read().expect("no other option is required");
    let policy = config.policy;
    assert_eq!((policy.hold_ttl_seconds, policy.order_ttl_seconds, policy.max_qty), (120, 900, 10));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.statsd, config.log.as_str()), (None, "info"));
    let rates = [config.rate_reads, config.rate_writes, config.rate_webhooks, config.rate_admin];
    assert_eq!((rates, config.cors_origins.as_slice().len()), ([None; 4], 0));
}

#[test]
fn holds_can_be_extended_until_a_time_that_is_not_less_than_their_own() {
    let read = |hold: Option<&str>, most: Option<&str>| {
        let (hold_ttl_seconds, max_hold_seconds) = (hold.map(str::to_owned), most.map(str::to_owned));
        let settings = Settings { hold_ttl_seconds, max_hold_seconds, webhook_secrets: Some("off".into()), ..open() };
        let settings = Settings { database_url: Some("mysql://db/shop".to_owned()), ..settings };
        settings.read().map(|config| config.policy.max_hold_seconds).map_err(|problems| problems.to_string())
    };
    assert_eq!(read(None, None), Ok(3600));
    assert_eq!([read(None, Some("120")), read(Some("9"), Some(" 9 "))], [Ok(120), Ok(9)]);
    assert_eq!(read(Some("7200"), None), Ok(3600), "an older configuration stays valid");
    for (hold, most) in [(None, "119"), (Some("10"), "9")] {
        let problems = read(hold, Some(most)).expect_err("a hold lasts longer");
        let told = ["HOLDFAST_MAX_HOLD_SECONDS", "less than HOLDFAST_HOLD_TTL_SECONDS"];
        assert!(told.iter().all(|text| problems.contains(text)), "{problems}");
    }
    let both = Settings { max_hold_seconds: Some("1".into()), ..Settings::default() };
    let problems = both.read().expect_err("others are missing, too").to_string();
    assert!(problems.contains("HOLDFAST_DATABASE_URL") && problems.contains("HOLDFAST_MAX_HOLD_SECONDS"), "{problems}");
}

#[test]
fn a_url_must_name_a_database() {
    for url in ["mysql://db:3306/", "mysql://db", "postgres://db/shop", "db", ""] {
        assert!(database(url).is_err(), "{url}");
    }
}

#[test]
fn dev_has_defaults_of_its_own_for_metrics_and_logs_unless_they_are_set() {
    let read = |given: Option<&str>| {
        let (statsd, log) = (given.map(str::to_owned), given.map(str::to_owned));
        let database_url = Some("mysql://db/shop".to_owned());
        let webhook_secrets = Some("off".to_owned());
        let mut settings = Settings { database_url, webhook_secrets, statsd, log, ..Settings::default() };
        settings.use_dev_defaults();
        settings.read().map(|config| (config.statsd, config.log, config.policy))
    };
    let (statsd, log, policy) = read(None).expect("valid defaults");
    assert_eq!((statsd.as_deref(), log.contains("holdfast::http=debug")), (Some("127.0.0.1:8125"), true));
    assert_eq!(policy, Policy::default(), "the others are the same");
    assert_eq!(read(Some("off")).map(|(statsd, log, _)| (statsd, log)), Ok((None, "off".to_owned())));
}

#[test]
fn pushes_reach_private_addresses_in_development_alone() {
    let secrets = Some("off".to_owned());
    let settings = || Settings { database_url: Some("mysql://h/d".into()), webhook_secrets: secrets.clone(), ..open() };
    let read = |settings: Settings| settings.read().expect("valid settings").push_private;
    let mut dev = settings();
    dev.use_dev_defaults();
    assert_eq!((read(settings()), read(dev)), (PushPrivate::Off, PushPrivate::On));
}
