//! The settings: their table in docs/operations.md, and variables that are none.
//!
//! `HOLDFAST_TEST_WRITE=1` writes the table.

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
    let unit = setting.value_name.to_lowercase();
    let range = setting.range.map_or(String::new(), |(least, most)| format!("{least} to {most} {unit}"));
    format!("| `{}` | {default} | {range} | {} |\n", setting.variable, setting.doc)
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
    if std::env::var_os("HOLDFAST_TEST_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(found, wanted, "run this test with HOLDFAST_TEST_WRITE=1 and look at the difference");
}

#[tokio::test]
async fn every_setting_is_an_option_whose_help_shows_its_range_and_default_and_no_secret() {
    let values: Vec<(&str, &str)> = ALL.iter().map(|setting| (setting.variable, "S3CR3T")).collect();
    let help = Process::run(&["serve", "--help"], &values).await.expect(0).out;
    for setting in ALL {
        let option = setting.variable.trim_start_matches("HOLDFAST_").to_lowercase().replace('_', "-");
        let marks = [format!("--{option} <{}>", setting.value_name), setting.help()];
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
async fn unknown_variables_are_named_on_one_line_and_ignored() {
    let shop = Shop::open().await;
    let unknown = [("HOLDFAST_PARK_SECOND", "S3CR3T"), ("HOLDFAST_LISTENS", "")];
    let known =
        [("HOLDFAST_SEED_STOCK", "1"), ("HOLDFAST_TEST_SEED", "1"), ("HOLDFAST_BENCH_ECHO", "1"), ("OTHER", "1")];
    let named = "unknown variables are ignored: HOLDFAST_LISTENS, HOLDFAST_PARK_SECOND";
    let database = [("HOLDFAST_DATABASE_URL", shop.database.url.as_str())];

    let migrated = Process::run(&["migrate"], &[&database[..], &unknown, &known].concat()).await.expect(0);
    assert_eq!(migrated.err, format!("holdfast: {named}"));
    let quiet = Process::run(&["migrate"], &[&database[..], &known].concat()).await.expect(0);
    assert_eq!(quiet.err, "");

    // a required variable may be the one that is misspelled
    let refused = Process::run(&["serve"], &unknown).await.expect(2);
    let lines: Vec<&str> = refused.err.lines().collect();
    assert!(refused.err.contains("HOLDFAST_DATABASE_URL: it is not set") && refused.err.contains(named), "{lines:#?}");

    let (process, _) = Process::serve(&shop.database.url, &[&unknown[..], &known].concat()).await;
    let served = process.terminate().await.expect(0);
    let line = served.err.lines().find(|line| line.contains(named)).expect("the log names them");
    assert!(line.starts_with('{') && line.contains(r#""level":"WARN""#), "{line}");
    assert!(!served.err.contains("S3CR3T"), "{}", served.err);
}
