//! Variables that look like settings, and are none.

use clap::Command;
use strsim::damerau_levenshtein;

use super::problems::Problems;
use super::table::ALL;

/// The beginning of every variable of this program.
const PREFIX: &str = "HOLDFAST_";

/// Returns a problem for each of `variables`, names with values, that begins with `HOLDFAST_` and sets nothing for any command, such as a
/// misspelled one.
pub fn unknown_variables(cli: &Command, variables: impl IntoIterator<Item = (String, String)>) -> Problems {
    let known = known(cli);
    let is_unknown =
        |name: &String, value: &str| name.starts_with(PREFIX) && !known.contains(name) && !is_link(name, value);
    let unknown = variables.into_iter().filter(|(name, value)| is_unknown(name, value));
    let mut unknown: Vec<String> = unknown.map(|(name, _)| name).collect();
    unknown.sort_unstable();
    let nearest = |name: &str| known.iter().min_by_key(|known| damerau_levenshtein(name, known));
    let problem = |name: String| {
        let nearest = nearest(&name).map_or("", String::as_str);
        format!("{name}: no setting has this name; the nearest one is {nearest}")
    };
    Problems(unknown.into_iter().map(problem).collect())
}

/// Returns the variables of all commands, by name.
fn known(cli: &Command) -> Vec<String> {
    fn add(command: &Command, known: &mut Vec<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        known.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| add(command, known));
    }
    let mut known: Vec<String> = ALL.iter().map(|setting| setting.variable.to_owned()).collect();
    add(cli, &mut known);
    known.sort_unstable();
    known.dedup();
    known
}

/// Whether Kubernetes sets such a variable in each container beside a service whose name is `holdfast`, or begins with
/// `holdfast-`: `HOLDFAST_SERVICE_HOST`, `HOLDFAST_PORT_8080_TCP_ADDR`, `HOLDFAST_WEB_PORT=tcp://10.0.0.7:8080`.
fn is_link(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let own = rest == "PORT" && value.contains("://") || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let port = |(_, port): (_, &str)| port.split('_').next().is_some_and(is_number);
    own || rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.ends_with("_PORT") && value.contains("://")
        || rest.split_once("_PORT_").is_some_and(port)
}
