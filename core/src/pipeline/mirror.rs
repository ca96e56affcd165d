//! Copies of some requests to a second target: for trying a model on real traffic. Nobody waits for them, their answers are dropped, and each has a record
//! of its own that names no key: the tag `mirror`, and in place of a rule the request that it copies.

use http_body_util::BodyExt as _;

use super::attempt::{Run, answer};
use super::settle::Settle;
use super::target::Deployments;
use super::{Job, request_id};
use crate::model::RequestRecord;

/// What a copy's record counts under.
pub(super) const TAG: &str = "mirror";

impl Run {
    /// Sends a copy on its way, if the policy wants one of this request.
    pub(super) fn mirror(&self) {
        let Some(mirror) = self.job.policy(|policy| policy.mirror.as_ref()) else { return };
        if fastrand::u8(0..100) >= mirror.percent {
            return;
        }
        let candidates = self.job.candidates_for(&mirror.to);
        if candidates.is_empty() {
            tracing::warn!(to = mirror.to, "nobody can serve the mirror");
            return;
        }
        let Some(reserved) = self.job.reserve_copy(&candidates) else {
            tracing::debug!(to = mirror.to, "a limit has no room for a copy");
            return;
        };
        let mut copy = self.copy(Deployments { candidates, ..self.deployments.clone() });
        copy.job.hold_copy(reserved);
        tokio::spawn(async move {
            let (_, mut body) = answer(copy).await.into_parts();
            // Read to its end, so that its time and its tokens are known.
            while let Some(Ok(_)) = body.frame().await {}
        });
    }

    fn copy(&self, deployments: Deployments) -> Box<Self> {
        let original = self.job.settle.record();
        let services = self.job.services.clone();
        let record = RequestRecord {
            id: request_id(),
            started: services.clock.unix_ms(),
            rule: Some(format!("mirror of {}", original.id)),
            tags: vec![TAG.to_owned()],
            key: None,
            owners: Vec::new(),
            tool: None,
            plan: Vec::new(),
            attempts: Vec::new(),
            cache: Default::default(),
            ..original.clone()
        };
        let settle = Settle::begin(services.clone(), record);
        let job = Job {
            services,
            snapshot: self.job.snapshot.clone(),
            call: self.job.call.clone(),
            caller: self.job.caller.clone(),
            settle,
            planned: true,
            copy: true,
        };
        let mut ask = self.ask.clone();
        ask.aside = true;
        ask.turn = None;
        Self::new(job, ask, deployments)
    }
}
