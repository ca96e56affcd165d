//! Asking a channel on our own account (tests, probes, model lists): by whichever of its addresses can be reached.

use bytes::Bytes;
use http::{Request, Response};

use super::auth::Payload;
use super::live::LiveChannel;
use super::operation::{ClientHead, Operation};
use super::{ChannelError, Fetch};
use crate::clock::Clock;
use crate::error::{GatewayError, Kind, codes};

/// Who asks whom, and how.
#[derive(Clone, Copy)]
pub(super) struct Reach<'r> {
    pub(super) channel: &'r LiveChannel,
    /// Position of the credential.
    pub(super) credential: usize,
    pub(super) fetch: &'r dyn Fetch,
    pub(super) clock: &'r dyn Clock,
}

impl Reach<'_> {
    /// Any answer, of whatever status, of the first address that can be reached.
    pub(super) async fn ask(
        &self,
        operation: &Operation<'_>,
        model: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, GatewayError> {
        let wrong = |error: ChannelError| self.says(Kind::UpstreamDenied, &error);
        let addresses = self.channel.addresses();
        let mut nobody = None;
        for base in addresses.order(self.clock.unix_ms()) {
            let whole = [body.clone()];
            let mut prepared = self.channel.request(base, operation, model, ClientHead::default()).map_err(wrong)?;
            let payload = Payload::Whole(&whole);
            let signed = self.channel.authorize(self.credential, &mut prepared, payload, self.fetch, self.clock);
            signed.await.map_err(wrong)?;
            match self.fetch.fetch(Request::from_parts(prepared.parts, body.clone())).await {
                // How long it took says nothing of conversations, so the address is not measured by it.
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    addresses.unreachable(base, self.clock.unix_ms());
                    let kind = if error.timed_out { Kind::Timeout } else { Kind::UpstreamFailed };
                    nobody = Some(self.says(kind, &error).code(codes::CONNECT));
                }
            }
        }
        Err(nobody.unwrap_or_else(|| self.says(Kind::Internal, &"it has no address")))
    }

    pub(super) fn says(&self, kind: Kind, why: &dyn std::fmt::Display) -> GatewayError {
        GatewayError::new(kind, format!("channel `{}`: {why}", self.channel.name()))
    }
}
