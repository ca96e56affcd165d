//! What is known of one channel, one model of it at one errand, one credential of it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Errand;
use super::breaker::{Breaker, Standing};
use super::load::Load;
use super::registry::{Named, Names};

/// One channel.
#[derive(Debug)]
pub struct ChannelLive {
    pub(super) name: Arc<str>,
    /// Opens when nobody answers at the channel's address, and by rules.
    pub breaker: Breaker,
}

/// One model of one channel, at one errand.
#[derive(Debug)]
pub struct DeploymentLive {
    /// Unlike any other's in this process.
    pub id: u32,
    /// The channel.
    pub channel: Arc<str>,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// What it is asked for: everything here is of that alone.
    pub errand: Errand,
    /// Opens when the provider fails or does not have the model.
    pub breaker: Breaker,
    /// How busy and how fast.
    pub load: Load,
    /// Credentials that may not ask for this model now, by their marks.
    pub(super) lanes: RwLock<Vec<(u64, Arc<Breaker>)>>,
    pub(super) any_lane: AtomicBool,
}

/// One credential of one channel. It is known by a mark made of its secret: another secret in the same place is another credential.
#[derive(Debug)]
pub struct CredentialLive {
    pub(super) channel: Arc<str>,
    pub(super) name: Box<str>,
    /// A number made of its secret that tells nothing of it.
    pub mark: u64,
    /// Where it stands in its channel, from 0; as last seen.
    pub position: AtomicU32,
    /// Opens when the provider refuses it or its account has no money.
    pub breaker: Breaker,
}

impl Named for ChannelLive {
    fn names(&self) -> Names<'_> {
        (&self.name, "", Errand::Conversation)
    }
}

impl Named for DeploymentLive {
    fn names(&self) -> Names<'_> {
        (&self.channel, &self.upstream, self.errand)
    }
}

impl Named for CredentialLive {
    fn names(&self) -> Names<'_> {
        (&self.channel, &self.name, Errand::Conversation)
    }
}

impl DeploymentLive {
    /// Whether a credential may ask for this model now.
    pub(crate) fn lane(&self, mark: u64, now_ms: u64) -> Standing {
        if !self.any_lane.load(Ordering::Relaxed) {
            return Standing::Ready;
        }
        self.find_lane(mark).map_or(Standing::Ready, |breaker| breaker.standing(now_ms))
    }

    pub(crate) fn find_lane(&self, mark: u64) -> Option<Arc<Breaker>> {
        if !self.any_lane.load(Ordering::Relaxed) {
            return None;
        }
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().find(|(own, _)| *own == mark).map(|(_, breaker)| breaker.clone())
    }

    pub(super) fn make_lane(&self, mark: u64) -> Arc<Breaker> {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        self.any_lane.store(true, Ordering::Relaxed);
        if let Some((_, breaker)) = lanes.iter().find(|(own, _)| *own == mark) {
            return breaker.clone();
        }
        // Marks of credentials that are long gone make room.
        lanes.retain(|(_, breaker)| lanes_worth_keeping(breaker));
        let breaker = Arc::new(Breaker::default());
        lanes.push((mark, breaker.clone()));
        breaker
    }

    pub(super) fn all_lanes(&self) -> Vec<(u64, Arc<Breaker>)> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn lanes_worth_keeping(breaker: &Breaker) -> bool {
    breaker.save().is_some() || breaker.view(0).is_some()
}
