//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// One local address for every model.
#[derive(Debug, Parser)]
#[command(name = "myelin", version, propagate_version = true)]
pub struct Args {
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where things are.
#[derive(Debug, ClapArgs)]
pub struct Place {
    /// The configuration file (default: the system's usual place; MYELIN_CONFIG).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory (default: the system's usual place; MYELIN_DATA_DIR).
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground.
    Serve(Serve),
}

/// Run the gateway in the foreground.
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// An address to listen on, in place of those of the configuration; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
}
