//! What is added up over records: requests, failures, tokens by class, money, times.

use super::codec::{take_varint, unzigzag, varint, zigzag};
use super::histogram::Histogram;
use crate::model::{CacheOutcome, CostSource, NanoUsd, RequestRecord, RequestState};
use myelin_protocol::ir::Usage;

/// Gives every sum its number in the store, which never gets a second meaning, and what one record adds to it.
macro_rules! sums {
    ($($tag:literal $name:ident = $from:expr; $doc:literal)*) => {
        /// Sums over records.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Sums {
            $( #[doc = $doc] pub $name: i64, )*
            /// How long they took.
            pub duration: Histogram,
            /// How long streams took to the first content.
            pub first_token: Histogram,
        }

        impl Sums {
            /// What one record adds.
            pub(in crate::store) fn of(record: &RequestRecord) -> Self {
                let none = Usage::default();
                let usage = record.usage.as_ref().unwrap_or(&none);
                let mut out = Self {
                    $( $name: {
                        let from: fn(&RequestRecord, &Usage) -> i64 = $from;
                        from(record, usage)
                    }, )*
                    ..Self::default()
                };
                out.duration.note(record.duration_us);
                if let Some(time) = record.first_token_us {
                    out.first_token.note(time);
                }
                out
            }

            /// Adds others so many times: -1 takes them away.
            pub(in crate::store) fn add(&mut self, other: &Self, times: i64) {
                $( self.$name += other.$name * times; )*
                self.duration.add(&other.duration, times);
                self.first_token.add(&other.first_token, times);
            }

            /// Adds numbers, not times: for charts that show none.
            pub(in crate::store) fn add_numbers(&mut self, other: &Self) {
                $( self.$name += other.$name; )*
            }

            /// `tag, value …, 0`, then both histograms.
            pub(in crate::store) fn write(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(64);
                $( if self.$name != 0 {
                    varint(&mut out, $tag);
                    varint(&mut out, zigzag(self.$name));
                } )*
                varint(&mut out, 0);
                self.duration.write(&mut out);
                self.first_token.write(&mut out);
                out
            }

            /// Reads them back; `times`: the histograms too.
            pub(in crate::store) fn read(mut bytes: &[u8], times: bool) -> Option<Self> {
                let mut out = Self::default();
                loop {
                    let tag = take_varint(&mut bytes)?;
                    if tag == 0 {
                        break;
                    }
                    let value = unzigzag(take_varint(&mut bytes)?);
                    match tag {
                        $( $tag => out.$name = value, )*
                        _ => {}
                    }
                }
                if times {
                    out.duration = Histogram::read(&mut bytes)?;
                    out.first_token = Histogram::read(&mut bytes)?;
                }
                Some(out)
            }
        }
    };
}

sums! {
    1 requests = |_, _| 1; "Requests."
    2 errors = |r, _| i64::from(matches!(r.state, RequestState::Failed | RequestState::Interrupted)); "Those that failed or broke off."
    3 canceled = |r, _| i64::from(r.state == RequestState::Canceled); "Those whose client left."
    4 attempts = |r, _| i64::try_from(r.attempts.len()).unwrap_or(i64::MAX); "Tries at deployments."
    5 input = |_, u| count(u.input); "Tokens that were read, cached ones included."
    6 cache_read = |_, u| count(u.cache_read); "Of them, from the provider's prompt cache."
    7 cache_write = |_, u| count(u.cache_write); "Of them, written to the prompt cache."
    8 cache_write_1h = |_, u| count(u.cache_write_1h); "Of those, with the one-hour lifetime."
    9 audio_input = |_, u| count(u.audio_input); "Of the input, audio."
    10 image_input = |_, u| count(u.image_input); "Of the input, images."
    11 output = |_, u| count(u.output); "Tokens that were written, reasoning included."
    12 reasoning = |_, u| count(u.reasoning); "Of them, reasoning."
    13 audio_output = |_, u| count(u.audio_output); "Of the output, audio."
    14 image_output = |_, u| count(u.image_output); "Of the output, images."
    15 web_searches = |_, u| count(u.web_searches); "Server-side web searches."
    16 cost = |r, _| nanos(r.cost); "Cost in nanodollars."
    17 saved = |r, _| nanos(r.saved); "What answers from the cache would have cost, in nanodollars."
    18 unpriced = |r, _| i64::from(r.cost_source == Some(CostSource::Unpriced)); "Requests without a price."
    19 estimated = |r, _| i64::from(r.cost_source == Some(CostSource::Estimated)); "Requests whose cost is an estimate."
    20 cache_hits = |r, _| i64::from(matches!(r.cache, CacheOutcome::Hit | CacheOutcome::Shared)); "Answers from the response cache, or shared."
    21 streams = |r, _| i64::from(r.stream); "Streams."
    22 bytes_in = |r, _| count(Some(r.bytes_in)); "Bytes of request bodies."
    23 bytes_out = |r, _| count(Some(r.bytes_out)); "Bytes of response bodies."
    24 duration_us = |r, _| count(Some(r.duration_us)); "Time from the first byte in to the last byte out, in microseconds."
    25 first_token_us = |r, _| count(r.first_token_us); "Time to the first content of streams, in microseconds."
    26 first_tokens = |r, _| i64::from(r.first_token_us.is_some()); "Streams whose first content was seen."
    27 overhead_us = |r, _| count(Some(r.overhead_us)); "Myelin's own time, in microseconds."
}

/// No single record may make a sum of millions of them overflow.
fn count(number: Option<u64>) -> i64 {
    number.unwrap_or(0).min(Usage::MOST).cast_signed()
}

fn nanos(cost: Option<NanoUsd>) -> i64 {
    const MOST: i64 = 1 << 52;
    cost.map_or(0, |NanoUsd(nanos)| nanos.clamp(-MOST, MOST))
}
