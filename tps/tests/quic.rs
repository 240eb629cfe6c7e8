//! The listener over real QUIC on loopback: frames, budgets, early data, drain.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::quic::{framed, read_frames};
use common::*;
use protocol::codec::Fixed;
use protocol::enrolment::SignaturePolicy;
use protocol::error::{ErrorCode, ErrorMessage};
use protocol::frame::{FRAME_HEADER_BYTES, Frame, MessageType};
use protocol::response::{Reason, open};
use rustls::pki_types::CertificateDer;
use tps::pipeline::engine::Intake;
use tps::pipeline::{Engine, EngineConfig};
use tps::receive::{Listener, ReceiveConfig};
use zeroize::Zeroizing;

struct Service {
    engine: Arc<Engine>,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: tokio::sync::watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

fn service(change: impl FnOnce(&mut ReceiveConfig)) -> Service {
    let engine = Arc::new(engine(EngineConfig::default()));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["tps.quittance".into()]).unwrap().self_signed(&key).unwrap();
    let mut config = ReceiveConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..ReceiveConfig::default() };
    change(&mut config);
    let key_der = Zeroizing::new(key.serialize_der());
    let der = certificate.der().to_vec();
    let listener =
        Listener::bind(&config, der, key_der, REALM, SignaturePolicy::Required, Arc::clone(&engine)).unwrap();
    let address = listener.local_address();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(listener.run(stopped));
    Service { engine, address, certificate: certificate.der().clone(), stop, running }
}

fn client(service: &Service) -> quinn::Endpoint {
    common::quic::client(service.certificate.clone())
}

async fn connect(endpoint: &quinn::Endpoint, service: &Service) -> quinn::Connection {
    endpoint.connect(service.address, "tps.quittance").unwrap().await.unwrap()
}

// spec: K-13, K-45
#[tokio::test]
async fn one_message_there_and_one_back() {
    let service = service(|_| ());
    let mut customer = customers(&service.engine, 1_000, 1).remove(0);
    let endpoint = client(&service);
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    for units in [10, 20] {
        let content = customer.content(units);
        let request = customer.request(&content);
        send.write_all(&framed(units as u32, &request.bytes)).await.unwrap();
        let frames = read_frames(&mut receive, 1).await;
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].0, units as u32);
        assert_eq!(MessageType::of(&frames[0].1), Ok(MessageType::Response));
        let opened = open(&frames[0].1, &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, Reason::Paid);
        customer.take(&content, &opened.answer);
    }
}

#[tokio::test]
async fn many_requests_share_a_stream_and_every_way_of_cutting_it() {
    let service = service(|_| ());
    let group = customers(&service.engine, 100_000, 50);
    let requests: Vec<_> = group.iter().map(|customer| customer.request(&customer.content(3))).collect();
    let bytes: Vec<u8> =
        requests.iter().enumerate().flat_map(|(id, request)| framed(id as u32, &request.bytes)).collect();
    let endpoint = client(&service);
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let writer = async {
        for piece in bytes.chunks(337) {
            send.write_all(piece).await.unwrap();
        }
    };
    let ((), frames) = tokio::join!(writer, read_frames(&mut receive, 50));
    let mut ids: Vec<u32> = frames.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    for (id, message) in frames {
        let request = &requests[id as usize];
        assert_eq!(open(&message, &request.hash, &request.session).unwrap().answer.reason, Reason::Paid);
    }
    assert_eq!(total(&service.engine), 0);
}

#[tokio::test]
async fn what_is_no_message_gets_a_typed_error_and_the_stream_goes_on() {
    let service = service(|_| ());
    let customer = customers(&service.engine, 1_000, 1).remove(0);
    let good = customer.request(&customer.content(1));
    let mut other_version = good.bytes.clone();
    other_version[0] = 2;
    let endpoint = client(&service);
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let cases: [(&[u8], ErrorCode); 6] = [
        (b"", ErrorCode::Malformed),
        (b"\x01", ErrorCode::Malformed),
        (&[1, 1, 2, 0], ErrorCode::Malformed),
        (&[1, 1, 0x10, 0], ErrorCode::Malformed),
        (&other_version, ErrorCode::UnsupportedVersion),
        (&good.bytes[..300], ErrorCode::Malformed),
    ];
    for (id, (message, code)) in cases.iter().enumerate() {
        send.write_all(&framed(id as u32, message)).await.unwrap();
        let frames = read_frames(&mut receive, 1).await;
        assert_eq!(frames[0].0, id as u32);
        assert_eq!(ErrorMessage::decode(&frames[0].1).unwrap().code(), *code, "case {id}");
    }
    send.write_all(&framed(99, &good.bytes)).await.unwrap();
    let frames = read_frames(&mut receive, 1).await;
    assert_eq!(open(&frames[0].1, &good.hash, &good.session).unwrap().answer.reason, Reason::Paid);
    // A frame longer than any message ends the stream, not the connection.
    send.write_all(&[0xff; FRAME_HEADER_BYTES]).await.unwrap();
    assert!(send.stopped().await.unwrap().is_some());
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&framed(1, &good.bytes)).await.unwrap();
    assert_eq!(read_frames(&mut receive, 1).await.len(), 1);
}

#[tokio::test]
async fn a_connection_over_its_budget_is_told_so() {
    let service = service(|config| config.open_requests_per_connection_max = 4);
    let group = customers(&service.engine, 100_000, 64);
    let requests: Vec<_> = group.iter().map(|customer| customer.request(&customer.content(3))).collect();
    let bytes: Vec<u8> =
        requests.iter().enumerate().flat_map(|(id, request)| framed(id as u32, &request.bytes)).collect();
    let endpoint = client(&service);
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&bytes).await.unwrap();
    // With four places refusals are bounded as well; a client that goes on beyond both loses the stream.
    let mut refused = 0;
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(Duration::from_secs(5), receive.read_chunk(65_536, true)).await
    {
        let mut rest = &chunk.bytes[..];
        while let Ok(Some(frame)) = Frame::first(rest) {
            refused += usize::from(
                ErrorMessage::decode(frame.message).is_ok_and(|error| error.code() == ErrorCode::OverBudget),
            );
            rest = &rest[frame.bytes()..];
        }
    }
    assert!(refused > 0);
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&framed(1, &requests[63].bytes)).await.unwrap();
    assert_eq!(read_frames(&mut receive, 1).await.len(), 1, "the connection goes on");
}

// spec: K-135
#[tokio::test]
async fn early_data_pays_once_however_often_it_is_replayed() {
    let service = service(|_| ());
    let mut customer = customers(&service.engine, 1_000, 1).remove(0);
    let endpoint = client(&service);
    // A first connection to be given a ticket.
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let content = customer.content(1);
    let request = customer.request(&content);
    send.write_all(&framed(0, &request.bytes)).await.unwrap();
    let opened = open(&read_frames(&mut receive, 1).await[0].1, &request.hash, &request.session).unwrap();
    customer.take(&content, &opened.answer);
    connection.close(0u32.into(), b"");

    let request = customer.request(&customer.content(100));
    let mut early = 0;
    for _ in 0..5 {
        let connecting = endpoint.connect(service.address, "tps.quittance").unwrap();
        let (connection, accepted) = match connecting.into_0rtt() {
            Ok((connection, accepted)) => (connection, Some(accepted)),
            Err(connecting) => (connecting.await.unwrap(), None),
        };
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&framed(7, &request.bytes)).await.unwrap();
        let frames = read_frames(&mut receive, 1).await;
        let opened = open(&frames[0].1, &request.hash, &request.session).unwrap();
        assert_eq!(opened.answer.reason, Reason::Paid);
        if let Some(accepted) = accepted {
            early += usize::from(accepted.await);
        }
        connection.close(0u32.into(), b"");
    }
    assert!(early > 0, "early data was used");
    let account = customer.account;
    let balance = service.engine.read(move |book| book.account(account).map(|account| account.balance));
    assert_eq!(balance, [Some(899)], "debited once");
}

/// Waits for something another thread brings about.
async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time");
}

#[tokio::test]
async fn stopping_answers_what_is_open_and_refuses_what_is_new() {
    let service = service(|_| ());
    let group = customers(&service.engine, 100_000, 21);
    let endpoint = client(&service);
    let connection = connect(&endpoint, &service).await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let requests: Vec<_> = group.iter().map(|customer| customer.request(&customer.content(3))).collect();

    // The shard's writer stands still until the gate opens, so nothing can be answered before the server is told to stop.
    let (gate, closed) = crossbeam_channel::bounded::<()>(0);
    let engine = Arc::clone(&service.engine);
    let holding = std::thread::spawn(move || engine.read(move |_| closed.recv().is_err()));
    for (id, request) in requests[..20].iter().enumerate() {
        send.write_all(&framed(id as u32, &request.bytes)).await.unwrap();
    }
    until(|| service.engine.counters().received() == 20).await;
    service.stop.send(true).unwrap();
    until(|| service.engine.intake() == Intake::Draining).await;
    send.write_all(&framed(20, &requests[20].bytes)).await.unwrap();
    let refused = read_frames(&mut receive, 1).await;
    assert_eq!(refused[0].0, 20);
    assert_eq!(ErrorMessage::decode(&refused[0].1).unwrap().code(), ErrorCode::Draining);
    // Longer than the grace that closing allows anyway: a server that does not wait for what is open has gone by then.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(connection.close_reason().is_none() && !service.running.is_finished(), "it waits for what is open");

    drop(gate);
    assert_eq!(holding.join().unwrap(), [true]);
    for (id, message) in read_frames(&mut receive, 20).await {
        let request = &requests[id as usize];
        assert_eq!(open(&message, &request.hash, &request.session).unwrap().answer.reason, Reason::Paid);
    }
    tokio::time::timeout(Duration::from_secs(15), service.running).await.expect("it stops").unwrap();
    let engine = Arc::into_inner(service.engine).expect("the listener lets go of the pipeline");
    assert_eq!(total(&engine), 0);
    engine.drain();
}
