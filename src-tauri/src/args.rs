//! What can be said when the app is started.

use std::path::PathBuf;

use clap::Parser;

/// One local address for every model: tray and window.
#[derive(Debug, Clone, Parser)]
#[command(name = "myelin-desktop", version)]
pub(crate) struct Args {
    /// Start in the tray, without a window (how it starts at login).
    #[arg(long)]
    pub(crate) hidden: bool,
    /// The configuration file (default: the system's usual place; MYELIN_CONFIG).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory (default: the system's usual place; MYELIN_DATA_DIR).
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// An address to listen on, in place of those of the configuration; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// A link (`myelin://…`) to follow, after a question.
    #[arg(value_name = "LINK")]
    pub(crate) link: Option<String>,
}
