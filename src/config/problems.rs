//! All problems of a configuration.

use std::fmt;

use super::secret;
use super::setting::{Setting, Unset};

/// All problems of a configuration, each with the name of its variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// Returns the text of a setting whose option is this one.
    pub(super) fn text(&mut self, setting: &Setting, option: Option<&str>) -> Option<String> {
        if !setting.secret {
            return option.map(str::to_owned);
        }
        let text = secret::text(setting, option);
        let file = setting.option_variable();
        text.map_err(|problem| self.0.push(format!("{file}: {problem}"))).ok().flatten()
    }

    /// Parses a setting, or its default if it is empty or not set. `None`: the problems contain the reason, which may be that of its file.
    pub(super) fn read<T>(
        &mut self,
        setting: &Setting,
        text: Option<&str>,
        parse: impl FnOnce(&Setting, &str) -> Result<T, Vec<String>>,
    ) -> Option<T> {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        let file = format!("{}: ", setting.option_variable());
        if text.is_none() && self.0.iter().any(|problem| problem.starts_with(&file)) {
            return None;
        }
        let value = match (text, setting.unset) {
            (Some(text), _) | (None, Unset::Default(text)) => parse(setting, text),
            (None, Unset::Problem(problem)) => Err(vec![problem.to_owned()]),
        };
        let variable = setting.variable;
        value.map_err(|found| self.0.extend(found.iter().map(|problem| format!("{variable}: {problem}")))).ok()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration is invalid:")?;
        self.0.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
