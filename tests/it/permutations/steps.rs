//! The steps that can happen to an order, and their sequences.

use super::reference::TOTAL;

/// How an event names its order. `Stranger`: by the order's id together with a hold that is not the order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    Order,
    Hold,
    Both,
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    Succeeded,
    Failed,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// With a `~`: the event has no key, but is known by its meaning and its transaction.
    pub(super) key: &'static str,
    pub(super) meaning: Meaning,
    pub(super) by: By,
    pub(super) txn: Option<&'static str>,
    /// In cents.
    pub(super) amount: Option<i64>,
    pub(super) restock: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Order,
    Deliver(Event),
    /// The buyer cancels the order, or releases the hold.
    Cancel,
    Release,
    /// The hold keeps one unit.
    Reduce,
    /// The deadlines of the hold and of the order move.
    ExtendHold,
    ExtendOrder,
    /// Another buyer asks for as many units.
    Rival,
    /// Deadlines pass.
    HoldRunsOut,
    RivalsRunOut,
    OrderRunsOut,
    /// A worker takes a step; for `GiveUp`, after the events have waited as long as they may.
    ExpireHolds,
    CancelOverdue,
    Sweep,
    GiveUp,
}

const fn event(key: &'static str, meaning: Meaning, txn: Option<&'static str>, amount: Option<i64>) -> Step {
    Step::Deliver(Event { key, meaning, by: By::Order, txn, amount, restock: false })
}

const fn restocking(step: Step) -> Step {
    match step {
        Step::Deliver(event) => Step::Deliver(Event { restock: true, ..event }),
        step => step,
    }
}

const FIRST: Option<&str> = Some("T1");
const SECOND: Option<&str> = Some("T2");

/// One letter each: a step, or steps that belong together.
pub(super) fn steps(letter: char) -> Vec<Step> {
    use Meaning::{Failed, Refunded, Succeeded};
    let step = match letter {
        'O' => Step::Order,
        // a success; the same charge under another key; a second charge; no charge; a wrong amount; a wrong hold
        'S' => event("s", Succeeded, FIRST, None),
        's' => event("succeeded~T1", Succeeded, FIRST, Some(TOTAL)),
        'T' => event("t", Succeeded, SECOND, Some(TOTAL)),
        'N' => event("n", Succeeded, None, Some(TOTAL)),
        'B' => event("b", Succeeded, Some("T3"), Some(TOTAL - 1)),
        'Y' => by(By::Stranger, event("y", Succeeded, Some("T4"), None)),
        'F' => event("f", Failed, None, None),
        'E' => event("e", Failed, FIRST, Some(1)),
        // the first key, used for something else
        'K' => event("s", Failed, FIRST, None),
        // refunds: of the first charge, whole and in parts; of the second; without a charge
        'R' => restocking(event("r", Refunded, FIRST, None)),
        'P' => event("p", Refunded, FIRST, Some(4000)),
        'Q' => restocking(event("q", Refunded, FIRST, Some(TOTAL - 4000))),
        'U' => event("u", Refunded, SECOND, Some(TOTAL)),
        'V' => event("v", Refunded, SECOND, Some(2500)),
        'M' => event("m", Refunded, None, None),
        'C' => Step::Cancel,
        'Z' => Step::Release,
        'L' => Step::Reduce,
        'J' => Step::ExtendHold,
        'j' => Step::ExtendOrder,
        'W' => Step::Rival,
        'w' => Step::RivalsRunOut,
        'h' => Step::HoldRunsOut,
        'x' => Step::OrderRunsOut,
        'H' => return vec![Step::HoldRunsOut, Step::ExpireHolds],
        'X' => return vec![Step::OrderRunsOut, Step::CancelOverdue],
        'G' => return vec![Step::ExpireHolds, Step::Sweep],
        'D' => return vec![Step::ExpireHolds, Step::GiveUp],
        _ => panic!("no step has the letter {letter}"),
    };
    vec![step]
}

fn by(by: By, step: Step) -> Step {
    match step {
        Step::Deliver(event) if event.by != By::Stranger => Step::Deliver(Event { by, ..event }),
        step => step,
    }
}

/// Number of ways in which the events of a scenario name their order; one event uses the same way at every delivery.
pub(super) const NAMINGS: usize = 4;

/// Returns the steps of a word, with events that name their order in this way.
pub(super) fn spell(word: &str, naming: usize) -> Vec<Step> {
    let named = |step: Step| match (naming, step) {
        (0, step) => step,
        (1, step) => by(By::Hold, step),
        (2, step) => by(By::Both, step),
        (_, Step::Deliver(event)) => {
            let ways = [By::Order, By::Hold, By::Both];
            by(ways[event.key.bytes().map(usize::from).sum::<usize>() % ways.len()], step)
        }
        (_, step) => step,
    };
    word.chars().flat_map(steps).map(named).collect()
}

/// Returns every word of `length` different letters of an alphabet.
pub(super) fn arrangements(alphabet: &str, length: usize) -> Vec<String> {
    if length == 0 {
        return vec![String::new()];
    }
    let shorter = arrangements(alphabet, length - 1);
    let longer = |word: String| {
        let unused: Vec<char> = alphabet.chars().filter(|&letter| !word.contains(letter)).collect();
        unused.into_iter().map(move |letter| format!("{word}{letter}"))
    };
    shorter.into_iter().flat_map(longer).collect()
}
