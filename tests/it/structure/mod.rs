//! The structure of the source, as docs/architecture.md describes it: the tables in that document are the rules.

mod arrows;
mod owners;
mod source;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::arrows::{circles, past_doors, upward, without_module};
use self::owners::{Owned, Statement, foreign, with_variables};
use self::source::Crate;

/// The columns on which the first promise rests.
const OWNED: [Owned; 9] = [
    Owned {
        table: "feed_products",
        column: "sold_out",
        module: "db::tables::feed_products",
        callers: &["db::packets"],
    },
    Owned { table: "feed_batches", column: "position", module: "db::tables::feed_batches", callers: &["db::packets"] },
    Owned {
        table: "buyer_units",
        column: "units",
        module: "db::tables::buyer_units",
        callers: &["checkout::units", "checkout::products::limits", "db::packets"],
    },
    Owned {
        table: "products",
        column: "reserved",
        module: "db::tables::products",
        callers: &["checkout::units", "db::packets"],
    },
    Owned {
        table: "products",
        column: "stock",
        module: "db::tables::products",
        callers: &["checkout::products::stock", "checkout::tickets::seats"],
    },
    Owned {
        table: "products",
        column: "price_minor",
        module: "db::tables::products",
        callers: &["checkout::products::changes"],
    },
    Owned {
        table: "seats",
        column: "hold_id",
        module: "db::tables::seats",
        callers: &["checkout::units", "db::packets"],
    },
    Owned {
        table: "seats",
        column: "sold",
        module: "db::tables::seats",
        callers: &["checkout::transition", "checkout::units", "db::packets"],
    },
    Owned {
        table: "orders",
        column: "status",
        module: "db::tables::orders",
        callers: &["checkout::transition", "db::packets"],
    },
];

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn source() -> &'static Crate {
    static SOURCE: LazyLock<Crate> = LazyLock::new(|| Crate::read(&place("src")));
    &SOURCE
}

/// Reads the table under a heading of docs/architecture.md: the code spans of the first two cells of each row.
fn table(heading: &str) -> Vec<[Vec<String>; 2]> {
    let document = std::fs::read_to_string(place("docs/architecture.md")).expect("the document");
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect("a section with this heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let spans =
        |cell: Option<&str>| cell.unwrap_or_default().split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        [spans(cells.next()), spans(cells.next())]
    });
    rows.collect()
}

#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "against docs/architecture.md:\n{}", found.join("\n"));
}

#[test]
fn the_source_is_read_and_every_name_in_the_tables_is_a_module() {
    let arrows = source().arrows();
    assert!(arrows.len() > 80, "{:?}", arrows.keys());
    let used = &arrows["checkout::payments::settlement"];
    assert!(["db::tables::charges", "domain::money"].iter().all(|module| used.contains(module)), "{used:?}");
    let (layers, doors) = (table("Layers"), table("Doors"));
    assert!(layers.len() > 10 && doors.len() > 5 && doors.iter().all(|[_, users]| !users.is_empty()), "{doors:?}");
    let names = layers.iter().map(|[modules, _]| modules).chain(doors.iter().flatten()).flatten();
    assert_none(&without_module(source(), names));
}

#[test]
fn no_modules_form_a_circle() {
    assert_none(&circles(source()));
}

#[test]
fn no_module_uses_a_layer_above_its_own() {
    let layers: Vec<Vec<String>> = table("Layers").into_iter().map(|[modules, _]| modules).collect();
    assert_none(&upward(source(), &layers));
}

#[test]
fn no_module_is_used_past_its_door() {
    let doors = table("Doors").into_iter();
    let doors: Vec<_> =
        doors.flat_map(|[doors, users]| doors.into_iter().map(move |door| (door, users.clone()))).collect();
    assert_none(&past_doors(source(), &doors));
}

#[test]
fn units_and_states_of_orders_are_changed_by_their_owners_alone() {
    let (source, statements) = (source(), Statement::read_all(&place("sql")));
    let found: Vec<String> = OWNED.iter().flat_map(|owned| foreign(source, &statements, owned)).collect();
    assert_none(&found);
}

#[test]
fn no_statement_uses_a_variable_of_the_session() {
    let statements = Statement::read_all(&place("sql"));
    assert!(statements.len() > 100, "{}", statements.len());
    assert_none(&with_variables(&statements));
}
