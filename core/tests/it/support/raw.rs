//! HTTP by hand, for what no client library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::TestGateway;

/// An answer that was read by hand.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn open(gateway: &TestGateway) -> Self {
        Self { stream: TcpStream::connect(gateway.address).await.expect("a connection"), read: Vec::new() }
    }

    /// Sends bytes; `false`: the other side does not take them any more.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// The next answer; `None`: the connection ended without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(Duration::from_secs(10), self.next()).await.expect("an answer in time")
    }

    async fn next(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        self.read.drain(..end);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.read.len() < length {
            self.more().await?;
        }
        let body: Vec<u8> = self.read.drain(..length).collect();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0_u8; 4096];
        let count = self.stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        self.read.extend_from_slice(&piece[..count]);
        Some(())
    }
}
