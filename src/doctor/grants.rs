//! What the account may do, by the lines of SHOW GRANTS.

use std::collections::BTreeSet;

use super::report::Line;

/// The privileges of `serve`, and of all commands but `migrate`.
const SERVE: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
/// The privileges of `migrate`.
const MIGRATE: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "CREATE", "ALTER"];
/// All privileges on a database that matter here.
const ALL: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER"];

/// Judges the privileges of `account`, such as `shop@%`, on a database.
pub(super) fn lines(database: &str, account: &str, granted: &[String]) -> Vec<Line> {
    let has = privileges(database, granted);
    let single = granted.iter().filter_map(|line| Grant::parse(line)).any(|grant| grant.is_on_table_of(database));
    let line = |command: &str, needed: &[&'static str], subject: &'static str, is_needed_to_sell: bool| {
        let missing: Vec<&str> = needed.iter().filter(|name| !has.contains(**name)).copied().collect();
        if missing.is_empty() {
            return Line::ok(subject, format!("{account} may do on {database} all that `{command}` needs"));
        }
        let found = format!("{account} lacks privileges for `{command}` on {database}: {}", missing.join(", "));
        let grant =
            format!("GRANT {} ON `{}`.* TO {}", missing.join(", "), database.replace('`', "``"), quoted(account));
        match (single, is_needed_to_sell) {
            (true, _) => Line::warn(subject, format!("{found}, except for single tables"), grant),
            (false, true) => Line::fail(subject, found, grant),
            (false, false) => Line::warn(subject, found, format!("{grant}, or let another account migrate")),
        }
    };
    vec![line("serve", &SERVE, "privileges", true), line("migrate", &MIGRATE, "migrate", false)]
}

/// Returns the privileges on all tables of a database.
fn privileges(database: &str, granted: &[String]) -> BTreeSet<&'static str> {
    let mut has = BTreeSet::new();
    for grant in granted.iter().filter_map(|line| Grant::parse(line)).filter(|grant| grant.covers(database)) {
        for name in ALL.into_iter().filter(|name| grant.names(name)) {
            match grant.is_revoked {
                // MySQL lists what is revoked of a wider grant behind it
                true => has.remove(name),
                false => has.insert(name),
            };
        }
    }
    has
}

/// A line such as ``GRANT SELECT, INSERT ON `shop`.* TO `user`@`%` ``.
struct Grant<'a> {
    is_revoked: bool,
    privileges: &'a str,
    database: String,
    table: &'a str,
}

impl<'a> Grant<'a> {
    /// Parses a line; `None`: it grants a role, or is about no table.
    fn parse(line: &'a str) -> Option<Self> {
        let (is_revoked, rest) = match (line.strip_prefix("GRANT "), line.strip_prefix("REVOKE ")) {
            (Some(rest), _) => (false, rest),
            (None, rest) => (true, rest?),
        };
        let (privileges, rest) = rest.split_once(" ON ")?;
        let (database, rest) = match rest.strip_prefix('`') {
            None => ("*".to_owned(), rest.strip_prefix("*.")?),
            Some(rest) => {
                let end = rest.find("`.")?;
                (rest[..end].replace("``", "`"), &rest[end + 2..])
            }
        };
        let table = rest.split(" TO ").next()?.split(" FROM ").next()?;
        Some(Self { is_revoked, privileges, database, table })
    }

    fn covers(&self, database: &str) -> bool {
        self.table == "*" && (self.database == "*" || is_like(&self.database, database))
    }

    fn is_on_table_of(&self, database: &str) -> bool {
        self.table != "*" && self.database == database
    }

    fn names(&self, privilege: &str) -> bool {
        let mut names = self.privileges.split(',').map(str::trim);
        self.privileges.starts_with("ALL PRIVILEGES") || names.any(|name| name == privilege)
    }
}

/// Whether a pattern of LIKE covers a name; names of databases in grants are such patterns.
fn is_like(pattern: &str, name: &str) -> bool {
    let (mut rest, mut chars) = (pattern.chars(), name.chars());
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            (0..=name.len()).filter(|&at| name.is_char_boundary(at)).any(|at| is_like(rest.as_str(), &name[at..]))
        }
        Some('_') => chars.next().is_some() && is_like(rest.as_str(), chars.as_str()),
        Some(first) => {
            let literal = if first == '\\' { rest.next().unwrap_or(first) } else { first };
            chars.next() == Some(literal) && is_like(rest.as_str(), chars.as_str())
        }
    }
}

/// Quotes `shop@%` as an account.
fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    format!("{}@{}", quote(user), quote(host))
}

#[cfg(test)]
mod tests {
    use super::super::report::Level::{self, Fail, Ok, Warn};
    use super::*;

    fn judged(granted: &[&str]) -> (Vec<Level>, String) {
        let granted: Vec<String> = granted.iter().map(|&line| line.to_owned()).collect();
        let lines = lines("hold_fast", "shop@10.0.0.%", &granted);
        (lines.iter().map(|line| line.level).collect(), lines.iter().map(|line| format!("{line}\n")).collect())
    }

    #[test]
    fn grants_of_all_scopes_are_read() {
        let all = "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON";
        for granted in [
            &["GRANT USAGE ON *.* TO `shop`@`%`", "GRANT ALL PRIVILEGES ON `hold_fast`.* TO `shop`@`%`"][..],
            &["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"],
            &[&format!("{all} `hold\\_%`.* TO `shop`@`%`")],
            &[
                &format!("{all} *.* TO `shop`@`%`"),
                "GRANT `role`@`%` TO `shop`@`%`",
                "GRANT PROXY ON ``@`` TO `root`@`%`",
            ],
        ] {
            assert_eq!(judged(granted).0, [Ok, Ok], "{granted:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_as_a_grant() {
        let (levels, text) =
            judged(&["GRANT USAGE ON *.* TO `shop`@`%`", "GRANT SELECT, INSERT ON `hold_fast`.* TO `shop`@`%`"]);
        assert_eq!(levels, [Fail, Warn]);
        assert!(text.contains("GRANT UPDATE, DELETE ON `hold_fast`.* TO 'shop'@'10.0.0.%'\n"), "{text}");
        assert!(text.contains("GRANT UPDATE, CREATE, ALTER ON `hold_fast`.* TO 'shop'@'10.0.0.%', or"), "{text}");
        for other in
            ["GRANT ALL PRIVILEGES ON `other`.* TO `shop`@`%`", "GRANT ALL PRIVILEGES ON `hold\\_`.* TO `shop`@`%`"]
        {
            assert_eq!(judged(&[other]).0, [Fail, Warn], "{other}");
        }
        assert_eq!(judged(&["GRANT SELECT, INSERT, UPDATE, DELETE ON `hold_fast`.* TO `shop`@`%`"]).0, [Ok, Warn]);
        let revoked =
            ["GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO `s`@`%`", "REVOKE DELETE ON `hold_fast`.* FROM `s`@`%`"];
        assert_eq!(judged(&revoked).0, [Fail, Warn]);
        let single = "GRANT SELECT, INSERT, UPDATE, DELETE ON `hold_fast`.`holds` TO `shop`@`%`";
        assert_eq!(judged(&[single]).0, [Warn, Warn]);
    }
}
