//! Checks AWS Signature Version 4, so that a gateway's signing is proved and not only present.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::AWS_KEY;

/// What a signed request consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// HTTP method.
    pub(crate) method: &'a str,
    /// The path as sent, escapes and all.
    pub(crate) path: &'a str,
    /// The query as sent.
    pub(crate) query: &'a str,
    /// Headers.
    pub(crate) headers: &'a HeaderMap,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// Why a signature does not hold; `Ok` if it does.
pub(crate) fn verify(request: &Signed<'_>) -> Result<(), String> {
    let authorization = header(request.headers, "authorization");
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("not a SigV4 authorization")?;
    let field = |name: &str| {
        rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    let scope: Vec<&str> = field("Credential").split('/').collect();
    let [id, date, region, service, end] = scope.as_slice() else {
        return Err("the credential scope has not five parts".to_owned());
    };
    if *id != AWS_KEY.0 || *end != "aws4_request" {
        return Err("unknown access key".to_owned());
    }
    let signed_names = field("SignedHeaders");
    let names: Vec<&str> = signed_names.split(';').collect();
    for needed in ["host", "x-amz-date"] {
        if !names.contains(&needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    let canonical_headers: String =
        names.iter().map(|name| format!("{name}:{}\n", joined(request.headers, name))).collect();
    let body_hash = hex(&Sha256::digest(request.body));
    let canonical = [
        request.method,
        &encode_path(request.path),
        &sorted_query(request.query),
        &canonical_headers,
        signed_names,
        &body_hash,
    ]
    .join("\n");
    let time = header(request.headers, "x-amz-date");
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = hmac(format!("AWS4{}", AWS_KEY.1).as_bytes(), date.as_bytes());
    for part in [*region, *service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let expected = hex(&hmac(&key, to_sign.as_bytes()));
    if expected == field("Signature") {
        Ok(())
    } else {
        Err("The request signature we calculated does not match the signature you provided.".to_owned())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(",")
}

/// Every service but S3 encodes the path again: `%3A` as sent becomes `%253A` in what is signed.
fn encode_path(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn sorted_query(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let hashed;
    let key = if key.len() > block.len() {
        hashed = Sha256::digest(key);
        hashed.as_slice()
    } else {
        key
    };
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(message.iter().copied()).collect();
    let outer: Vec<u8> = block.iter().map(|byte| byte ^ 0x5c).chain(Sha256::digest(&inner)).collect();
    Sha256::digest(&outer).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac(b"Jefe", b"what do ya want for nothing?")), expected);
    }

    #[test]
    fn the_path_is_encoded_again() {
        assert_eq!(encode_path("/model/a.b-v1%3A0/converse"), "/model/a.b-v1%253A0/converse");
    }

    #[test]
    fn a_signature_by_another_secret_does_not_hold() {
        let mut headers = HeaderMap::new();
        let credential = format!("{}/20260101/us-east-1/bedrock/aws4_request", AWS_KEY.0);
        let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=00");
        headers.insert("authorization", value.parse().unwrap());
        headers.insert("host", "h".parse().unwrap());
        headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
        let request = Signed { method: "POST", path: "/model/m/converse", query: "", headers: &headers, body: b"{}" };
        assert!(verify(&request).unwrap_err().contains("does not match"));
    }
}
