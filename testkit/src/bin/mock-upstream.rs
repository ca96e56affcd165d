//! The mock providers as a program: `mock-upstream [--port PORT]`. Prints its address once it listens, and runs until it is stopped.

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
    println!("listening on http://{}", server.address());
    println!("key: {KEY}");
    for row in PROVIDERS {
        println!("{:<12} {}", row.name, server.base_url(row.name));
    }
    server.wait().await;
    Ok(())
}
