//! Who may knock at all: `Host` against DNS rebinding, `Origin` against pages in a browser. On every route, before anything else.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

/// Why a request is turned away before its key is even looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `Host` is missing or names a machine that is not this one.
    Host,
    /// A browser page of another origin calls.
    Origin,
}

impl Refusal {
    /// What the caller reads.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::Host => "this host name is not allowed; add it to allowed_hosts in myelin.toml",
            Refusal::Origin => {
                "calls from this browser origin are not allowed; add it to allowed_origins in myelin.toml"
            }
        }
    }
}

/// Checks one request. `lan`: the owner opened the gateway to the network, then any IP address is a good host.
pub fn check(uri: &Uri, headers: &HeaderMap, hosts: &[String], origins: &[String], lan: bool) -> Result<(), Refusal> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host()).ok_or(Refusal::Host)?;
    let name = host_name(host);
    // An address cannot be rebound, a name can: every way to write this machine's own is good.
    let ip = name.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_canonical());
    let allowed = name.eq_ignore_ascii_case("localhost")
        || ip.is_some_and(|ip| lan || ip.is_loopback())
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host));
    if !allowed {
        return Err(Refusal::Host);
    }
    match headers.get(ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let origin = origin.to_str().map_err(|_| Refusal::Origin)?;
            let own = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
            let known = origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
            if own || known { Ok(()) } else { Err(Refusal::Origin) }
        }
    }
}

/// The origin of a request if its pages may read the answers: one that is allowed by name.
pub fn shared_with(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    origins.iter().any(|known| known.eq_ignore_ascii_case(text)).then(|| origin.clone())
}

/// The host without its port and without the brackets of IPv6.
fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(name, _)| name);
    }
    authority.rsplit_once(':').map_or(authority, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, origin: Option<&str>, lan: bool) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let uri = Uri::from_static("/v1/models");
        check(&uri, &headers, &["gateway.home".to_owned()], &["https://app.example".to_owned()], lan)
    }

    #[test]
    fn only_this_machine_is_a_good_host() {
        for good in [
            "127.0.0.1:6935",
            "127.0.0.2:6935",
            "localhost",
            "LocalHost:6935",
            "[::1]:6935",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:6935",
            "gateway.home:6935",
        ] {
            assert_eq!(ask(good, None, false), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "192.168.1.5:6935",
            "[fe80::1]:6935",
            "[::ffff:192.168.1.5]",
            "127.0.0.1.evil.example:6935",
            "",
        ] {
            assert_eq!(ask(bad, None, false), Err(Refusal::Host), "{bad}");
        }
        assert_eq!(ask("192.168.1.5:6935", None, true), Ok(()));
        assert_eq!(ask("evil.example", None, true), Err(Refusal::Host));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        assert_eq!(ask("127.0.0.1:6935", Some("http://127.0.0.1:6935"), false), Ok(()));
        assert_eq!(ask("127.0.0.1:6935", Some("https://app.example"), false), Ok(()));
        for bad in ["https://evil.example", "null", "http://localhost:3000"] {
            assert_eq!(ask("127.0.0.1:6935", Some(bad), false), Err(Refusal::Origin), "{bad}");
        }
    }
}
