//! Project tasks: `cargo xtask TASK`. Each task is one module; this file only says which there are.

mod bench;
mod ci;
mod clients;
mod console;
mod dependencies;
mod desktop;
mod dist;
mod generate;
mod icons;
mod installed;
mod packaging;
mod prices;
mod process;
mod run;
mod setup;
mod soak;
mod test;
mod trained;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A task: its name, what follows the name, what it does.
struct Task {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: [Task; 12] = [
    Task {
        name: "run",
        arguments: "[--desktop] [--release] [ARGS…]",
        help: "install what is missing, build with the console, start `myelin serve ARGS` in the foreground (--desktop: the desktop app)",
        run: run::run,
    },
    Task {
        name: "test",
        arguments: "[--quick]",
        help: "build and run every test, browser and real clients too (--quick: without those two)",
        run: test::run,
    },
    Task {
        name: "clients",
        arguments: "[--mock] [--verbose] [FILTER…]",
        help: "run the real clients alone; --mock: straight at the mock providers; FILTER: parts of case names",
        run: clients::run,
    },
    Task {
        name: "bench",
        arguments: "[peers | instructions [--set] [--keep DIR] | records [--count N] | console [--count N] [--dir DIR]] [--dry] [--only SCENARIO,…] [--targets T,…] [--rounds N] [--seconds S]",
        help: "measure the gateway beside nginx and a plain relay, and write docs/performance (--dry: only print); peers: beside other gateways; instructions: what a request costs the processor, against ceilings",
        run: bench::run,
    },
    Task {
        name: "soak",
        arguments: "[--rounds N | --traffic [MINUTES]]",
        help: "kill the gateway under load, 50 times unless told otherwise: nothing that was answered may be lost; --traffic: mixed traffic with faults, memory stays",
        run: soak::run,
    },
    Task {
        name: "gen",
        arguments: "[--check]",
        help: "write the generated files (--check: are they up to date?)",
        run: generate::run,
    },
    Task {
        name: "desktop",
        arguments: "",
        help: "run the desktop app's tests alone: tray, window, package",
        run: |_| desktop::test(),
    },
    Task {
        name: "dist",
        arguments: "[--debug] [KIND…]",
        help: "make the packages that this machine can make, in target/dist (KINDs: server-deb, server-tar, deb, rpm, …)",
        run: dist::run,
    },
    Task {
        name: "icons",
        arguments: "[--check]",
        help: "draw the icons of the desktop app from their SVG files (--check: are they up to date?)",
        run: icons::run,
    },
    Task {
        name: "prices",
        arguments: "VERSION LITELLM.json MODELS_DEV.json",
        help: "make the bundled price list anew",
        run: prices::run,
    },
    Task {
        name: "pictures",
        arguments: "",
        help: "make the pictures of the README and the guide from the real console",
        run: bench::pictures,
    },
    Task { name: "ci", arguments: "", help: "everything that a change must pass", run: ci::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", usage());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return Ok(());
    }
    match TASKS.iter().find(|task| task.name == name) {
        Some(task) => (task.run)(rest),
        None => bail!("no task `{name}`\n\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("cargo xtask TASK\n\n");
    for task in &TASKS {
        let call = format!("{} {}", task.name, task.arguments);
        text.push_str(&format!("  {call:<34} {}\n", task.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_names_every_task() {
        for task in &TASKS {
            assert!(usage().contains(task.name), "{}", task.name);
        }
    }

    #[test]
    fn an_unknown_task_is_an_error_that_lists_the_known_ones() {
        let error = dispatch(&["nope".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no task `nope`") && error.contains("cargo xtask TASK"));
    }
}
