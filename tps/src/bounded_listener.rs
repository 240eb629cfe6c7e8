//! A TCP listener with a bound on its connections and on how long one may do nothing, so that no program can use up the server's
//! file descriptors, or keep others out by holding connections open.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long a connection may do nothing: longer than any answer takes.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// A listener whose connections each hold one of a few places.
pub(crate) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_time_max: Duration,
}

/// A connection and its place.
pub(crate) struct Placed {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_time_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl BoundedListener {
    /// At most `connections_max` at a time; further ones wait.
    pub(crate) fn new(listener: TcpListener, connections_max: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), idle_time_max: IDLE_TIME_MAX }
    }
}

impl Listener for BoundedListener {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the places are never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let (idle_time_max, idle) = (self.idle_time_max, Box::pin(tokio::time::sleep(self.idle_time_max)));
        (Placed { stream, idle, idle_time_max, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Placed {
    /// Passes on what the stream said; where it can do nothing, ends the wait for it in time.
    fn in_time<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.idle_time_max);
            return polled;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.in_time(context, polled)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    }

    #[tokio::test]
    async fn connections_that_do_nothing_keep_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounded =
            BoundedListener { idle_time_max: Duration::from_millis(300), ..BoundedListener::new(listener, 2) };
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(async move { axum::serve(bounded, router).await });
        let silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        // Nobody else is let in as long as both are there.
        let asked = tokio::spawn(ask(address));
        let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "they were closed");
        }
        server.abort();
    }

    #[tokio::test]
    async fn a_connection_in_use_stays_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let idle_time_max = Duration::from_secs(3);
        let bounded = BoundedListener { idle_time_max, ..BoundedListener::new(listener, 1) };
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(async move { axum::serve(bounded, router).await });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < idle_time_max + Duration::from_secs(1) {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0, "after {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        server.abort();
    }
}
