//! Real clients against the gateway: SDKs and command-line programs, over mock providers that refuse what the real ones refuse.
//!
//! `clients/` holds the programs and their cases; this module installs them, starts what they talk to, runs them and counts.

mod report;
mod servers;
mod targets;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, setup};
use report::Report;
use servers::{Gateway, Mock};

/// One client program: what it needs and which script holds its cases.
struct Client {
    name: &'static str,
    runtime: Runtime,
    script: &'static str,
    /// It runs against the mock alone too, to prove that the cases and the mock are right.
    direct: bool,
    limit: Duration,
}

/// What runs a script.
enum Runtime {
    /// A Python environment: `clients/python/NAME.txt`.
    Python(&'static str),
    /// Node with `clients/node`.
    Node,
}

const CLIENTS: [Client; 8] = [
    Client {
        name: "openai-py",
        runtime: Runtime::Python("sdks"),
        script: "openai_sdk.py",
        direct: true,
        limit: minutes(5),
    },
    Client {
        name: "anthropic-py",
        runtime: Runtime::Python("sdks"),
        script: "anthropic_sdk.py",
        direct: true,
        limit: minutes(5),
    },
    Client {
        name: "google-genai-py",
        runtime: Runtime::Python("sdks"),
        script: "google_sdk.py",
        direct: true,
        limit: minutes(5),
    },
    Client {
        name: "langchain-py",
        runtime: Runtime::Python("frameworks"),
        script: "langchain_sdks.py",
        direct: true,
        limit: minutes(5),
    },
    Client { name: "ai-sdk", runtime: Runtime::Node, script: "ai_sdk.mjs", direct: true, limit: minutes(5) },
    Client {
        name: "aider",
        runtime: Runtime::Python("aider"),
        script: "aider_cli.py",
        direct: true,
        limit: minutes(10),
    },
    Client {
        name: "duckdb",
        runtime: Runtime::Python("data"),
        script: "duckdb_reader.py",
        direct: false,
        limit: minutes(5),
    },
    Client { name: "cli", runtime: Runtime::Node, script: "clis.mjs", direct: false, limit: minutes(12) },
];

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    /// Straight at the mock, command-line programs included.
    mock_only: bool,
    /// Passing cases are shown too, and failing ones with their traces.
    verbose: bool,
    /// Parts of case names; none: all.
    filters: Vec<String>,
}

impl Wish {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut wish = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--mock" => wish.mock_only = true,
                "--verbose" => wish.verbose = true,
                flag if flag.starts_with('-') => {
                    bail!("`cargo xtask clients` takes --mock, --verbose and parts of case names, not `{flag}`")
                }
                part => wish.filters.push(part.to_owned()),
            }
        }
        Ok(wish)
    }

    /// Whether some case of a client may be meant.
    fn wants(&self, client: &Client) -> bool {
        let foreign = |filter: &String| filter.contains('/') && !filter.starts_with(client.name);
        self.filters.is_empty() || !self.filters.iter().all(foreign)
    }
}

/// Runs every client: first straight at the mock, which proves the cases, then through the gateway.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wish = Wish::read(arguments)?;
    let mut build = process::cargo();
    build.args(["build", "--locked", "--bins", "-p", "myelin-testkit"]);
    if !wish.mock_only {
        build.args(["-p", "myelin"]);
    }
    process::run(&mut build)?;
    let mock = Mock::start(&setup::built_binary("mock-upstream", "debug"))?;
    let mut report = Report::new(wish.verbose);
    let installed = install(&wish, &mut report);

    let direct = targets::direct(&mock.url, &wish.filters, wish.verbose);
    for (client, command) in installed.iter().filter(|(client, _)| client.direct || wish.mock_only) {
        run_client(client, command, &direct, "at the mock", &mut report)?;
    }
    if !wish.mock_only {
        let program =
            std::env::var_os("MYELIN_SERVER").map_or_else(|| setup::built_binary("myelin", "debug"), PathBuf::from);
        let gateway = Gateway::start(&program, &mock.url)?;
        let through = targets::through(&gateway.url, &gateway.key, &mock.url, &wish.filters, wish.verbose);
        for (client, command) in &installed {
            run_client(client, command, &through, "through the gateway", &mut report)?;
        }
    }
    report.finish()
}

/// Makes the programs ready. One that cannot be is reported as skipped, which fails in continuous integration.
fn install(wish: &Wish, report: &mut Report) -> Vec<(&'static Client, Vec<PathBuf>)> {
    let mut ready = Vec::new();
    for client in CLIENTS.iter().filter(|client| wish.wants(client)) {
        let command = match client.runtime {
            Runtime::Python(environment) => setup::python_environment(environment)
                .map(|python| vec![python, process::root().join("clients").join("python").join(client.script)]),
            Runtime::Node => {
                setup::node_programs().map(|programs| vec![programs.node, programs.folder.join(client.script)])
            }
        };
        match command {
            Ok(command) => ready.push((client, command)),
            Err(error) => report.skipped(client.name, &format!("{error:#}")),
        }
    }
    ready
}

fn run_client(client: &Client, command: &[PathBuf], config: &str, how: &str, report: &mut Report) -> Result<()> {
    let (program, script) = command.split_first().context("a client without a program")?;
    let mut child = Command::new(program);
    child.args(script).env("CLIENTS_CONFIG", config).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(folder) = script.first().and_then(|script| script.parent()) {
        child.current_dir(folder);
    }
    eprintln!("{} {how}", client.name);
    report.run(client.name, &mut child, client.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_filters_are_told_apart() {
        let read = |words: &[&str]| Wish::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let wish = read(&["--mock", "openai-py/chat"]).unwrap();
        assert!(wish.mock_only && wish.filters == ["openai-py/chat"]);
        assert!(wish.wants(&CLIENTS[0]) && !wish.wants(&CLIENTS[1]));
        assert!(read(&["--nope"]).is_err());
    }

    #[test]
    fn every_client_has_its_script_and_its_packages() {
        for client in &CLIENTS {
            let (folder, packages) = match client.runtime {
                Runtime::Python(name) => ("python", format!("{name}.txt")),
                Runtime::Node => ("node", "package-lock.json".to_owned()),
            };
            let folder = process::root().join("clients").join(folder);
            assert!(folder.join(client.script).is_file() && folder.join(packages).is_file(), "{}", client.name);
        }
    }
}
