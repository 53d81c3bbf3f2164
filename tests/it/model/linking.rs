//! How a link and the unmatched events that wait for it find each other, small enough to try every interleaving of it.
//!
//! A payment has three objects: session, intent and charge. One event names the order and some objects: it links them. The
//! others name objects alone, and are unmatched until one of their objects is linked; from then on they are ordinary
//! events, which the parent's model explores. One step is one transaction, or the half of one that reads and the half that
//! changes and commits. Between any two steps an instance may die.

use stateright::{Checker as _, Model, Property};

/// A set of objects, a bit each.
type Objects = u8;

const SESSION: Objects = 1;
const INTENT: Objects = 2;
const CHARGE: Objects = 4;

/// A part of the protocol that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The link looks for events that wait, once it is committed.
    LinkLooks,
    /// An event looks for a link, once it is committed.
    EventLooks,
    /// An event that is matched links its other objects, and looks for what waits for them.
    Chain,
    /// A worker looks for what a crash left.
    Sweep,
    /// The match is guarded by the state of the event.
    Guard,
}

struct Scenario {
    /// What the linking event names.
    link: Objects,
    /// What each of the others names.
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

/// What an instance does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    /// Reads which events wait for these objects.
    Look(Objects),
    /// Reads what is linked of the objects of this event.
    Read(usize),
    /// Changes this event, of which a link was read.
    Match(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    linked: Objects,
    link_delivered: bool,
    events: Vec<Status>,
    /// How often each was given its order.
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

    /// Whether everything that belongs to the link is matched, once what is under way and the sweep have come to rest.
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
            Property::always("what belongs to a link is matched", |scenario: &Self, world: &World| {
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

/// The promises that are broken in some state, by name; and how many states there are.
fn broken(scenario: Scenario) -> (Vec<&'static str>, usize) {
    let checker = scenario.checker().spawn_bfs().join();
    let mut names: Vec<&'static str> = checker.discoveries().into_keys().collect();
    names.sort_unstable();
    (names, checker.unique_state_count())
}

#[test]
fn a_link_and_what_waits_for_it_find_each_other_whatever_crashes() {
    let (names, states) = broken(Scenario { crashes: 1, ..one_payment() });
    assert!(names.is_empty() && states > 1_000, "{names:?} in {states} states");
}

#[test]
fn without_a_crash_they_find_each_other_by_looking() {
    let (names, states) = broken(Scenario { without: vec![Part::Sweep], ..one_payment() });
    assert!(names.is_empty() && states > 300, "{names:?} in {states} states");
}

#[test]
fn every_part_of_the_matching_is_needed() {
    let found = "what belongs to a link is matched";
    for (without, crashes, promise) in [
        (vec![Part::Sweep], 1, found),
        // the sweep would mend what a side does not look for
        (vec![Part::Sweep, Part::LinkLooks], 0, found),
        (vec![Part::Sweep, Part::EventLooks], 0, found),
        (vec![Part::Chain], 0, found),
        (vec![Part::Guard], 0, "an event is matched once"),
    ] {
        let (names, _) = broken(Scenario { crashes, without: without.clone(), ..one_payment() });
        assert_eq!(names, [promise], "without {without:?}");
    }
}
