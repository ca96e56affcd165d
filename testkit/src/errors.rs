//! Failures in each provider's own shape. One table: shape → body and headers.

use serde_json::{Value, json};

use crate::refusal::{Kind, Refusal};

/// How a provider writes its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{message,type,param,code}}`: OpenAI and most hosts that speak its wire.
    OpenAi,
    /// The same with `code` a string such as `"401"`.
    Azure,
    /// `{"type":"error","error":{type,message},"request_id"}`.
    Anthropic,
    /// `{"error":{code,message,status,details}}`: Gemini and Vertex AI.
    Google,
    /// `{"message"}` with header `x-amzn-errortype`.
    Bedrock,
    /// `{"object":"error",message,type,param,code,raw_status_code}`; 401 and 422 have `detail`.
    Mistral,
    /// `{"id","message"}`.
    Cohere,
    /// `{"code","error":"text"}`; a bad key is 400.
    Xai,
    /// `{"error":{"code":int,message,metadata},"user_id"}`.
    OpenRouter,
    /// `{"error":{"code":"1302","message"}}`.
    Zhipu,
    /// `{"error":"text"}`.
    OllamaNative,
    /// `{"code","message","status"}`.
    Dify,
}

/// A failure ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rendered {
    /// HTTP status, which some providers choose in their own way.
    pub(crate) status: u16,
    /// Headers beside the content type.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Value,
}

impl ErrorShape {
    /// Writes a failure.
    pub(crate) fn render(self, refusal: &Refusal) -> Rendered {
        let mut headers = refusal.headers.clone();
        headers.push(("x-mock-rule".to_owned(), refusal.rule.to_owned()));
        let status = self.status(refusal);
        let message = refusal.said();
        let kind = refusal.kind;
        let body = match self {
            Self::OpenAi => json!({"error": {
                "message": message, "type": openai_type(kind), "param": refusal.param, "code": openai_code(kind),
            }}),
            Self::Azure => json!({"error": {"code": azure_code(kind, status), "message": message}}),
            Self::Anthropic => json!({
                "type": "error",
                "error": {"type": anthropic_type(kind, status), "message": message},
                "request_id": if kind == Kind::Authentication { Value::Null } else { json!("req_mock") },
            }),
            Self::Google => google(status, kind, &message, refusal),
            Self::Bedrock => {
                headers.push(("x-amzn-errortype".to_owned(), bedrock_type(kind).to_owned()));
                json!({"message": message})
            }
            Self::Mistral if kind == Kind::Authentication => json!({"detail": message}),
            Self::Mistral if status == 422 => {
                let place = refusal.param.clone().unwrap_or_default();
                json!({"object": "error", "message": {"detail": [{
                    "type": "extra_forbidden", "loc": ["body", place], "msg": message,
                }]}, "type": "invalid_request_error", "param": null, "code": null})
            }
            Self::Mistral => json!({
                "object": "error", "message": message, "type": openai_type(kind), "param": null, "code": mistral_code(kind), "raw_status_code": status,
            }),
            Self::Cohere => json!({"id": "mock", "message": message}),
            Self::Xai => json!({"code": openai_type(kind), "error": message}),
            Self::OpenRouter => json!({"error": {
                "code": status, "message": "Provider returned error", "metadata": {"raw": message, "provider_name": "Mock"},
            }, "user_id": "user_mock"}),
            Self::Zhipu => json!({"error": {"code": zhipu_code(kind), "message": message}}),
            Self::OllamaNative => json!({"error": message}),
            Self::Dify => json!({"code": dify_code(kind), "message": message, "status": status}),
        };
        Rendered { status, headers, body }
    }

    fn status(self, refusal: &Refusal) -> u16 {
        match (self, refusal.kind) {
            (Self::Google | Self::Xai, Kind::Authentication) => 400,
            (Self::Bedrock, Kind::Authentication) => 403,
            (Self::Mistral, Kind::BadRequest) if refusal.rule == "unknown-field" => 422,
            _ => refusal.status,
        }
    }
}

fn openai_type(kind: Kind) -> &'static str {
    match kind {
        Kind::RateLimit => "rate_limit_exceeded",
        Kind::Billing => "insufficient_quota",
        Kind::Server | Kind::Overloaded | Kind::Timeout => "server_error",
        Kind::Permission => "permission_denied",
        _ => "invalid_request_error",
    }
}

fn openai_code(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Authentication => "invalid_api_key",
        Kind::ContextLength => "context_length_exceeded",
        Kind::ContentPolicy => "content_policy_violation",
        Kind::NotFound => "model_not_found",
        Kind::RateLimit => "rate_limit_exceeded",
        Kind::Billing => "insufficient_quota",
        Kind::Server => "server_error",
        Kind::Overloaded => "overloaded",
        Kind::Timeout => "timeout",
        Kind::BadRequest | Kind::Permission | Kind::TooLarge => return None,
    })
}

fn azure_code(kind: Kind, status: u16) -> String {
    match kind {
        Kind::RateLimit => "RateLimitReached".to_owned(),
        Kind::NotFound => "DeploymentNotFound".to_owned(),
        Kind::ContentPolicy => "content_filter".to_owned(),
        Kind::ContextLength => "context_length_exceeded".to_owned(),
        Kind::BadRequest => "BadRequest".to_owned(),
        _ => status.to_string(),
    }
}

fn anthropic_type(kind: Kind, status: u16) -> &'static str {
    match kind {
        Kind::Authentication => "authentication_error",
        Kind::Billing => "billing_error",
        Kind::Permission => "permission_error",
        Kind::NotFound => "not_found_error",
        Kind::TooLarge => "request_too_large",
        Kind::RateLimit => "rate_limit_error",
        Kind::Overloaded if status == 529 => "overloaded_error",
        Kind::Server | Kind::Overloaded => "api_error",
        Kind::Timeout => "timeout_error",
        Kind::BadRequest | Kind::ContextLength | Kind::ContentPolicy => "invalid_request_error",
    }
}

fn google(status: u16, kind: Kind, message: &str, refusal: &Refusal) -> Value {
    let word = match kind {
        Kind::RateLimit | Kind::Billing => "RESOURCE_EXHAUSTED",
        Kind::Permission => "PERMISSION_DENIED",
        Kind::NotFound => "NOT_FOUND",
        Kind::Overloaded => "UNAVAILABLE",
        Kind::Timeout => "DEADLINE_EXCEEDED",
        Kind::Server => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let mut details = Vec::new();
    if kind == Kind::Authentication {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
        }));
    }
    if let Some((_, seconds)) = refusal.headers.iter().find(|(name, _)| name == "retry-after") {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s")}));
    }
    let mut error = json!({"code": status, "message": message, "status": word});
    if let (false, Some(map)) = (details.is_empty(), error.as_object_mut()) {
        map.insert("details".to_owned(), Value::Array(details));
    }
    json!({"error": error})
}

/// The exception that Bedrock names for a failure.
pub(crate) fn bedrock_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Authentication => "UnrecognizedClientException",
        Kind::Permission | Kind::Billing => "AccessDeniedException",
        Kind::NotFound => "ResourceNotFoundException",
        Kind::RateLimit => "ThrottlingException",
        Kind::Server => "InternalServerException",
        Kind::Overloaded => "ServiceUnavailableException",
        Kind::Timeout => "ModelTimeoutException",
        _ => "ValidationException",
    }
}

fn mistral_code(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::RateLimit => Some("1300"),
        Kind::NotFound => Some("1500"),
        Kind::ContextLength => Some("3051"),
        _ => None,
    }
}

fn zhipu_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Authentication => "1000",
        Kind::Billing => "1113",
        Kind::ContentPolicy => "1301",
        Kind::RateLimit => "1302",
        Kind::NotFound => "1211",
        Kind::BadRequest | Kind::ContextLength | Kind::TooLarge | Kind::Permission => "1210",
        Kind::Server | Kind::Overloaded | Kind::Timeout => "500",
    }
}

fn dify_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Authentication => "unauthorized",
        Kind::NotFound => "not_found",
        Kind::RateLimit => "too_many_requests",
        Kind::Server | Kind::Overloaded | Kind::Timeout => "internal_server_error",
        _ => "invalid_param",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_its_rule_whatever_the_shape() {
        for shape in [
            ErrorShape::OpenAi,
            ErrorShape::Azure,
            ErrorShape::Anthropic,
            ErrorShape::Google,
            ErrorShape::Bedrock,
            ErrorShape::Mistral,
            ErrorShape::Cohere,
            ErrorShape::Xai,
            ErrorShape::OpenRouter,
            ErrorShape::Zhipu,
            ErrorShape::OllamaNative,
            ErrorShape::Dify,
        ] {
            for status in [400, 401, 404, 429, 500, 529] {
                let rendered = shape.render(&Refusal::with_status(status, "some-rule", "no"));
                assert!(rendered.body.to_string().contains("[rule: some-rule]"), "{shape:?} {status}");
                assert!(rendered.headers.contains(&("x-mock-rule".to_owned(), "some-rule".to_owned())));
            }
        }
    }

    #[test]
    fn a_wrong_key_has_each_providers_own_status() {
        let refusal = Refusal::with_status(401, "key", "no");
        assert_eq!(ErrorShape::OpenAi.render(&refusal).status, 401);
        assert_eq!(ErrorShape::Google.render(&refusal).status, 400);
        assert_eq!(ErrorShape::Xai.render(&refusal).status, 400);
        assert_eq!(ErrorShape::Bedrock.render(&refusal).status, 403);
    }
}
