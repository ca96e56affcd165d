//! AWS Signature Version 4.
//!
//! For every service but S3 the path is encoded once more in the canonical request (`%3A` is signed as `%253A`). Region and service
//! follow from the host: `bedrock-runtime.us-east-1.amazonaws.com` is service `bedrock`, `bedrock-mantle.…api.aws` is `bedrock-mantle`.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_http};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::Payload;

/// An access key.
#[derive(Debug)]
pub(super) struct Keys {
    /// Made once: it is an `Arc` inside, and its `Debug` is masked.
    identity: aws_credential_types::Credentials,
}

impl Keys {
    /// Reads `ACCESS_KEY:SECRET` or `ACCESS_KEY:SECRET:SESSION`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = text.splitn(3, ':').map(str::trim);
        let (access, secret, session) = (pieces.next(), pieces.next(), pieces.next());
        let (Some(access), Some(secret)) = (access.filter(|key| !key.is_empty()), secret.filter(|key| !key.is_empty()))
        else {
            return Err("an AWS key is ACCESS_KEY:SECRET or ACCESS_KEY:SECRET:SESSION, or a Bedrock API key".to_owned());
        };
        let session = session.filter(|session| !session.is_empty()).map(str::to_owned);
        Ok(Self { identity: Credentials::new(access, secret, session, None, "myelin") })
    }

    /// The texts that must never be shown.
    pub(super) fn secrets(&self) -> Vec<&str> {
        [Some(self.identity.secret_access_key()), self.identity.session_token()].into_iter().flatten().collect()
    }
}

/// Signs a request; adds `x-amz-date`, `authorization` and perhaps `x-amz-security-token`.
pub(super) fn sign(keys: &Keys, parts: &mut Parts, payload: Payload<'_>, now_ms: u64) -> Result<(), String> {
    let Payload::Whole(pieces) = payload else {
        return Err("a signed request needs its whole body".to_owned());
    };
    let authority = parts.uri.authority().ok_or("a signed request needs a host")?.clone();
    let (service, region) = scope(authority.host()).ok_or_else(|| {
        format!("no AWS region in `{}`; set the option `region` or use an amazonaws.com address", authority.host())
    })?;
    let (service, region) = (service.to_owned(), region.to_owned());
    sign_for(keys, parts, pieces, now_ms, &service, &region)
}

fn sign_for(
    keys: &Keys,
    parts: &mut Parts,
    pieces: &[bytes::Bytes],
    now_ms: u64,
    service: &str,
    region: &str,
) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("the request could not be signed: {error}");
    let identity = keys.identity.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_millis(now_ms))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let uri = parts.uri.to_string();
    let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    // Only what neither we nor a proxy touch afterwards is signed: host once, the type of the content, what is AWS's own.
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let headers = [(HOST.as_str(), Some(host.as_str())), (CONTENT_TYPE.as_str(), content_type)];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let body = SignableBody::Precomputed(hash(pieces));
    let request = SignableRequest::new(parts.method.as_str(), uri, headers, body).map_err(|error| failed(&error))?;
    let (instructions, _) = sign_http(request, &params).map_err(|error| failed(&error))?.into_parts();
    let (signed, _) = instructions.into_parts();
    for header in signed {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| failed(&error))?;
        value.set_sensitive(header.sensitive());
        parts.headers.insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

fn hash(pieces: &[bytes::Bytes]) -> String {
    let mut hasher = Sha256::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Service and region of a host.
fn scope(host: &str) -> Option<(&str, &str)> {
    let mut labels = host.split('.');
    let (first, second) = (labels.next()?, labels.next()?);
    let service = match first {
        "bedrock" | "bedrock-runtime" | "bedrock-runtime-fips" | "bedrock-fips" | "bedrock-agent-runtime" => "bedrock",
        "bedrock-mantle" => "bedrock-mantle",
        // PrivateLink: `vpce-….bedrock-runtime.us-east-1.vpce.amazonaws.com`.
        _ if first.starts_with("vpce-") && second.starts_with("bedrock") => return Some(("bedrock", labels.next()?)),
        _ => return None,
    };
    let region = second;
    (region.matches('-').count() >= 2).then_some((service, region))
}
