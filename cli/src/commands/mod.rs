//! One file a command.

pub(crate) mod admin;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod channel;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod export;
mod health;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod limit;
pub(crate) mod logs;
pub(crate) mod model;
pub(crate) mod owner;
pub(crate) mod price;
pub(crate) mod profile;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod tool;
pub(crate) mod usage;
