//! The gateway's own small conversations with channels (tests, probes that talk): they are paid like any other, so each has a record. It names no key, no
//! tool and no person, counts under the tag `probe`, and says in place of a rule what it is.

use std::sync::Arc;

use super::{Services, request_id};
use crate::model::{AttemptOutcome, AttemptRecord, RequestRecord, RequestState};
use crate::pricing;
use crate::providers::TestReport;
use crate::snapshot::Line;

/// What such a record counts under.
const TAG: &str = "probe";

/// Books what a conversation with one credential of a channel came to. One that nobody answered costs nothing and has no record.
pub(crate) fn probed(services: &Arc<Services>, line: &Line, credential: usize, report: &TestReport) {
    if report.usage.is_none() && report.status.is_none_or(|status| status >= 300) {
        return;
    }
    let channel = &line.channel;
    let format = report.format.map_or("embeddings", |format| format.as_str()).to_owned();
    let failure = report.failure.as_ref();
    let words = failure.map(|failure| channel.redact(&failure.public.message).into_owned());
    let attempt = AttemptRecord {
        channel: channel.name().to_owned(),
        upstream_model: report.model.clone(),
        credential: u32::try_from(credential).unwrap_or_default(),
        format: format.clone(),
        duration_us: report.latency_us,
        status: report.status,
        outcome: if failure.is_some() { AttemptOutcome::Failed } else { AttemptOutcome::Answered },
        error: words.clone(),
        ..AttemptRecord::default()
    };
    let mut tags = channel.config.tags.clone();
    tags.push(TAG.to_owned());
    let mut record = RequestRecord {
        id: request_id(),
        started: services.clock.unix_ms().saturating_sub(report.latency_us / 1_000),
        duration_us: report.latency_us,
        state: if failure.is_some() { RequestState::Failed } else { RequestState::Completed },
        status: report.status.unwrap_or_default(),
        format: format.clone(),
        model: report.model.clone(),
        channel: Some(channel.name().to_owned()),
        provider: Some(channel.provider.id.clone()),
        upstream_model: Some(report.model.clone()),
        upstream_format: Some(format),
        rule: Some(TAG.to_owned()),
        tags,
        attempts: vec![attempt],
        usage: report.usage.clone(),
        error: failure.map(|failure| failure.kind.label().to_owned()),
        error_message: words,
        ..RequestRecord::default()
    };
    let quote = services.snapshot.load().prices.quote(&channel.config, &report.model);
    pricing::settle(&mut record, Some(&quote), &[], false);
    drop(services.record(record, Vec::new(), false));
}
