//! From a model's name to the deployments that may serve it, in order. Pure: reads a [`RoutingTable`], knows no network, no clock, no store.
//!
//! 1. `profile`: the active profile's rules turn the asked name into target names;
//! 2. `resolve`: a target name becomes groups of deployments;
//! 3. [`plan()`]: groups become one ordered list of candidates for the attempts loop.

mod pattern;
mod plan;
mod profile;
mod resolve;

pub use pattern::Glob;
pub use plan::{Candidate, plan};
pub use profile::{CompiledProfile, Mapped, ProfileError};
pub use resolve::{Deployment, ECHO, Group, Resolution, RoutingTable, TableChannel};
