//! Whole small answers for `providers`: tokens, model lists, tests of channels.

use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::{Body, Client, UpstreamError};
use crate::providers::{Fetch, FetchError, Fetched};

/// The largest model list seen is 2 MB.
const LIMIT: usize = 32 << 20;
/// A test of a local model may have to load it first.
const PATIENCE: Duration = Duration::from_secs(120);

impl Fetch for Client {
    fn fetch(&self, request: Request<Bytes>) -> Fetched<'_> {
        Box::pin(async move {
            let asked = async {
                let (head, body) = self.send(request.map(Body::from)).await?.into_parts();
                Ok::<_, UpstreamError>(http::Response::from_parts(head, body.collect(LIMIT).await?))
            };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(FetchError { message: error.to_string(), timed_out: error.timed_out() }),
                Err(_) => {
                    Err(FetchError { message: format!("no answer within {} s", PATIENCE.as_secs()), timed_out: true })
                }
            }
        })
    }
}
