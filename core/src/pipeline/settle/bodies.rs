//! What is kept of the bodies of a request: what came, what was sent on, what came back, what the client got. Counts what the client got, kept or not.

use bytes::Bytes;
use http::HeaderMap;

use super::Settle;
use crate::model::BodyPolicy;
use crate::pipeline::capture::Capture;
use crate::store::BodyKind;

impl Settle {
    /// Whose bodies are kept is known.
    pub(crate) fn keep_bodies(&mut self, policy: BodyPolicy) {
        self.capture = Capture::new(&self.services, policy);
    }

    /// The body of the request is there.
    pub(crate) fn received(&mut self, body: &Bytes) {
        self.kept(BodyKind::Received, std::slice::from_ref(body));
    }

    /// A body that belongs to the attempt that is open, in pieces.
    pub(crate) fn kept(&mut self, kind: BodyKind, pieces: &[Bytes]) {
        let attempt = self.attempt_number(kind);
        if let Some(capture) = &mut self.capture {
            capture.whole(kind, attempt, pieces);
        }
    }

    /// Headers; `refused`: those of an answer that is no success.
    pub(crate) fn kept_head(&mut self, kind: BodyKind, headers: &HeaderMap, refused: bool) {
        let attempt = self.attempt_number(kind);
        if let Some(capture) = &mut self.capture {
            capture.head(kind, attempt, headers, refused);
        }
    }

    /// The next piece of a stream that a deployment answers with, where it is not what the client gets.
    pub(crate) fn upstream_piece(&mut self, bytes: &[u8]) {
        let attempt = self.attempt_number(BodyKind::Upstream);
        if let Some(capture) = &mut self.capture {
            capture.piece(BodyKind::Upstream, attempt, bytes);
        }
    }

    /// Everything that the client gets.
    pub(crate) fn given(&mut self, body: &Bytes) {
        self.record.bytes_out = body.len() as u64;
        self.kept(BodyKind::Answer, std::slice::from_ref(body));
    }

    /// The next piece of what the client gets; about how many tokens it has by now.
    pub(crate) fn given_piece(&mut self, bytes: &[u8], tokens: Option<u64>) {
        self.record.bytes_out += bytes.len() as u64;
        self.flight.progress(self.record.bytes_out, tokens);
        if let Some(capture) = &mut self.capture {
            capture.piece(BodyKind::Answer, None, bytes);
        }
    }

    fn attempt_number(&self, kind: BodyKind) -> Option<u32> {
        let of_attempt = kind.is_of_attempt();
        u32::try_from(self.record.attempts.len()).ok()?.checked_sub(1).filter(|_| of_attempt)
    }
}
