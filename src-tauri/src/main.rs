//! `myelin-desktop`: the gateway with a tray and a window.
//!
//! A thin shell: everything that it shows or does goes through the admin API of a gateway, which lives in this process or runs as a service already.
//!
//! - `start` decides which of the two it is, and says in one message why it cannot be either;
//! - `carrier` reaches the gateway, `scheme` lets the window's page reach it;
//! - `facts` is what the tray shows, `menu` what it looks like (pure), `tray` the real thing, `actions` what a click does, `tools` what it does to tools;
//! - `window` is the console's window; `quit` lets open answers finish.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod actions;
mod app;
mod args;
mod autostart;
mod carrier;
mod desk;
mod facts;
mod instance;
mod links;
mod menu;
mod message;
mod notify;
mod quit;
mod scheme;
mod shortcuts;
mod start;
mod surroundings;
mod tools;
mod tray;
mod window;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    log_to_stderr();
    match app::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("MYELIN_LOG").unwrap_or_else(|_| EnvFilter::new("warn,myelin_core=info"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
