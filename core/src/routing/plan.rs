//! From groups to one ordered list of candidates.

use std::sync::Arc;

use super::{Group, RoutingTable};
use crate::model::Strategy;

/// One try that the attempts loop may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Which credential of the channel.
    pub credential: u32,
}

/// Orders `groups`: group after group, within a group by its strategy; a deployment's other credentials come right after its first.
///
/// `allowed` filters channels (virtual keys may be limited). `draw` gives a number in `0..n` and decides everything that is left to chance, so a plan can
/// be repeated.
pub fn plan(
    table: &RoutingTable,
    groups: &[Group],
    allowed: impl Fn(usize) -> bool,
    mut draw: impl FnMut(u64) -> u64,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for group in groups {
        let mut left: Vec<_> = group.deployments.iter().filter(|deployment| allowed(deployment.channel)).collect();
        while !left.is_empty() {
            let position = match group.strategy {
                Strategy::Ordered => 0,
                Strategy::Weighted => weighted(left.iter().map(|deployment| deployment.weight), &mut draw),
            };
            let deployment = left.remove(position.min(left.len() - 1));
            let credentials = table.channels.get(deployment.channel).map_or(1, |channel| channel.credentials.max(1));
            let first = if credentials > 1 { draw(u64::from(credentials)) } else { 0 };
            for step in 0..u64::from(credentials) {
                let credential = u32::try_from((first + step) % u64::from(credentials)).unwrap_or(0);
                let candidate =
                    Candidate { channel: deployment.channel, upstream: deployment.upstream.clone(), credential };
                if !candidates.contains(&candidate) {
                    candidates.push(candidate);
                }
            }
        }
    }
    candidates
}

/// A position, drawn by weight. Weight 0 is drawn only when nothing else is left.
fn weighted(weights: impl Iterator<Item = u32> + Clone, draw: &mut impl FnMut(u64) -> u64) -> usize {
    let total: u64 = weights.clone().map(u64::from).sum();
    if total == 0 {
        return 0;
    }
    let mut point = draw(total);
    for (position, weight) in weights.enumerate() {
        if point < u64::from(weight) {
            return position;
        }
        point -= u64::from(weight);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::{Deployment, TableChannel};
    use super::*;

    fn table(credentials: &[u32]) -> RoutingTable {
        let channels = credentials.iter().map(|count| TableChannel { credentials: *count, ..Default::default() });
        RoutingTable::new(channels.collect(), [])
    }

    fn group(strategy: Strategy, weights: &[u32]) -> Group {
        let deployments = weights.iter().enumerate().map(|(channel, weight)| Deployment {
            channel,
            upstream: "m".into(),
            weight: *weight,
        });
        Group { strategy, deployments: deployments.collect() }
    }

    #[test]
    fn shares_follow_the_weights() {
        let table = table(&[1, 1, 1]);
        let groups = [group(Strategy::Weighted, &[7, 2, 1])];
        let mut random = fastrand::Rng::with_seed(7);
        let mut first = [0u32; 3];
        for _ in 0..10_000 {
            let plan = plan(&table, &groups, |_| true, |n| random.u64(0..n));
            assert_eq!(plan.len(), 3);
            first[plan[0].channel] += 1;
        }
        assert!((6_800..7_200).contains(&first[0]) && (1_850..2_150).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn credentials_rotate_and_all_get_their_turn() {
        let plan = plan(&table(&[3, 1]), &[group(Strategy::Ordered, &[1, 1])], |_| true, |n| n - 1);
        let order: Vec<_> = plan.iter().map(|c| (c.channel, c.credential)).collect();
        assert_eq!(order, [(0, 2), (0, 0), (0, 1), (1, 0)]);
    }

    #[test]
    fn later_groups_stand_behind_and_filters_hold() {
        let groups = [group(Strategy::Weighted, &[0, 5]), group(Strategy::Ordered, &[1, 1, 1])];
        let order = |allowed: fn(usize) -> bool| {
            plan(&table(&[1, 1, 1]), &groups, allowed, |_| 0).iter().map(|c| c.channel).collect::<Vec<_>>()
        };
        assert_eq!(order(|_| true), [1, 0, 2]);
        assert_eq!(order(|channel| channel != 1), [0, 2]);
    }
}
