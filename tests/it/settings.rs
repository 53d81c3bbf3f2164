//! The settings: their table in docs/operations.md, and variables that are none.
//!
//! `TEST_WRITE=1` writes the table.

use std::path::Path;

use holdfast::config::{ALL, Setting, Unset};

use crate::support::Shop;
use crate::support::process::Process;

const BEGIN: &str = "<!-- settings: printed from src/config/table.rs by tests/it/settings.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

/// Returns one row: the variable, its default, its range and what it does.
fn row(setting: &Setting) -> String {
    let default = match (setting.unset, setting.dev_default) {
        (Unset::Problem(_), _) => "required".to_owned(),
        (Unset::Default(""), _) => "not set".to_owned(),
        (Unset::Default(default), None) => format!("`{default}`"),
        (Unset::Default(default), Some(in_dev)) => format!("`{default}`; `{in_dev}` for `dev`"),
    };
    let file = if setting.secret { format!(" or `{}`", setting.option_variable()) } else { String::new() };
    let unit = setting.value_name.to_lowercase();
    let range = setting.range.map_or(String::new(), |(least, most)| format!("{least} to {most} {unit}"));
    format!("| `{}`{file} | {default} | {range} | {} |\n", setting.variable, setting.doc)
}

#[test]
fn the_table_of_settings_in_the_documentation_equals_the_one_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(&path).expect("a file");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (_, after) = rest.split_once(END).expect("the table ends");
    let rows: String = ALL.iter().map(row).collect();
    let head = "| variable | default | range | what it does |\n| --- | --- | --- | --- |\n";
    let wanted = format!("{before}{BEGIN}\n{head}{rows}\n{END}{after}");
    if std::env::var_os("TEST_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(found, wanted, "run this test with TEST_WRITE=1 and look at the difference");
}

#[tokio::test]
async fn every_setting_is_an_option_whose_help_shows_its_range_and_default_and_no_secret() {
    let values: Vec<(&str, &str)> = ALL.iter().map(|setting| (setting.variable, "S3CR3T")).collect();
    let help = Process::run(&["serve", "--help"], &values).await.expect(0).out;
    for setting in ALL {
        let value = if setting.secret { "FILE" } else { setting.value_name };
        let marks = [format!("--{} <{value}>", setting.option()), setting.help()];
        let line = help.lines().find(|line| marks.iter().all(|mark| line.contains(mark)));
        assert!(line.is_some(), "{marks:?} in {help}");
    }
    assert!(
        help.contains("Units that one hold may ask for, 1 to 1000 [default: 10] [env: HOLDFAST_MAX_QTY="),
        "{help}"
    );
    let hidden = ["DATABASE_URL", "WEBHOOK_SECRETS", "STRIPE_SECRETS", "ADMIN_TOKEN"];
    let shown = help.lines().filter(|line| line.contains("S3CR3T"));
    let leak = shown.clone().find(|line| hidden.iter().any(|name| line.contains(name)));
    assert_eq!((leak, shown.count()), (None, ALL.len() - hidden.len()));
}

#[tokio::test]
async fn unknown_variables_are_refused_with_the_nearest_name_by_every_command_together_with_all_other_problems() {
    let shop = Shop::open().await;
    let unknown = [("HOLDFAST_PARK_SECOND", "S3CR3T"), ("HOLDFAST_LISTENS", ""), ("HOLDFAST_ADMIN_TOKEN_FIEL", "f")];
    let nearest = [
        "HOLDFAST_PARK_SECOND: no setting has this name; the nearest one is HOLDFAST_PARK_SECONDS",
        "HOLDFAST_LISTENS: no setting has this name; the nearest one is HOLDFAST_LISTEN",
        "HOLDFAST_ADMIN_TOKEN_FIEL: no setting has this name; the nearest one is HOLDFAST_ADMIN_TOKEN_FILE",
    ];
    let database = ("HOLDFAST_DATABASE_URL", shop.database.url.as_str());
    let before = shop.count("SELECT COUNT(*) FROM products").await;
    for command in [
        &["serve"][..],
        &["dev"],
        &["migrate"],
        &["seed"],
        &["audit"],
        &["openapi"],
        &["feed", "new-epoch"],
        &["client", "list"],
    ] {
        let refused = Process::run(command, &[&unknown[..], &[database]].concat()).await.expect(2);
        assert!(nearest.iter().all(|line| refused.err.contains(line)), "{command:?}: {}", refused.err);
        assert!(!refused.err.contains("S3CR3T") && refused.out.is_empty(), "{refused:?}");
    }
    assert_eq!(shop.count("SELECT COUNT(*) FROM products").await, before, "nothing was begun");

    // a required variable may be the one that is misspelled
    let refused = Process::run(&["serve"], &unknown).await.expect(2);
    assert!(refused.err.contains("HOLDFAST_DATABASE_URL: it is not set") && refused.err.contains(nearest[0]));
}

#[tokio::test]
async fn variables_of_other_commands_and_those_that_kubernetes_sets_are_passed_over() {
    let shop = Shop::open().await;
    let settings = [
        ("HOLDFAST_DATABASE_URL", shop.database.url.as_str()),
        ("HOLDFAST_SEED_STOCK", "1"),
        ("HOLDFAST_DEV_FOLDER", "nowhere"),
        ("HOLDFAST_WEBHOOK_SECRETS_FILE", "/nowhere/at/all"),
        ("OTHER", "1"),
        ("HOLDFAST_PORT", "tcp://10.0.0.7:8080"),
        ("HOLDFAST_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("HOLDFAST_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("HOLDFAST_SERVICE_HOST", "10.0.0.7"),
        ("HOLDFAST_SERVICE_PORT_HTTP", "8080"),
        ("HOLDFAST_WEB_SERVICE_HOST", "10.0.0.8"),
        ("HOLDFAST_WEB_SERVICE_PORT", "80"),
        ("HOLDFAST_WEB_PORT", "tcp://10.0.0.8:80"),
        ("HOLDFAST_WEB_PORT_80_TCP_PROTO", "tcp"),
    ];
    let quiet = Process::run(&["migrate"], &settings).await.expect(0);
    assert_eq!(quiet.err, "");
    for other in
        ["HOLDFAST_STATSD_PORT", "HOLDFAST_PORT", "HOLDFAST_WEB_PORT_HTTP", "HOLDFAST_TEST_SEED", "HOLDFAST_PORTS"]
    {
        let refused = Process::run(&["migrate"], &[&settings[..], &[(other, "8125")]].concat()).await.expect(2);
        assert!(refused.err.contains(other), "{}", refused.err);
    }
}
