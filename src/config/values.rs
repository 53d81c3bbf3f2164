//! The parsers of the settings' values. Each returns all problems of its text, never the text of a secret.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;

use mysql_async::Opts;

use super::setting::Setting;
use crate::db::pool;
use crate::domain::signature::{BadSecrets, Secrets};
use crate::domain::{AdminToken, FeedHolds, Named, Origins, PushPrivate, StorefrontMode, WebhookAuth, WebhookMode};
use crate::rate::TrustedProxies;
use crate::telemetry::{self, StatsdStyle};

/// The value that switches a feature off.
pub const OFF: &str = "off";

/// A value, or the problems of its text.
type Parsed<T> = Result<T, Vec<String>>;

pub(super) fn database(_: &Setting, url: &str) -> Parsed<Opts> {
    pool::options(url).map_err(|problem| vec![problem])
}

/// Parses an address and a port, or resolves a name and a port: to its first address of IPv4, which clients with a literal
/// address expect, or else to its first one.
pub(super) fn address(_: &Setting, text: &str) -> Parsed<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !matches!(text.rsplit_once(':'), Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(vec![format!("`{text}` is not an address or name and a port, such as 127.0.0.1:8080")]);
    }
    let resolved = text.to_socket_addrs().map_err(|error| vec![format!("`{text}` has no address: {error}")])?;
    let addresses: Vec<SocketAddr> = resolved.collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied();
    first.ok_or_else(|| vec![format!("`{text}` has no address")])
}

/// Parses an address of a second listener; an empty text means that there is none.
pub(super) fn optional_address(setting: &Setting, text: &str) -> Parsed<Option<SocketAddr>> {
    if text.is_empty() { Ok(None) } else { address(setting, text).map(Some) }
}

/// Parses a number within the range of the setting, which fits into its type.
pub(super) fn number<T: TryFrom<u64>>(setting: &Setting, text: &str) -> Parsed<T> {
    let (least, most) = setting.range.unwrap_or((u64::MIN, u64::MAX));
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| vec![format!("`{text}` is not a number from {least} to {most}")])
}

pub(super) fn webhook_mode(_: &Setting, text: &str) -> Parsed<WebhookMode> {
    WebhookMode::from_name(text).ok_or_else(|| vec!["it is neither `apply` nor `queue`".to_owned()])
}

pub(super) fn webhook_auth(_: &Setting, text: &str) -> Parsed<WebhookAuth> {
    word(text)
}

pub(super) fn storefront(_: &Setting, text: &str) -> Parsed<StorefrontMode> {
    word(text)
}

pub(super) fn feed_holds(_: &Setting, text: &str) -> Parsed<FeedHolds> {
    word(text)
}

pub(super) fn push_private(_: &Setting, text: &str) -> Parsed<PushPrivate> {
    word(text)
}

/// Parses a word of a closed set.
fn word<T: Named>(text: &str) -> Parsed<T> {
    let words = || T::ALL.iter().map(|word| format!("`{}`", word.as_str())).collect::<Vec<_>>().join(", ");
    T::from_name(text).ok_or_else(|| vec![format!("it must be one of {}", words())])
}

/// Parses secrets of Standard Webhooks, or `off`.
pub(super) fn webhook_secrets(_: &Setting, list: &str) -> Parsed<Option<Secrets>> {
    secrets(list, Secrets::standard)
}

/// Parses secrets of Stripe, or `off`.
pub(super) fn stripe_secrets(_: &Setting, list: &str) -> Parsed<Option<Secrets>> {
    secrets(list, Secrets::stripe)
}

fn secrets(list: &str, parse: fn(&str) -> Result<Secrets, Vec<BadSecrets>>) -> Parsed<Option<Secrets>> {
    if list == OFF {
        return Ok(None);
    }
    if list.split(',').any(|secret| secret.trim() == OFF) {
        return Err(vec!["`off` must stand alone: every client could sign with it as a secret".to_owned()]);
    }
    parse(list).map(Some).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

pub(super) fn admin_token(_: &Setting, text: &str) -> Parsed<Option<AdminToken>> {
    if text.is_empty() {
        return Ok(None);
    }
    let least = AdminToken::LEAST;
    let token = AdminToken::new(text).map(Some);
    token.ok_or_else(|| vec![format!("it must be at least {least} visible ASCII characters")])
}

/// Parses a limit, such as one of requests per minute, within the range of the setting; an empty text means that there is none.
pub(super) fn rate(setting: &Setting, text: &str) -> Parsed<Option<NonZeroU32>> {
    if text.is_empty() { Ok(None) } else { number::<u32>(setting, text).map(NonZeroU32::new) }
}

/// Parses networks of proxies.
pub(super) fn proxies(_: &Setting, list: &str) -> Parsed<TrustedProxies> {
    TrustedProxies::parse(list).map_err(|problems| problems.0)
}

/// Parses origins of browsers, or `off`.
pub(super) fn origins(_: &Setting, list: &str) -> Parsed<Origins> {
    if list == OFF { Ok(Origins::default()) } else { Origins::parse(list) }
}

/// Parses the address of a StatsD server, or `off`.
pub(super) fn statsd(_: &Setting, server: &str) -> Parsed<Option<String>> {
    match server {
        OFF => Ok(None),
        server if is_host_and_port(server) => Ok(Some(server.to_owned())),
        server => Err(vec![format!("`{server}` is not host:port")]),
    }
}

pub(super) fn statsd_style(_: &Setting, text: &str) -> Parsed<StatsdStyle> {
    word(text)
}

fn is_host_and_port(server: &str) -> bool {
    match server.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => false,
    }
}

pub(super) fn log_filter(_: &Setting, filter: &str) -> Parsed<String> {
    telemetry::log_filter(filter).map_err(|error| vec![error.to_string()])?;
    Ok(filter.to_owned())
}
