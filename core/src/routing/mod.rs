//! From a model's name to the deployments that may serve it, in order. Pure: reads a [`RoutingTable`] and what traffic taught; knows no network, no clock, no
//! store. Time, chance, prices and what the request holds come in from outside.
//!
//! 1. `profile`: the active profile's rules turn the asked name into target names;
//! 2. `resolve`: a target name becomes groups of deployments (`route`, `name`);
//! 3. [`plan()`]: groups become one ordered list of candidates for the attempts loop (`strategy` within a group, `affinity` above it);
//! 4. `live`: what came of the attempts: breakers, load, latency.

mod affinity;
mod condition;
mod credentials;
mod live;
mod name;
mod pattern;
mod plan;
mod profile;
mod query;
mod resolve;
mod route;
#[cfg(test)]
mod simulation;
mod strategy;

pub use affinity::{Affinity, Place};
pub(crate) use credentials::Probe;
pub use live::{
    Breaker, BreakerView, ChannelLive, CredentialLive, DeploymentLive, Ended, Errand, FOR_GOOD, Failure, Fleet,
    HeldKey, How, KeyLive, LoadView, Rule, Saved, SavedRow, Spent, Standing, Trouble,
};
pub use name::offered;
pub use pattern::Glob;
pub use plan::{Candidate, Desire, LeftOut, Plan, Step, plan};
pub use profile::{CompiledProfile, Mapped, ProfileError, RuleTried};
pub use query::{Described, Query};
pub use resolve::{Deployment, ECHO, Group, NoTariffs, Resolution, RoutingTable, TableChannel, Tariffs, Terms};
pub use route::CompiledRoute;
