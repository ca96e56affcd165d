//! What is measured. One row a scenario.

use crate::load::Pressure;
use crate::shape::{Format, Shape, Wire};

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Short name, for `--only`.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// What the clients speak.
    pub format: Format,
    /// What the provider does.
    pub shape: Shape,
    /// Bytes of a request's body.
    pub body: usize,
    /// Connections.
    pub connections: usize,
    /// Requests a second; 0: as fast as answers come.
    pub rate: u32,
    /// What its row in the report is about.
    pub about: About,
}

/// Which figures of a scenario matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// CPU and rate at saturation.
    Throughput,
    /// What is added to a single request.
    Latency,
    /// CPU and delay of each chunk.
    Chunks,
    /// Memory of open streams.
    Memory,
}

const fn whole(wire: Wire) -> Shape {
    Shape { wire, latency_ms: 0, chunks: 0, interval_ms: 0, size: 64 }
}

const fn stream(wire: Wire, chunks: u32, interval_ms: u32) -> Shape {
    Shape { wire, latency_ms: 0, chunks, interval_ms, size: 32 }
}

const fn saturated(name: &'static str, what: &'static str, format: Format, wire: Wire) -> Scenario {
    Scenario { name, what, format, shape: whole(wire), body: 1_000, connections: 64, rate: 0, about: About::Throughput }
}

const fn streamed(name: &'static str, what: &'static str, format: Format, wire: Wire) -> Scenario {
    let shape = stream(wire, 100, 20);
    Scenario { name, what, format, shape, body: 1_000, connections: 200, rate: 0, about: About::Chunks }
}

/// Whole answers and streams of one pair of formats.
macro_rules! pair {
    ($name:literal, $what:literal, $format:ident, $wire:ident) => {
        [
            saturated($name, $what, Format::$format, Wire::$wire),
            streamed(concat!($name, "-streams"), concat!($what, ", streams"), Format::$format, Wire::$wire),
        ]
    };
}

/// What every target is asked: Chat on both sides, so that a proxy without any knowledge can do it too.
const PLAIN: [Scenario; 11] = [
    Scenario { connections: 1, about: About::Latency, ..saturated("single", "1 connection", Format::Chat, Wire::Chat) },
    Scenario {
        connections: 1,
        about: About::Latency,
        shape: stream(Wire::Chat, 8, 0),
        ..saturated("single-stream", "1 connection, short streams", Format::Chat, Wire::Chat)
    },
    saturated("saturated", "64 connections, 1 KB bodies", Format::Chat, Wire::Chat),
    Scenario { connections: 256, ..saturated("crowded", "256 connections, 1 KB bodies", Format::Chat, Wire::Chat) },
    Scenario {
        shape: stream(Wire::Chat, 16, 0),
        ..saturated("short-streams", "64 connections, 16 chunks at once", Format::Chat, Wire::Chat)
    },
    Scenario {
        connections: 256,
        shape: stream(Wire::Chat, 16, 0),
        ..saturated("crowded-streams", "256 connections, 16 chunks at once", Format::Chat, Wire::Chat)
    },
    Scenario {
        rate: 1_000,
        about: About::Latency,
        ..saturated("steady", "1,000 requests/s, open loop", Format::Chat, Wire::Chat)
    },
    Scenario { body: 100_000, connections: 16, ..saturated("body-100k", "100 KB bodies", Format::Chat, Wire::Chat) },
    Scenario { body: 1_000_000, connections: 10, ..saturated("body-1m", "1 MB bodies", Format::Chat, Wire::Chat) },
    streamed("streams", "200 streams, a chunk every 20 ms", Format::Chat, Wire::Chat),
    Scenario {
        connections: 2_000,
        shape: stream(Wire::Chat, 12, 500),
        about: About::Memory,
        ..streamed("open-streams", "2,000 open streams, a chunk every 0.5 s", Format::Chat, Wire::Chat)
    },
];

/// What only a gateway can do, and the other formats passed through.
const PAIRS: [[Scenario; 2]; 15] = [
    pair!("messages", "Anthropic passed through", Messages, Messages),
    pair!("responses", "Responses passed through", Responses, Responses),
    pair!("gemini", "Gemini passed through", Gemini, Gemini),
    pair!("messages-to-chat", "Anthropic in, Chat out", Messages, Chat),
    pair!("responses-to-chat", "Responses in, Chat out", Responses, Chat),
    pair!("gemini-to-chat", "Gemini in, Chat out", Gemini, Chat),
    pair!("chat-to-messages", "Chat in, Anthropic out", Chat, Messages),
    pair!("responses-to-messages", "Responses in, Anthropic out", Responses, Messages),
    pair!("gemini-to-messages", "Gemini in, Anthropic out", Gemini, Messages),
    pair!("chat-to-responses", "Chat in, Responses out", Chat, Responses),
    pair!("messages-to-responses", "Anthropic in, Responses out", Messages, Responses),
    pair!("gemini-to-responses", "Gemini in, Responses out", Gemini, Responses),
    pair!("chat-to-gemini", "Chat in, Gemini out", Chat, Gemini),
    pair!("messages-to-gemini", "Anthropic in, Gemini out", Messages, Gemini),
    pair!("responses-to-gemini", "Responses in, Gemini out", Responses, Gemini),
];

/// What other gateways are asked: some of them hold only a few streams.
const PEERS: [Scenario; 4] = [
    Scenario {
        connections: 1,
        about: About::Latency,
        ..saturated("peers-single", "1 connection", Format::Chat, Wire::Chat)
    },
    saturated("peers", "64 connections, 1 KB bodies", Format::Chat, Wire::Chat),
    Scenario {
        connections: 20,
        ..streamed("peers-streams", "20 streams, a chunk every 20 ms", Format::Chat, Wire::Chat)
    },
    Scenario {
        connections: 20,
        ..streamed("peers-convert", "Anthropic in, Chat out, 20 streams", Format::Messages, Wire::Chat)
    },
];

/// Everything that is measured, in the order of the report.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = PLAIN.to_vec();
    // Whole answers first, then streams.
    all.extend(PAIRS.iter().map(|[whole, _]| *whole));
    all.extend(PAIRS.iter().map(|[_, streams]| *streams));
    all
}

/// What peers are measured with.
pub fn peer_scenarios() -> Vec<Scenario> {
    PEERS.to_vec()
}

/// The scenario of that name.
pub fn named(name: &str) -> Option<Scenario> {
    scenarios().into_iter().chain(PEERS).find(|scenario| scenario.name == name)
}

impl Scenario {
    /// The client's format is not the provider's: only a gateway can serve it.
    pub fn converts(&self) -> bool {
        !matches!(
            (self.format, self.shape.wire),
            (Format::Chat, Wire::Chat)
                | (Format::Messages, Wire::Messages)
                | (Format::Responses, Wire::Responses)
                | (Format::Gemini, Wire::Gemini)
        )
    }

    /// Chat on both sides: every target can serve it.
    pub fn plain(&self) -> bool {
        matches!((self.format, self.shape.wire), (Format::Chat, Wire::Chat))
    }

    /// The scenario whose proxies this one is compared with, where they cannot serve it themselves.
    pub fn base(&self) -> Option<&'static str> {
        match self.about {
            _ if self.plain() => None,
            About::Chunks => Some("streams"),
            _ => Some("saturated"),
        }
    }

    /// Its shape without pauses: for counting, where time does not matter.
    pub fn unpaced(&self) -> Shape {
        Shape { interval_ms: 0, ..self.shape }
    }

    /// The pressure for a round of `seconds`. Streams at a pace run for as many whole streams as fit.
    pub fn pressure(&self, seconds: f64) -> Pressure {
        let one_ms = u64::from(self.shape.chunks) * u64::from(self.shape.interval_ms);
        let requests = (one_ms > 0).then(|| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
            let rounds = ((seconds * 1e3) as u64 / one_ms).max(1);
            rounds * self.connections as u64
        });
        let seconds = if requests.is_some() { seconds.max(one_ms as f64 / 1e3) * 4.0 } else { seconds };
        let rate = (self.rate > 0).then_some(self.rate);
        Pressure { connections: self.connections, rate, seconds, requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = scenarios().iter().chain(&PEERS).map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), scenarios().len() + PEERS.len());
    }

    #[test]
    fn what_proxies_cannot_serve_is_compared_with_what_they_can() {
        for scenario in scenarios() {
            let base = scenario.base().and_then(named);
            assert_eq!(base.is_none(), scenario.plain(), "{}", scenario.name);
            assert!(base.is_none_or(|base| base.plain() && base.about == scenario.about), "{}", scenario.name);
        }
    }
}
