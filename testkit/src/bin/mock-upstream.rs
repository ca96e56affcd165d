//! The mock providers as a program: `mock-upstream [--port PORT]`. Prints its address once it listens, and runs until it is stopped.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use myelin_testkit::{KEY, MockServer, provider::PROVIDERS};

const USAGE: &str = "mock-upstream [--port PORT]\n\nMock model providers on 127.0.0.1 (PORT 0 or none: any free port).";

#[tokio::main]
async fn main() -> Result<()> {
    let mut port = 0_u16;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => {
                port = words.next().context("--port needs a number")?.parse().context("--port needs a number")?
            }
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            other => bail!("unknown argument `{other}`\n{USAGE}"),
        }
    }
    let server = MockServer::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.context("cannot listen")?;
    let mut hello = format!("listening on http://{}\nkey: {KEY}\n", server.address());
    for row in PROVIDERS {
        hello.push_str(&format!("{:<12} {}\n", row.name, server.base_url(row.name)));
    }
    // Whoever started us may not listen any more.
    let _ = std::io::stdout().write_all(hello.as_bytes());
    server.wait().await;
    Ok(())
}
