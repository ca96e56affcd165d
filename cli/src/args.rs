//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::commands::{
    admin, backup, bench, cache, channel, completions, config, events, explain, export, history, import, key, limit,
    logs, owner, price, profile, route, run, serve, service, tool, usage,
};

/// One local address for every model.
#[derive(Debug, Parser)]
#[command(name = "myelin", version, propagate_version = true)]
pub(crate) struct Args {
    /// Where things are.
    #[command(flatten)]
    pub(crate) place: Place,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where things are.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Place {
    /// The configuration file (default: the system's usual place; MYELIN_CONFIG).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory (default: the system's usual place; MYELIN_DATA_DIR).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON, as the admin API answers it.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway in the foreground.
    Serve(serve::Serve),
    /// Start a tool pointed here, with variables alone.
    Run(run::Run),
    /// Programs on this machine: which there are, pointing them here, and back.
    #[command(subcommand)]
    Tool(tool::Tool),
    /// Take over keys and local servers of this machine, or another gateway's configuration.
    Import(import::Import),
    /// How the running gateway is.
    Status,
    /// Profiles: which one is active, and what they map.
    #[command(subcommand)]
    Profile(profile::Profile),
    /// Channels: accounts at providers.
    #[command(subcommand)]
    Channel(channel::Channel),
    /// Models that can be asked for.
    #[command(subcommand)]
    Model(Model),
    /// Virtual keys: what clients call the gateway with.
    #[command(subcommand)]
    Key(key::Key),
    /// Limits and budgets: how much of what, on whom, in which time.
    #[command(subcommand)]
    Limit(limit::Limit),
    /// Owners: the tools, users, teams, projects and organisations that keys belong to.
    #[command(subcommand)]
    Owner(owner::Owner),
    /// Routes: from a model's name to ordered groups of deployments.
    #[command(subcommand)]
    Route(route::Route),
    /// Answers that are kept and given again.
    #[command(subcommand)]
    Cache(cache::Cache),
    /// What models cost, and what requests did.
    #[command(subcommand)]
    Price(price::Price),
    /// What would happen to a request, before it is sent: which rule fires, who is asked in which order, and why.
    Explain(explain::Explain),
    /// What was asked, newest last.
    Logs(logs::Logs),
    Events(events::Events),
    Usage(usage::Usage),
    /// Request records as a file for other programs: CSV, JSON lines or Parquet.
    Export(export::Export),
    /// Everything, settings and secrets included, as one encrypted file.
    Backup(backup::Backup),
    /// Put a backup in place of everything, into a running gateway or while none runs.
    Restore(backup::Restore),
    /// What was changed, when and by whom; taking changes back.
    History(history::History),
    /// The configuration file.
    #[command(subcommand)]
    Config(config::Config),
    /// The gateway started and kept by the system: at every login, or with the machine.
    #[command(subcommand)]
    Service(service::Service),
    /// Admin tokens, for the console and the admin API.
    #[command(subcommand)]
    Admin(admin::Admin),
    /// How fast the gateway is on this machine, in front of a provider that costs nothing. Touches neither your configuration nor your data.
    Bench(bench::Bench),
    /// Looks for what is wrong or weak.
    Doctor,
    /// Completions for a shell.
    Completions(completions::Completions),
}

/// Models that can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// All of them.
    List,
}
