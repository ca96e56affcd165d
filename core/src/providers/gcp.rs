//! Google accounts: from a service account's key, or a user's refresh token, to access tokens.
//!
//! A service account signs a claim with its RSA key and gets a token for an hour (RFC 7523); `gcloud auth application-default login` leaves
//! a refresh token. Tokens are fetched through the channel's own connection, so its proxy holds for them too, and renewed five minutes
//! before they run out, by one request at a time; while the old one still works a failure to renew it does not matter.

use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::Fetch;
use super::auth::sensitive;
use crate::clock::Clock;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// How long a claim holds, in seconds: the longest that Google takes.
const CLAIM_SECONDS: u64 = 3_600;
/// How long before its end a token is renewed.
const EARLY_MS: u64 = 300_000;

/// A Google account and its current token.
pub(super) struct Account {
    grant: Grant,
    token_uri: String,
    project: Option<String>,
    quota_project: Option<HeaderValue>,
    /// What must never be shown.
    secrets: Vec<String>,
    token: RwLock<Option<Token>>,
    /// Held while a token is fetched.
    fetching: tokio::sync::Mutex<()>,
}

enum Grant {
    ServiceAccount { email: String, key_id: Option<String>, key: Box<RsaKeyPair> },
    Refresh { client_id: String, client_secret: String, refresh_token: String },
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    expires_ms: u64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("project", &self.project)
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

/// The two kinds of files that `gcloud` and the console hand out. Other fields are of no use here.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    quota_project_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
    #[serde(default)]
    client_email: Option<String>,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    private_key: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Account {
    /// Reads a service account's or a user's file.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: File =
            serde_json::from_str(text).map_err(|error| format!("is no Google credentials file: {error}"))?;
        let need = |field: Option<String>, name: &str| {
            field.filter(|text| !text.is_empty()).ok_or_else(|| format!("the credentials file has no `{name}`"))
        };
        let mut secrets = Vec::new();
        let grant = match file.kind.as_str() {
            "service_account" => {
                let pem = need(file.private_key, "private_key")?;
                let key = rsa_key(&pem)?;
                secrets.push(pem);
                let email = need(file.client_email, "client_email")?;
                Grant::ServiceAccount { email, key_id: file.private_key_id, key: Box::new(key) }
            }
            "authorized_user" => {
                let client_secret = need(file.client_secret, "client_secret")?;
                let refresh_token = need(file.refresh_token, "refresh_token")?;
                secrets.extend([client_secret.clone(), refresh_token.clone()]);
                Grant::Refresh { client_id: need(file.client_id, "client_id")?, client_secret, refresh_token }
            }
            other => {
                return Err(format!(
                    "Google credentials of type `{other}` are not supported: take a service account or an API key"
                ));
            }
        };
        let quota_project = file.quota_project_id.as_deref().and_then(|project| HeaderValue::from_str(project).ok());
        Ok(Self {
            grant,
            token_uri: file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            project: file.project_id.or(file.quota_project_id),
            quota_project,
            secrets,
            token: RwLock::new(None),
            fetching: tokio::sync::Mutex::new(()),
        })
    }

    /// The project that the account belongs to.
    pub(super) fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The project that a user's calls are counted on.
    pub(super) fn quota_project(&self) -> Option<HeaderValue> {
        matches!(self.grant, Grant::Refresh { .. }).then(|| self.quota_project.clone()).flatten()
    }

    pub(super) fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(String::as_str).collect()
    }

    /// The value of `Authorization`: the current token, or a new one.
    pub(super) async fn token(&self, fetch: &dyn Fetch, clock: &dyn Clock) -> Result<HeaderValue, String> {
        let fresh = |token: &Token| token.expires_ms > clock.unix_ms() + EARLY_MS;
        if let Some(token) = self.current().filter(fresh) {
            return Ok(token.header);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(token) = self.current().filter(fresh) {
            return Ok(token.header);
        }
        match self.renew(fetch, clock).await {
            Ok(token) => {
                let header = token.header.clone();
                *self.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token);
                Ok(header)
            }
            Err(why) => {
                let alive = |token: &Token| token.expires_ms > clock.unix_ms();
                self.current().filter(alive).map(|token| token.header).ok_or(why)
            }
        }
    }

    fn current(&self) -> Option<Token> {
        self.token.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn renew(&self, fetch: &dyn Fetch, clock: &dyn Clock) -> Result<Token, String> {
        let form = self.form(clock.unix_ms() / 1_000)?;
        let request = Request::post(&self.token_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(|error| format!("the account's token_uri cannot be used: {error}"))?;
        let answer = fetch.fetch(request).await.map_err(|error| format!("no token from Google: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("no token from Google ({}): {}", answer.status().as_u16(), refusal(answer.body())));
        }
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            #[serde(default)]
            expires_in: Option<u64>,
        }
        let granted: Granted =
            serde_json::from_slice(answer.body()).map_err(|_| "Google's answer holds no access_token".to_owned())?;
        let seconds = granted.expires_in.unwrap_or(CLAIM_SECONDS);
        Ok(Token {
            header: sensitive(&format!("Bearer {}", granted.access_token))?,
            expires_ms: clock.unix_ms().saturating_add(seconds.saturating_mul(1_000)),
        })
    }

    fn form(&self, now: u64) -> Result<String, String> {
        let pairs = match &self.grant {
            Grant::ServiceAccount { email, key_id, key } => {
                let assertion = self.assertion(email, key_id.as_deref(), key, now)?;
                vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()), ("assertion", assertion)]
            }
            Grant::Refresh { client_id, client_secret, refresh_token } => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", client_id.clone()),
                ("client_secret", client_secret.clone()),
                ("refresh_token", refresh_token.clone()),
            ],
        };
        let mut form = String::new();
        for (name, value) in pairs {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            super::template::encode_segment(&value, &mut form);
        }
        Ok(form)
    }

    /// A signed claim: `base64(header).base64(claims).base64(signature)`.
    fn assertion(&self, email: &str, key_id: Option<&str>, key: &RsaKeyPair, now: u64) -> Result<String, String> {
        let mut header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(key_id), Some(header)) = (key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), key_id.into());
        }
        let claims = serde_json::json!({
            "iss": email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + CLAIM_SECONDS,
        });
        let mut assertion =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), assertion.as_bytes(), &mut signature)
            .map_err(|_| "the account's key cannot sign".to_owned())?;
        assertion.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut assertion);
        Ok(assertion)
    }
}

fn rsa_key(pem: &str) -> Result<RsaKeyPair, String> {
    let der =
        PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "`private_key` is no PKCS#8 PEM".to_owned())?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| format!("`private_key` cannot be used: {error}"))
}

/// What the token endpoint said, in its own words.
fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        error: Option<String>,
        #[serde(default)]
        error_description: Option<String>,
    }
    match serde_json::from_slice(body) {
        Ok(Refusal { error, error_description: Some(words) }) => format!("{}: {words}", error.unwrap_or_default()),
        Ok(Refusal { error: Some(error), .. }) => error,
        _ => "no reason given".to_owned(),
    }
}
