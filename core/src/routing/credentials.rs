//! Which credentials of a deployment may be used, in which order, and who may try one that failed before.

use super::affinity::Place;
use super::live::{Breaker, CredentialLive, DeploymentLive, Standing};
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
        let Some(channel) = self.channels.get(candidate.channel) else { return false };
        let deployment = self.fleet.deployment(&channel.name, &candidate.upstream);
        let own = deployment.breaker.standing(now_ms).and(self.fleet.channel(&channel.name).breaker.standing(now_ms));
        let credential = self.credential(&channel.name, candidate.credential);
        let all = credential.map_or(own, |credential| own.and(standing(&deployment, credential, now_ms)));
        matches!(all, Standing::Benched(_))
    }
}

/// Whether this request may go to the deployment with that credential: everything on its way that failed before must be tried by no other request meanwhile.
pub(super) fn take_probe(deployment: &Deployment, credential: Option<u32>, now_ms: u64) -> bool {
    let position = credential.and_then(|position| usize::try_from(position).ok());
    let credential = position.and_then(|position| deployment.credentials.get(position));
    let lane = credential.and_then(|credential| deployment.live.find_lane(credential.mark));
    let own = [Some(&deployment.live.breaker), Some(&deployment.channel_live.breaker)];
    let all = own.into_iter().chain([credential.map(|credential| &credential.breaker), lane.as_deref()]).flatten();
    let mut taken: Vec<&Breaker> = Vec::new();
    for breaker in all.filter(|breaker| breaker.standing(now_ms) == Standing::HalfOpen) {
        if !breaker.take_probe(now_ms) {
            taken.into_iter().for_each(Breaker::release);
            return false;
        }
        taken.push(breaker);
    }
    // Where nothing is half open (any more), nothing has to be taken.
    true
}
