//! Integration tests of the crate: one binary, recorded traffic and our own cases against every codec.
// `cfg(test)` is always true here; clippy wants to see it before it takes the modules for tests.
#![expect(unreachable_pub, reason = "the modules of one test binary share helpers; nothing is exported")]

#[cfg(test)]
mod anthropic_messages;
#[cfg(test)]
mod bedrock;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod dify;
#[cfg(test)]
mod driving;
#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod gemini;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod ollama;
#[cfg(test)]
mod openai_chat;
#[cfg(test)]
mod openai_completions;
#[cfg(test)]
mod openai_responses;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod resplit;
#[cfg(test)]
mod support;
