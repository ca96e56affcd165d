//! Credentials of a channel, and how they get into a request.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::catalog::{AuthStyle, Provider};
use super::error::ChannelError;
use super::gcp::Account;
use super::live::{LiveChannel, SecretResolver};
use super::{Fetch, sigv4};
use crate::clock::Clock;
use crate::model::{Channel, Secret};

/// A request without its body and without a credential.
#[derive(Debug)]
pub struct Prepared {
    /// Method, address and headers.
    pub parts: Parts,
    /// `anthropic-beta` values of the caller that the host does not take: a loss each.
    pub dropped_betas: Vec<String>,
    /// Where the key goes.
    pub(super) auth: AuthStyle,
}

/// The body, as far as a signature needs it.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// The whole body, in pieces.
    Whole(&'a [bytes::Bytes]),
    /// The body streams through and is not known: fine for everything but signatures.
    Streamed,
}

/// One credential, read from its secret once.
#[derive(Debug)]
pub(super) struct LiveCredential {
    secret: Secret,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// No key.
    None,
    /// A key that goes into a header or the address as it is: ready-made header values.
    Key { plain: HeaderValue, bearer: HeaderValue },
    /// AWS access key, secret and perhaps a session.
    Aws(sigv4::Keys),
    /// A Google account that gives tokens.
    Google(Box<Account>),
}

impl LiveCredential {
    /// Every credential of a channel; one without a key if it may have none.
    pub(super) fn all(
        channel: &Channel,
        provider: &Provider,
        secrets: &dyn SecretResolver,
    ) -> Result<Vec<Self>, ChannelError> {
        let mut all = Vec::with_capacity(channel.credentials.len().max(1));
        for (index, credential) in channel.credentials.iter().enumerate() {
            let position = index + 1;
            let source_text = credential.secret.describe();
            let secret = secrets.resolve(&credential.secret).map_err(|why| ChannelError::Secret {
                position,
                source_text,
                why,
            })?;
            let region = channel.options.get("region").and_then(Value::as_str);
            all.push(Self::read(secret, provider, region).map_err(|why| ChannelError::Credential { position, why })?);
        }
        if all.is_empty() {
            if !provider.keyless && provider.auth != AuthStyle::None {
                return Err(ChannelError::NoCredential(provider.keys.join(", ")));
            }
            all.push(Self { secret: Secret::default(), kind: Kind::None });
        }
        Ok(all)
    }

    fn read(secret: Secret, provider: &Provider, region: Option<&str>) -> Result<Self, String> {
        let text = secret.expose().trim();
        let kind = match provider.auth {
            _ if text.is_empty() => return Err("is empty".to_owned()),
            AuthStyle::Sigv4 if text.contains(':') => {
                Kind::Aws(sigv4::Keys::parse(text)?.at(&provider.base_url, region))
            }
            AuthStyle::Gcp if text.starts_with('{') => Kind::Google(Box::new(Account::parse(text)?)),
            // `ya29.…` is a token that somebody got by `gcloud auth print-access-token`.
            _ => Kind::Key { plain: sensitive(text)?, bearer: sensitive(&format!("Bearer {text}"))? },
        };
        Ok(Self { secret, kind })
    }

    /// A number made of the secret that tells nothing of it.
    pub(super) fn mark(&self) -> u64 {
        use sha2::{Digest, Sha256};
        let hash = Sha256::new_with_prefix(b"myelin credential ").chain_update(self.secret.expose().trim()).finalize();
        hash.iter().take(8).fold(0, |mark, byte| (mark << 8) | u64::from(*byte))
    }

    /// The texts that must never be shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let whole = self.secret.expose().trim();
        let pieces = match &self.kind {
            Kind::Aws(keys) => keys.secrets(),
            Kind::Google(account) => account.secrets(),
            _ => Vec::new(),
        };
        // Shorter texts are no secrets but placeholders (`none`, `ollama`); taking them out would garble words.
        pieces.into_iter().chain([whole]).filter(|text| text.len() >= 8)
    }

    /// The project that the account belongs to (Google).
    pub(super) fn project(&self) -> Option<&str> {
        match &self.kind {
            Kind::Google(account) => account.project(),
            _ => None,
        }
    }
}

impl LiveChannel {
    /// Whether [`Self::authorize`] needs the whole body: then it cannot stream through.
    pub fn signs_body(&self, credential: usize) -> bool {
        self.credentials.get(credential).is_some_and(|credential| matches!(credential.kind, Kind::Aws(_)))
    }

    /// Puts a credential into a request. Only Google accounts wait here, for a token, when theirs has run out.
    pub async fn authorize(
        &self,
        credential: usize,
        prepared: &mut Prepared,
        payload: Payload<'_>,
        fetch: &dyn Fetch,
        clock: &dyn Clock,
    ) -> Result<(), ChannelError> {
        let Some(credential) = self.credentials.get(credential) else {
            return Err(ChannelError::NoCredential(self.provider.keys.join(", ")));
        };
        match &credential.kind {
            Kind::None => Ok(()),
            Kind::Key { plain, bearer } => put_key(prepared, credential.secret.expose().trim(), plain, bearer),
            Kind::Aws(keys) => {
                sigv4::sign(keys, &mut prepared.parts, payload, clock.unix_ms()).map_err(ChannelError::Authorize)
            }
            Kind::Google(account) => {
                let token = account.token(fetch, clock).await.map_err(ChannelError::Authorize)?;
                prepared.parts.headers.insert(AUTHORIZATION, token);
                if let Some(project) = account.quota_project() {
                    prepared.parts.headers.insert(HeaderName::from_static("x-goog-user-project"), project);
                }
                Ok(())
            }
        }
    }
}

fn put_key(prepared: &mut Prepared, key: &str, plain: &HeaderValue, bearer: &HeaderValue) -> Result<(), ChannelError> {
    let name = match prepared.auth {
        AuthStyle::None => return Ok(()),
        AuthStyle::Query => return put_query(&mut prepared.parts, key),
        AuthStyle::XApiKey => "x-api-key",
        AuthStyle::ApiKey if !is_jwt(key) => "api-key",
        AuthStyle::XGoogApiKey => "x-goog-api-key",
        AuthStyle::Gcp if !key.starts_with("ya29.") => "x-goog-api-key",
        AuthStyle::Bearer | AuthStyle::ApiKey | AuthStyle::Sigv4 | AuthStyle::Gcp => {
            prepared.parts.headers.insert(AUTHORIZATION, bearer.clone());
            return Ok(());
        }
    };
    prepared.parts.headers.insert(HeaderName::from_static(name), plain.clone());
    Ok(())
}

fn put_query(parts: &mut Parts, key: &str) -> Result<(), ChannelError> {
    let joint = if parts.uri.query().is_some() { '&' } else { '?' };
    let mut encoded = String::new();
    super::template::encode_segment(key, &mut encoded);
    let uri = format!("{}{joint}key={encoded}", parts.uri);
    parts.uri = uri.parse().map_err(|_| ChannelError::Authorize("the key does not fit into an address".to_owned()))?;
    Ok(())
}

/// Entra tokens are JSON Web Tokens: three pieces, the first of which is a JSON object in base64 (`{"` is `eyJ`).
fn is_jwt(key: &str) -> bool {
    key.starts_with("eyJ") && key.matches('.').count() == 2
}

/// A header value that is never printed.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A field of a JSON object as text.
pub(super) fn text_field<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
