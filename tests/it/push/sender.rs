//! What is sent, and what each end of an attempt is called.

use std::process::Stdio;
use std::time::Duration;

use holdfast::domain::{AttemptOutcome, EndpointSecret};
use holdfast::push::{ANSWER_BYTES, Delivery, Options};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;

use super::{Receiver, Reply, here, push_to, sender};
use crate::signatures::now;
use crate::support::{eventually, together};

#[tokio::test]
async fn an_event_arrives_as_it_is_with_its_id_its_time_and_a_signature_of_each_secret() {
    let receiver = Receiver::start(Reply::status(200, "thanks")).await;
    let (sender, secrets) = (sender(here()), [EndpointSecret::mint(), EndpointSecret::mint()]);
    let body = r#"{"type":"order.paid","data":{"name":"ä"}}"#.as_bytes();
    let (url, at) = (receiver.url(), now());
    let delivery = Delivery {
        endpoint_id: 1,
        url: &url,
        id: "0196f3a4-1111-7abc-8def-000000000001",
        timestamp_seconds: at,
        body,
        secrets: &secrets,
    };
    for _ in 0..2 {
        let outcome = sender.send(&delivery).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::Delivered, Some(200)));
        assert_eq!(outcome.answer, b"thanks");
    }
    let received = receiver.received();
    assert_eq!((received.len(), receiver.connections()), (2, 1), "the connection is used again");
    for request in &received {
        assert!(request.head.starts_with("POST /events?a=b HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!((request.body.as_slice(), request.header("content-type")), (body, "application/json"));
        assert_eq!(request.header("webhook-id"), delivery.id);
        assert_eq!(request.header("webhook-timestamp"), at.to_string());
        let signed = |secret: &EndpointSecret| {
            Webhook::new(&secret.reveal()).expect("a secret").sign(delivery.id, at, body).expect("it signs")
        };
        assert_eq!(request.header("webhook-signature"), format!("{} {}", signed(&secrets[0]), signed(&secrets[1])));
        assert!(request.header("user-agent").starts_with("holdfast/"));
        for header in ["referer", "cookie", "authorization"] {
            assert!(!request.head.to_lowercase().contains(header), "{}", request.head);
        }
    }
}

#[tokio::test]
async fn an_answer_with_2xx_alone_is_a_delivery() {
    use AttemptOutcome::{Delivered, Refused};
    for (status, kind) in
        [(200, Delivered), (202, Delivered), (299, Delivered), (400, Refused), (410, Refused), (503, Refused)]
    {
        let receiver = Receiver::start(Reply::status(status, "why")).await;
        let outcome = push_to(&sender(here()), &receiver.url()).await;
        assert_eq!((outcome.kind, outcome.status, outcome.answer.as_slice()), (kind, Some(status), &b"why"[..]));
        assert_eq!(receiver.received().len(), 1, "one attempt is one request");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(Reply::once()).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}", elsewhere.url());
        let receiver = Receiver::start(Reply::with_header(status, &location, "")).await;
        let outcome = push_to(&sender(here()), &receiver.url()).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::Redirected, Some(status)));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_ends_with_the_time() {
    let silent = Receiver::start(Reply::Begin(String::new())).await;
    let sender = sender(Options { time: Duration::from_secs(1), ..here() });
    let outcome = push_to(&sender, &silent.url()).await;
    assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::TimedOut, None));
    assert!(outcome.duration >= Duration::from_secs(1), "{outcome:?}");
    assert_eq!(silent.received().len(), 1);
    let half = Receiver::start(Reply::Begin("HTTP/1.1 200 x\r\nx-a".to_owned())).await;
    assert_eq!(push_to(&sender, &half.url()).await.kind, AttemptOutcome::TimedOut);
    for receiver in [&silent, &half] {
        assert!(eventually(async || receiver.closed() == 1).await, "its connection is closed");
    }
}

#[tokio::test]
async fn a_status_counts_although_the_rest_of_its_answer_never_comes() {
    let sender = sender(Options { time: Duration::from_secs(1), ..here() });
    for (status, kind) in [(200, AttemptOutcome::Delivered), (500, AttemptOutcome::Refused)] {
        let slow = format!("HTTP/1.1 {status} x\r\ncontent-length: 9\r\n\r\nabc");
        let receiver = Receiver::start(Reply::Begin(slow)).await;
        let outcome = push_to(&sender, &receiver.url()).await;
        assert_eq!((outcome.kind, outcome.status, outcome.answer.as_slice()), (kind, Some(status), &b"abc"[..]));
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_its_end() {
    let receiver = Receiver::start(Reply::Endless).await;
    let outcome = push_to(&sender(here()), &receiver.url()).await;
    assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::Delivered, Some(200)));
    assert_eq!(outcome.answer, "x".repeat(ANSWER_BYTES).as_bytes());
    assert!(outcome.duration < here().time, "it did not end with the time");
    assert!(eventually(async || receiver.closed() == 1).await, "its connection is closed");
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_and_one_that_cannot_be_made_are_told_apart() {
    let sender = sender(here());
    let garbage = Reply::Begin("SSH-2.0-OpenSSH_9.0\r\n\r\n".to_owned());
    for reply in [Reply::Close, garbage] {
        let receiver = Receiver::start(reply).await;
        let outcome = push_to(&sender, &receiver.url()).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::Broken, None));
    }
    let free = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port").local_addr().expect("an address");
    assert_eq!(push_to(&sender, &format!("http://{free}/")).await.kind, AttemptOutcome::NotConnected);
}

#[tokio::test]
async fn an_endpoint_that_hangs_keeps_its_own_connections_busy_alone() {
    let (open, gate) = watch::channel(false);
    let (hanging, other) = (Receiver::start(Reply::When(gate)).await, Receiver::start(Reply::status(200, "")).await);
    let sender = std::sync::Arc::new(sender(Options { connections: 2, ..here() }));
    let send = |endpoint_id: i64, url: String| {
        let sender = std::sync::Arc::clone(&sender);
        async move {
            let secrets = &[EndpointSecret::mint()];
            let delivery = Delivery { endpoint_id, url: &url, id: "e", timestamp_seconds: now(), body: b"{}", secrets };
            sender.send(&delivery).await.kind
        }
    };
    let waiting = {
        let attempts: Vec<_> = (0..5).map(|_| send(1, hanging.url())).collect();
        tokio::spawn(together(attempts))
    };
    assert!(eventually(async || hanging.received().len() == 2).await, "two attempts are under way");
    assert_eq!(send(2, other.url()).await, AttemptOutcome::Delivered);
    assert_eq!((hanging.received().len(), hanging.connections()), (2, 2), "three wait");
    open.send_replace(true);
    assert_eq!(waiting.await.expect("no panic"), [AttemptOutcome::Delivered; 5]);
    assert_eq!((hanging.received().len(), hanging.connections()), (5, 2));
}

#[tokio::test]
async fn an_attempt_that_gets_no_connection_in_time_has_sent_nothing() {
    let receiver = Receiver::start(Reply::once()).await;
    let options = Options { connections: 0, time: Duration::from_millis(50), ..here() };
    assert_eq!(push_to(&sender(options), &receiver.url()).await.kind, AttemptOutcome::Busy);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn an_event_is_never_sent_without_a_signature() {
    let receiver = Receiver::start(Reply::once()).await;
    let (sender, url) = (sender(here()), receiver.url());
    let unsigned = Delivery { endpoint_id: 1, url: &url, id: "e", timestamp_seconds: now(), body: b"{}", secrets: &[] };
    assert_eq!(sender.send(&unsigned).await.kind, AttemptOutcome::NotAllowed);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let proxy = Receiver::start(Reply::once()).await;
    let own = std::env::current_exe().expect("a test binary");
    let mut again = Command::new(own);
    again.args(["--exact", "push::sender::an_answer_with_2xx_alone_is_a_delivery"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        again.env(name, proxy.url()).env(name.to_lowercase(), proxy.url());
    }
    let ran = again.env_remove("NO_PROXY").env_remove("no_proxy").stdin(Stdio::null()).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections(), 0);
}
