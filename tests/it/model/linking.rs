//! A model of how links and the unmatched events that wait for them are matched, small enough to try every interleaving.
//!
//! A payment has three objects: session, intent and charge. One event names the order and some objects: it links them. The
//! others name only objects, and are unmatched until one of their objects is linked; from then on they are ordinary
//! events, which the parent's model explores. One step is one transaction, or the half of one that reads, or the half that
//! writes and commits. Between any two steps an instance may die.

use stateright::{Checker as _, Model, Property};

/// A set of objects, one bit each.
type Objects = u8;

const SESSION: Objects = 1;
const INTENT: Objects = 2;
const CHARGE: Objects = 4;

/// A part of the protocol that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// After its commit, the link looks for waiting events.
    LinkLooks,
    /// After its commit, an event looks for a link.
    EventLooks,
    /// A matched event links its other objects, and looks for events that wait for them.
    Chain,
    /// A worker looks for events that a crash left unmatched.
    Sweep,
    /// The match is guarded by the state of the event.
    Guard,
}

struct Scenario {
    /// The objects that the linking event names.
    link: Objects,
    /// The objects that each of the other events names.
    events: Vec<Objects>,
    crashes: u8,
    without: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Status {
    Absent,
    Unmatched,
    Matched,
}

/// The next step of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    /// Reads which events wait for these objects.
    Look(Objects),
    /// Reads whether an object of this event is linked.
    Read(usize),
    /// Matches this event, for which a link was read.
    Match(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    linked: Objects,
    link_delivered: bool,
    events: Vec<Status>,
    /// How often each event was given its order.
    matches: Vec<u8>,
    tasks: Vec<Task>,
    crashes_left: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Link,
    Deliver(usize),
    Go(Task),
    Crash(Task),
    Sweep(usize),
}

impl Scenario {
    fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    fn is_ready(&self, world: &World, event: usize) -> bool {
        world.events[event] == Status::Unmatched && self.events[event] & world.linked != 0
    }

    fn go(&self, world: &mut World, task: &Task) {
        let place = world.tasks.iter().position(|other| other == task).expect("a task under way");
        world.tasks.remove(place);
        match *task {
            Task::Look(objects) => {
                let waits =
                    |&event: &usize| world.events[event] == Status::Unmatched && self.events[event] & objects != 0;
                let waiting: Vec<usize> = (0..self.events.len()).filter(waits).collect();
                world.tasks.extend(waiting.into_iter().map(Task::Read));
            }
            Task::Read(event) if self.events[event] & world.linked != 0 => world.tasks.push(Task::Match(event)),
            Task::Read(_) => {}
            Task::Match(event) if world.events[event] == Status::Unmatched || !self.has(Part::Guard) => {
                world.events[event] = Status::Matched;
                world.matches[event] += 1;
                if self.has(Part::Chain) {
                    world.linked |= self.events[event];
                    world.tasks.push(Task::Look(self.events[event]));
                }
            }
            Task::Match(_) => {}
        }
        world.tasks.sort();
    }

    /// Returns whether every event of the link is matched once the tasks and the sweep have nothing left to do.
    fn comes_to_rest_matched(&self, world: &World) -> bool {
        let mut world = world.clone();
        loop {
            let ready = (0..self.events.len()).find(|&event| self.has(Part::Sweep) && self.is_ready(&world, event));
            match (world.tasks.first().cloned(), ready) {
                (Some(task), _) => self.go(&mut world, &task),
                (None, Some(event)) => world.tasks.push(Task::Read(event)),
                (None, None) => break,
            }
        }
        let mut reached = if world.link_delivered { self.link } else { 0 };
        for _ in &self.events {
            for (&objects, &status) in self.events.iter().zip(&world.events) {
                if status != Status::Absent && objects & reached != 0 {
                    reached |= objects;
                }
            }
        }
        let fits = |(&objects, &status): (&Objects, &Status)| match status {
            Status::Absent => true,
            Status::Unmatched => objects & reached == 0,
            Status::Matched => objects & reached != 0,
        };
        self.events.iter().zip(&world.events).all(fits)
    }
}

impl Model for Scenario {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let count = self.events.len();
        vec![World {
            linked: 0,
            link_delivered: false,
            events: vec![Status::Absent; count],
            matches: vec![0; count],
            tasks: Vec::new(),
            crashes_left: self.crashes,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend((!world.link_delivered).then_some(Step::Link));
        let absent = |&event: &usize| world.events[event] == Status::Absent;
        steps.extend((0..self.events.len()).filter(absent).map(Step::Deliver));
        steps.extend(world.tasks.iter().cloned().map(Step::Go));
        if world.crashes_left > 0 {
            steps.extend(world.tasks.iter().cloned().map(Step::Crash));
        }
        if self.has(Part::Sweep) {
            let swept = |&event: &usize| self.is_ready(world, event) && !world.tasks.contains(&Task::Read(event));
            steps.extend((0..self.events.len()).filter(swept).map(Step::Sweep));
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Link => {
                world.linked |= self.link;
                world.link_delivered = true;
                world.tasks.extend(self.has(Part::LinkLooks).then_some(Task::Look(self.link)));
            }
            Step::Deliver(event) => {
                world.events[event] = Status::Unmatched;
                world.tasks.extend(self.has(Part::EventLooks).then_some(Task::Read(event)));
            }
            Step::Go(task) => self.go(&mut world, &task),
            Step::Crash(task) => {
                let place = world.tasks.iter().position(|other| *other == task)?;
                world.tasks.remove(place);
                world.crashes_left -= 1;
            }
            Step::Sweep(event) => world.tasks.push(Task::Read(event)),
        }
        world.tasks.sort();
        Some(world).filter(|world| world.tasks.len() <= 6)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every event that belongs to a link is matched", |scenario: &Self, world: &World| {
                scenario.comes_to_rest_matched(world)
            }),
            Property::always("an event is matched once", |_, world: &World| {
                world.matches.iter().all(|&count| count <= 1)
            }),
        ]
    }
}

fn one_payment() -> Scenario {
    Scenario { link: SESSION | INTENT, events: vec![INTENT | CHARGE, CHARGE, INTENT], crashes: 0, without: Vec::new() }
}

/// Returns the names of the promises that are broken in some state, and the number of states.
fn broken(scenario: Scenario) -> (Vec<&'static str>, usize) {
    let checker = scenario.checker().spawn_bfs().join();
    let mut names: Vec<&'static str> = checker.discoveries().into_keys().collect();
    names.sort_unstable();
    (names, checker.unique_state_count())
}

#[test]
fn a_link_and_the_events_that_wait_for_it_are_matched_whatever_crashes() {
    let (names, states) = broken(Scenario { crashes: 1, ..one_payment() });
    assert!(names.is_empty() && states > 1_000, "{names:?} in {states} states");
}

#[test]
fn without_a_crash_a_link_and_its_events_are_matched_without_the_sweep() {
    let (names, states) = broken(Scenario { without: vec![Part::Sweep], ..one_payment() });
    assert!(names.is_empty() && states > 300, "{names:?} in {states} states");
}

#[test]
fn every_part_of_the_matching_is_needed() {
    let found = "every event that belongs to a link is matched";
    for (without, crashes, promise) in [
        (vec![Part::Sweep], 1, found),
        // the sweep would find what one side does not look for
        (vec![Part::Sweep, Part::LinkLooks], 0, found),
        (vec![Part::Sweep, Part::EventLooks], 0, found),
        (vec![Part::Chain], 0, found),
        (vec![Part::Guard], 0, "an event is matched once"),
    ] {
        let (names, _) = broken(Scenario { crashes, without: without.clone(), ..one_payment() });
        assert_eq!(names, [promise], "without {without:?}");
    }
}
