//! The client against real sockets on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::timeouts::{Deadline, Limits, Waiting};
use super::*;
use crate::model::Timeouts;
use crate::providers::Fetch as _;

/// Listens on loopback and hands every connection to `serve`; counts them.
pub(super) async fn listen<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (address, count)
}

/// Reads one request: head and, by its content-length or chunks, body.
pub(super) async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(at) = all.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
        }
    };
    let head = String::from_utf8(all[..end].to_vec()).unwrap().to_ascii_lowercase();
    let mut body = all[end..].to_vec();
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).and_then(|n| n.parse().ok());
    let done = |body: &[u8]| match length {
        Some(length) => body.len() >= length,
        None => !head.contains("chunked") || body.ends_with(b"0\r\n\r\n"),
    };
    while !done(&body) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => body.extend_from_slice(&buffer[..n]),
        }
    }
    Some((head, body))
}

/// Answers every request of a connection with what it got.
async fn mirror(mut stream: TcpStream) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let text = format!("{head}{}", String::from_utf8_lossy(&body));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn client() -> Client {
    Client::new(&Dial::default()).unwrap()
}

fn post(address: SocketAddr, body: Body) -> Request<Body> {
    Request::post(format!("http://{address}/v1/chat/completions?a=b")).header("x-one", "1").body(body).unwrap()
}

async fn text(reply: Reply) -> String {
    String::from_utf8(reply.into_body().collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn pieces_go_out_in_order_with_an_exact_length_over_one_connection() {
    let (address, connections) = listen(mirror).await;
    let client = client();
    for _ in 0..3 {
        let body = Body::pieces(["{\"model\":\"", "gpt-5", "\"}"].map(Bytes::from));
        let got = text(client.send(post(address, body)).await.unwrap()).await;
        assert!(got.starts_with("post /v1/chat/completions?a=b http/1.1\r\n"), "{got}");
        assert!(got.contains("content-length: 17\r\n") && got.contains("x-one: 1\r\n"), "{got}");
        assert!(!got.contains("transfer-encoding"), "{got}");
        assert!(got.ends_with("{\"model\":\"gpt-5\"}"), "{got}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection is used again");
}

#[tokio::test]
async fn a_callers_body_streams_through_behind_what_was_read() {
    let (address, _) = listen(mirror).await;
    let client = client();
    let rest = || Body::pieces([Bytes::from("cd"), Bytes::from("ef")]);
    let known = Body::streaming([Bytes::from("ab")], rest(), Some(4));
    let got = text(client.send(post(address, known)).await.unwrap()).await;
    assert!(got.contains("content-length: 6\r\n") && got.ends_with("abcdef"), "{got}");
    let unknown = Body::streaming([Bytes::from("ab")], rest(), None);
    let got = text(client.send(post(address, unknown)).await.unwrap()).await;
    assert!(
        got.contains("transfer-encoding: chunked") && got.ends_with("2\r\nab\r\n2\r\ncd\r\n2\r\nef\r\n0\r\n\r\n"),
        "{got}"
    );
}

#[tokio::test]
async fn failures_say_what_happened_and_whether_to_go_elsewhere() {
    use crate::error::{Kind, Retry};
    let client = client();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = client.send(post(gone, Body::empty())).await.unwrap_err();
    assert!(matches!(&refused, UpstreamError::Connect { host, .. } if *host == gone.to_string()), "{refused}");
    let failure = refused.into_gateway("main");
    assert_eq!((failure.kind, failure.retry), (Kind::UpstreamFailed, Retry::Elsewhere));
    assert!(failure.public.message.contains("`main`"));

    let (hangs_up, _) = listen(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let broken = client.send(post(hangs_up, Body::from(Bytes::from("x")))).await.unwrap_err();
    assert!(matches!(broken, UpstreamError::Broken { .. }), "{broken}");

    let (cuts, _) = listen(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    })
    .await;
    let reply = client.send(post(cuts, Body::empty())).await.unwrap();
    assert!(matches!(reply.into_body().collect(100).await, Err(UpstreamError::Cut(_))));

    let (address, _) = listen(mirror).await;
    let reply = client.send(post(address, Body::from(vec![b'x'; 5000]))).await.unwrap();
    assert!(matches!(reply.into_body().collect(4000).await, Err(UpstreamError::TooLarge(4000))));
}

#[tokio::test]
async fn link_local_addresses_are_refused_when_connecting() {
    let request = || Request::get("http://169.254.169.254/latest/meta-data").body(Body::empty()).unwrap();
    let error = client().send(request()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    let proxied = Dial { proxy: Some("http://127.0.0.1:1".to_owned()), ..Dial::default() };
    let error = Client::new(&proxied).unwrap().send(request()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "a proxy would go there for us: {error}");
}

#[tokio::test]
async fn leaving_early_closes_the_connection_within_a_moment() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let told = Arc::new(told);
    let (address, _) = listen(move |mut stream: TcpStream| {
        let told = Arc::clone(&told);
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
            let mut buffer = [0; 8];
            let left = stream.read(&mut buffer).await;
            if let Some(told) = told.lock().unwrap().take() {
                told.send(left.unwrap_or(0)).unwrap();
            }
        }
    })
    .await;
    let mut reply = client().send(post(address, Body::empty())).await.unwrap();
    let first = reply.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "hi");
    drop(reply);
    let left = tokio::time::timeout(Duration::from_secs(1), heard).await.expect("within a second").unwrap();
    assert_eq!(left, 0, "the provider sees the end");
}

#[tokio::test]
async fn plain_requests_go_to_an_http_proxy_whole_and_with_its_password() {
    let (proxy, _) = listen(mirror).await;
    let dial = Dial { proxy: Some(format!("http://us%40er:p%3Aw@{proxy}")), ..Dial::default() };
    let client = Client::new(&dial).unwrap();
    let request = Request::post("http://model.example:8000/v1/x").body(Body::from(Bytes::from("hey"))).unwrap();
    let got = text(client.send(request).await.unwrap()).await;
    assert!(got.starts_with("post http://model.example:8000/v1/x http/1.1\r\n"), "{got}");
    assert!(got.contains("proxy-authorization: basic dxnazxi6cdp3\r\n"), "{got}");
    assert!(!format!("{dial:?}").contains("p%3Aw"), "a password can be printed");
}

#[tokio::test]
async fn tls_goes_through_a_tunnel_of_an_http_proxy() {
    let (asked, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let (proxy, _) = listen(move |mut stream: TcpStream| {
        let asked = asked.clone();
        async move {
            let (head, _) = read_request(&mut stream).await.unwrap();
            asked.send(head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut hello = [0; 3];
            stream.read_exact(&mut hello).await.unwrap();
            asked.send(format!("{hello:?}")).unwrap();
        }
    })
    .await;
    let dial = Dial { proxy: Some(format!("http://user:pw@{proxy}")), ..Dial::default() };
    let request = Request::get("https://api.example.com/v1/models").body(Body::empty()).unwrap();
    let error = Client::new(&dial).unwrap().send(request).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Connect { .. }), "the far side speaks no TLS: {error}");
    let head = heard.recv().await.unwrap();
    assert!(head.starts_with("connect api.example.com:443 http/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic dxnlcjpwdw=="), "{head}");
    assert_eq!(heard.recv().await.unwrap(), "[22, 3, 1]", "a TLS hello follows");
}

#[tokio::test]
async fn a_socks_proxy_resolves_names_itself() {
    let (proxy, _) = listen(|mut stream: TcpStream| async move {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting[0], 5);
        stream.write_all(&[5, 0]).await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[..4], [5, 1, 0, 3], "a name, not an address");
        let mut name = vec![0; usize::from(head[4]) + 2];
        stream.read_exact(&mut name).await.unwrap();
        assert_eq!(&name[..name.len() - 2], b"model.example");
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await.unwrap();
        mirror(stream).await;
    })
    .await;
    for scheme in ["socks5", "socks5h"] {
        let dial = Dial { proxy: Some(format!("{scheme}://{proxy}")), ..Dial::default() };
        let request = Request::get("http://model.example/v1/models").body(Body::empty()).unwrap();
        let got = text(Client::new(&dial).unwrap().send(request).await.unwrap()).await;
        assert!(got.starts_with("get /v1/models http/1.1\r\n"), "{got}");
    }
    for wrong in ["ftp://127.0.0.1:1", "127.0.0.1:8080", "http://"] {
        let dial = Dial { proxy: Some(wrong.to_owned()), ..Dial::default() };
        assert!(Client::new(&dial).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn connecting_has_a_limit() {
    // Nobody accepts: the system answers TCP for the listener, and TLS waits for a hello that never comes.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = Dial { connect_ms: Some(50), ..Dial::default() };
    let request = Request::get(format!("https://{}/", silent.local_addr().unwrap())).body(Body::empty()).unwrap();
    let error = Client::new(&dial).unwrap().send(request).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout { what: Waiting::Connect, ms: 50 }), "{error}");
}

#[tokio::test]
async fn channels_that_connect_alike_share_a_client() {
    let clients = Clients::default();
    let plain = clients.get(&Dial::default()).unwrap();
    assert!(Arc::ptr_eq(&plain, &clients.get(&Dial::default()).unwrap()));
    let other = Dial { connect_ms: Some(1), ..Dial::default() };
    assert!(!Arc::ptr_eq(&plain, &clients.get(&other).unwrap()));
    let weak = Arc::downgrade(&plain);
    drop(plain);
    assert!(weak.upgrade().is_none(), "nobody uses it, nobody keeps it");
}

#[tokio::test]
async fn a_whole_answer_can_be_fetched() {
    let (address, _) = listen(mirror).await;
    let request = Request::post(format!("http://{address}/token")).body(Bytes::from("grant_type=x")).unwrap();
    let answer = client().fetch(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.body().ends_with(b"grant_type=x"));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let request = Request::get(format!("http://{gone}/secret?key=1")).body(Bytes::new()).unwrap();
    let error = client().fetch(request).await.unwrap_err();
    assert!(!error.timed_out && !error.message.contains("secret"), "{error}");
}

/// A body whose frames come after the given pauses.
fn slow(pauses_ms: &'static [u64]) -> Paced {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for pause in pauses_ms {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            if sender.send(Bytes::from("x")).await.is_err() {
                return;
            }
        }
    });
    Paced(receiver)
}

struct Paced(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, UpstreamError>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

fn limits(timeouts: Timeouts) -> Limits {
    Limits::of(&timeouts, &Timeouts::default())
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_keeps_coming_and_is_there_in_time() {
    let read = |timeouts: Timeouts, pauses: &'static [u64]| async move {
        let limits = limits(timeouts);
        match super::body::gather(slow(pauses), 100, &limits, Deadline::start(&limits)).await {
            Ok(bytes) => Ok(bytes.len()),
            Err(UpstreamError::Timeout { what, ms }) => Err((what, ms)),
            Err(other) => panic!("{other}"),
        }
    };
    let idle = Timeouts { idle_ms: Some(100), first_token_ms: Some(200), ..Timeouts::default() };
    assert_eq!(read(idle, &[90, 90, 90]).await, Ok(3));
    assert_eq!(read(idle, &[190, 90]).await, Ok(2), "the first bytes may take as long as a first token");
    assert_eq!(read(idle, &[210]).await, Err((Waiting::Idle, 200)));
    assert_eq!(read(idle, &[90, 110]).await, Err((Waiting::Idle, 100)));
    let total = Timeouts { total_ms: Some(250), ..Timeouts::default() };
    assert_eq!(read(total, &[100, 100, 100]).await, Err((Waiting::Total, 250)));
    let none = Timeouts { idle_ms: Some(0), first_token_ms: Some(0), total_ms: Some(0), ..Timeouts::default() };
    assert_eq!(read(none, &[3_600_000, 1]).await, Ok(2), "zero is no limit");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_an_attempt_cuts_every_wait() {
    let limits = limits(Timeouts { total_ms: Some(100), ..Timeouts::default() });
    let deadline = Deadline::start(&limits);
    let quick = deadline.within(Waiting::FirstByte, Duration::from_millis(60), async { 1 }).await;
    assert_eq!(quick.unwrap(), 1);
    let first = deadline.within(Waiting::FirstByte, Duration::from_millis(60), std::future::pending::<()>()).await;
    assert!(matches!(first, Err(UpstreamError::Timeout { what: Waiting::FirstByte, ms: 60 })));
    let total = deadline.within(Waiting::FirstByte, Duration::from_millis(60), std::future::pending::<()>()).await;
    assert!(matches!(total, Err(UpstreamError::Timeout { what: Waiting::Total, ms: 100 })));
    let gateway = Timeouts { idle_ms: Some(7), connect_ms: Some(3), ..Timeouts::default() };
    let both = Limits::of(&Timeouts { idle_ms: Some(9), ..Timeouts::default() }, &gateway);
    assert_eq!((both.idle.as_millis(), both.connect.as_millis()), (9, 3), "the channel's word is the last");
}

const AUTHORITY: &str = include_str!("testdata/authority-for-tests.pem");

/// What a connection with TLS on it sees, behind a server whose certificate only [`AUTHORITY`] vouches for.
fn tls_acceptor() -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_slice(include_bytes!("testdata/server-for-tests.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("testdata/server-key-for-tests.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// Reads one head from a TLS connection and answers with it.
async fn mirror_tls(stream: TcpStream) {
    let Ok(mut stream) = tls_acceptor().accept(stream).await else { return };
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    let length = head.len();
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
    stream.write_all(&head).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_channel_s_own_authority_is_trusted_by_it_alone() {
    let (server, _) = listen(mirror_tls).await;
    let ask = || Request::get(format!("https://{server}/v1/models")).body(Body::empty()).unwrap();
    let trusting = Dial { ca: Some(AUTHORITY.into()), ..Dial::default() };
    let got = text(Client::new(&trusting).unwrap().send(ask()).await.unwrap()).await;
    assert!(got.starts_with("GET /v1/models HTTP/1.1\r\n"), "{got}");
    let error = Client::new(&Dial::default()).unwrap().send(ask()).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let nonsense =
        Dial { ca: Some("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".into()), ..Dial::default() };
    let error = Client::new(&nonsense).unwrap().send(ask()).await.unwrap_err();
    assert!(error.to_string().contains("the channel's ca"), "{error}");
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let (proxy, _) = listen(mirror_tls).await;
    let dial = Dial { proxy: Some(format!("https://user:pw@{proxy}")), ca: Some(AUTHORITY.into()), ..Dial::default() };
    let request = Request::get("http://model.example/v1/models").body(Body::empty()).unwrap();
    let got = text(Client::new(&dial).unwrap().send(request).await.unwrap()).await;
    assert!(got.starts_with("GET http://model.example/v1/models HTTP/1.1\r\n"), "{got}");
    assert!(got.to_lowercase().contains("proxy-authorization: basic dxnlcjpwdw=="), "{got}");
}

#[tokio::test]
async fn a_socks_proxy_may_ask_for_a_login_and_carry_tls() {
    let (proxy, _) = listen(|mut stream: TcpStream| async move {
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).await.unwrap();
        let mut methods = vec![0; usize::from(greeting[1])];
        stream.read_exact(&mut methods).await.unwrap();
        assert!(methods.contains(&2), "a login is offered");
        stream.write_all(&[5, 2]).await.unwrap();
        let mut login = [0; 2];
        stream.read_exact(&mut login).await.unwrap();
        let mut user = vec![0; usize::from(login[1]) + 1];
        stream.read_exact(&mut user).await.unwrap();
        let mut password = vec![0; usize::from(user[user.len() - 1])];
        stream.read_exact(&mut password).await.unwrap();
        assert_eq!((&user[..user.len() - 1], password.as_slice()), (&b"us@er"[..], &b"pw"[..]));
        stream.write_all(&[1, 0]).await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut rest = vec![0; if head[3] == 3 { usize::from(head[4]) + 2 } else { 5 }];
        stream.read_exact(&mut rest).await.unwrap();
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await.unwrap();
        mirror_tls(stream).await;
    })
    .await;
    let dial =
        Dial { proxy: Some(format!("socks5://us%40er:pw@{proxy}")), ca: Some(AUTHORITY.into()), ..Dial::default() };
    let request = Request::get("https://localhost/v1/models").body(Body::empty()).unwrap();
    let got = text(Client::new(&dial).unwrap().send(request).await.unwrap()).await;
    assert!(got.starts_with("GET /v1/models HTTP/1.1\r\n"), "{got}");
}
