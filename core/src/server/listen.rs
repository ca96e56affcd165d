//! Accepting connections: addresses, TCP_NODELAY, limits against slow and oversized heads, graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::holder;
use super::opening::{Opening, Reopened};
use super::unread::Telling;

/// A head that takes longer than this to arrive is given up: a guard against slow-loris clients.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which nothing was asked after this long is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(35);
/// Largest head in bytes; real clients send a few KiB. Most lines: the 100 that hyper reads without taking memory for each request.
const HEAD_BYTES: usize = 64 * 1024;
/// How long open streams may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// How a request came in; every request of a listener has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// The listener can only be reached from this machine. (A peer that is this machine says less: it may be a proxy for the world.)
    pub(super) loopback: bool,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(.address, .source))]
pub struct ListenError {
    /// The address as configured.
    pub address: String,
    /// Why.
    pub source: io::Error,
}

fn explain(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            let holder = port.and_then(holder::of).map_or_else(
                || ", perhaps by another Myelin (`myelin status`)".to_owned(),
                |holder| format!(" by {holder}"),
            );
            format!("the port is taken{holder}; set `listen` in myelin.toml or pass --listen to use another")
        }
        io::ErrorKind::PermissionDenied => format!("{error}; ports below 1024 need privileges"),
        _ => error.to_string(),
    }
}

/// Binds every address. Loopback is written twice (IPv4 and IPv6); a machine without IPv6 does without the second.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for address in addresses {
        match TcpListener::bind(address.as_str()).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if no_ipv6(address, &error) && !listeners.is_empty() => {
                tracing::debug!(%address, %error, "no IPv6 here");
            }
            Err(source) => return Err(ListenError { address: address.clone(), source }),
        }
    }
    Ok(listeners)
}

fn no_ipv6(address: &str, error: &io::Error) -> bool {
    address.starts_with("[::1]") && matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}

/// Serves what `answer` gives on `listener` until `stop` becomes true; then lets open answers finish for a while.
pub async fn serve<A, F, B>(listener: TcpListener, answer: A, mut stop: watch::Receiver<bool>)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let way = Way { loopback: listener.local_addr().is_ok_and(|own| own.ip().to_canonical().is_loopback()) };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, way, answer.clone(), stop.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, or a client that was gone before it was accepted: neither ends the server.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("streams were still open after {} s and are cut", DRAIN.as_secs());
    }
}

async fn connection<A, F, B>(
    mut stream: TcpStream,
    peer: SocketAddr,
    way: Way,
    answer: A,
    mut stop: watch::Receiver<bool>,
) where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    hurry(&stream);
    let begun = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&begun);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(way);
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = async {
        let opening = tokio::select! {
            biased;
            opening = Opening::read(&mut stream) => opening?,
            // Nothing is open on it.
            () = stopped(&mut stop) => return Ok(()),
        };
        if opening.is_empty() {
            return Ok(());
        }
        let http2 = opening.is_http2();
        let stream = Reopened::new(opening, TokioIo::new(stream));
        match http2 {
            true => until_stopped(self::http2().serve_connection(stream, service), &mut stop).await,
            false => until_stopped(http1().serve_connection(Telling::new(stream), service), &mut stop).await,
        }
        .map_err(io::Error::other)
    };
    let result = tokio::select! {
        biased;
        result = served => result,
        () = silent(&begun) => {
            tracing::debug!(%peer, "connection closed: nothing was asked");
            return;
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
    http1
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2.timer(TokioTimer::new()).max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    http2
}

/// Serves the connection to its end; after the order to stop, to the end of what is open on it.
async fn until_stopped<C: GracefulConnection>(connection: C, stop: &mut watch::Receiver<bool>) -> Result<(), C::Error> {
    tokio::pin!(connection);
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = stopped(stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Without this a streamed chunk waits for the acknowledgement of the one before: up to 40 ms.
fn hurry(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
}

/// Ready when nothing was asked in time: hyper's own limit on heads begins with the first letter.
async fn silent(begun: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST).await;
    if begun.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Waits for the order to stop. (The guard that `wait_for` gives must not live across an await.)
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(serve(
            listener,
            |_| async { Response::new(http_body_util::Empty::<bytes::Bytes>::new()) },
            stopping,
        ));
        // The second begins like HTTP/2 and like POST.
        for start in ["", "P"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(start.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(300), client.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "{start:?}: still open after minutes");
        }
    }

    #[tokio::test]
    async fn a_client_that_left_after_its_first_letter_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(serve(
            listener,
            |_| async { Response::new(http_body_util::Empty::<bytes::Bytes>::new()) },
            stopping,
        ));
        for start in ["", "P", "PR"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(start.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "{start:?}: still open after seconds");
        }
        // Nor does one that says nothing hold up the end.
        let _idle = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"P").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn case_28_small_pieces_to_clients_wait_for_no_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async {
            listener.accept().await.unwrap()
        });
        hurry(&accepted.0);
        assert!(accepted.0.nodelay().unwrap());
    }
}
