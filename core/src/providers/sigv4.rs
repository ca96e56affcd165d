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
    /// Service and region for hosts that do not tell them: private endpoints under names of their own, relays.
    elsewhere: Option<(&'static str, String)>,
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
        Ok(Self { identity: Credentials::new(access, secret, session, None, "myelin"), elsewhere: None })
    }

    /// Signs for `region` where the host does not tell it. `vendor` is the vendor's own address, which tells the service.
    pub(super) fn at(mut self, vendor: &str, region: Option<&str>) -> Self {
        let service = if vendor.contains("bedrock-mantle") { "bedrock-mantle" } else { "bedrock" };
        self.elsewhere = region.filter(|region| !region.is_empty()).map(|region| (service, region.to_owned()));
        self
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
    let elsewhere = || keys.elsewhere.as_ref().map(|(service, region)| (*service, region.as_str()));
    let (service, region) = scope(authority.host()).or_else(elsewhere).ok_or_else(|| {
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
        value.set_sensitive(true);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use ring::hmac;

    use super::*;

    /// 2015-08-30 12:36:00, the moment of AWS's published vectors.
    const THEN: u64 = 1_440_938_160_000;
    const ACCESS: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn parts(method: &str, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    fn signature(parts: &Parts) -> (String, String) {
        let text = parts.headers["authorization"].to_str().unwrap();
        let field = |name: &str| text.split(name).nth(1).unwrap().split(',').next().unwrap().to_owned();
        (field("SignedHeaders="), field("Signature="))
    }

    #[test]
    fn published_vectors_hold() {
        let keys = Keys::parse(&format!("{ACCESS}:{SECRET}")).unwrap();
        let mut vanilla = parts("GET", "https://example.amazonaws.com/");
        sign_for(&keys, &mut vanilla, &[], THEN, "service", "us-east-1").unwrap();
        let (signed, signature_of) = signature(&vanilla);
        assert_eq!(signed, "host;x-amz-date");
        assert_eq!(signature_of, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        assert_eq!(vanilla.headers["x-amz-date"], "20150830T123600Z");

        let session = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let keys = Keys::parse(&format!("{ACCESS}:{SECRET}:{session}")).unwrap();
        let mut with_session = parts("POST", "https://example.amazonaws.com/");
        sign_for(&keys, &mut with_session, &[], THEN, "service", "us-east-1").unwrap();
        let (signed, signature_of) = signature(&with_session);
        assert_eq!(signed, "host;x-amz-date;x-amz-security-token");
        assert_eq!(signature_of, "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
        assert_eq!(with_session.headers["x-amz-security-token"], session);
        assert_eq!(keys.secrets(), [SECRET, session]);
        assert!(!format!("{keys:?}").contains(SECRET));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The signature of a canonical request, worked out step by step as AWS documents it.
    fn by_hand(canonical: &str, service: &str, region: &str) -> String {
        let hashed = hex(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()).as_ref());
        let scope = format!("20150830/{region}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{hashed}");
        let step = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let key = ["20150830", region, service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{SECRET}").into_bytes(), |key, text| step(&key, text));
        hex(&step(&key, &to_sign))
    }

    #[test]
    fn the_path_of_a_model_is_encoded_once_more_when_it_is_signed() {
        let keys = Keys::parse(&format!("{ACCESS}:{SECRET}")).unwrap();
        let uri = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-v1%3A0/converse";
        let mut parts = parts("POST", uri);
        parts.headers.insert("content-type", HeaderValue::from_static("application/json"));
        parts.headers.insert("user-agent", HeaderValue::from_static("changed by proxies"));
        let body = [Bytes::from("{\"a\""), Bytes::from(":1}")];
        sign(&keys, &mut parts, Payload::Whole(&body), THEN).unwrap();
        let hashed = hex(ring::digest::digest(&ring::digest::SHA256, b"{\"a\":1}").as_ref());
        let canonical = format!(
            "POST\n/model/us.anthropic.claude-v1%253A0/converse\n\ncontent-type:application/json\n\
             host:bedrock-runtime.eu-west-1.amazonaws.com\nx-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n{hashed}"
        );
        let (signed, signature_of) = signature(&parts);
        assert_eq!(signed, "content-type;host;x-amz-date");
        assert_eq!(signature_of, by_hand(&canonical, "bedrock", "eu-west-1"));
        assert_eq!(parts.uri, uri, "what is sent is encoded once");
        assert!(parts.headers["authorization"].is_sensitive());
    }

    #[test]
    fn service_and_region_follow_from_the_host() {
        for (host, means) in [
            ("bedrock-runtime.us-east-1.amazonaws.com", Some(("bedrock", "us-east-1"))),
            ("bedrock.eu-central-1.amazonaws.com", Some(("bedrock", "eu-central-1"))),
            ("bedrock-runtime.us-gov-west-1.amazonaws.com", Some(("bedrock", "us-gov-west-1"))),
            ("bedrock-runtime.cn-north-1.amazonaws.com.cn", Some(("bedrock", "cn-north-1"))),
            ("bedrock-mantle.us-east-1.api.aws", Some(("bedrock-mantle", "us-east-1"))),
            ("vpce-1-x.bedrock-runtime.us-east-1.vpce.amazonaws.com", Some(("bedrock", "us-east-1"))),
            ("127.0.0.1", None),
            ("api.openai.com", None),
        ] {
            assert_eq!(scope(host), means, "{host}");
        }
    }

    #[test]
    fn what_cannot_be_signed_says_why() {
        assert!(Keys::parse("only:").is_err() && Keys::parse(":secret").is_err());
        let keys = Keys::parse("a:b").unwrap();
        let mut streamed = parts("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/x");
        assert!(sign(&keys, &mut streamed, Payload::Streamed, THEN).unwrap_err().contains("whole body"));
        let mut relay = parts("POST", "https://relay.example/x");
        assert!(sign(&keys, &mut relay, Payload::Whole(&[]), THEN).unwrap_err().contains("region"));
        let keys = keys.at("https://bedrock-runtime.{region}.amazonaws.com", Some("eu-west-1"));
        sign(&keys, &mut relay, Payload::Whole(&[]), THEN).unwrap();
        assert!(relay.headers["authorization"].to_str().unwrap().contains("/eu-west-1/bedrock/aws4_request"));
    }
}
