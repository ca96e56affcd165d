//! Smooth weighted rotation: shares are exact over one round, and no one is asked several times in a row while others wait.

use std::sync::{Mutex, PoisonError};

/// More entries than any group has: names that clients make up would otherwise pile up.
const MOST: usize = 1_024;

/// Where a rotation stands.
#[derive(Debug, Default)]
pub(crate) struct Rotor(Mutex<Vec<(u32, i64)>>);

impl Rotor {
    /// Positions of `entries` (identity and weight), those first whose turn it is. `turn`: the rotation moves on; else it is only looked at.
    pub(crate) fn order(&self, entries: &[(u32, u64)], turn: bool) -> Vec<usize> {
        let total = entries.iter().map(|(_, weight)| signed(*weight)).sum::<i64>();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.len() > MOST {
            state.clear();
        }
        let mut due: Vec<(usize, i64)> = Vec::with_capacity(entries.len());
        for (position, (id, weight)) in entries.iter().enumerate() {
            let held = state.iter().find(|(own, _)| own == id).map_or(0, |(_, held)| *held);
            // One that was away for long does not come back with a debt or a claim larger than a round.
            due.push((position, (held + signed(*weight)).clamp(-2 * total.max(1), 2 * total.max(1))));
        }
        let weight = |position: usize| entries.get(position).map_or(0, |(_, weight)| *weight);
        let mut order = due.clone();
        // Weight 0 comes only when nothing else is left.
        order.sort_by_key(|(position, due)| (weight(*position) == 0, std::cmp::Reverse(*due)));
        if turn && let Some((first, _)) = order.first() {
            for (position, due) in due {
                let Some((id, _)) = entries.get(position) else { continue };
                let next = if position == *first { due - total } else { due };
                match state.iter_mut().find(|(own, _)| own == id) {
                    Some((_, held)) => *held = next,
                    None => state.push((*id, next)),
                }
            }
        }
        order.into_iter().map(|(position, _)| position).collect()
    }
}

fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX).min(1 << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_smooth() {
        let rotor = Rotor::default();
        let entries = [(1, 5), (2, 1), (3, 1)];
        let turns: Vec<usize> = (0..14).map(|_| rotor.order(&entries, true)[0]).collect();
        assert_eq!(turns[..7], [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns[7..], turns[..7]);
        assert_eq!(rotor.order(&entries, false), rotor.order(&entries, false), "looking moves nothing");
    }

    #[test]
    fn weight_nothing_comes_last() {
        let rotor = Rotor::default();
        for _ in 0..5 {
            assert_eq!(rotor.order(&[(1, 0), (2, 3)], true), [1, 0]);
        }
        assert_eq!(rotor.order(&[(1, 0)], true), [0]);
    }

    #[test]
    fn one_that_comes_back_gets_its_share_and_no_more() {
        let rotor = Rotor::default();
        for _ in 0..1_000 {
            rotor.order(&[(1, 1), (2, 1)], true);
        }
        for _ in 0..1_000 {
            rotor.order(&[(1, 1)], true);
        }
        let back: usize = (0..100).map(|_| rotor.order(&[(1, 1), (2, 1)], true)[0]).sum();
        assert!((49..=51).contains(&back), "{back}");
    }
}
