//! `holdfast doctor`: whether what is around the service is as a sale needs it. It looks, and changes nothing.

mod grants;
mod report;
mod server;
mod statsd;

use chrono::TimeDelta;
use mysql_async::Opts;

use self::report::Line;
pub use self::report::{Level, Report};
use crate::db::inspection::{Findings, inspect};
use crate::db::migrations;

/// How far two clocks may differ: the service logs a larger difference, too.
const DIFFERENCE: TimeDelta = TimeDelta::seconds(1);

/// What is examined.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The database.
    pub database: Opts,
    /// Connections of each instance's pool.
    pub pool_size: usize,
    /// How many instances serve.
    pub instances: u64,
    /// Where metrics go.
    pub statsd: Option<String>,
}

/// Examines everything. What cannot be read does not keep the rest from being examined.
pub async fn examine(subject: &Subject) -> Report {
    let database = &subject.database;
    let place = format!("{}:{}", database.ip_or_hostname(), database.tcp_port());
    let mut lines = match inspect(database).await {
        Ok(findings) => lines_of(subject, &place, &findings),
        Err(reason) => unreachable(&place, &reason),
    };
    lines.push(statsd::line(subject.statsd.as_deref()).await);
    Report::new(lines)
}

fn unreachable(place: &str, reason: &str) -> Vec<Line> {
    let advice = "start the server, or correct HOLDFAST_DATABASE_URL: host, port, user, password, TLS";
    let unread = "version, durability, writes, checks, privileges, schema, clock and connections cannot be read";
    vec![
        Line::fail("database", format!("{place} cannot be reached: {reason}"), advice),
        Line::warn("unread", unread, "run this again when the database is reached"),
    ]
}

fn lines_of(subject: &Subject, place: &str, findings: &Findings) -> Vec<Line> {
    let name = subject.database.db_name().unwrap_or_default();
    let account = findings.user.as_deref().unwrap_or("an unknown account");
    let mut lines = vec![match &findings.no_database {
        None => Line::ok("database", format!("{name} at {place} is reached as {account}")),
        Some(reason) => {
            let advice =
                "run `holdfast migrate`, which creates a database that does not exist; see the privileges below";
            Line::fail("database", format!("{place} is reached as {account}, but {name} is not: {reason}"), advice)
        }
    }];
    match &findings.variables {
        Ok(variables) => {
            lines.push(server::version(variables));
            lines.extend(server::durability(variables));
            lines.push(server::writes(variables));
            lines.push(server::connections(variables, subject.pool_size, subject.instances));
        }
        Err(reason) => {
            let unread = format!("the server's variables cannot be read: {reason}");
            lines.push(Line::warn("unread", unread, "compare version and durability with docs/operations.md by hand"));
        }
    }
    lines.push(server::checks(findings));
    lines.extend(privileges(name, findings));
    lines.push(schema(findings));
    lines.push(clock(findings));
    lines
}

fn privileges(name: &str, findings: &Findings) -> Vec<Line> {
    match &findings.grants {
        Ok(granted) => grants::lines(name, findings.user.as_deref().unwrap_or_default(), granted),
        Err(reason) => {
            let advice = "compare SHOW GRANTS with docs/operations.md by hand";
            vec![Line::warn("privileges", format!("they cannot be read: {reason}"), advice)]
        }
    }
}

/// Judges the version of the schema.
fn schema(findings: &Findings) -> Line {
    const SCHEMA: &str = "schema";
    let (needed, migrate) = (migrations::latest(), "run `holdfast migrate`");
    match &findings.schema {
        Err(reason) => Line::fail(SCHEMA, format!("its version cannot be read: {reason}"), migrate),
        Ok(None) => Line::fail(SCHEMA, "the database has none", migrate),
        Ok(Some(present)) if *present < needed => {
            Line::fail(SCHEMA, format!("it is at version {present}; this program needs {needed}"), migrate)
        }
        Ok(Some(present)) if *present > needed => {
            let newer = format!("it is at version {present}; this program was built for {needed}");
            Line::warn(SCHEMA, newer, "finish the deployment of the newer version (docs/migrations.md)")
        }
        Ok(Some(present)) => Line::ok(SCHEMA, format!("it is at version {present}, as this program needs it")),
    }
}

/// Judges the difference of the two clocks.
fn clock(findings: &Findings) -> Line {
    const CLOCK: &str = "clock";
    match &findings.clock {
        Err(reason) => Line::warn(CLOCK, format!("the server's clock cannot be read: {reason}"), "run this again"),
        Ok(ahead) if ahead.abs() > DIFFERENCE => {
            let (seconds, side) =
                (ahead.abs().as_seconds_f64(), if *ahead > TimeDelta::zero() { "ahead" } else { "behind" });
            let differs = format!("the database's clock is {seconds:.1} s {side} of this machine's");
            Line::warn(
                CLOCK,
                differs,
                "synchronise both with NTP: deadlines follow the database's clock, logs this machine's",
            )
        }
        Ok(ahead) => Line::ok(
            CLOCK,
            format!("the database's clock and this machine's differ by {} ms", ahead.num_milliseconds().abs()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let no = || Err("no answer".to_owned());
        Findings {
            no_database: None,
            variables: Err("no answer".to_owned()),
            user: Ok("shop@%".to_owned()),
            grants: Err("no answer".to_owned()),
            checks: Err("no answer".to_owned()),
            schema: no(),
            clock: Err("no answer".to_owned()),
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_examined() {
        let database = Opts::from_url("mysql://shop@db:3306/shop").expect("a URL");
        let subject = Subject { database, pool_size: 16, instances: 1, statsd: None };
        let clock = Ok(TimeDelta::milliseconds(-12));
        let report = Report::new(lines_of(&subject, "db:3306", &Findings { clock, ..findings() })).to_string();
        for text in
            ["ok    database", "warn  unread", "warn  privileges", "fail  schema", "ok    clock", "differ by 12 ms"]
        {
            assert!(report.contains(text), "{text} in {report}");
        }
    }

    #[test]
    fn clocks_that_differ_by_more_than_a_second_are_warned_about() {
        let level =
            |milliseconds| clock(&Findings { clock: Ok(TimeDelta::milliseconds(milliseconds)), ..findings() }).level;
        assert_eq!([0, 1000, -1000].map(level), [Level::Ok; 3]);
        assert_eq!([1001, -1001, 90_000].map(level), [Level::Warn; 3]);
    }

    #[test]
    fn an_older_schema_fails_and_a_newer_one_is_warned_about() {
        let level = |schema| super::schema(&Findings { schema: Ok(schema), ..findings() }).level;
        let needed = migrations::latest();
        let levels = [Some(needed), Some(needed + 1), Some(needed - 1), None].map(level);
        assert_eq!(levels, [Level::Ok, Level::Warn, Level::Fail, Level::Fail]);
    }
}
