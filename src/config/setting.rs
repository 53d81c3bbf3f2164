//! The description of one setting.

/// A setting of the service. It is a variable, and an option of the command line with the same name in lower case without
/// `HOLDFAST_`. A secret is no option: the option, and another variable, name a file that has it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name of the variable.
    pub variable: &'static str,
    /// What the setting does.
    pub doc: &'static str,
    /// What the help shows as the value: the unit of a number.
    pub value_name: &'static str,
    /// What applies when the setting is not set.
    pub unset: Unset,
    /// The default of `holdfast dev`, where it differs.
    pub dev_default: Option<&'static str>,
    /// The smallest and the largest number.
    pub range: Option<(u64, u64)>,
    /// Whether no help and no list of processes may show the value: it is no option, but a variable or a file.
    pub secret: bool,
}

/// What applies when a setting is not set.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// This text applies; an empty one switches a feature off.
    Default(&'static str),
    /// The configuration is invalid, with this problem.
    Problem(&'static str),
}

impl Setting {
    /// A setting with a default.
    pub(super) const fn optional(value_name: &'static str, default: &'static str) -> Self {
        Self::new(value_name, Unset::Default(default))
    }

    /// A setting that must be set.
    pub(super) const fn required(value_name: &'static str, problem: &'static str) -> Self {
        Self::new(value_name, Unset::Problem(problem))
    }

    /// A number from `least` to `most`.
    pub(super) const fn number(unit: &'static str, default: &'static str, least: u64, most: u64) -> Self {
        Self { range: Some((least, most)), ..Self::optional(unit, default) }
    }

    /// Adds the default of `holdfast dev`.
    pub(super) const fn in_dev(self, default: &'static str) -> Self {
        Self { dev_default: Some(default), ..self }
    }

    /// Keeps the value out of the help and of the options.
    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Adds the name and the documentation.
    pub(super) const fn named(self, variable: &'static str, doc: &'static str) -> Self {
        Self { variable, doc: doc.trim_ascii(), ..self }
    }

    const fn new(value_name: &'static str, unset: Unset) -> Self {
        Self { variable: "", doc: "", value_name, unset, dev_default: None, range: None, secret: false }
    }

    /// Returns the variable of the option: of a secret, the one that names its file.
    pub fn option_variable(&self) -> String {
        if self.secret { format!("{}_FILE", self.variable) } else { self.variable.to_owned() }
    }

    /// Returns the name of the option: of a secret, the one that names its file.
    pub fn option(&self) -> String {
        self.option_variable().trim_start_matches("HOLDFAST_").to_lowercase().replace('_', "-")
    }

    /// Returns what the help shows as the value of the option.
    pub(super) fn option_value(&self) -> &'static str {
        if self.secret { "FILE" } else { self.value_name }
    }

    /// Returns the text of the help: what the setting does, its range and its defaults.
    pub fn help(&self) -> String {
        let range = self.range.map_or(String::new(), |(least, most)| format!(", {least} to {most}"));
        let default = match (self.unset, self.dev_default) {
            (Unset::Problem(_) | Unset::Default(""), _) => String::new(),
            (Unset::Default(default), None) => format!(" [default: {default}]"),
            (Unset::Default(default), Some(in_dev)) => format!(" [default: {default}; {in_dev} for dev]"),
        };
        let file = match self.secret {
            true => format!(" (in a file; {} has it itself)", self.variable),
            false => String::new(),
        };
        format!("{}{range}{default}{file}", self.doc)
    }
}
