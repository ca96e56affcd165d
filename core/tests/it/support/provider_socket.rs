//! A provider on a bare socket: a test sees what arrives while it arrives, and answers when it likes.

use std::time::Duration;

use myelin_testkit::KEY;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);

/// Where it listens.
#[derive(Debug)]
pub struct ProviderSocket(TcpListener);

/// One connection of the gateway's.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    /// What has arrived.
    pub seen: Vec<u8>,
}

impl ProviderSocket {
    pub async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    /// A channel of `provider` at this address.
    pub fn channel(&self, name: &str, provider: &str) -> Value {
        let address = self.0.local_addr().expect("an address");
        json!({"name": name, "provider": provider, "base_urls": [format!("http://{address}")], "credentials": [KEY], "models": ["mock"]})
    }

    /// The next connection, however long it takes.
    pub async fn next(&self) -> Option<Caller> {
        let accepted = self.0.accept().await.ok()?;
        Some(Caller { stream: accepted.0, seen: Vec::new() })
    }

    pub async fn caller(&self) -> Caller {
        let accepted = tokio::time::timeout(PATIENCE, self.0.accept()).await.expect("a call in time");
        Caller { stream: accepted.expect("a connection").0, seen: Vec::new() }
    }
}

impl Caller {
    /// Waits until so many bytes have arrived. `false`: the connection ended first.
    pub async fn reads(&mut self, enough: usize) -> bool {
        self.reads_until(|seen| seen.len() >= enough).await
    }

    /// Waits until what has arrived is enough. `false`: the connection ended first.
    pub async fn reads_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> bool {
        let read = async {
            while !enough(&self.seen) {
                let mut piece = vec![0; 64 << 10];
                match self.stream.read(&mut piece).await {
                    Ok(count) if count > 0 => self.seen.extend_from_slice(&piece[..count]),
                    _ => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, read).await.expect("bytes in time")
    }

    /// Waits for the connection's end.
    pub async fn ends(&mut self) {
        assert!(!self.reads(usize::MAX).await);
    }

    /// The head, in lower case.
    pub fn head(&self) -> String {
        let end = self.seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(self.seen.len());
        String::from_utf8_lossy(&self.seen[..end]).to_lowercase()
    }

    /// What has arrived of the body.
    pub fn body(&self) -> &[u8] {
        let begin = self.seen.windows(4).position(|four| four == b"\r\n\r\n").map_or(self.seen.len(), |at| at + 4);
        &self.seen[begin..]
    }

    pub async fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the gateway listens");
    }

    /// Answers with a status and JSON, and wants no other request on this connection.
    pub async fn answers(&mut self, status: u16, body: &Value) {
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.says(&(head + &body)).await;
    }
}
