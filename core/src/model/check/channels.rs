//! Channels: known provider, sane addresses, credentials, models, overrides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use myelin_protocol::Dialect;
use serde_json::Value;

use super::{Catalog, Problem, closest, name, unique};
use crate::model::{Channel, ChannelModel, SecretSource, Settings, Told};
use crate::told;

/// Host names of cloud metadata services: they hand out the machine's own credentials.
const METADATA_HOSTS: [&str; 3] = ["metadata.google.internal", "metadata", "instance-data.ec2.internal"];
/// Their addresses outside the link-local ranges.
const METADATA_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];

/// Checks one channel.
pub fn channel(channel: &Channel, settings: &Settings, catalog: &dyn Catalog) -> Vec<Problem> {
    let at = |field: &str| format!("channels.{}.{field}", channel.name);
    let mut problems: Vec<Problem> = name(&at("name"), &channel.name).into_iter().collect();
    if !catalog.has_provider(&channel.provider) {
        let why = told!(
            "no-provider",
            "there is no provider '{provider}': `myelin channel providers` lists them",
            provider = channel.provider
        );
        problems.push(Problem::error(at("provider"), why));
    }
    for (index, url) in channel.base_urls.iter().enumerate() {
        if let Err(why) = address(url, channel.allow_link_local, settings) {
            problems.push(Problem::error(at(&format!("base_urls[{index}]")), why));
        }
    }
    for (index, credential) in channel.credentials.iter().enumerate() {
        if let Some(why) = source(&credential.secret) {
            problems.push(Problem::error(at(&format!("credentials[{index}]")), why));
        }
    }
    problems.extend(models(channel, &at("models")));
    problems.extend(unserved(channel, &at("models"), catalog));
    for (index, tag) in channel.tags.iter().enumerate() {
        problems.extend(name(&at(&format!("tags[{index}]")), tag));
    }
    problems.extend(options(channel, catalog));
    problems.extend(headers(channel, &at("headers")));
    if let Err(why) = serde_json::from_value::<Dialect>(Value::Object(channel.dialect.clone())) {
        problems.push(Problem::error(at("dialect"), told!("bad-dialect", "{why}", why = why)));
    }
    if let Some(proxy) = &channel.proxy
        && !["http://", "https://", "socks5://", "socks5h://"].iter().any(|scheme| proxy.starts_with(scheme))
    {
        problems.push(Problem::error(
            at("proxy"),
            told!("bad-proxy", "a proxy starts with http://, https:// or socks5://"),
        ));
    }
    problems.extend(super::settings::timeouts(&at("timeouts"), &channel.timeouts));
    if let Some(ca) = &channel.ca
        && !ca.trim_start().starts_with("-----BEGIN")
        && matches!(SecretSource::parse(ca), SecretSource::Inline(_))
    {
        problems.push(Problem::error(
            at("ca"),
            told!("bad-ca", "is no certificate: write file:PATH, env:NAME or the PEM text itself"),
        ));
    }
    problems.extend(super::policy::retry(&at("retry"), &channel.retry));
    for (index, rule) in channel.disable.iter().enumerate() {
        let path = at(&format!("disable[{index}]"));
        if rule.status.is_none() && rule.text.as_ref().is_none_or(|text| text.trim().is_empty()) {
            problems
                .push(Problem::error(&path, told!("rule-fits-nothing", "fits nothing: say a status, a text or both")));
        }
        if rule.status.is_some_and(|status| !(400..=599).contains(&status)) {
            problems.push(Problem::error(
                format!("{path}.status"),
                told!("bad-status", "is no status of a failure (400 to 599)"),
            ));
        }
        if rule.minutes == Some(0) {
            problems.push(Problem::error(
                format!("{path}.minutes"),
                told!("minutes-least", "must be at least 1; absent: until it is reset"),
            ));
        }
    }
    if let Some(probe) = &channel.probe
        && !(5..=86_400).contains(&probe.every_seconds)
    {
        problems.push(Problem::error(
            at("probe.every_seconds"),
            told!("between", "must be between {least} and {most}", least = 5, most = 86_400),
        ));
    }
    problems.extend(super::policy::overrides(&at("overrides"), &channel.overrides));
    for (index, tuning) in channel.for_models.iter().enumerate() {
        let path = at(&format!("for_models[{index}]"));
        if tuning.models.is_empty() {
            problems.push(Problem::error(
                format!("{path}.match"),
                told!("no-match", "names no model: write match = \"o3*\""),
            ));
        }
        problems.extend(super::settings::timeouts(&format!("{path}.timeouts"), &tuning.timeouts));
        problems.extend(super::policy::retry(&format!("{path}.retry"), &tuning.retry));
        problems.extend(super::policy::overrides(&format!("{path}.overrides"), &tuning.overrides));
    }
    problems
}

/// Models that the provider has no address for, as it is set up here: asked for, they could only fail.
fn unserved<'a>(channel: &'a Channel, path: &'a str, catalog: &'a dyn Catalog) -> impl Iterator<Item = Problem> + 'a {
    let models = channel.models.iter().flatten().enumerate();
    models.filter(|(_, model)| catalog.serves(channel, model.upstream()) == Some(false)).map(move |(index, model)| {
        let why = told!(
            "unserved",
            "no endpoint of this channel serves '{model}': see options.formats",
            model = model.upstream()
        );
        Problem::error(format!("{path}[{index}]"), why)
    })
}

fn models(channel: &Channel, path: &str) -> Vec<Problem> {
    let Some(models) = &channel.models else {
        return Vec::new();
    };
    let mut problems = unique(path, models.iter().map(ChannelModel::name));
    if models.is_empty() {
        problems.push(Problem::warning(path, told!("no-models", "the list is empty: the channel serves nothing")));
    }
    if models.iter().any(|model| model.name().trim().is_empty() || model.upstream().trim().is_empty()) {
        problems.push(Problem::error(path, told!("model-unnamed", "a model's name is empty")));
    }
    problems
}

/// Options that nothing reads.
fn options(channel: &Channel, catalog: &dyn Catalog) -> Vec<Problem> {
    let Some(known) = catalog.options(&channel.provider) else { return Vec::new() };
    let unknown = channel.options.keys().filter(|name| !known.contains(*name));
    let problem = |name: &String| {
        let provider = &channel.provider;
        let why = match closest(known.iter().map(String::as_str), name) {
            Some(like) => told!(
                "unknown-option-like",
                "the provider '{provider}' has no option '{name}', so it does nothing: did you mean '{like}'?",
                provider = provider,
                name = name,
                like = like
            ),
            None => told!(
                "unknown-option",
                "the provider '{provider}' has no option '{name}', so it does nothing: it has {known}",
                provider = provider,
                name = name,
                known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
        };
        Problem::warning(format!("channels.{}.options.{name}", channel.name), why)
    };
    unknown.map(problem).collect()
}

fn headers(channel: &Channel, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (header, value) in &channel.headers {
        let path = format!("{path}.{header}");
        if http::HeaderName::try_from(header.as_str()).is_err() {
            problems.push(Problem::error(&path, told!("bad-header", "this is no header name")));
        }
        match value.as_str() {
            None => problems.push(Problem::error(path, told!("header-no-text", "a header's value is text"))),
            Some(text) if http::HeaderValue::try_from(text).is_err() => {
                problems.push(Problem::error(path, told!("bad-header-value", "the value cannot stand in a header")));
            }
            Some(_) => {}
        }
    }
    problems
}

/// What is wrong with where a secret comes from, without reading it.
fn source(source: &SecretSource) -> Option<Told> {
    match source {
        SecretSource::Env(name) | SecretSource::Keychain(name) if name.trim().is_empty() => {
            Some(told!("secret-no-name", "a name must follow 'env:' or 'keychain:'"))
        }
        SecretSource::File(path) if path.trim().is_empty() => {
            Some(told!("secret-no-path", "a path must follow 'file:'"))
        }
        SecretSource::Inline(secret) if secret.expose().trim().is_empty() => {
            Some(told!("credential-empty", "the credential is empty"))
        }
        _ => None,
    }
}

/// Checks a base address: shape, not ourselves, not link-local or a metadata service.
fn address(url: &str, allow_link_local: bool, settings: &Settings) -> Result<(), Told> {
    let uri: http::Uri = url.parse().map_err(|_| told!("no-address", "'{url}' is no address", url = url))?;
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(told!("no-scheme", "'{url}' does not start with http:// or https://", url = url)),
    };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() {
        return Err(told!("no-host", "'{url}' names no host", url = url));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(told!("user-in-address", "the address holds a user name: put credentials under 'credentials'"));
    }
    let port = uri.port_u16().unwrap_or(default_port);
    if settings.listen.iter().any(|listen| is_same(listen, &host, port)) {
        return Err(told!("itself", "'{url}' is the gateway itself: requests would go in circles", url = url));
    }
    if !allow_link_local && is_link_local(&host) {
        return Err(told!(
            "link-local",
            "'{url}' is a link-local or metadata address: set allow_link_local if that is really meant",
            url = url
        ));
    }
    Ok(())
}

fn is_same(listen: &str, host: &str, port: u16) -> bool {
    let Ok(listen) = listen.parse::<SocketAddr>() else {
        return listen.eq_ignore_ascii_case(&format!("{host}:{port}"));
    };
    if listen.port() != port || port == 0 {
        return false;
    }
    match host.parse::<IpAddr>() {
        Ok(ip) => ip == listen.ip() || ip.is_unspecified() || (ip.is_loopback() && listens_on_loopback(listen.ip())),
        Err(_) => (host == "localhost" || host.ends_with(".localhost")) && listens_on_loopback(listen.ip()),
    }
}

fn listens_on_loopback(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

fn is_link_local(host: &str) -> bool {
    let Ok(ip) = host.parse::<IpAddr>() else {
        return METADATA_HOSTS.contains(&host);
    };
    let ip = ip.to_canonical();
    METADATA_ADDRESSES.contains(&ip)
        || match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Credential;

    fn sample() -> Channel {
        serde_json::from_str(r#"{"name":"main","provider":"openai"}"#).unwrap()
    }

    fn check(change: impl FnOnce(&mut Channel)) -> Vec<String> {
        let mut sample = sample();
        change(&mut sample);
        let known = |provider: &str| provider == "openai";
        channel(&sample, &Settings::default(), &known).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_channel_has_no_problems() {
        assert_eq!(check(|_| {}), Vec::<String>::new());
        assert!(
            check(|c| c.base_urls = vec!["https://api.openai.com/v1".into(), "http://127.0.0.1:11434".into()])
                .is_empty()
        );
    }

    #[test]
    fn our_own_address_is_no_upstream() {
        for url in [
            "http://127.0.0.1:6935/v1",
            "http://localhost:6935",
            "http://[::1]:6935/v1",
            "http://127.0.0.2:6935",
            "http://0.0.0.0:6935/v1",
        ] {
            let problems = check(|c| c.base_urls = vec![url.into()]);
            assert!(problems.len() == 1 && problems[0].contains("gateway itself"), "{url}: {problems:?}");
        }
    }

    #[test]
    fn metadata_addresses_are_refused_unless_allowed() {
        for url in [
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://metadata.google.internal/",
            "http://100.100.100.200/",
        ] {
            assert_eq!(check(|c| c.base_urls = vec![url.into()]).len(), 1, "{url}");
            assert!(check(|c| (c.base_urls, c.allow_link_local) = (vec![url.into()], true)).is_empty(), "{url}");
        }
    }

    #[test]
    fn every_field_names_itself_when_it_is_wrong() {
        type Break = fn(&mut Channel);
        let cases: [(&str, Break); 12] = [
            ("channels.a/b.name", |c| c.name = "a/b".into()),
            ("channels.main.provider", |c| c.provider = "opnai".into()),
            ("channels.main.base_urls[0]", |c| c.base_urls = vec!["api.openai.com".into()]),
            ("channels.main.base_urls[0]", |c| c.base_urls = vec!["ftp://api.openai.com".into()]),
            ("channels.main.base_urls[0]", |c| c.base_urls = vec!["https://user:pw@api.openai.com".into()]),
            ("channels.main.credentials[0]", |c| c.credentials = vec![Credential { secret: SecretSource::parse("") }]),
            ("channels.main.credentials[0]", |c| {
                c.credentials = vec![Credential { secret: SecretSource::parse("env:") }];
            }),
            ("channels.main.models.a", |c| {
                c.models = Some(vec![ChannelModel::Same("a".into()), ChannelModel::Same("a".into())]);
            }),
            ("channels.main.tags[0]", |c| c.tags = vec!["pa id".into()]),
            ("channels.main.headers.x y", |c| {
                c.headers.insert("x y".into(), "v".into());
            }),
            ("channels.main.dialect", |c| {
                c.dialect.insert("max-tokenz".into(), true.into());
            }),
            ("channels.main.proxy", |c| c.proxy = Some("localhost:1".into())),
        ];
        for (path, change) in cases {
            let problems = check(change);
            assert!(problems.iter().any(|problem| problem.starts_with(&format!("{path}: "))), "{path}: {problems:?}");
        }
    }
}
