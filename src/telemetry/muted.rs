//! Log filters that mute warnings.

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The target of this program's own lines.
const PROGRAM: &str = "holdfast";

/// Returns which warnings of this program a log filter mutes, if it mutes any. A filter with directives about spans or fields is
/// judged by its most verbose directive.
pub fn muted_warnings(filter: &str) -> Option<String> {
    let Ok(targets) = filter.parse::<Targets>() else {
        let most = EnvFilter::try_new(filter).ok()?.max_level_hint();
        return most.is_some_and(|most| most < LevelFilter::WARN).then(|| PROGRAM.to_owned());
    };
    let is_own =
        |target: &str| target.strip_prefix(PROGRAM).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let muted = targets.iter().filter(|(target, level)| is_own(target) && *level < LevelFilter::WARN);
    let whole = (!targets.would_enable(PROGRAM, &Level::WARN)).then_some(PROGRAM);
    let mut muted: Vec<&str> = whole.into_iter().chain(muted.map(|(target, _)| target)).collect();
    muted.sort_unstable();
    muted.dedup();
    (!muted.is_empty()).then(|| muted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_mutes_warnings_is_found_wherever_it_does() {
        for filter in
            ["info", "warn", "info,poem=error", "holdfast=warn", "error,holdfast=info", "info,[request]=debug"]
        {
            assert_eq!(muted_warnings(filter), None, "{filter}");
        }
        for (filter, muted) in [
            ("error", "holdfast"),
            ("off", "holdfast"),
            ("", "holdfast"),
            ("holdfast::http=debug", "holdfast"),
            ("info,holdfast=error", "holdfast"),
            ("info,holdfast::db=error,holdfast::http=off", "holdfast::db, holdfast::http"),
            ("error,[request]=error", "holdfast"),
        ] {
            assert_eq!(muted_warnings(filter).as_deref(), Some(muted), "{filter}");
        }
    }
}
