//! The gateway as a library: one core for the headless server and the desktop app.
//!
//! Layers, each importing only lower ones (a test reads the `use` lines):
//! ```text
//! 0 model error clock events overrides
//! 1 export limits pricing providers routing
//! 2 cache config store tools upstream
//! 3 snapshot
//! 4 pipeline
//! 5 server gateway launch
//! ```
#![forbid(unsafe_code)]

pub mod cache;
pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod export;
pub mod gateway;
pub mod launch;
pub mod limits;
pub mod model;
pub mod overrides;
pub mod pipeline;
pub mod pricing;
pub mod providers;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod tools;
pub mod upstream;
