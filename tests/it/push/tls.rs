//! Pushes over TLS: the receiver must have a valid certificate for its name.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use holdfast::domain::{AttemptOutcome, PushPrivate};
use holdfast::push::Options;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::guard::{Script, only_two};
use super::{Receiver, Reply, TWO, here, push_to, sender, serve};
use crate::support::eventually;

/// A certificate authority of a test, and a receiver's certificate for `shop.test` from it.
fn certificates() -> (CertificateDer<'static>, TlsAcceptor) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).expect("a certificate").der().clone();
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["shop.test".to_owned()]).expect("parameters");
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a certificate");
    (root, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_receiver_needs_a_certificate_of_its_name_that_is_trusted() {
    let (root, acceptor) = certificates();
    let receiver = Receiver::start_at(SocketAddr::new(TWO, 0), Reply::status(200, "ok"), Some(acceptor)).await;
    let plain = TcpListener::bind(SocketAddr::new(TWO, 0)).await.expect("a free port");
    let plain_port = plain.local_addr().expect("an address").port();
    let without_tls = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 x\r\n\r\n").await.expect("it is open");
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    });
    let options =
        |roots| Options { private: PushPrivate::Off, allows: only_two, names: Script::new(&[&[TWO]]), roots, ..here() };
    let trusting = sender(options(vec![root]));
    let port = receiver.address.port();
    for _ in 0..2 {
        let outcome = push_to(&trusting, &format!("https://shop.test:{port}/")).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::Delivered, Some(200)));
    }
    assert_eq!((receiver.received().len(), receiver.connections()), (2, 1));
    let strange = sender(options(Vec::new()));
    for (sender, url) in [
        (&strange, format!("https://shop.test:{port}/")),
        (&trusting, format!("https://other.test:{port}/")),
        (&trusting, format!("https://shop.test:{plain_port}/")),
    ] {
        let outcome = push_to(sender, &url).await;
        assert_eq!((outcome.kind, outcome.status), (AttemptOutcome::NotTrusted, None), "{url}");
    }
    assert_eq!(receiver.received().len(), 2, "nothing was sent to them");
    let bytes = without_tls.await.expect("no panic");
    assert!(!bytes.windows(7).any(|window| window == b"webhook"), "nor there");
}

/// Accepts connections, the first one over TLS, and says nothing on the others. Returns the address, and how many of those were opened and
/// closed.
async fn silent_but_one(acceptor: TlsAcceptor) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind(SocketAddr::new(TWO, 0)).await.expect("a free port");
    let (address, counts) = (listener.local_addr().expect("an address"), Arc::new([0, 0].map(AtomicUsize::new)));
    let noted = Arc::clone(&counts);
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let stream = acceptor.accept(first).await.expect("TLS");
            serve(stream, &Mutex::default(), &Reply::status(200, "")).await
        });
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            noted[0].fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                noted[1].fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (address, counts)
}

#[tokio::test]
async fn connections_that_no_attempt_waits_for_any_more_are_closed() {
    let (root, acceptor) = certificates();
    let (address, counts) = silent_but_one(acceptor).await;
    let (roots, names) = (vec![root], Script::new(&[&[TWO]]));
    let time = Duration::from_secs(2);
    let sender = sender(Options { private: PushPrivate::Off, allows: only_two, names, roots, time, ..here() });
    let url = format!("https://shop.test:{}/", address.port());
    assert_eq!(push_to(&sender, &url).await.kind, AttemptOutcome::Delivered);
    join_all((0..10).map(|_| push_to(&sender, &url))).await;
    let [opened, closed] = &*counts;
    assert!(opened.load(Ordering::SeqCst) > 0, "some attempts began connections of their own");
    let is_closed = async || closed.load(Ordering::SeqCst) == opened.load(Ordering::SeqCst);
    assert!(eventually(is_closed).await, "{opened:?} opened, {closed:?} closed");
}
