//! What is known of channels, deployments and credentials from traffic: health, load, and where conversations are. Outlives snapshots.
//!
//! Time comes in from outside; reading takes no lock but short shared ones on shards. Must not know the network, the store or the pipeline.

mod breaker;
mod errand;
mod failure;
mod fleet;
mod load;
mod parts;
mod registry;
mod rotor;
mod watch;
mod window;

pub use breaker::{Breaker, BreakerView, FOR_GOOD, Standing};
pub use errand::Errand;
pub use failure::Failure;
pub(crate) use failure::Scope;
pub use fleet::{Ended, Fleet, How, Rule, Saved, SavedRow, Trouble};
pub use load::LoadView;
pub use parts::{ChannelLive, CredentialLive, DeploymentLive};
pub(crate) use rotor::Rotor;
pub use watch::{HeldKey, KeyLive, Spent};
