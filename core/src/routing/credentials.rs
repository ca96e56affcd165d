//! Which credentials of a deployment may be used, in which order, and who may try one that failed before.

use std::sync::Arc;

use super::affinity::Place;
use super::live::{Breaker, ChannelLive, CredentialLive, DeploymentLive, Errand, Standing};
use super::{Candidate, Deployment, RoutingTable};

/// How a deployment stands, and its usable credentials in order: where the conversation is first, else from a random one on. One that may show whether it
/// works again comes first when its turn comes, and last else. If none is usable all are, the first to recover first.
pub(super) fn usable(
    deployment: &Deployment,
    place: Option<&Place>,
    now_ms: u64,
    draw: &mut dyn FnMut(u64) -> u64,
) -> (Standing, Vec<u32>) {
    let own = deployment.live.breaker.standing(now_ms).and(deployment.channel_live.breaker.standing(now_ms));
    if let [only] = &*deployment.credentials {
        return (own.and(standing(&deployment.live, only, now_ms)), vec![0]);
    }
    let home = place.filter(|place| place.deployment == deployment.live.id).map(|place| place.credential);
    let mut all: Vec<(Standing, u32, bool)> = (0_u32..)
        .zip(&*deployment.credentials)
        .map(|(position, own)| (standing(&deployment.live, own, now_ms), position, home == Some(own.mark)))
        .collect();
    let best = all.iter().map(|(standing, ..)| *standing).min_by_key(rank);
    let Some(best) = best else { return (own, vec![0]) };
    if !matches!(best, Standing::Benched(_)) {
        all.retain(|(standing, ..)| !matches!(standing, Standing::Benched(_)));
    }
    // Turns are drawn among those that are left, so that nobody gets the turns of who is not.
    let start = usize::try_from(draw((all.len() as u64).max(1))).unwrap_or_default();
    let count = all.len();
    all.rotate_left(start.min(count));
    if let Some(at) = all.iter().position(|(.., at_home)| *at_home) {
        let there = all.remove(at);
        all.insert(0, there);
    }
    // It is the first one's turn, even if it failed before.
    if let Some((_, others)) = all.split_first_mut() {
        others.sort_by_key(|(standing, ..)| rank(standing));
    }
    if matches!(best, Standing::Benched(_)) {
        all.sort_by_key(|(standing, ..)| rank(standing));
    }
    (own.and(best), all.into_iter().map(|(_, position, _)| position).collect())
}

/// Who is asked before whom.
fn rank(standing: &Standing) -> (u8, u64) {
    match standing {
        Standing::Ready => (0, 0),
        Standing::HalfOpen => (1, 0),
        Standing::Benched(until) => (2, *until),
    }
}

fn standing(deployment: &DeploymentLive, credential: &CredentialLive, now_ms: u64) -> Standing {
    credential.breaker.standing(now_ms).and(deployment.lane(credential.mark, now_ms))
}

impl RoutingTable {
    /// Whether something on a candidate's way failed so lately that it should be left alone now.
    pub(crate) fn is_benched(&self, candidate: &Candidate, now_ms: u64) -> bool {
        matches!(self.way_of(candidate, now_ms), Standing::Benched(_))
    }

    /// The same candidate for another errand, as it stands there.
    pub(crate) fn turned(&self, candidate: &Candidate, errand: Errand, now_ms: u64) -> Candidate {
        let mut turned = Candidate { errand, ..candidate.clone() };
        turned.standing = self.way_of(&turned, now_ms);
        turned
    }

    fn way_of(&self, candidate: &Candidate, now_ms: u64) -> Standing {
        let Some(channel) = self.channels.get(candidate.channel) else { return Standing::Ready };
        let deployment = self.fleet.deployment(&channel.name, &candidate.upstream, candidate.errand);
        let own = deployment.breaker.standing(now_ms).and(self.fleet.channel(&channel.name).breaker.standing(now_ms));
        let credential = self.credential(&channel.name, candidate.credential);
        credential.map_or(own, |credential| own.and(standing(&deployment, credential, now_ms)))
    }
}

/// How a credential of a deployment stands, with everything on its way.
pub(super) fn way(deployment: &Deployment, credential: u32, now_ms: u64) -> Standing {
    let own = deployment.live.breaker.standing(now_ms).and(deployment.channel_live.breaker.standing(now_ms));
    let position = usize::try_from(credential).unwrap_or(usize::MAX);
    let credential = deployment.credentials.get(position);
    credential.map_or(own, |credential| own.and(standing(&deployment.live, credential, now_ms)))
}

/// The right to be the only request that tries what failed before. It is given back when this is dropped; where an attempt begins it is [handed
/// over](Probe::hand_over), and the end of the attempt gives it back.
#[derive(Debug, Default)]
pub(crate) struct Probe(Vec<(Held, u64)>);

/// Whose probe is held.
#[derive(Debug)]
enum Held {
    Channel(Arc<ChannelLive>),
    Deployment(Arc<DeploymentLive>),
    Credential(Arc<CredentialLive>),
    Lane(Arc<Breaker>),
}

impl Held {
    fn breaker(&self) -> &Breaker {
        match self {
            Self::Channel(channel) => &channel.breaker,
            Self::Deployment(deployment) => &deployment.breaker,
            Self::Credential(credential) => &credential.breaker,
            Self::Lane(lane) => lane,
        }
    }
}

impl Probe {
    /// The attempt begins: from here on it holds the probe.
    pub(crate) fn hand_over(mut self) {
        self.0.clear();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for (held, until) in self.0.drain(..) {
            held.breaker().give_back(until);
        }
    }
}

impl RoutingTable {
    /// Lets a request try a candidate. Everything on its way that failed before must be tried by no other request meanwhile: `None` if one does.
    pub(crate) fn take_probe(&self, candidate: &Candidate, now_ms: u64) -> Option<Probe> {
        let mut probe = Probe::default();
        if candidate.standing != Standing::HalfOpen {
            return Some(probe);
        }
        let Some(channel) = self.channels.get(candidate.channel) else { return Some(probe) };
        let deployment = self.fleet.deployment(&channel.name, &candidate.upstream, candidate.errand);
        let credential = self.credential(&channel.name, candidate.credential).cloned();
        let lane = credential.as_ref().and_then(|credential| deployment.find_lane(credential.mark));
        let way = [
            Some(Held::Deployment(deployment)),
            Some(Held::Channel(self.fleet.channel(&channel.name))),
            credential.map(Held::Credential),
            lane.map(Held::Lane),
        ];
        for held in way.into_iter().flatten() {
            match held.breaker().standing(now_ms) {
                Standing::Ready => {}
                Standing::HalfOpen => {
                    let until = held.breaker().take_probe(now_ms)?;
                    probe.0.push((held, until));
                }
                // Another request tries it, or it has failed again.
                Standing::Benched(_) => return None,
            }
        }
        // Where nothing is half open any more, nothing has to be taken.
        Some(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::channel;
    use super::super::resolve::{NoTariffs, TableChannel};
    use super::super::{Ended, Failure, Fleet, How};
    use super::*;
    use crate::model::{BreakerSettings, Strategy};

    #[test]
    fn a_probe_is_given_back_unless_an_attempt_took_it_over() {
        let fleet = Arc::new(Fleet::default());
        let channels = vec![TableChannel { credentials: vec![1, 2], ..channel("a", &[], &[("m", "m")]) }];
        let table = RoutingTable::new(channels, [], fleet.clone(), Arc::new(NoTariffs), Strategy::Weighted);
        let first = table.credential("a", 0).unwrap();
        let fail = |failure| {
            let how = How::Failed { failure, wait: None, words: "", rule: None };
            let errand = Errand::Conversation;
            let ended =
                Ended { channel: "a", upstream: "m", errand, credential: Some(first), how, now_ms: 0, jitter: 0 };
            fleet.ended(&ended, &BreakerSettings::default());
        };
        for _ in 0..3 {
            fail(Failure::Failed);
        }
        fail(Failure::BadKey);
        let of = |credential| Candidate {
            channel: 0,
            upstream: "m".into(),
            credential,
            errand: Errand::Conversation,
            group: 0,
            standing: Standing::HalfOpen,
        };
        let benched = |credential, now| table.is_benched(&of(credential), now);
        let held = table.take_probe(&of(0), 60_000).unwrap();
        assert!(benched(0, 60_000) && benched(1, 60_000), "the deployment is tried, whatever the key");
        assert!(table.take_probe(&of(1), 60_000).is_none());
        drop(held);
        assert!(!benched(0, 60_000) && !benched(1, 60_000));
        table.take_probe(&of(0), 60_000).unwrap().hand_over();
        assert!(benched(0, 60_000) && table.take_probe(&of(1), 60_000).is_none(), "the attempt has it");
        let ready = Candidate { standing: Standing::Ready, ..of(1) };
        assert!(table.take_probe(&ready, 60_000).is_some(), "what was well when it was planned is asked");
    }
}
