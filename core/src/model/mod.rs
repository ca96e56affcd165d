//! The words of the product as types: channels, keys, routes, profiles, records, money, secrets.
//!
//! Layer 0: pure data with serde, no IO, no clock. Everything above speaks in these. Entities are stored as JSON, so every field has a default and an
//! older or newer reader keeps working.

mod amount;
mod channel;
pub mod check;
mod conditions;
mod entities;
mod limit;
mod limit_spec;
mod money;
mod overrides;
mod owner;
mod placed;
mod policy;
mod presets;
mod price;
mod profile;
mod record;
mod route;
mod secret;
mod settings;
mod told;
mod virtual_key;

pub use amount::{Multiplier, amount, decimal};
pub use channel::{
    Channel, ChannelModel, ChannelProbe, ChannelState, Credential, DisableRule, ModelNames, ProbeHow, Timeouts,
};
pub(crate) use conditions::one_or_many;
pub use conditions::{Conditions, Hours, TimeWindow};
pub use entities::{DIRECT, Declared, DeclaredKey, Entities};
pub use limit::{
    Charge, Limit, LimitQueue, Measure, NoTarget, NoWindow, Target, Window, dollars, limit_zone, push_dollars,
};
pub use limit_spec::{Dollars, LimitSpec, read_dollars};
pub use money::{NanoUsd, PicoUsd, push_number};
pub use overrides::{Condition, HeaderChanges, Override, OverrideSide, Patterns};
pub use owner::{NoOwner, Owner, OwnerKind, OwnerRef};
pub use placed::{Note, Omitted, Placed, Why};
pub use policy::{
    CacheMode, CachePolicy, CutStreams, FailureClass, KeyBreaker, Mirror, ModelTuning, Policy, Retry, RetryAction,
};
pub use presets::{Preset, presets};
pub use price::{ImportedPrices, OffPeak, OwnPrice, Price, PriceClass, PriceData, Rate, Service, tier};
pub use profile::{Profile, ProfileRule};
pub use record::{
    AttemptOutcome, AttemptRecord, Budgeted, CacheOutcome, CostSource, MOST_PLANNED, PlannedDeployment, PlannedShown,
    RequestRecord, RequestState,
};
pub use route::{Route, RouteGroup, Strategy};
pub use secret::{Secret, SecretSource};
pub use settings::{BodyPolicy, BreakerSettings, DesktopSettings, Settings, Unpriced};
pub use told::Told;
pub use virtual_key::{KeyGrace, VirtualKey};

use serde::{Deserialize, Serialize};

/// Where an entity is declared. What the file declares is read-only elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the store: made by CLI, console or API.
    #[default]
    Store,
    /// In `myelin.toml`.
    File,
}
