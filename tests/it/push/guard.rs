//! No push reaches an address that only this machine or its network can reach, whatever its URL, its name or its answer is.
//!
//! `127.0.0.2` stands for an address of the internet here, and `127.0.0.1` for one that is not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use holdfast::domain::{AttemptOutcome, PushPrivate};
use holdfast::push::Options;
use holdfast::push::names::Names;

use super::{ONE, Receiver, Reply, TWO, here, push_to, sender};

/// A resolver that answers each question with the next of its answers, and the last one from then on.
pub(super) struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    pub(super) fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
        Arc::new(Self { answers: answers.iter().map(|answer| answer.to_vec()).collect(), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Names for Script {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut asked = self.asked.lock().expect("no panic");
        let answer = self.answers.get(asked.len()).or(self.answers.last()).cloned();
        asked.push(name.to_owned());
        async move { answer.ok_or_else(|| io::Error::other("no such name")) }.boxed()
    }
}

/// A resolver that never answers.
struct Never;

impl Names for Never {
    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        std::future::pending().boxed()
    }
}

pub(super) fn only_two(address: IpAddr) -> bool {
    address == TWO
}

fn guarded(names: Arc<dyn Names>) -> Options {
    Options { names, allows: only_two, ..here() }
}

/// Two receivers on the same port: one at the address that is allowed, one at the other.
async fn both(reply: Reply) -> (Receiver, Receiver) {
    for _ in 0..50 {
        let allowed = Receiver::start_at(SocketAddr::new(TWO, 0), reply.clone(), None).await;
        let other = SocketAddr::new(ONE, allowed.address.port());
        if std::net::TcpListener::bind(other).is_ok() {
            return (allowed, Receiver::start_at(other, reply, None).await);
        }
    }
    panic!("no port is free at both addresses");
}

#[tokio::test]
async fn a_name_with_one_address_that_is_not_allowed_is_not_tried_at_all() {
    let (allowed, other) = both(Reply::once()).await;
    let mapped: IpAddr = "::ffff:127.0.0.2".parse().expect("an address");
    for addresses in [&[ONE][..], &[TWO, ONE], &[ONE, TWO], &[TWO, mapped]] {
        let names = Script::new(&[addresses]);
        let url = format!("http://shop.test:{}/", allowed.address.port());
        let outcome = push_to(&sender(guarded(names.clone())), &url).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::NotAllowed, None), "{addresses:?}");
        assert_eq!(names.asked(), ["shop.test"]);
    }
    assert_eq!((allowed.connections(), other.connections()), (0, 0));
    let names = Script::new(&[&[TWO]]);
    let url = format!("http://shop.test:{}/", allowed.address.port());
    assert_eq!(push_to(&sender(guarded(names)), &url).await.kind, AttemptOutcome::Delivered);
    assert_eq!((allowed.connections(), other.connections()), (1, 0));
}

#[tokio::test]
async fn a_connection_is_made_to_the_addresses_that_were_judged_and_to_no_later_ones() {
    let (allowed, other) = both(Reply::once()).await;
    let names = Script::new(&[&[TWO], &[ONE], &[TWO], &[ONE]]);
    let sender = sender(guarded(names.clone()));
    let url = format!("http://shop.test:{}/", allowed.address.port());
    for (attempt, kind) in
        [AttemptOutcome::Delivered, AttemptOutcome::NotAllowed].into_iter().cycle().take(4).enumerate()
    {
        assert_eq!(push_to(&sender, &url).await.kind, kind);
        assert_eq!(names.asked().len(), attempt + 1, "one question, one connection");
    }
    assert_eq!((allowed.received().len(), allowed.connections(), other.connections()), (2, 2, 0));
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_without_a_resolver() {
    let (allowed, other) = both(Reply::once()).await;
    let names = Script::new(&[&[TWO]]);
    let (sender, port) = (sender(guarded(names.clone())), other.address.port());
    for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:127.0.0.2]"] {
        let outcome = push_to(&sender, &format!("http://{host}:{port}/")).await;
        assert_eq!(outcome.kind, AttemptOutcome::NotAllowed, "{host}");
    }
    assert_eq!(push_to(&sender, &format!("http://127.0.0.2:{port}/")).await.kind, AttemptOutcome::Delivered);
    assert_eq!((allowed.connections(), other.connections(), names.asked().len()), (1, 0, 0));
}

#[tokio::test]
async fn a_service_reaches_only_https_on_the_internet() {
    let public = |names: Arc<dyn Names>| Options { names, ..Options::new(PushPrivate::Off) };
    let receiver = Receiver::start(Reply::once()).await;
    for url in [receiver.url(), "http://shop.test/".to_owned(), "https://user@shop.test/".to_owned(), "x".to_owned()] {
        let names = Script::new(&[&[ONE]]);
        assert_eq!(push_to(&sender(public(names.clone())), &url).await.kind, AttemptOutcome::NotAllowed, "{url}");
        assert_eq!(names.asked().len(), 0, "{url}");
    }
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
    ] {
        let address: IpAddr = address.parse().expect("an address");
        let names = Script::new(&[&[address]]);
        let url = format!("https://shop.test:{}/", receiver.address.port());
        let outcome = push_to(&sender(public(names.clone())), &url).await;
        assert_eq!((outcome.kind, names.asked().len()), (AttemptOutcome::NotAllowed, 1), "{address}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_and_one_whose_resolver_hangs_end_the_attempt() {
    for names in [Script::new(&[]), Script::new(&[&[]])] {
        let outcome = push_to(&sender(guarded(names)), "http://shop.test/").await;
        assert_eq!(outcome.kind, AttemptOutcome::NotResolved);
    }
    let options = Options { time: Duration::from_millis(50), ..guarded(Arc::new(Never)) };
    assert_eq!(push_to(&sender(options), "http://shop.test/").await.kind, AttemptOutcome::TimedOut);
}

/// A resolver that notes the thread on which it is asked.
struct Threads(Mutex<Vec<String>>);

impl Names for Threads {
    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().expect("no panic").push(name);
        async { Ok(vec![ONE]) }.boxed()
    }
}

#[tokio::test]
async fn endpoints_are_talked_to_on_a_thread_that_serves_nothing_else() {
    let receiver = Receiver::start(Reply::status(200, "")).await;
    let names = Arc::new(Threads(Mutex::default()));
    let sender = sender(Options { names: Arc::clone(&names) as Arc<dyn Names>, ..here() });
    let outcome = push_to(&sender, &format!("http://shop.test:{}/", receiver.address.port())).await;
    assert_eq!(outcome.kind, AttemptOutcome::Delivered);
    assert_eq!(*names.0.lock().expect("no panic"), ["push"]);
}
