//! The `myelin` binary: the headless gateway and its commands.

mod args;
mod carrier;
mod commands;
mod notify;
mod output;
mod whose;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// A third fewer instructions for memory than the C library's, and large bodies are given back and taken without a fault a page.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Args { place, command } = Args::parse();
    let done = match command {
        Command::Serve(serve) => commands::serve::run(&place, serve),
        Command::Run(run) => commands::run::run(&place, run),
        Command::Tool(tool) => commands::tool::run(&place, tool),
        Command::Import(import) => commands::import::run(&place, import),
        Command::Status => commands::status::run(&place),
        Command::Profile(profile) => commands::profile::run(&place, profile),
        Command::Channel(channel) => commands::channel::run(&place, channel),
        Command::Model(args::Model::List) => commands::model::run(&place),
        Command::Key(key) => commands::key::run(&place, key),
        Command::Limit(limit) => commands::limit::run(&place, limit),
        Command::Owner(owner) => commands::owner::run(&place, owner),
        Command::Route(route) => commands::route::run(&place, route),
        Command::Cache(cache) => commands::cache::run(&place, cache),
        Command::Price(price) => commands::price::run(&place, price),
        Command::Explain(explain) => commands::explain::run(&place, &explain),
        Command::Logs(logs) => commands::logs::run(&place, &logs),
        Command::Events(events) => commands::events::run(&place, &events),
        Command::Usage(usage) => commands::usage::run(&place, &usage),
        Command::Export(export) => commands::export::run(&place, &export),
        Command::Backup(backup) => commands::backup::run(&place, &backup),
        Command::Restore(restore) => commands::backup::restore(&place, &restore),
        Command::History(history) => commands::history::run(&place, &history),
        Command::Config(config) => commands::config::run(&place, config),
        Command::Service(service) => commands::service::run(&place, &service),
        Command::Admin(admin) => commands::admin::run(&place, admin),
        Command::Bench(bench) => commands::bench::run(&place, &bench),
        Command::Doctor => commands::doctor::run(&place),
        Command::Completions(completions) => commands::completions::run(&completions),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
