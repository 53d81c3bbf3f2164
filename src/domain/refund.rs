//! How much of a charge is given back.

use super::{Amount, ChargeStatus, Currency};

/// What was taken, and how much of it was given back until now; minor units of `currency`, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Where the money is.
    pub status: ChargeStatus,
    /// How much was taken.
    pub amount_minor: Option<i64>,
    /// In which currency.
    pub currency: Option<&'a str>,
    /// How much of it was given back.
    pub refunded_minor: i64,
}

/// What a provider says was given back.
#[derive(Debug, Clone, Copy)]
pub struct GivenBack<'a> {
    /// How much, as it was written; `None`: everything that is left.
    pub amount: Option<&'a str>,
    /// In which currency, as it was written; `None`: the charge's.
    pub currency: Option<&'a str>,
    /// The amount is everything that was given back so far, not this part alone.
    pub cumulative: bool,
}

/// What that comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refund {
    /// So much is given back now, a part of the charge.
    Part(i64),
    /// Everything is, so much.
    Whole(i64),
    /// It was known already.
    Known,
    /// It does not fit the charge.
    Unfit(Unfit),
}

/// Why a refund does not fit its charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is in another currency.
    Currency,
    /// Its amount cannot be read in the currency of the charge.
    Amount,
    /// It is more than is left.
    Exceeds,
}

impl Refund {
    /// What is given back of `taken` once `back` is counted.
    pub fn of(taken: Taken<'_>, back: GivenBack<'_>) -> Self {
        if taken.status == ChargeStatus::Refunded {
            return Self::Known;
        }
        let currency = match (taken.currency, back.currency) {
            (Some(taken), Some(back)) if Currency::parse(back) != Currency::parse(taken) => {
                return Self::Unfit(Unfit::Currency);
            }
            (taken, back) => taken.or(back).and_then(Currency::parse),
        };
        let Some(amount) = back.amount else {
            return Self::Whole(taken.amount_minor.unwrap_or(taken.refunded_minor));
        };
        let minor = currency.and_then(|currency| Amount::parse(amount)?.minor_units(&currency));
        let Some(minor) = minor else { return Self::Unfit(Unfit::Amount) };
        let total = match back.cumulative {
            true => Some(minor.max(taken.refunded_minor)),
            false => taken.refunded_minor.checked_add(minor),
        };
        match (total, taken.amount_minor) {
            (None, _) => Self::Unfit(Unfit::Exceeds),
            (Some(total), Some(all)) if total > all => Self::Unfit(Unfit::Exceeds),
            (Some(total), Some(all)) if total == all => Self::Whole(total),
            (Some(total), _) if total == taken.refunded_minor => Self::Known,
            (Some(total), _) => Self::Part(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Taken<'_> =
        Taken { status: ChargeStatus::Paid, amount_minor: Some(100), currency: Some("EUR"), refunded_minor: 40 };

    fn part(amount: &str) -> GivenBack<'_> {
        GivenBack { amount: Some(amount), currency: Some("eur"), cumulative: false }
    }

    #[test]
    fn parts_add_up_to_the_whole_and_not_beyond() {
        assert_eq!(Refund::of(TAKEN, part("0.10")), Refund::Part(50));
        assert_eq!(Refund::of(TAKEN, part("0.60")), Refund::Whole(100));
        assert_eq!(Refund::of(TAKEN, part("0.61")), Refund::Unfit(Unfit::Exceeds));
        assert_eq!(Refund::of(TAKEN, part("0")), Refund::Known);
        assert_eq!(Refund::of(TAKEN, GivenBack { amount: None, ..part("") }), Refund::Whole(100));
        assert_eq!(Refund::of(Taken { status: ChargeStatus::Refunded, ..TAKEN }, part("0.10")), Refund::Known);
    }

    #[test]
    fn a_running_total_counts_what_is_new_and_an_older_one_nothing() {
        let so_far = |amount| GivenBack { cumulative: true, ..part(amount) };
        assert_eq!(Refund::of(TAKEN, so_far("0.70")), Refund::Part(70));
        assert_eq!(Refund::of(TAKEN, so_far("1.00")), Refund::Whole(100));
        assert_eq!(Refund::of(TAKEN, so_far("0.40")), Refund::Known);
        assert_eq!(Refund::of(TAKEN, so_far("0.30")), Refund::Known);
        assert_eq!(Refund::of(TAKEN, so_far("1.01")), Refund::Unfit(Unfit::Exceeds));
    }

    #[test]
    fn what_cannot_be_read_in_the_charge_s_currency_does_not_fit() {
        for amount in ["0.105", "-0.10", "free", "99999999999999999999", "92233720368547758"] {
            let unfit = if amount == "92233720368547758" { Unfit::Exceeds } else { Unfit::Amount };
            assert_eq!(Refund::of(TAKEN, part(amount)), Refund::Unfit(unfit), "{amount}");
        }
        assert_eq!(
            Refund::of(TAKEN, GivenBack { currency: Some("USD"), ..part("0.10") }),
            Refund::Unfit(Unfit::Currency)
        );
        assert_eq!(
            Refund::of(Taken { currency: None, ..TAKEN }, GivenBack { currency: None, ..part("1") }),
            Refund::Unfit(Unfit::Amount)
        );
    }

    #[test]
    fn of_a_charge_of_an_unknown_amount_parts_count_and_only_a_refund_of_everything_settles_it() {
        let unknown = Taken { amount_minor: None, ..TAKEN };
        assert_eq!(Refund::of(unknown, part("5.00")), Refund::Part(540));
        assert_eq!(Refund::of(unknown, GivenBack { amount: None, ..part("") }), Refund::Whole(40));
    }
}
