//! Routes: from a model's name to ordered groups of deployments.

use serde::{Deserialize, Serialize};

use super::conditions::one_or_many;
use super::{Conditions, Origin, Policy};

/// A rule from a model to ordered groups of deployments. Its model is its identity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name that clients ask for.
    pub model: String,
    /// More names that lead here: exact or globs.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Names that lead here, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What else must hold; if it does not, the route is not there for this request.
    #[serde(default, rename = "if", skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// How to choose within those groups that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Groups in order; a lower one is strict cold standby.
    pub groups: Vec<RouteGroup>,
    /// Retries, hedges, races, mirrors and the answer cache for this model.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

/// One group of a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteGroup {
    /// How to choose within the group; absent: as the route says, else `weighted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What else must hold; if it does not, the group is left out for this request.
    #[serde(default, rename = "if", skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// `channel/model`, `channel/*`, `channel/~regex`, `tag:t`, `tag:t/model`, `tag:t/~regex`, a model that channels list, or `~regex` over all of them.
    #[serde(rename = "use", deserialize_with = "one_or_many")]
    pub targets: Vec<String>,
    /// Left out all the same: channels (names or globs), `tag:t`, or `channel/model` with globs.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// How to choose within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Weighted, in smooth rotation.
    #[default]
    Weighted,
    /// In the order written.
    Ordered,
    /// One after the other, whatever their weights.
    RoundRobin,
    /// By chance, all alike.
    Random,
    /// By chance, in proportion to the weights.
    WeightedShuffle,
    /// By chance, in proportion to the requests a minute that each may take.
    WeightedShuffleRpm,
    /// By chance, in proportion to the tokens a minute that each may take.
    WeightedShuffleTpm,
    /// The fewest requests under way.
    LeastBusy,
    /// The fastest of two drawn by chance: time to the first token for streams, to the whole answer elsewhere.
    LowestLatency,
    /// The least used in this minute, measured by its limits where it has any.
    LowestTpmRpm,
    /// The cheapest for this request's tokens.
    LowestCost,
    /// Those whose channel has a tag that the request names; else those tagged `default`.
    TagBased,
    /// The smallest context that the request fits in.
    ContextFit,
    /// By chance, in proportion to weight × success² × headroom ÷ (latency × load).
    Adaptive,
}

impl Strategy {
    /// Every strategy with its word.
    pub const WORDS: [(Strategy, &'static str); 14] = [
        (Strategy::Weighted, "weighted"),
        (Strategy::Ordered, "ordered"),
        (Strategy::RoundRobin, "round-robin"),
        (Strategy::Random, "random"),
        (Strategy::WeightedShuffle, "weighted-shuffle"),
        (Strategy::WeightedShuffleRpm, "weighted-shuffle-rpm"),
        (Strategy::WeightedShuffleTpm, "weighted-shuffle-tpm"),
        (Strategy::LeastBusy, "least-busy"),
        (Strategy::LowestLatency, "lowest-latency"),
        (Strategy::LowestTpmRpm, "lowest-tpm-rpm"),
        (Strategy::LowestCost, "lowest-cost"),
        (Strategy::TagBased, "tag-based"),
        (Strategy::ContextFit, "context-fit"),
        (Strategy::Adaptive, "adaptive"),
    ];

    /// The word that configuration and records use.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(strategy, _)| *strategy == self).map_or("weighted", |(_, word)| word)
    }

    /// The strategy of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, own)| *own == word).map(|(strategy, _)| *strategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_configuration() {
        for (strategy, word) in Strategy::WORDS {
            assert_eq!(serde_json::to_value(strategy).unwrap(), word);
            assert_eq!((strategy.word(), Strategy::of(word)), (word, Some(strategy)));
        }
        assert_eq!(Strategy::of("best"), None);
    }
}
