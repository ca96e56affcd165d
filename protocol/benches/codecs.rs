//! What a request and a chunk cost: the look into bodies, framing, the tap, and translation between every pair of formats.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run is to stop")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use myelin_protocol::drive::StreamDriver;
use myelin_protocol::envelope::{Edits, Envelope, Head, Splicer};
use myelin_protocol::format::AddressHints;
use myelin_protocol::framing::{Framing, Reader};
use myelin_protocol::lower::{NameMap, lower};
use myelin_protocol::tap::StreamTap;
use myelin_protocol::{ApiFormat, Dialect, ReplyContext, tokens};

/// A conversation of about `size` bytes, with the escapes and the short strings that real ones have.
fn body(size: usize) -> Bytes {
    let turn = r#"{"role":"user","content":[{"type":"text","text":"Please fix the \"parser\":\nfn main() {\n    println!(\"{}\", 1);\n}\nIt prints the wrong line, see the log below and explain why it happens in two sentences.\n"}]},{"role":"assistant","content":"The index is off by one: `lines[i + 1]` reads past the header.\n"},"#;
    let turns = turn.repeat(size / turn.len() + 1);
    Bytes::from(format!(
        r#"{{"model":"gpt-5","messages":[{}],"temperature":0.7,"stream":true,"max_completion_tokens":4096}}"#,
        turns.trim_end_matches(',')
    ))
}

fn envelopes(criterion: &mut Criterion) {
    let mut edits = Edits::new();
    edits.model("upstream-model").include_usage();
    for (name, size) in [("3 KiB", 3 << 10), ("91 KiB", 91 << 10), ("1 MiB", 1 << 20)] {
        let body = body(size);
        let mut group = criterion.benchmark_group(format!("envelope {name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("peek", |bench| bench.iter(|| Envelope::read(black_box(body.clone())).unwrap()));
        group.bench_function("peek and splice", |bench| {
            bench.iter(|| Envelope::read(black_box(body.clone())).unwrap().splice(&edits).unwrap());
        });
        group.bench_function("head and splice in 16 KiB pieces", |bench| {
            bench.iter(|| {
                let (mut head, mut splicer, mut out) = (Head::new(), Splicer::new(edits.clone()), Vec::new());
                let mut at = 0;
                while at < body.len() {
                    let piece = body.slice(at..(at + (16 << 10)).min(body.len()));
                    head.feed(&piece).unwrap();
                    splicer.feed(&piece, &mut out).unwrap();
                    at += piece.len();
                }
                splicer.finish().unwrap();
                out
            });
        });
        group.finish();
    }
}

/// A stream of 200 content chunks as a Chat host sends them, one chunk a read.
fn chat_stream() -> Vec<Bytes> {
    let chunk = |delta: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-5\",\"system_fingerprint\":\"fp_1\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
        ))
    };
    let mut chunks = vec![chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    chunks.extend((0..200).map(|_| chunk("{\"content\":\" token\"}", "null")));
    chunks.push(chunk("{}", "\"stop\""));
    chunks.push(Bytes::from_static(
        b"data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":200,\"total_tokens\":209}}\n\n",
    ));
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    chunks
}

fn streams(criterion: &mut Criterion) {
    let chunks = chat_stream();
    let dialect = Dialect::default();
    let mut group = criterion.benchmark_group("stream of 204 chunks");
    group.throughput(Throughput::Elements(chunks.len() as u64));
    group.bench_function("framing", |bench| {
        bench.iter(|| {
            let mut reader = Reader::new(Framing::Sse);
            let mut frames = 0;
            for chunk in &chunks {
                let mut input: &[u8] = chunk;
                while reader.next(&mut input).unwrap().is_some() {
                    frames += 1;
                }
            }
            frames
        });
    });
    for hidden in [false, true] {
        let name = if hidden { "tap, usage hidden" } else { "tap" };
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let tap = StreamTap::new(ApiFormat::OpenaiChat, &dialect);
                let mut tap = if hidden { tap.hide_usage() } else { tap };
                let mut out = Vec::with_capacity(8);
                for chunk in &chunks {
                    tap.feed(chunk, &mut out).unwrap();
                    out.clear();
                }
                tap.finish(&mut out);
                tap.usage().cloned()
            });
        });
    }
    for client in ApiFormat::ALL {
        group.bench_function(format!("to {client}"), |bench| {
            bench.iter(|| {
                let context = ReplyContext { model: "m".into(), id: "0123".into(), ..ReplyContext::default() };
                let mut driver =
                    StreamDriver::new(ApiFormat::OpenaiChat, &dialect, NameMap::default(), client, context);
                let mut out = Vec::with_capacity(1024);
                for chunk in &chunks {
                    driver.feed(chunk, &mut out);
                    out.clear();
                }
                driver.finish(&mut out);
                out
            });
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let body = body(3 << 10);
    let dialect = Dialect::default();
    let request = ApiFormat::OpenaiChat.codec().decode_request(&body, AddressHints::default()).unwrap();
    let mut group = criterion.benchmark_group("request of 3 KiB");
    group.bench_function("decode", |bench| {
        bench.iter(|| ApiFormat::OpenaiChat.codec().decode_request(black_box(&body), AddressHints::default()).unwrap());
    });
    group.bench_function("estimate tokens", |bench| bench.iter(|| tokens::estimate(black_box(&request))));
    for target in ApiFormat::ALL {
        group.bench_function(format!("encode to {target}"), |bench| {
            bench.iter(|| {
                let lowered = lower(request.clone(), target, &dialect);
                target.codec().encode_request(&lowered.request, &dialect).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, envelopes, streams, requests);
criterion_main!(benches);
