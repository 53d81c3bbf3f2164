//! Everything that can happen to an order, in every sequence. The result must be the one that the design demands: a reference
//! takes the same steps in memory.
//!
//! `TEST_LONG=1` runs more sequences. `TEST_SEED` repeats the random choices of a failed run.

mod reference;
mod stage;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use holdfast::domain::WebhookMode;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::reference::{QTY, State, World};
use self::stage::{Case, GRACE, Stage};
use self::steps::{Event, NAMINGS, Step, arrangements, spell};
use crate::support::proxy::{Action, Rule};
use crate::support::together;

/// Number of stages that run at the same time.
const STAGES: usize = 4;
/// Number of scenarios that are prepared together.
const CHUNK: usize = 100;

fn long() -> bool {
    std::env::var("TEST_LONG").is_ok_and(|text| text == "1")
}

fn seed() -> u64 {
    let chosen = std::env::var("TEST_SEED").ok();
    let seed = chosen.map_or_else(rand::random, |text| text.parse().expect("TEST_SEED is a number"));
    println!("TEST_SEED={seed}");
    seed
}

/// Steps that run one after the other, and then a crowd of steps that run at once.
#[derive(Debug, Clone, Default)]
struct Scenario {
    word: String,
    crowd: String,
    naming: usize,
    stock: i64,
    seed: u64,
}

/// How the crowd of a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// There is no crowd.
    InOrder,
    /// All steps start at the same moment, on two instances.
    AtOnce,
    /// The first step is held back before one of its statements, until the others are done or wait for it.
    HeldBack,
}

impl Scenario {
    /// Returns whether the hold has units of a second product.
    fn is_cart(&self) -> bool {
        self.seed % 2 == 1
    }

    /// Returns whether the units of the first product are seats.
    fn is_seated(&self) -> bool {
        self.seed % 4 >= 2
    }

    async fn check(&self, way: Way, stage: &Arc<Stage>, case: &Case) -> Result<(), String> {
        let world = self.take_in_order(way, stage, case).await?;
        if way == Way::InOrder {
            let state = stage.state(case).await;
            let same = state == world.state;
            return if same { Ok(()) } else { Err(format!("{self:?}\n{state:#?}\ninstead of {:#?}", world.state)) };
        }
        let mut luck = StdRng::seed_from_u64(!self.seed);
        let crowd = spell(&self.crowd, self.naming);
        let answers = match way {
            Way::HeldBack => hold_back(stage, case, &crowd, &mut luck).await,
            _ => take_at_once(stage, case, &crowd, &mut luck).await,
        };
        stage.drain(case).await;
        let (state, outcomes) = (stage.state(case).await, self.outcomes(world));
        match outcomes.contains(&state) {
            true => Ok(()),
            false => Err(format!("{self:?}\n{answers:?}\n{state:#?}\nis none of {outcomes:#?}")),
        }
    }

    /// Takes one step after the other; every answer must be the reference's.
    async fn take_in_order(&self, way: Way, stage: &Stage, case: &Case) -> Result<World, String> {
        let mut world = World::new(self.stock, self.is_cart(), self.is_seated());
        let mut luck = StdRng::seed_from_u64(self.seed);
        for (place, step) in spell(&self.word, self.naming).iter().enumerate() {
            let expected = world.take(step);
            let instance = if way == Way::InOrder { luck.random_range(0..2) } else { 0 };
            let answer = stage.take(case, step, instance, luck.random()).await;
            if answer != expected {
                return Err(format!("{self:?}\n{answer} instead of {expected}, at step {place}, {step:?}"));
            }
        }
        Ok(world)
    }

    /// Returns the results of the crowd in every sequence. Events that waited before it may take effect at any moment, too.
    fn outcomes(&self, mut before: World) -> BTreeSet<State> {
        let waited = before.recall();
        let again = waited.iter().map(|&(event, _)| Step::Deliver(event));
        let steps: Vec<Step> = spell(&self.crowd, self.naming).into_iter().chain(again).collect();
        // indexed by the set of steps that were taken: all worlds that are possible then
        let mut worlds = vec![BTreeSet::new(); 1 << steps.len()];
        worlds[0].insert(before);
        for taken in 0..worlds.len() {
            let here = std::mem::take(&mut worlds[taken]);
            if taken + 1 == worlds.len() {
                return here.into_iter().map(|world| end(world, &waited)).collect();
            }
            for (place, step) in steps.iter().enumerate().filter(|(place, _)| taken & (1 << place) == 0) {
                for mut world in here.iter().cloned() {
                    world.take(step);
                    worlds[taken | (1 << place)].insert(world);
                }
            }
        }
        BTreeSet::new()
    }
}

/// Runs the workers to the end, and adds the deliveries that came before the crowd.
fn end(mut world: World, waited: &[(Event, i64)]) -> State {
    for step in [Step::ExpireHolds, Step::Sweep, Step::CancelOverdue, Step::Sweep] {
        world.take(&step);
    }
    for (event, deliveries) in waited {
        world.state.events.get_mut(event.key).expect("the event was delivered").1 += deliveries - 1;
    }
    world.state
}

fn start(stage: &Arc<Stage>, case: &Case, step: Step, instance: usize, luck: &mut StdRng) -> JoinHandle<String> {
    let (stage, case, form) = (Arc::clone(stage), case.clone(), luck.random());
    let delay = Duration::from_micros(luck.random_range(0..2) * luck.random_range(0..3000));
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        stage.take(&case, &step, instance, form).await
    })
}

async fn take_at_once(stage: &Arc<Stage>, case: &Case, crowd: &[Step], luck: &mut StdRng) -> Vec<String> {
    let steps: Vec<_> =
        crowd.iter().enumerate().map(|(place, &step)| start(stage, case, step, place % 2, luck)).collect();
    join_all(steps).await.into_iter().map(|joined| joined.expect("no panic")).collect()
}

async fn hold_back(stage: &Arc<Stage>, case: &Case, crowd: &[Step], luck: &mut StdRng) -> Vec<String> {
    let (&first, others) = crowd.split_first().expect("the crowd has a first step");
    let statement = stage.instances[0].proxy.on(Rule::from("").skip(luck.random_range(0..14)), Action::PauseBefore);
    let mut held = start(stage, case, first, 0, luck);
    tokio::select! {
        () = statement.reached() => {}
        _ = &mut held => {
            drop(statement);
            return take_at_once(stage, case, others, luck).await;
        }
    }
    let mut waiting = vec![held];
    for &step in others {
        let mut other = start(stage, case, step, 1, luck);
        if timeout(GRACE, &mut other).await.is_err() {
            waiting.push(other);
        }
    }
    drop(statement);
    join_all(waiting).await.into_iter().map(|joined| joined.expect("no panic")).collect()
}

/// Checks all scenarios, a few at the same time.
async fn check(way: Way, scenarios: Vec<Scenario>) {
    let began = Instant::now();
    let count = scenarios.len();
    let shares = (0..STAGES).map(|share| {
        let share: Vec<Scenario> = scenarios.iter().skip(share).step_by(STAGES).cloned().collect();
        async move {
            let second = if way == Way::AtOnce { WebhookMode::Queue } else { WebhookMode::Apply };
            let stage = Stage::open(second).await;
            let mut wrong = Vec::new();
            for chunk in share.chunks(CHUNK) {
                let kind = |scenario: &Scenario| (scenario.stock, scenario.is_cart(), scenario.is_seated());
                let cases = stage.prepare(&chunk.iter().map(kind).collect::<Vec<_>>()).await;
                for (scenario, case) in chunk.iter().zip(&cases) {
                    wrong.extend(scenario.check(way, &stage, case).await.err());
                    stage.instances.iter().for_each(|instance| instance.proxy.clear());
                }
            }
            stage.shop.assert_conserved().await;
            wrong
        }
    });
    let mut wrong: Vec<String> = together(shares.collect::<Vec<_>>()).await.into_iter().flatten().collect();
    println!("{count} scenarios {way:?} in {:?}", began.elapsed());
    wrong.sort_by_key(String::len);
    assert!(
        wrong.is_empty(),
        "{} of {count} scenarios fail; the shortest:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(3)].join("\n\n")
    );
}

/// Draws this many random scenarios.
fn draw(count: usize, mut scenario: impl FnMut(&mut StdRng) -> Scenario) -> Vec<Scenario> {
    let mut luck = StdRng::seed_from_u64(seed());
    let mut one = |_| {
        let (stock, naming) = (QTY * luck.random_range(1..=3), luck.random_range(0..NAMINGS));
        Scenario { naming, stock, seed: luck.random(), ..scenario(&mut luck) }
    };
    (0..count).map(&mut one).collect()
}

fn word(luck: &mut StdRng, alphabet: &str, length: usize) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    (0..length).map(|_| letters[luck.random_range(0..letters.len())]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sequence_of_a_few_steps_has_the_result_that_the_design_demands() {
    const ALPHABET: &str = "OSsTFRPQUHXW";
    let with_order = |length| arrangements(ALPHABET, length).into_iter().filter(|word| word.contains('O'));
    // all sequences of three steps and some of four, or all of four and some of five
    let (all, some) = if long() { (4, 5000) } else { (3, 100) };
    let mut more: Vec<String> = with_order(all + 1).collect();
    let mut scenarios =
        draw(some, |luck| Scenario { word: more.swap_remove(luck.random_range(0..more.len())), ..Scenario::default() });
    let scenario = |(place, word): (usize, String)| {
        let naming = (place + place / NAMINGS) % NAMINGS;
        Scenario { word, naming, stock: QTY, seed: place as u64, ..Scenario::default() }
    };
    scenarios.extend(with_order(all).enumerate().map(scenario));
    check(Way::InOrder, scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_random_sequences_have_the_result_that_the_design_demands() {
    let scenario = |luck: &mut StdRng| {
        let length = luck.random_range(6..=14);
        let word = word(luck, "OOOSSssTTNBYFFEKRRPPQQUVMCZWWwhxHXGJjjLL", length);
        Scenario { word, ..Scenario::default() }
    };
    check(Way::InOrder, draw(if long() { 4000 } else { 100 }, scenario)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_in_vain_have_the_result_that_the_design_demands() {
    let words = arrangements("OSTRUFZD", 5).into_iter();
    let mut words: Vec<String> = words.filter(|word| word.contains('D') && !word.starts_with(['D', 'O'])).collect();
    let scenario = |luck: &mut StdRng| {
        let word = words.swap_remove(luck.random_range(0..words.len()));
        Scenario { word, ..Scenario::default() }
    };
    check(Way::InOrder, draw(if long() { 2000 } else { 60 }, scenario)).await;
}

/// Draws a scenario with some steps in order, and then a crowd of up to `most` steps.
fn crowded(luck: &mut StdRng, before: &str, crowd: &str, most: usize) -> Scenario {
    let (ordered, crowded) = (luck.random_range(0..=3), luck.random_range(2..=most));
    Scenario { word: word(luck, before, ordered), crowd: word(luck, crowd, crowded), ..Scenario::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_at_the_same_moment_have_the_result_of_some_sequence_of_them() {
    let scenario = |luck: &mut StdRng| crowded(luck, "OOSTFRPUCWhxL", "OOSSsTTNFFRRPQUMCWwhxHXGJjLL", 6);
    check(Way::AtOnce, draw(if long() { 4000 } else { 120 }, scenario)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_beside_one_that_is_held_back_have_the_result_of_some_sequence_of_them() {
    let scenario = |luck: &mut StdRng| crowded(luck, "OOOSTFRPUCWhxL", "OOSSsTTNFFRRPQUMCWwXGJjLL", 4);
    check(Way::HeldBack, draw(if long() { 6000 } else { 150 }, scenario)).await;
}

/// A refund that names no charge must not count for the first success while a second one waits, and a refund must not be
/// given up beside the success that it belongs to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_successes_are_applied_before_the_refunds_that_wait_with_them() {
    let scenario = |(word, naming, stock): (&str, usize, i64)| Scenario {
        word: word.to_owned(),
        naming,
        stock,
        ..Scenario::default()
    };
    let mut scenarios =
        vec![("NMSTHGsWNOs", 2, 4), ("STHOXMQRKGSE", 3, 4), ("MSTHGS", 1, 2), ("MSTDS", 1, 2), ("MSTDS", 0, 2)];
    scenarios.extend([("SZROD", 3, 2); 20]);
    check(Way::InOrder, scenarios.into_iter().map(scenario).collect()).await;
}
