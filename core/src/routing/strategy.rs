//! Within a group: who is first, who comes after, and why. One function a strategy, one table of them.

use super::Query;
use super::live::Rotor;
use super::resolve::{Deployment, RoutingTable, Terms};
use crate::model::{Strategy, Why};

/// What an answer is taken to need when the caller sets no limit, in tokens.
const USUAL_OUTPUT: u64 = 1_000;
/// A tag for those who serve requests without tags.
const DEFAULT_TAG: &str = "default";
/// Milliseconds that an unknown deployment is taken to need once a request to it is under way.
const UNKNOWN_MS: f64 = 2_000.0;

/// Where a choice is made.
pub(super) struct Scene<'a> {
    pub(super) table: &'a RoutingTable,
    pub(super) query: &'a mut dyn Query,
    /// Gives a number in `0..n`.
    pub(super) draw: &'a mut dyn FnMut(u64) -> u64,
    pub(super) rotor: &'a Rotor,
    pub(super) now_ms: u64,
    pub(super) turn: Turn,
}

/// What becomes of the turn in a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first of this group is really asked: it takes its turn.
    Taken,
    /// Somebody wants to know whose turn it is.
    Looked,
    /// Others are asked before; nobody's turn comes.
    Standby,
}

/// Those of a group that may serve.
pub(super) type Ready<'g> = Vec<&'g Deployment>;
type Order = Vec<(usize, Why)>;
type Choose = fn(&mut Scene<'_>, &[&Deployment]) -> Order;

/// Every strategy with its way of choosing.
const CHOOSE: [(Strategy, Choose); 14] = [
    (Strategy::Weighted, weighted),
    (Strategy::Ordered, written),
    (Strategy::RoundRobin, round_robin),
    (Strategy::Random, random),
    (Strategy::WeightedShuffle, shuffle_by_weight),
    (Strategy::WeightedShuffleRpm, shuffle_by_rpm),
    (Strategy::WeightedShuffleTpm, shuffle_by_tpm),
    (Strategy::LeastBusy, least_busy),
    (Strategy::LowestLatency, lowest_latency),
    (Strategy::LowestTpmRpm, least_used),
    (Strategy::LowestCost, cheapest),
    (Strategy::TagBased, tagged),
    (Strategy::ContextFit, context_fit),
    (Strategy::Adaptive, adaptive),
];

/// Positions in `ready`, best first, each with its reason.
pub(super) fn order(strategy: Strategy, scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    if ready.len() == 1 && !matches!(strategy, Strategy::ContextFit | Strategy::TagBased) {
        return vec![(0, Why::Only)];
    }
    let choose = CHOOSE.iter().find(|(own, _)| *own == strategy).map_or(weighted as Choose, |(_, choose)| *choose);
    choose(scene, ready)
}

fn weighted(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    rotation(scene, ready, |deployment| u64::from(deployment.weight))
}

fn round_robin(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    rotation(scene, ready, |_| 1)
}

/// In turn. Groups that stand by are drawn: their rotation would not move, and one of them would get everything that spills over.
fn rotation(scene: &mut Scene<'_>, ready: &[&Deployment], weight: impl Fn(&Deployment) -> u64) -> Order {
    let entries: Vec<(u32, u64)> = ready.iter().map(|own| (own.live.id, weight(own))).collect();
    if scene.turn == Turn::Standby {
        return drawn(scene, entries.into_iter().map(|(_, weight)| weight).collect());
    }
    let of = entries.iter().map(|(_, weight)| weight).sum();
    let why = |position: usize| Why::Turn { weight: entries.get(position).map_or(0, |(_, weight)| *weight), of };
    scene
        .rotor
        .order(&entries, scene.turn == Turn::Taken)
        .into_iter()
        .map(|position| (position, why(position)))
        .collect()
}

fn written(_: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    (0..ready.len()).map(|position| (position, Why::Written)).collect()
}

fn random(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    drawn(scene, vec![1; ready.len()])
}

fn shuffle_by_weight(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    drawn(scene, ready.iter().map(|own| u64::from(own.weight)).collect())
}

fn shuffle_by_rpm(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    shuffle_by(scene, ready, |terms| terms.rpm)
}

fn shuffle_by_tpm(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    shuffle_by(scene, ready, |terms| terms.tpm)
}

/// By a limit; one without it gets the mean of the others, and where nobody has one the weights count.
fn shuffle_by(scene: &mut Scene<'_>, ready: &[&Deployment], limit: fn(&Terms) -> Option<u64>) -> Order {
    let limits: Vec<Option<u64>> = ready.iter().map(|own| limit(&scene.table.terms(own))).collect();
    let known: Vec<u64> = limits.iter().copied().flatten().collect();
    let Some(mean) = known.iter().sum::<u64>().checked_div(known.len() as u64) else {
        return shuffle_by_weight(scene, ready);
    };
    drawn(scene, limits.into_iter().map(|limit| limit.unwrap_or(mean)).collect())
}

/// Drawn without putting back, each in proportion to its weight. Weight 0 is drawn only when nothing else is left.
fn drawn(scene: &mut Scene<'_>, weights: Vec<u64>) -> Order {
    let of: u64 = weights.iter().sum();
    let mut left: Vec<(usize, u64)> = weights.into_iter().enumerate().collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total: u64 = left.iter().map(|(_, weight)| weight).sum();
        let mut point = if total == 0 { 0 } else { (scene.draw)(total) };
        let at = left.iter().position(|(_, weight)| {
            let hit = total == 0 || point < *weight;
            point = point.saturating_sub(*weight);
            hit
        });
        let (position, weight) = left.remove(at.unwrap_or(0));
        order.push((position, Why::Drawn { weight, of }));
    }
    order
}

/// Best first by a score, equals in random order.
fn by_score(scene: &mut Scene<'_>, scored: impl Iterator<Item = (f64, Why)>) -> Order {
    let mut all: Vec<(f64, u64, usize, Why)> =
        scored.enumerate().map(|(position, (score, why))| (score, (scene.draw)(1 << 32), position, why)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, _, position, why)| (position, why)).collect()
}

fn share(deployment: &Deployment) -> f64 {
    f64::from(deployment.weight.max(1))
}

fn least_busy(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let scored = ready.iter().map(|own| {
        let busy = own.live.load.in_flight();
        (f64::from(busy) / share(own), Why::Busy { count: busy })
    });
    by_score(scene, scored)
}

/// Peak EWMA × (requests under way + 1): how long one more would wait there. One that was never measured is tried, once at a time.
fn wait(scene: &Scene<'_>, own: &Deployment) -> (f64, Why) {
    let busy = own.live.load.in_flight();
    let latency = own.live.load.latency(scene.now_ms, scene.query.stream());
    let score = match latency {
        Some(ms) => ms * f64::from(busy + 1),
        None if busy == 0 => 0.0,
        None => UNKNOWN_MS * f64::from(busy + 1),
    };
    (score, Why::Latency { ms: latency.map(|ms| ms.max(0.0) as u64), count: busy })
}

/// Power of two choices: of two drawn by chance the better one is first; so nobody is overrun for looking best a moment ago.
fn lowest_latency(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let scores: Vec<(f64, Why)> = ready.iter().map(|own| wait(scene, own)).collect();
    let count = ready.len() as u64;
    let one = (scene.draw)(count);
    let other = (one + 1 + (scene.draw)(count - 1)) % count;
    let pair = [one, other].map(|position| usize::try_from(position).unwrap_or_default());
    let score = |position: usize| scores.get(position).map_or(f64::MAX, |(score, _)| *score);
    let [a, b] = pair;
    let first = if score(b) < score(a) { b } else { a };
    let order = by_score(scene, scores.iter().copied());
    ahead(order, Some(first))
}

/// Those over their limits come last; then those who have used the smallest share of them. Where there are none, tokens by weight count.
fn least_used(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let tokens = scene.query.tokens();
    let terms: Vec<Terms> = ready.iter().map(|own| scene.table.terms(own)).collect();
    let limited = terms.iter().any(|terms| terms.rpm.is_some() || terms.tpm.is_some());
    let scored: Vec<(f64, Why)> = ready
        .iter()
        .zip(&terms)
        .map(|(own, terms)| {
            let (requests, used) = own.live.load.minute(scene.now_ms);
            let of = |used: u64, limit: Option<u64>| limit.map(|limit| used as f64 / limit.max(1) as f64);
            let shares = [of(requests + 1, terms.rpm), of(used + tokens, terms.tpm)];
            let share = shares.into_iter().flatten().reduce(f64::max);
            let why = Why::Used { requests, tokens: used, share: share.map(|share| (share * 1_000.0) as u64) };
            let plain = (used as f64 + requests as f64 / 1_000.0) / self::share(own);
            match share {
                Some(share) if share > 1.0 => (1e12 + share, why),
                Some(share) => (share, why),
                // One without limits among limited ones has all the room.
                None if limited => (0.0, why),
                None => (plain, why),
            }
        })
        .collect();
    by_score(scene, scored.into_iter())
}

fn cheapest(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let input = scene.query.tokens();
    let output = scene.query.max_output().unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT);
    let scored: Vec<(f64, Why)> = ready
        .iter()
        .map(|own| {
            let cost = scene.table.cost(own, input, output, scene.now_ms);
            (cost.map_or(f64::MAX, |cost| cost as f64), Why::Cost { nano: cost })
        })
        .collect();
    by_score(scene, scored.into_iter())
}

/// Those whose channel has one of the request's tags; else those tagged `default`; else all. The others come after.
fn tagged(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let wanted = scene.query.tags();
    let tags = |own: &Deployment| {
        scene.table.channels.get(own.channel).map(|channel| channel.tags.as_slice()).unwrap_or_default()
    };
    let mut fits: Vec<bool> = ready.iter().map(|own| tags(own).iter().any(|tag| wanted.contains(tag))).collect();
    if !fits.contains(&true) {
        fits = ready.iter().map(|own| tags(own).iter().any(|tag| tag == DEFAULT_TAG)).collect();
    }
    tiers(scene, ready, |position| {
        let fits = fits.get(position).copied().unwrap_or(false);
        (u64::from(!fits), Why::Tag { fits })
    })
}

/// The smallest context that the request fits in, then those of unknown size, then those too small, the largest first.
fn context_fit(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let needed = scene.query.tokens() + scene.query.max_output().unwrap_or(USUAL_OUTPUT);
    let sizes: Vec<Option<u64>> = ready.iter().map(|own| scene.table.terms(own).context).collect();
    tiers(scene, ready, |position| match sizes.get(position).copied().flatten() {
        Some(size) if size >= needed => (size, Why::Context { size: Some(size), fits: true }),
        None => (1 << 48, Why::Context { size: None, fits: true }),
        Some(size) => ((1 << 49) + (1 << 48) - size.min(1 << 48), Why::Context { size: Some(size), fits: false }),
    })
}

/// Tiers by a number, lowest first; within a tier by weight in turn.
fn tiers(scene: &mut Scene<'_>, ready: &[&Deployment], tier: impl Fn(usize) -> (u64, Why)) -> Order {
    let mut order = weighted_within(scene, ready, &|position| tier(position).0);
    for (position, why) in &mut order {
        *why = tier(*position).1;
    }
    order
}

fn weighted_within(scene: &mut Scene<'_>, ready: &[&Deployment], tier: &dyn Fn(usize) -> u64) -> Order {
    let mut tiers: Vec<u64> = (0..ready.len()).map(tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let mut order = Vec::with_capacity(ready.len());
    for (rank, own) in tiers.into_iter().enumerate() {
        let positions: Vec<usize> = (0..ready.len()).filter(|position| tier(*position) == own).collect();
        let members: Ready<'_> = positions.iter().filter_map(|position| ready.get(*position).copied()).collect();
        let turn = scene.turn;
        if rank > 0 {
            scene.turn = Turn::Standby;
        }
        let inner = weighted(scene, &members);
        scene.turn = turn;
        order.extend(inner.into_iter().filter_map(|(at, why)| Some((*positions.get(at)?, why))));
    }
    order
}

/// Drawn in proportion to merit = weight × success² × headroom ÷ (latency × (under way + 1)), the others by merit after it. What was never measured counts as
/// the mean of those that were.
fn adaptive(scene: &mut Scene<'_>, ready: &[&Deployment]) -> Order {
    let stream = scene.query.stream();
    let latencies: Vec<Option<f64>> = ready.iter().map(|own| own.live.load.latency(scene.now_ms, stream)).collect();
    let known: Vec<f64> = latencies.iter().copied().flatten().collect();
    let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let merits: Vec<f64> =
        ready.iter().zip(&latencies).map(|(own, latency)| merit(scene, own, latency.unwrap_or(mean))).collect();
    let total: f64 = merits.iter().sum();
    let thousandths = |merit: f64| if total > 0.0 { (merit / total * 1_000.0) as u64 } else { 0 };
    // Weights of a draw are whole numbers; a millionth of the group's merit is fine enough.
    let weights = merits.iter().map(|merit| if total > 0.0 { (merit / total * 1e6) as u64 } else { 1 }).collect();
    let first = drawn(scene, weights).first().map(|(position, _)| *position);
    let scored: Vec<(f64, Why)> =
        merits.iter().map(|merit| (-merit, Why::Merit { share: thousandths(*merit) })).collect();
    let order = by_score(scene, scored.into_iter());
    ahead(order, first)
}

/// One comes first, the others keep their order.
fn ahead(mut order: Order, first: Option<usize>) -> Order {
    if let Some(at) = order.iter().position(|(position, _)| Some(*position) == first) {
        let front = order.remove(at);
        order.insert(0, front);
    }
    order
}

fn merit(scene: &Scene<'_>, own: &Deployment, latency_ms: f64) -> f64 {
    let (calls, failures) = own.live.load.recent(scene.now_ms);
    // As if there had been one more call, that went well.
    let success = (calls.saturating_sub(failures) + 1) as f64 / (calls + 1) as f64;
    let (requests, tokens) = own.live.load.minute(scene.now_ms);
    let left = |used: u64, limit: Option<u64>| {
        limit.map_or(1.0, |limit| (1.0 - used as f64 / limit.max(1) as f64).clamp(0.01, 1.0))
    };
    let terms = scene.table.terms(own);
    let headroom = left(requests, terms.rpm).min(left(tokens, terms.tpm));
    let busy = f64::from(own.live.load.in_flight() + 1);
    f64::from(own.weight) * success * success * headroom / (latency_ms.max(1.0) * busy)
}
