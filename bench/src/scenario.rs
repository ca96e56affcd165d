//! What is measured. One row a scenario.

use crate::load::Pressure;
use crate::shape::{Format, Shape, Wire};

/// One kind of load.
#[derive(Debug, Clone, Copy)]
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

/// Everything that is measured, in the order of the report.
pub const SCENARIOS: [Scenario; 18] = [
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
        rate: 1_000,
        about: About::Latency,
        ..saturated("steady", "1,000 requests/s, open loop", Format::Chat, Wire::Chat)
    },
    Scenario { body: 100_000, connections: 16, ..saturated("body-100k", "100 KB bodies", Format::Chat, Wire::Chat) },
    Scenario { body: 1_000_000, connections: 10, ..saturated("body-1m", "1 MB bodies", Format::Chat, Wire::Chat) },
    saturated("messages", "Anthropic in and out", Format::Messages, Wire::Messages),
    streamed("streams", "200 streams, a chunk every 20 ms", Format::Chat, Wire::Chat),
    streamed("messages-streams", "the same, Anthropic in and out", Format::Messages, Wire::Messages),
    Scenario {
        connections: 2_000,
        shape: stream(Wire::Chat, 12, 500),
        about: About::Memory,
        ..streamed("open-streams", "2,000 open streams, a chunk every 0.5 s", Format::Chat, Wire::Chat)
    },
    saturated("messages-to-chat", "Anthropic in, Chat out", Format::Messages, Wire::Chat),
    saturated("chat-to-messages", "Chat in, Anthropic out", Format::Chat, Wire::Messages),
    saturated("responses-to-chat", "Responses in, Chat out", Format::Responses, Wire::Chat),
    saturated("gemini-to-chat", "Gemini in, Chat out", Format::Gemini, Wire::Chat),
    Scenario {
        connections: 100,
        ..streamed("messages-to-chat-streams", "Anthropic in, Chat out, 100 streams", Format::Messages, Wire::Chat)
    },
    Scenario {
        connections: 100,
        ..streamed("chat-to-messages-streams", "Chat in, Anthropic out, 100 streams", Format::Chat, Wire::Messages)
    },
    Scenario {
        connections: 100,
        ..streamed("responses-to-chat-streams", "Responses in, Chat out, 100 streams", Format::Responses, Wire::Chat)
    },
];

impl Scenario {
    /// The client's format is not the provider's: only a gateway can serve it.
    pub fn converts(&self) -> bool {
        !matches!((self.format, self.shape.wire), (Format::Chat, Wire::Chat) | (Format::Messages, Wire::Messages))
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
        let mut names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
