//! Ways out of the gateway: proxies of every kind and an authority of one's own, from a client's request to the provider and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use myelin_testkit::MockServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TestGateway, mock_channel};

const AUTHORITY: &str = include_str!("../../src/upstream/testdata/authority-for-tests.pem");

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let certificate = include_bytes!("../../src/upstream/testdata/server-for-tests.pem");
    let key = include_bytes!("../../src/upstream/testdata/server-key-for-tests.pem");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// What stands before the mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// TLS ends here.
    Tls,
    /// An HTTP proxy.
    Http,
    /// One that speaks TLS itself.
    Https,
    /// A SOCKS5 proxy.
    Socks,
}

/// Opens a door: whatever host is asked for, the mock answers. Counts who came through.
async fn open(door: Door, mock: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                match door {
                    Door::Tls => {
                        let Ok(stream) = acceptor().accept(stream).await else { return };
                        counted.fetch_add(1, Ordering::Relaxed);
                        through(stream, mock, &[]).await;
                    }
                    Door::Http => proxy(stream, mock, &counted).await,
                    Door::Https => {
                        let Ok(stream) = acceptor().accept(stream).await else { return };
                        proxy(stream, mock, &counted).await;
                    }
                    Door::Socks => socks(stream, mock, &counted).await,
                }
            });
        }
    });
    (address, count)
}

async fn through(mut client: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr, first: &[u8]) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let _ = far.write_all(first).await;
    let _ = copy_bidirectional(&mut client, &mut far).await;
}

/// Reads one head. A tunnel is opened for CONNECT; anything else goes on with its address made relative, if the password is right.
async fn proxy(mut client: impl AsyncRead + AsyncWrite + Unpin, mock: SocketAddr, count: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    if !text.to_lowercase().contains("proxy-authorization: basic dxnlcjpwdw==") {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    count.fetch_add(1, Ordering::Relaxed);
    if text.starts_with("CONNECT ") {
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        return through(client, mock, &[]).await;
    }
    let (method, rest) = text.split_once(" http://").unwrap();
    let path = rest.find('/').map_or(rest, |at| &rest[at..]);
    // One request a connection: the next one may be for somebody else.
    let head = format!("{method} {}", path.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    through(client, mock, head.as_bytes()).await;
}

async fn socks(mut client: TcpStream, mock: SocketAddr, count: &AtomicUsize) {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; usize::from(greeting[1])];
    client.read_exact(&mut methods).await.unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut head = [0; 5];
    client.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; if head[3] == 3 { usize::from(head[4]) + 2 } else { 5 }];
    client.read_exact(&mut rest).await.unwrap();
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await.unwrap();
    count.fetch_add(1, Ordering::Relaxed);
    through(client, mock, &[]).await;
}

fn hello(stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": "hello there"}]})
}

async fn answers(gateway: &TestGateway, label: &str) {
    for stream in [false, true] {
        let (status, text) = gateway.ask_text("/v1/chat/completions", &hello(stream)).await;
        assert_eq!(status, 200, "{label}, stream={stream}: {text}");
        assert!(text.contains("hello ") && (!stream || text.contains("[DONE]")), "{label}: {text}");
    }
}

#[tokio::test]
async fn a_channel_goes_out_by_its_own_proxy_and_no_other_channel_does() {
    for (door, scheme) in
        [(Door::Http, "http"), (Door::Https, "https"), (Door::Socks, "socks5"), (Door::Socks, "socks5h")]
    {
        let mock = MockServer::start().await.unwrap();
        let (proxy, count) = open(door, mock.address()).await;
        let mut channel = mock_channel(&mock, "main", "openai", "openai");
        // Nobody but the proxy knows this host.
        channel["base_urls"] = json!(["http://provider.invalid/openai/v1"]);
        let login = if door == Door::Socks { "" } else { "user:pw@" };
        channel["proxy"] = json!(format!("{scheme}://{login}{proxy}"));
        channel["ca"] = json!(AUTHORITY);
        let mut direct = mock_channel(&mock, "direct", "openai", "openai");
        direct["models"] = json!(["other"]);
        let gateway = TestGateway::start(vec![channel.clone(), direct]).await;
        answers(&gateway, scheme).await;
        let came = count.load(Ordering::Relaxed);
        assert!(came >= 1, "{scheme}: nobody came through");
        let ask = json!({"model": "other", "messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(gateway.ask("/v1/chat/completions", &ask).await.0, 200);
        assert_eq!(count.load(Ordering::Relaxed), came, "{scheme}: the other channel goes its own way");
        // A password is shown to nobody.
        let shown =
            serde_json::to_string(&crate::support::owner(&gateway, "GET", "/api/v1/channels", None).await.1).unwrap();
        assert!(!shown.contains("user:pw@"), "{shown}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_says_no_is_a_failure_that_leads_elsewhere() {
    let mock = MockServer::start().await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (proxy, _) = open(Door::Http, mock.address()).await;
    for wrong in [format!("http://{nobody}"), format!("socks5://{nobody}"), format!("http://user:wrong@{proxy}")] {
        let mut channel = mock_channel(&mock, "main", "openai", "openai");
        channel["proxy"] = json!(wrong);
        let mut behind = mock_channel(&mock, "behind", "openai", "openai");
        behind["weight"] = json!(0);
        let gateway = TestGateway::start(vec![channel, behind]).await;
        answers(&gateway, &wrong).await;
        let record = gateway.records(2).await.pop().unwrap();
        assert_eq!(record.channel.as_deref(), Some("behind"), "{wrong}: {record:?}");
    }
}

#[tokio::test]
async fn an_authority_of_one_s_own_is_trusted_by_its_channel_alone() {
    let mock = MockServer::start().await.unwrap();
    let (tls, count) = open(Door::Tls, mock.address()).await;
    let channel = |name: &str, trusts: bool| {
        let mut channel = mock_channel(&mock, name, "openai", "openai");
        channel["base_urls"] = json!([format!("https://localhost:{}/openai/v1", tls.port())]);
        if trusts {
            channel["ca"] = json!(AUTHORITY);
        }
        channel
    };
    let gateway = TestGateway::start(vec![channel("main", true)]).await;
    answers(&gateway, "trusting").await;
    assert!(count.load(Ordering::Relaxed) >= 1);
    let gateway = TestGateway::start(vec![channel("main", false)]).await;
    let (status, answer) = gateway.ask("/v1/chat/completions", &hello(false)).await;
    assert_eq!(status, 502, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().to_lowercase().contains("certificate"), "{answer}");
}
