//! Addresses with `{names}` in them: filled once with a channel's options, then only `{model}` is left.

use std::fmt::Write as _;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use serde_json::{Map, Value};

use super::ChannelError;

const MODEL: &str = "{model}";

/// An address that is complete, or complete but for the model.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// Always the same.
    Fixed(Uri),
    /// The model's name stands between the two pieces of the path.
    Model { scheme: Scheme, authority: Authority, before: String, after: String },
}

impl Target {
    /// An address whose path and query may hold `{model}`.
    pub(super) fn new(scheme: &Scheme, authority: &Authority, path: &str) -> Result<Self, ChannelError> {
        let Some((before, after)) = path.split_once(MODEL) else {
            return uri(scheme.clone(), authority.clone(), path).map(Self::Fixed);
        };
        // Everything but the model is known to be a good path from here on.
        uri(scheme.clone(), authority.clone(), &format!("{before}m{after}"))?;
        Ok(Self::Model {
            scheme: scheme.clone(),
            authority: authority.clone(),
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// The address for a model; `query` is what the caller sent and may pass.
    pub(super) fn uri(&self, model: &str, query: Option<&str>) -> Result<Uri, ChannelError> {
        match self {
            Self::Fixed(whole) if query.is_none() => Ok(whole.clone()),
            Self::Fixed(whole) => {
                let path = whole.path_and_query().map_or("/", PathAndQuery::as_str);
                let parts = (whole.scheme().cloned(), whole.authority().cloned());
                let (Some(scheme), Some(authority)) = parts else { return Ok(whole.clone()) };
                uri(scheme, authority, &with_query(path, query))
            }
            Self::Model { .. } if matches!(model, "." | "..") => {
                Err(ChannelError::Address(format!("`{model}` is no model")))
            }
            Self::Model { scheme, authority, before, after } => {
                let mut path = String::with_capacity(before.len() + model.len() + after.len() + 16);
                path.push_str(before);
                encode_segment(model, &mut path);
                path.push_str(after);
                uri(scheme.clone(), authority.clone(), &with_query(&path, query))
            }
        }
    }

    /// The address with `tail` after its path, for resources below it (`responses` → `responses/{id}/cancel`).
    pub(super) fn below(&self, tail: &str, query: Option<&str>) -> Result<Uri, ChannelError> {
        self.below_for("", tail, query)
    }

    /// The same where the model stands in the path (Azure's deployments).
    pub(super) fn below_for(&self, model: &str, tail: &str, query: Option<&str>) -> Result<Uri, ChannelError> {
        let whole = self.uri(model, None)?;
        let parts = (whole.scheme().cloned(), whole.authority().cloned());
        let (Some(scheme), Some(authority)) = parts else { return Ok(whole) };
        let mut path = whole.path().to_owned();
        let own = whole.query();
        for segment in tail.split('/').filter(|segment| !segment.is_empty()) {
            if matches!(segment, "." | "..") {
                return Err(ChannelError::Address(format!("`{tail}` leaves the API")));
            }
            path.push('/');
            encode_segment(segment, &mut path);
        }
        if let Some(own) = own {
            path.push('?');
            path.push_str(own);
        }
        uri(scheme, authority, &with_query(&path, query))
    }

    /// Whether this goes over TLS.
    pub(super) fn is_tls(&self) -> bool {
        match self {
            Self::Fixed(uri) => uri.scheme() == Some(&Scheme::HTTPS),
            Self::Model { scheme, .. } => *scheme == Scheme::HTTPS,
        }
    }

    /// Host and port that this goes to.
    pub(super) fn authority(&self) -> Option<&Authority> {
        match self {
            Self::Fixed(uri) => uri.authority(),
            Self::Model { authority, .. } => Some(authority),
        }
    }
}

fn uri(scheme: Scheme, authority: Authority, path: &str) -> Result<Uri, ChannelError> {
    let path = PathAndQuery::try_from(path).map_err(|error| ChannelError::Address(format!("`{path}`: {error}")))?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|error| ChannelError::Address(error.to_string()))
}

fn with_query(path: &str, query: Option<&str>) -> String {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return path.to_owned() };
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{query}")
}

/// Writes `text` as one path segment. `@` stays (Vertex: `claude-…@20250219`), `:` and `/` do not (Bedrock ids and ARNs).
pub(super) fn encode_segment(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Fills `{name}` from a channel's options, then from the row's defaults. `{model}` stays.
pub(super) fn fill(
    template: &str,
    options: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> Result<String, ChannelError> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        let Some((name, after)) = tail.split_once('}') else { break };
        out.push_str(before);
        match name {
            "model" => out.push_str(MODEL),
            _ => out.push_str(&option(name, options, defaults).ok_or_else(|| ChannelError::Option(name.to_owned()))?),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// An option of the channel, else the row's default; only plain words can stand in an address.
pub(super) fn option(name: &str, options: &Map<String, Value>, defaults: &Map<String, Value>) -> Option<String> {
    let value = options.get(name).or_else(|| defaults.get(name))?;
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    (!text.is_empty() && text.chars().all(plain)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        Target::new(&Scheme::HTTPS, &Authority::from_static("host"), path).unwrap()
    }

    #[test]
    fn a_model_is_one_encoded_segment() {
        let bedrock = target("/model/{model}/converse");
        let uri = bedrock.uri("us.anthropic.claude-v1:0", None).unwrap();
        assert_eq!(uri.path(), "/model/us.anthropic.claude-v1%3A0/converse");
        let arn = bedrock.uri("arn:aws:bedrock:us-east-1:1:inference-profile/x", None).unwrap();
        assert_eq!(arn.path(), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse");
        assert_eq!(target("/m/{model}:rawPredict").uri("c@1", None).unwrap().path(), "/m/c@1:rawPredict");
        let hostile = bedrock.uri("../../admin?x=1#y\r\nz é", None).unwrap();
        assert_eq!(hostile.path(), "/model/..%2F..%2Fadmin%3Fx%3D1%23y%0D%0Az%20%C3%A9/converse");
    }

    #[test]
    fn queries_add_up_and_resources_stay_below() {
        assert_eq!(
            target("/a?api-version=1").uri("", Some("b=2")).unwrap().to_string(),
            "https://host/a?api-version=1&b=2"
        );
        let responses = target("/v1/responses?api-version=1");
        assert_eq!(
            responses.below("resp_1/cancel", Some("x=1")).unwrap().to_string(),
            "https://host/v1/responses/resp_1/cancel?api-version=1&x=1"
        );
        assert!(responses.below("../../admin", None).is_err());
    }

    #[test]
    fn options_fill_addresses_and_cannot_break_out() {
        let options = serde_json::json!({"region": "eu-west-1", "bad": "evil.test/#"});
        let options = options.as_object().unwrap();
        let defaults = Map::new();
        assert_eq!(fill("https://a.{region}.b/{model}", options, &defaults).unwrap(), "https://a.eu-west-1.b/{model}");
        assert!(matches!(fill("https://{bad}.x", options, &defaults), Err(ChannelError::Option(_))));
        assert!(matches!(fill("{missing}", options, &defaults), Err(ChannelError::Option(_))));
    }
}
