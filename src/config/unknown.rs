//! Variables that look like settings, and are none.

/// The beginning of every variable of this program.
const PREFIX: &str = "HOLDFAST_";
/// The beginnings of variables that are no settings: those of the benchmark, of the checks before a merge, and of the tests.
const NO_SETTINGS: [&str; 3] = ["HOLDFAST_BENCH_", "HOLDFAST_CI_", "HOLDFAST_TEST_"];

/// Returns those of `variables` that begin with `HOLDFAST_` and set no option of any command, such as misspelled ones.
pub fn unknown_variables(cli: &clap::Command, variables: impl IntoIterator<Item = String>) -> Vec<String> {
    let commands = || cli.get_subcommands().flat_map(clap::Command::get_arguments);
    let is_known = |name: &str| commands().filter_map(clap::Arg::get_env).any(|known| known == name);
    let is_setting =
        |name: &str| name.starts_with(PREFIX) && !NO_SETTINGS.iter().any(|prefix| name.starts_with(prefix));
    let mut unknown: Vec<String> = variables.into_iter().filter(|name| is_setting(name) && !is_known(name)).collect();
    unknown.sort_unstable();
    unknown
}
