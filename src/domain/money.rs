//! Money: integers in minor units inside, exact decimals at the border, never a float.

use std::fmt;

use iso_currency::Currency as Iso;

/// An upper-case ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// Any three letters, in any case; `None` for anything else. Whether the code is known matters only where decimals
    /// are converted.
    pub fn parse(text: &str) -> Option<Self> {
        let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_code.then(|| Self(text.to_ascii_uppercase()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether ISO 4217 tells the decimals of its major unit.
    pub fn is_known(&self) -> bool {
        self.decimals().is_some()
    }

    /// How many decimals its major unit has (ISO 4217): 2 for EUR, 0 for JPY, 3 for KWD; `None` for an unknown code.
    fn decimals(&self) -> Option<i32> {
        Iso::from_code(&self.0)?.exponent().map(i32::from)
    }
}

impl Currency {
    /// So many minor units with the code, `49.99 EUR`; `None` for an unknown code or a negative amount.
    pub fn major_units(&self, minor: i64) -> Option<String> {
        let decimals = usize::try_from(self.decimals()?).ok()?;
        Some(format!("{} {self}", major_units(u64::try_from(minor).ok()?, decimals)))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The decimal text in major units, exactly, of a whole number of minor ones, of which a major one has 10^`decimals`.
pub fn major_units(minor: u64, decimals: usize) -> String {
    let mut text = format!("{minor:0>width$}", width = decimals + 1);
    if decimals > 0 {
        text.insert(text.len() - decimals, '.');
    }
    text
}

/// A decimal amount in major units in its shortest form: `digits` × 10^`exponent`, without trailing zeros, so that
/// `100`, `100.0` and `1e2` are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    negative: bool,
    digits: u64,
    exponent: i32,
}

impl Amount {
    /// Reads the text of a JSON number, or the same text inside a string. `None` when it is not a decimal number or has
    /// more digits than an amount of money can have (18 significant ones).
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let significant = format!("{whole}{fraction}");
        let significant = significant.trim_start_matches('0');
        if significant.len() > 18 {
            return None;
        }
        let mut digits: u64 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
        let mut exponent = i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        Some(match digits {
            0 => Self { negative: false, digits: 0, exponent: 0 },
            _ => Self { negative, digits, exponent },
        })
    }

    /// Whether it is greater than zero.
    pub fn is_positive(self) -> bool {
        !self.negative && self.digits != 0
    }

    /// The same amount in minor units of `currency`, exactly; `None` when it is negative, has more decimals than the
    /// currency, overflows, or the currency is unknown.
    pub fn minor_units(self, currency: &Currency) -> Option<i64> {
        let shift = u32::try_from(self.exponent.checked_add(currency.decimals()?)?);
        match (self.digits, shift) {
            (0, _) => Some(0),
            _ if self.negative => None,
            (digits, shift) => i64::try_from(digits).ok()?.checked_mul(10i64.checked_pow(shift.ok()?)?),
        }
    }
}

impl fmt::Display for Amount {
    /// The shortest form, as it enters the fingerprint of an event.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(formatter, "{sign}{}e{}", self.digits, self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str, code: &str) -> Option<i64> {
        Amount::parse(text)?.minor_units(&Currency::parse(code)?)
    }

    #[test]
    fn equal_amounts_are_equal_however_they_are_written() {
        let hundred = Amount::parse("100");
        for text in ["100.0", "100.00", "1e2", "1E2", "0100", "10.0e1", "1000e-1"] {
            assert_eq!(Amount::parse(text), hundred, "{text}");
        }
        assert_eq!(Amount::parse("-0.00"), Amount::parse("0"));
    }

    #[test]
    fn decimals_become_minor_units_exactly() {
        assert_eq!(minor("99.99", "EUR"), Some(9999));
        assert_eq!(minor("0.1", "usd"), Some(10));
        assert_eq!(minor("5000", "JPY"), Some(5000));
        assert_eq!(minor("1.234", "KWD"), Some(1234));
        assert_eq!(minor("0", "EUR"), Some(0));
    }

    #[test]
    fn minor_units_become_decimals_and_the_same_minor_units_again() {
        for (units, decimals, text) in [(4999, 2, "49.99"), (5, 2, "0.05"), (0, 3, "0.000"), (500, 0, "500")] {
            assert_eq!(major_units(units, decimals), text);
        }
        for units in (0..100_000).chain([10_i64.pow(14) - 1, 10_i64.pow(17)]) {
            for (decimals, code) in [(0, "JPY"), (2, "EUR"), (3, "KWD")] {
                assert_eq!(minor(&major_units(units.unsigned_abs(), decimals), code), Some(units), "{units} {code}");
            }
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for (text, code) in [("99.999", "EUR"), ("0.5", "JPY"), ("-1", "EUR"), ("1", "QQQ"), ("1e18", "EUR")] {
            assert_eq!(minor(text, code), None, "{text} {code}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "1,5", "0x10", "1e", "1e99999", "NaN", "１", " 1", "+1", "1234567890123456789"]
        {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }
}
