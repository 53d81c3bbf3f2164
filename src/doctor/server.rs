//! What the server's variables say: its version, durability, CHECK constraints and connections.

use std::collections::BTreeMap;

use super::report::Line;
use crate::db::inspection::Findings;
use crate::db::migrations;

type Variables = BTreeMap<String, String>;

/// Connections that are left for migrations, audits and operators.
const RESERVED: u64 = 10;
/// Connections of an instance beside its pool: the one that reads the clients.
const BESIDE_POOL: u64 = 1;
/// The largest packets that a batch sends.
const PACKET: u64 = 1024 * 1024;

fn get<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name).map(String::as_str)
}

fn number(variables: &Variables, name: &str) -> Option<u64> {
    get(variables, name)?.parse().ok()
}

fn is_on(variables: &Variables, name: &str) -> bool {
    // MariaDB 12 has words for degrees of it
    get(variables, name).is_some_and(|value| !["OFF", "0", "NO"].contains(&value.to_uppercase().as_str()))
}

/// Judges the version. CHECK constraints are enforced since MySQL 8.0.16.
pub(super) fn version(variables: &Variables) -> Line {
    const VERSION: &str = "version";
    let (text, comment) = (get(variables, "version").unwrap_or("?"), get(variables, "version_comment").unwrap_or(""));
    let is_mariadb = format!("{text} {comment}").to_lowercase().contains("mariadb");
    let (engine, tested, oldest, tests) = match is_mariadb {
        true => ("MariaDB", [10, 11, 0], [10, 6, 0], "MariaDB 10.11"),
        false => ("MySQL", [9, 0, 0], [8, 0, 16], "MySQL 9.7"),
    };
    let found = format!("{engine} {text}");
    match parse_version(text) {
        None => Line::warn(VERSION, format!("{found} is an unknown version"), format!("the tests run on {tests}")),
        Some(version) if version < oldest => {
            let [major, minor, patch] = oldest;
            Line::fail(
                VERSION,
                format!("{found} is too old"),
                format!("use {engine} {major}.{minor}.{patch} or later; the tests run on {tests}"),
            )
        }
        Some(version) if version < tested => Line::warn(
            VERSION,
            format!("{found} is older than any that is tested"),
            format!("the tests run on {tests}: prefer it"),
        ),
        Some(_) => Line::ok(VERSION, format!("{found}; the tests run on {tests}")),
    }
}

/// Parses `10.11.6-MariaDB-log`, and `5.5.5-10.11.6-MariaDB`, which some versions say to clients.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)])
}

/// Judges whether a commit that was acknowledged survives a crash.
pub(super) fn durability(variables: &Variables) -> Vec<Line> {
    const DURABILITY: &str = "durability";
    let mut lines = Vec::new();
    let flush = get(variables, "innodb_flush_log_at_trx_commit").unwrap_or("?");
    if flush != "1" && flush != "3" {
        let found = format!("innodb_flush_log_at_trx_commit is {flush}: a crash loses sales that were acknowledged");
        lines.push(Line::fail(DURABILITY, found, "set innodb_flush_log_at_trx_commit = 1"));
    }
    let (has_log, sync) = (is_on(variables, "log_bin"), get(variables, "sync_binlog").unwrap_or("?"));
    if has_log && sync != "1" {
        let found = format!(
            "sync_binlog is {sync}: a crash of the machine loses the end of the binary log, and on recovery the server rolls back \
             transactions that are not in it"
        );
        lines.push(Line::fail(DURABILITY, found, "set sync_binlog = 1"));
    }
    let doublewrite = get(variables, "innodb_doublewrite").unwrap_or("?").to_uppercase();
    if ["OFF", "0", "DETECT_ONLY"].contains(&doublewrite.as_str()) {
        let found = format!("innodb_doublewrite is {doublewrite}: a crash can leave pages that are half written");
        lines.push(Line::warn(
            DURABILITY,
            found,
            "set innodb_doublewrite = ON, unless the file system writes pages as a whole",
        ));
    }
    if get(variables, "innodb_flush_method").is_some_and(|method| method.eq_ignore_ascii_case("nosync")) {
        let found = "innodb_flush_method is nosync: nothing is on disk when a commit is acknowledged";
        lines.push(Line::fail(DURABILITY, found, "remove innodb_flush_method from the server's settings"));
    }
    if lines.is_empty() {
        let log = if has_log { "sync_binlog = 1" } else { "no binary log" };
        lines.push(Line::ok(
            DURABILITY,
            format!("innodb_flush_log_at_trx_commit = {flush}, {log}, innodb_doublewrite = {doublewrite}"),
        ));
    }
    lines
}

/// Judges whether the server takes writes.
pub(super) fn writes(variables: &Variables) -> Line {
    const WRITES: &str = "writes";
    let read_only = ["read_only", "super_read_only", "innodb_read_only"];
    if let Some(name) = read_only.into_iter().find(|name| is_on(variables, name)) {
        return Line::fail(WRITES, format!("{name} is on"), "let HOLDFAST_DATABASE_URL lead to the primary server");
    }
    match number(variables, "max_allowed_packet") {
        Some(bytes) if bytes < PACKET => Line::fail(
            WRITES,
            format!("max_allowed_packet is {bytes}: large batches are refused"),
            format!("set max_allowed_packet = {PACKET} or more"),
        ),
        _ => Line::ok(WRITES, "the server is not read-only"),
    }
}

/// Judges whether the CHECK constraints of the schema are enforced.
pub(super) fn checks(findings: &Findings) -> Line {
    const CHECKS: &str = "checks";
    let migrate = "run `holdfast migrate`, which makes them, with a user that may see them";
    if findings.variables.as_ref().is_ok_and(|variables| get(variables, "check_constraint_checks") == Some("OFF")) {
        let found = "check_constraint_checks is OFF: no CHECK stands behind the guards";
        return Line::fail(CHECKS, found, "set check_constraint_checks = ON");
    }
    let enforced = match &findings.checks {
        Ok(enforced) => enforced,
        Err(reason) => return Line::warn(CHECKS, format!("they cannot be read: {reason}"), migrate),
    };
    let missing: Vec<&str> = migrations::checks().filter(|name| !enforced.iter().any(|check| check == name)).collect();
    match (missing.is_empty(), &findings.schema) {
        (true, _) => Line::ok(CHECKS, format!("all {} CHECK constraints of the schema are enforced", enforced.len())),
        // a migration that is still to run may make them
        (false, Ok(Some(present))) if *present >= migrations::latest() => {
            let advice = "ALTER TABLE … ALTER CHECK … ENFORCED, or add it again as in migrations/";
            Line::fail(CHECKS, format!("not enforced, or not visible to this user: {}", missing.join(", ")), advice)
        }
        (false, _) => Line::warn(CHECKS, "the schema does not have all of them yet", migrate),
    }
}

/// Judges whether the instances' connections fit.
pub(super) fn connections(variables: &Variables, pool_size: usize, instances: u64) -> Line {
    const CONNECTIONS: &str = "connections";
    let each = u64::try_from(pool_size).unwrap_or(u64::MAX).saturating_add(BESIDE_POOL);
    let wanted = instances.saturating_mul(each);
    let limit = |name: &'static str| Some((number(variables, name)?, name)).filter(|(limit, _)| *limit > 0);
    let limits = [limit("max_connections"), limit("max_user_connections")].into_iter().flatten();
    let Some((limit, name)) = limits.min() else {
        return Line::warn(CONNECTIONS, "max_connections is not known", "run this again");
    };
    let plural = if instances == 1 { "" } else { "s" };
    let found = format!(
        "{instances} instance{plural} (HOLDFAST_INSTANCES) with {pool_size} + {BESIDE_POOL} connections use {wanted} of {name} = {limit}"
    );
    let advice = format!("set {name} = {} or more, or lower HOLDFAST_POOL_SIZE", wanted.saturating_add(RESERVED));
    if wanted > limit {
        Line::fail(CONNECTIONS, found, advice)
    } else if wanted.saturating_add(RESERVED) > limit {
        Line::warn(CONNECTIONS, format!("{found}; fewer than {RESERVED} are left for operators"), advice)
    } else {
        Line::ok(CONNECTIONS, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level::{self, Fail, Ok, Warn};
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn versions_are_judged_by_what_is_tested() {
        for (text, comment, level) in [
            ("10.11.6-MariaDB-log", "", Ok),
            ("11.8.2-MariaDB-ubu2404", "", Ok),
            ("10.6.1", "MariaDB Server", Warn),
            ("5.5.5-10.5.1-MariaDB", "", Fail),
            ("9.7.4-2", "(Debian)", Ok),
            ("8.4.6", "MySQL Community Server - GPL", Warn),
            ("8.0.16", "", Warn),
            ("8.0.15", "", Fail),
            ("5.7.44-log", "", Fail),
            ("new", "", Warn),
        ] {
            let line = version(&variables(&[("version", text), ("version_comment", comment)]));
            assert_eq!(line.level, level, "{line}");
        }
    }

    #[test]
    fn settings_that_lose_acknowledged_sales_fail() {
        let usual = [
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("log_bin", "OFF"),
            ("sync_binlog", "0"),
        ];
        let worst = |changed: &[(&str, &str)]| -> Level {
            let lines = durability(&variables(&[&usual, changed].concat()));
            lines.iter().map(|line| line.level).max().expect("a line")
        };
        for changed in
            [&[][..], &[("log_bin", "ON"), ("sync_binlog", "1")], &[("innodb_doublewrite", "DETECT_AND_RECOVER")]]
        {
            assert_eq!(worst(changed), Ok, "{changed:?}");
        }
        for changed in [
            &[("innodb_flush_log_at_trx_commit", "2")][..],
            &[("innodb_flush_log_at_trx_commit", "0")],
            &[("log_bin", "ON")],
            &[("innodb_flush_method", "nosync")],
        ] {
            assert_eq!(worst(changed), Fail, "{changed:?}");
        }
        for off in ["OFF", "DETECT_ONLY", "0"] {
            assert_eq!(worst(&[("innodb_doublewrite", off)]), Warn, "{off}");
        }
    }

    #[test]
    fn a_replica_and_small_packets_fail() {
        let level = |pairs: &[(&str, &str)]| writes(&variables(pairs)).level;
        assert_eq!(level(&[("read_only", "OFF"), ("super_read_only", "0"), ("max_allowed_packet", "16777216")]), Ok);
        for pair in
            [("read_only", "ON"), ("super_read_only", "1"), ("innodb_read_only", "ON"), ("max_allowed_packet", "1024")]
        {
            assert_eq!(level(&[pair]), Fail, "{pair:?}");
        }
    }

    #[test]
    fn the_connections_of_all_instances_must_fit() {
        let level = |most: &str, user: &str, instances| {
            connections(&variables(&[("max_connections", most), ("max_user_connections", user)]), 16, instances).level
        };
        assert_eq!([level("151", "0", 1), level("151", "0", 8), level("151", "27", 1)], [Ok, Ok, Ok]);
        assert_eq!(
            [level("152", "0", 9), level("145", "0", 8), level("151", "26", 1), level("34", "0", 2)],
            [Fail, Warn, Warn, Warn]
        );
        assert_eq!([level("151", "16", 1), level("33", "0", 2)], [Fail, Fail]);
    }
}
