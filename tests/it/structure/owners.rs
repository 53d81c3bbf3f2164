//! The owners of columns: which modules may run the statements that change a column.

use std::collections::BTreeSet;
use std::path::Path;

use super::arrows::covered;
use super::source::{Crate, Place};

/// A statement of `sql/`.
#[derive(Debug)]
pub(crate) struct Statement {
    /// `<table>/<verb>`.
    pub(crate) name: String,
    /// Its text without comments, each white space one space.
    pub(crate) text: String,
}

/// A column with one owner.
pub(crate) struct Owned {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// The module whose functions run the statements.
    pub(crate) module: &'static str,
    /// The modules that may call these functions.
    pub(crate) callers: &'static [&'static str],
}

impl Statement {
    /// Reads all statements under `folder`.
    pub(crate) fn read_all(folder: &Path) -> Vec<Self> {
        let entries =
            |path: &Path| std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        let files = entries(folder).flat_map(|table| entries(&table).collect::<Vec<_>>());
        let name = |path: &Path| {
            let name = path.strip_prefix(folder).expect("a file under the folder").with_extension("");
            name.to_str().expect("a plain name").to_owned()
        };
        files.map(|path| Self::of(&name(&path), &std::fs::read_to_string(&path).expect("a text"))).collect()
    }

    pub(crate) fn of(name: &str, text: &str) -> Self {
        let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        Self { name: name.to_owned(), text: words.join(" ") }
    }

    /// Returns whether it gives the column a new value in a row that exists.
    pub(crate) fn changes(&self, table: &str, column: &str) -> bool {
        if self.text.ends_with(" WHERE FALSE") {
            return false;
        }
        let (head, assignments) = match self.text.strip_prefix("UPDATE ").and_then(|text| text.split_once(" SET ")) {
            Some((tables, rest)) => (tables, rest.split(" WHERE ").next()),
            None => match self.text.split_once(" ON DUPLICATE KEY UPDATE ") {
                Some((insert, rest)) => (insert.split('(').next().unwrap_or_default(), Some(rest)),
                None => return false,
            },
        };
        let is_named = head.split([' ', ',']).any(|word| word == table);
        let words: Vec<&str> = assignments.unwrap_or_default().split([' ', ',']).collect();
        let name = |word: &str| word.rsplit('.').next() == Some(column);
        is_named && words.windows(2).any(|pair| name(pair[0]) && pair[1] == "=")
    }

    /// Returns whether this path in `db::sql` is the constant or the type of the statement.
    fn is_at(&self, item: &[String]) -> bool {
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let (table, verb) = self.name.split_once('/').expect("a table and a verb");
        matches!(item, [module, name] if module == table && plain(name) == plain(verb))
    }
}

/// Lists the statements that use a variable of the session. They fail behind proxies that share connections. The statements of
/// `schema_migrations` are run on a connection of their own.
pub(crate) fn with_variables(statements: &[Statement]) -> Vec<String> {
    let used = statements.iter().filter(|statement| statement.text.contains('@'));
    let used = used.filter(|statement| !statement.name.starts_with("schema_migrations/"));
    used.map(|statement| format!("{} uses a variable of the session", statement.name)).collect()
}

/// Lists the uses of statements that change an owned column from anywhere but its owner.
pub(crate) fn foreign(source: &Crate, statements: &[Statement], owned: &Owned) -> Vec<String> {
    let Owned { table, column, module: owner, callers } = owned;
    let (mut runners, mut found) = (BTreeSet::new(), BTreeSet::new());
    for statement in statements.iter().filter(|statement| statement.changes(table, column)) {
        let (functions, wrong) = named_by(source, owner, statement);
        runners.extend(functions);
        found.extend(wrong);
    }
    if runners.is_empty() {
        found.insert(format!("nothing changes {table}.{column}"));
    }
    add_callers(source, owner, &mut runners);
    let uses = source.uses().filter(|used| used.target == *owner && used.module != *owner);
    for used in uses.filter(|used| !covered(callers, &used.module)) {
        if let Some(function) = used.item.first().filter(|function| runners.contains(*function)) {
            found.insert(format!("{} uses {owner}::{function}, which changes {table}.{column}", used.module));
        }
    }
    found.into_iter().collect()
}

/// Returns the functions of `owner` that name a statement, and what is wrong with the other places that do.
fn named_by(source: &Crate, owner: &str, statement: &Statement) -> (BTreeSet<String>, Vec<String>) {
    let name = &statement.name;
    let (mut functions, mut wrong) = (BTreeSet::new(), Vec::new());
    for used in source.uses().filter(|used| used.target == "db::sql" && statement.is_at(&used.item)) {
        match &used.place {
            _ if used.module != owner => wrong.push(format!("{} names {name}", used.module)),
            Place::Import => {}
            Place::Function(function) => drop(functions.insert(function.clone())),
            Place::Item => wrong.push(format!("{name} is named outside a free function of {owner}")),
        }
    }
    if functions.is_empty() {
        wrong.push(format!("no function of {owner} runs {name}"));
    }
    (functions, wrong)
}

/// Adds the functions of a module that call one of these functions of it, directly or not.
fn add_callers(source: &Crate, module: &str, functions: &mut BTreeSet<String>) {
    loop {
        let own = source.uses().filter(|used| used.module == module && used.target == module);
        let calling = own.filter(|used| used.item.first().is_some_and(|called| functions.contains(called)));
        let callers: Vec<String> = calling
            .filter_map(|used| match &used.place {
                Place::Function(caller) => Some(caller.clone()),
                Place::Import | Place::Item => None,
            })
            .collect();
        let before = functions.len();
        functions.extend(callers);
        if functions.len() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: Owned =
        Owned { table: "products", column: "reserved", module: "db::products", callers: &["units", "db::packets"] };

    fn changes(text: &str) -> bool {
        Statement::of("products/x", text).changes("products", "reserved")
    }

    #[test]
    fn a_statement_that_changes_a_column_is_recognised() {
        assert!(changes("-- products/x: why\nUPDATE products\nSET reserved = reserved + 1\nWHERE id = 1"));
        assert!(changes("UPDATE products FORCE INDEX (PRIMARY) SET price = 1, reserved = 0 WHERE id = 1"));
        assert!(changes("UPDATE holds, products SET products.reserved = 0 WHERE holds.id = 1"));
        assert!(changes("INSERT INTO products (id) VALUES (1) ON DUPLICATE KEY UPDATE reserved = 0"));
        assert!(!changes("UPDATE products SET stock = 1 WHERE reserved = 0"));
        assert!(!changes("UPDATE holds SET reserved = 1 WHERE id = 1"));
        assert!(!changes("UPDATE products SET reserved = 1 WHERE FALSE"));
        assert!(!changes("SELECT reserved FROM products -- UPDATE products SET reserved = 1"));
        assert!(!changes("INSERT INTO products (id, reserved) VALUES (1, 0)"));
    }

    #[test]
    fn a_variable_is_found_but_not_in_a_comment() {
        let statements = [
            Statement::of("orders/find", "-- not @n\nSELECT id FROM orders"),
            Statement::of("orders/set", "SET @n = 1"),
            Statement::of("schema_migrations/list", "SELECT @@version"),
        ];
        assert_eq!(with_variables(&statements), ["orders/set uses a variable of the session"]);
    }

    /// Returns what is wrong when this text is in the module `other`, beside a table, its owner and a packet.
    fn found(name: &str, text: &str) -> Vec<String> {
        let statements =
            [Statement::of("products/reserve", "UPDATE products SET reserved = reserved + 1 WHERE id = 1")];
        let table = "use crate::db::sql;
            pub fn text() -> String { sql::products::RESERVE.to_owned() }
            pub fn reserve(tx: &mut Tx) { tx.run(text()) }
            pub fn list() -> Vec<i64> { sql::products::LIST.run() }";
        let modules = [
            ("db::sql", ""),
            ("db::products", table),
            ("units", "use crate::db::products; pub fn take() { products::reserve() }"),
            ("db::packets", "use crate::db::products::text;"),
            (name, text),
        ];
        foreign(&Crate::of(modules), &statements, &RESERVED)
    }

    #[test]
    fn only_the_owner_may_call_what_changes_its_column() {
        let calls = |function: &str| format!("other uses db::products::{function}, which changes products.reserved");
        assert_eq!(found("other", "use crate::db::products; fn f() { products::list(); units::take() }"), [""; 0]);
        assert_eq!(found("other", "use crate::db::products; fn f() { products::reserve() }"), [calls("reserve")]);
        assert_eq!(found("other", "fn f() { crate::db::products::text() }"), [calls("text")]);
        assert_eq!(
            found("other", "use crate::db::products::{self as shelf}; fn f() { shelf::text() }"),
            [calls("text")]
        );
        assert_eq!(found("db::packets::carts", "use crate::db::products::reserve as take;"), [""; 0]);
    }

    #[test]
    fn only_a_function_of_the_table_may_name_the_statement() {
        for name in ["RESERVE", "Reserve { ids }.text()"] {
            let text = format!("fn f() {{ crate::db::sql::products::{name} }}");
            assert_eq!(found("other", &text), ["other names products/reserve"], "{name}");
        }
        let table = found("db::products", "use crate::db::sql; const TEXT: &str = sql::products::RESERVE;");
        let outside = "products/reserve is named outside a free function of db::products";
        let (nothing, none) =
            ("nothing changes products.reserved", "no function of db::products runs products/reserve");
        assert_eq!(table, [none, nothing, outside]);
        assert_eq!(found("db::products", ""), [none, nothing]);
    }
}
