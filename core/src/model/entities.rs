//! Everything that is configured, in one value: what the file declares and what the store holds, merged.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Channel, Limit, Owner, OwnerRef, PriceData, Profile, Route, Secret, Settings, VirtualKey};

/// The built-in profile: maps nothing.
pub const DIRECT: &str = "direct";

/// Everything that is configured. Immutable: a change makes a new one with a higher version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entities {
    /// Rises with every change while the process lives.
    pub version: u64,
    /// Settings in force: flags over environment over file over what was set through the API over defaults.
    pub settings: Settings,
    /// Settings (names as in the file, `timeouts.idle_ms`) that flags, environment or file fix: read-only elsewhere.
    pub fixed_settings: BTreeSet<String>,
    /// Channels: those of the file in its order, then the others by name.
    pub channels: Vec<Channel>,
    /// Virtual keys: those of the file in its order, then the others by name.
    pub keys: Vec<VirtualKey>,
    /// Routes: those of the file in its order, then the others by model.
    pub routes: Vec<Route>,
    /// Profiles: those of the file in its order, then the others by name. `direct` is not among them.
    pub profiles: Vec<Profile>,
    /// Owners: those of the file in its order, then the others by kind and name.
    pub owners: Vec<Owner>,
    /// Limits: those of the file in its order, then the others by name.
    pub limits: Vec<Limit>,
    /// The gateway's active profile.
    pub active_profile: String,
    /// What the owner says about prices.
    pub prices: Arc<PriceData>,
}

impl Entities {
    /// The channel of that name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// The key of that id, or else of that name.
    pub fn key(&self, id_or_name: &str) -> Option<&VirtualKey> {
        self.keys
            .iter()
            .find(|key| key.id == id_or_name)
            .or_else(|| self.keys.iter().find(|key| key.name == id_or_name))
    }

    /// The route of that model.
    pub fn route(&self, model: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.model == model)
    }

    /// The profile of that name; `None` for `direct` too.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// The owner of that identity.
    pub fn owner(&self, owner: &OwnerRef) -> Option<&Owner> {
        self.owners.iter().find(|own| own.kind == owner.kind && own.name == owner.name)
    }

    /// The limit of that name.
    pub fn limit(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.name == name)
    }

    /// An owner and those above it, from below to above. A circle is gone round once.
    pub fn owner_chain(&self, owner: Option<&OwnerRef>) -> Vec<OwnerRef> {
        let mut chain: Vec<OwnerRef> = Vec::new();
        let mut next = owner.cloned();
        while let Some(owner) = next.filter(|owner| !chain.contains(owner)) {
            next = self.owner(&owner).and_then(|node| node.parent.clone());
            chain.push(owner);
        }
        chain
    }

    /// Whether a profile of that name can be made active.
    pub fn has_profile(&self, name: &str) -> bool {
        name == DIRECT || self.profile(name).is_some()
    }
}

/// What file, environment and flags declare: the part that is read-only elsewhere.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// The settings, defaults filled in.
    pub settings: Settings,
    /// Which of them were really written (dotted for `timeouts`).
    pub fixed_settings: BTreeSet<String>,
    /// Channels, with [`super::Origin::File`].
    pub channels: Vec<Channel>,
    /// Keys.
    pub keys: Vec<DeclaredKey>,
    /// Routes, with [`super::Origin::File`].
    pub routes: Vec<Route>,
    /// Profiles, with [`super::Origin::File`].
    pub profiles: Vec<Profile>,
    /// Owners, with [`super::Origin::File`].
    pub owners: Vec<Owner>,
    /// Limits, with [`super::Origin::File`].
    pub limits: Vec<Limit>,
}

/// A key of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredKey {
    /// Everything but the secret; `id`, `hash`, `hint` and `created` are filled in by the store.
    pub key: VirtualKey,
    /// The secret, already read from where the file says; `None`: the store makes one and shows it once.
    pub secret: Option<Secret>,
}
