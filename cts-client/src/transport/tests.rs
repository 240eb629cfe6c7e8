use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::frame::{Frame, frame_header};
use quinn::crypto::rustls::QuicServerConfig;

use super::*;

fn payment(body: &[u8]) -> Vec<u8> {
    [&MessageType::RequestForPayment.prefix()[..], body].concat()
}

struct Echo {
    target: ProcessorTarget,
    endpoint: quinn::Endpoint,
    early: Arc<AtomicUsize>,
}

/// Answers every frame with its own message, the later of two first; `hang up` ends the connection.
fn echo() -> Echo {
    let certified = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()]).unwrap();
    let certificate = certified.cert.der().to_vec();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![protocol::limits::ALPN.to_vec()];
    tls.max_early_data_size = u32::MAX;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let target = ProcessorTarget {
        addresses: vec![endpoint.local_addr().unwrap().to_string()],
        server_certificate: certificate,
    };
    let early = Arc::new(AtomicUsize::new(0));
    let (accepting, counted) = (endpoint.clone(), Arc::clone(&early));
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(serve(incoming.accept().unwrap(), Arc::clone(&counted)));
        }
    });
    Echo { target, endpoint, early }
}

async fn serve(connecting: quinn::Connecting, early: Arc<AtomicUsize>) {
    let Ok((connection, _)) = connecting.into_0rtt() else { panic!("servers always can") };
    let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
    let mut buffer = Vec::new();
    while let Ok(Some(chunk)) = receive.read_chunk(1_000, true).await {
        if receive.is_0rtt() {
            early.fetch_add(1, Ordering::SeqCst);
        }
        buffer.extend_from_slice(&chunk.bytes);
        let mut answers = Vec::new();
        while let Some(frame) = Frame::first(&buffer).unwrap() {
            if frame.message.ends_with(b"hang up") {
                connection.close(1u8.into(), b"hung up");
                return;
            }
            if !frame.message.ends_with(b"silence") {
                answers.push([&frame_header(frame.request_id, frame.message.len())[..], frame.message].concat());
            }
            let bytes = frame.bytes();
            buffer.drain(..bytes);
        }
        answers.reverse();
        if send.write_all(&answers.concat()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn many_tasks_share_one_connection_and_get_their_own_answers() {
    let echo = echo();
    let connection = ProcessorConnection::connect(&echo.target).await.unwrap();
    let tasks: Vec<_> = (0..500u32)
        .map(|number| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let message = payment(&number.to_le_bytes());
                assert_eq!(connection.request(&message).await.unwrap(), message);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(echo.endpoint.open_connections(), 1);
}

// spec: K-135
#[tokio::test]
async fn a_lost_connection_is_made_again_and_only_payments_travel_early() {
    let echo = echo();
    let connection = ProcessorConnection::connect(&echo.target).await.unwrap();
    connection.request(&payment(b"first")).await.unwrap();
    assert_eq!(echo.early.load(Ordering::SeqCst), 0, "no ticket yet");
    connection.close().await;
    connection.request(&payment(b"second")).await.unwrap();
    assert!(echo.early.load(Ordering::SeqCst) > 0, "the second connection uses early data");
    connection.close().await;
    let before = echo.early.load(Ordering::SeqCst);
    let activation = [&MessageType::Activation.prefix()[..], b"not replayable"].concat();
    connection.request(&activation).await.unwrap();
    assert_eq!(echo.early.load(Ordering::SeqCst), before);
    let lost = connection.request(&payment(b"hang up")).await;
    assert!(matches!(lost, Err(TransportError::Lost(_))), "{lost:?}");
    connection.request(&payment(b"third")).await.unwrap();
}

#[tokio::test]
async fn failures_are_told() {
    let echo = echo();
    let connection = ProcessorConnection::connect(&echo.target).await.unwrap();
    let silence = connection.request_within(&payment(b"silence"), Duration::from_millis(50)).await;
    assert_eq!(silence, Err(TransportError::TimedOut(Duration::from_millis(50))));
    let long = connection.request(&payment(&[0; FRAME_MESSAGE_BYTES_MAX])).await;
    assert!(matches!(long, Err(TransportError::MessageTooLong(_))));
    let no_certificate = ProcessorTarget { server_certificate: vec![1, 2, 3], ..echo.target.clone() };
    assert!(matches!(ProcessorConnection::new(&no_certificate), Err(TransportError::Certificate(_))));
    // Another certificate for the same name is not the pinned one.
    let other = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()]).unwrap();
    let stranger = ProcessorTarget { server_certificate: other.cert.der().to_vec(), ..echo.target.clone() };
    let refused = ProcessorConnection::connect(&stranger).await;
    assert!(matches!(refused, Err(TransportError::Unreachable(_))), "{refused:?}");
    let nowhere = ProcessorTarget { addresses: vec!["no-such-host.invalid:1".into()], ..echo.target };
    assert!(matches!(ProcessorConnection::connect(&nowhere).await, Err(TransportError::Unreachable(_))));
}
