//! The changes that can be made to what is configured, and what comes back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::check::Problem;
use crate::model::{
    BodyPolicy, Channel, ChannelState, Entities, Limit, Owner, OwnerRef, Policy, Price, Profile, Route, Secret,
    VirtualKey,
};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new channel.
    CreateChannel(Box<Channel>),
    /// The channel of that name becomes this; `state` and `listed` are kept.
    UpdateChannel(Box<Channel>),
    /// The channel goes.
    RemoveChannel {
        /// Its name.
        name: String,
    },
    /// The channel takes part in routing, or not.
    EnableChannel {
        /// Its name.
        name: String,
        /// Whether it takes part.
        enabled: bool,
    },
    /// What a test or traffic said. Also for channels of the file.
    ChannelTested {
        /// The channel.
        name: String,
        /// What was found.
        state: ChannelState,
    },
    /// The models that the provider lists. Also for channels of the file.
    ChannelListed {
        /// The channel.
        name: String,
        /// The models.
        models: Vec<String>,
    },
    /// A new virtual key; its secret comes back once in [`Applied::issued`].
    CreateKey(Box<NewKey>),
    /// The key of that id becomes this; secret, id and time of creation are kept.
    UpdateKey(Box<VirtualKey>),
    /// A new secret for the key; the old one works for a while longer.
    RotateKey {
        /// Id or name of the key.
        key: String,
        /// How long the old secret still works, in seconds.
        grace_seconds: u64,
    },
    /// Blocks or unblocks the key.
    BlockKey {
        /// Id or name of the key.
        key: String,
        /// Whether it is refused.
        blocked: bool,
    },
    /// The key goes.
    RemoveKey {
        /// Id or name of the key.
        key: String,
    },
    /// A new route.
    CreateRoute(Route),
    /// The route of that model becomes this.
    UpdateRoute(Route),
    /// The route goes.
    RemoveRoute {
        /// Its model.
        model: String,
    },
    /// A new profile.
    CreateProfile(Profile),
    /// The profile of that name becomes this.
    UpdateProfile(Profile),
    /// The profile goes; it may not be in use.
    RemoveProfile {
        /// Its name.
        name: String,
    },
    /// A new owner.
    CreateOwner(Owner),
    /// The owner of that kind and name becomes this.
    UpdateOwner(Owner),
    /// The owner goes, with its limits; nothing may belong to it.
    RemoveOwner {
        /// Which one.
        owner: OwnerRef,
    },
    /// A new limit.
    CreateLimit(Box<Limit>),
    /// The limit of that name becomes this. What it counted stays, if it still counts the same.
    UpdateLimit(Box<Limit>),
    /// The limit goes, with what it counted.
    RemoveLimit {
        /// Its name.
        name: String,
    },
    /// What the limit counted is to be forgotten: noted in the change log; the counters are the limiter's. Also for limits of the file.
    ResetLimit {
        /// Its name.
        name: String,
        /// What it had counted, for people.
        counted: String,
    },
    /// Records were priced anew: noted in the change log.
    Reprice {
        /// What came of it, for people.
        words: String,
    },
    /// Switches the active profile. The switch is stored and wins over the file.
    UseProfile {
        /// Of this key (id or name); `None`: of the gateway.
        key: Option<String>,
        /// The profile; `None` (for keys only) follows the gateway's.
        profile: Option<String>,
    },
    /// Sets settings by the names of the file; `null` goes back to the default.
    SetSettings(Map<String, Value>),
    /// Sets the price of a model, by the upstream's name.
    SetPrice {
        /// At this channel only; `None`: wherever it is.
        channel: Option<String>,
        /// The model.
        model: String,
        /// The price; `None` takes it back.
        price: Option<Price>,
    },
    /// Puts a price list in place of the one that was imported before.
    ImportPrices {
        /// What it was.
        source: String,
        /// How many models it prices.
        priced: u64,
        /// The table's text; empty: back to the bundled list.
        text: Arc<str>,
    },
    /// A new admin token; it comes back once in [`Applied::issued`].
    CreateAdminToken {
        /// For people.
        name: String,
    },
    /// The admin token goes.
    RemoveAdminToken {
        /// Id or name of the token.
        token: String,
    },
}

/// What a new virtual key is to be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewKey {
    /// For people; unique.
    pub name: String,
    /// The secret; `None`: one is made.
    pub secret: Option<Secret>,
    /// Milliseconds since 1970; refused from then on.
    pub expires: Option<u64>,
    /// Models (exact or glob) that may be asked for; empty allows all.
    pub models: Vec<String>,
    /// Channels (name or `tag:t`) that may serve; empty allows all.
    pub channels: Vec<String>,
    /// Client formats; empty allows all.
    pub formats: Vec<String>,
    /// The key's own active profile.
    pub profile: Option<String>,
    /// The tool that the key belongs to.
    pub tool: Option<String>,
    /// The user, team, project or organisation that the key belongs to.
    pub owner: Option<OwnerRef>,
    /// The last byte of an answer waits for the record to be on disk.
    pub strict: bool,
    /// Which bodies are kept for it; `None`: as for the gateway.
    pub bodies: Option<BodyPolicy>,
    /// How to choose within groups, in place of what profile and routes say.
    pub strategy: Option<crate::model::Strategy>,
    /// Retries, hedges, races, mirrors and the answer cache for this key.
    pub policy: Policy,
}

/// A change was made.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What is configured now.
    pub entities: Arc<Entities>,
    /// What was taken but is surely not as meant.
    pub warnings: Vec<Problem>,
    /// Secrets that were made: they are shown now or never.
    pub issued: Vec<Issued>,
}

/// A secret that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Id of the key or token.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The secret.
    pub secret: Secret,
}

/// An admin token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminToken {
    /// `tok_…`.
    pub id: String,
    /// For people; unique.
    pub name: String,
    /// SHA-256 of the token, 64 hex digits.
    pub hash: String,
    /// First six and last four characters.
    pub hint: String,
    /// Milliseconds since 1970.
    pub created: u64,
}

/// One line of the change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangeEntry {
    /// Position in the log; rises.
    #[serde(default)]
    pub id: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Who made it: `file`, `cli`, `admin:NAME` …
    pub who: String,
    /// What was done: `create channel`, `use profile` …
    pub what: String,
    /// To which one.
    pub name: String,
    /// More, for people; never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// It can be taken back, unless something that came later touches the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undoable: bool,
    /// Why it cannot be taken back; absent: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_because: Option<String>,
}
