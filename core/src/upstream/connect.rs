//! How a connection to a provider is made: name, guard, TCP or proxy, TLS, all within one limit.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::wire::Wire;
use super::{Dial, UpstreamError, error::Waiting};
use crate::providers::guard;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Makes connections: [`Hop`], with TLS on top where the address wants it. Roots are loaded by the first address that does, not before:
/// who only talks to models on his own machine never pays for them.
#[derive(Clone)]
pub(super) struct Connector {
    hop: Hop,
    tls: Arc<OnceLock<HttpsConnector<Hop>>>,
    ca: Option<Arc<str>>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(dial: &Dial, limit: Duration) -> Result<Self, UpstreamError> {
        Ok(Self { hop: Hop::new(dial)?, tls: Arc::default(), ca: dial.ca.clone(), limit })
    }

    /// The connector with TLS, made by whoever needs it first.
    fn tls(&self) -> Result<HttpsConnector<Hop>, UpstreamError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = https(trusting(self.ca.as_deref())?, self.hop.clone());
        Ok(self.tls.get_or_init(|| tls).clone())
    }

    /// What a plain request through the proxy must carry.
    pub(super) fn proxy_authorization(dial: &Dial) -> Option<HeaderValue> {
        let proxy = Proxy::parse(dial.proxy.as_deref()?).ok()?;
        (proxy.kind == ProxyKind::Http).then(|| proxy.basic()).flatten()
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let limit = self.limit;
        let connecting: Connecting<Self::Response> = if to.scheme() == Some(&Scheme::HTTPS) {
            match self.tls() {
                Ok(mut tls) => {
                    let connecting = tls.call(to);
                    Box::pin(async move { Ok(Wire::from(connecting.await?)) })
                }
                Err(error) => Box::pin(async move { Err(error.into()) }),
            }
        } else {
            self.hop.call(to)
        };
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => {
                    let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                    Err(UpstreamError::Timeout { what: Waiting::Connect, ms }.into())
                }
            }
        })
    }
}

/// The way to a provider, without its TLS.
#[derive(Clone)]
pub(super) struct Hop {
    way: Way,
    reach: Reach,
}

/// Which addresses may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// All.
    All,
    /// All but link-local and metadata addresses.
    Usual,
    /// Public ones.
    Public,
}

impl Reach {
    fn of(dial: &Dial) -> Self {
        match (dial.public_only, dial.allow_link_local) {
            (true, _) => Self::Public,
            (false, true) => Self::All,
            (false, false) => Self::Usual,
        }
    }

    fn takes(self, address: SocketAddr) -> bool {
        match self {
            Self::All => true,
            Self::Usual => !guard::forbidden(address.ip()),
            Self::Public => !guard::inside(address.ip()),
        }
    }
}

#[derive(Clone)]
enum Way {
    Direct(HttpConnector<Resolver>),
    /// Plain requests are handed to the proxy whole, TLS goes through a tunnel.
    Http {
        proxy: Uri,
        to_proxy: HttpsConnector<HttpConnector>,
        basic: Option<HeaderValue>,
    },
    /// Names are resolved by the proxy: who needs one to reach a provider cannot trust the names here.
    Socks(SocksV5<HttpConnector>),
}

impl Hop {
    fn new(dial: &Dial) -> Result<Self, UpstreamError> {
        let reach = Reach::of(dial);
        let way = match dial.proxy.as_deref().map(Proxy::parse).transpose()? {
            None => {
                let mut direct = HttpConnector::new_with_resolver(Resolver { gai: GaiResolver::new(), reach });
                tune(&mut direct);
                Way::Direct(direct)
            }
            Some(proxy) if proxy.kind == ProxyKind::Http => Way::Http {
                basic: proxy.basic(),
                to_proxy: https(trusting(dial.ca.as_deref())?, tcp()),
                proxy: proxy.address,
            },
            Some(proxy) => {
                let socks = SocksV5::new(proxy.address, tcp());
                Way::Socks(match proxy.login {
                    Some((user, password)) => socks.with_auth(user, password),
                    None => socks,
                })
            }
        };
        Ok(Self { way, reach })
    }
}

impl Service<Uri> for Hop {
    type Response = Wire;
    type Error = BoxError;
    type Future = Connecting<Wire>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let tls = to.scheme() == Some(&Scheme::HTTPS);
        let check = |authority| match self.reach {
            Reach::Public => guard::check_public(authority),
            reach => guard::check(authority, tls, reach == Reach::All, &[]),
        };
        if let Some(authority) = to.authority()
            && let Err(why) = check(authority)
        {
            let refused = UpstreamError::Refused { host: authority.to_string(), why };
            return Box::pin(async move { Err(refused.into()) });
        }
        match &self.way {
            Way::Direct(direct) => {
                let connecting = direct.clone().call(to);
                Box::pin(async move { Ok(Wire::from(connecting.await?)) })
            }
            Way::Http { proxy, to_proxy, .. } if !tls => {
                let connecting = to_proxy.clone().call(proxy.clone());
                Box::pin(async move { Ok(Wire::from(connecting.await?).forwarding()) })
            }
            Way::Http { proxy, to_proxy, basic } => {
                let mut tunnel = Tunnel::new(proxy.clone(), to_proxy.clone());
                if let Some(basic) = basic {
                    tunnel = tunnel.with_auth(basic.clone());
                }
                let connecting = tunnel.call(to);
                Box::pin(async move { Ok(Wire::from(connecting.await?)) })
            }
            Way::Socks(socks) => {
                let connecting = socks.clone().call(to);
                Box::pin(async move { Ok(Wire::from(connecting.await?)) })
            }
        }
    }
}

/// Resolves names and leaves out addresses that no provider has.
#[derive(Clone)]
struct Resolver {
    gai: GaiResolver,
    reach: Reach,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.gai.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let resolving = self.gai.call(name);
        let reach = self.reach;
        Box::pin(async move {
            let mut all: Vec<SocketAddr> = resolving.await?.collect();
            let found = !all.is_empty();
            all.retain(|address| reach.takes(*address));
            if found && all.is_empty() {
                let why = match reach {
                    Reach::Public => "it resolves to addresses that are not public",
                    _ => "it resolves to link-local or metadata addresses, which need allow_link_local",
                };
                return Err(UpstreamError::Refused { host, why }.into());
            }
            Ok(all.into_iter())
        })
    }
}

/// A proxy as it is written: `http://`, `https://`, `socks5://` or `socks5h://`, perhaps with `user:password@`.
struct Proxy {
    kind: ProxyKind,
    address: Uri,
    login: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyKind {
    Http,
    Socks,
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, UpstreamError> {
        let wrong = |why: &str| UpstreamError::Connect { host: "the proxy".to_owned(), why: why.to_owned() };
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| wrong("a proxy is http://, https:// or socks5://"))?;
        let (kind, scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, "http", 80),
            "https" => (ProxyKind::Http, "https", 443),
            "socks5" | "socks5h" => (ProxyKind::Socks, "http", 1080),
            _ => return Err(wrong("a proxy is http://, https:// or socks5://")),
        };
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(login.split_once(':').unwrap_or((login, ""))), host),
            None => (None, rest),
        };
        let address = format!("{scheme}://{host}").parse::<Uri>().map_err(|error| wrong(&error.to_string()))?;
        let address = match address.port() {
            Some(_) => address,
            None => format!("{scheme}://{host}:{port}").parse().map_err(|_| wrong("its host cannot be read"))?,
        };
        let login = login.map(|(user, password)| (decode(user), decode(password)));
        Ok(Self { kind, address, login })
    }

    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.login.as_ref()?;
        let mut value =
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// `%40` and the like in a user's name or password.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = hex.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tune(&mut tcp);
    tcp
}

fn tune<R>(tcp: &mut HttpConnector<R>) {
    tcp.enforce_http(false);
    // Nagle holds back the chunks of a stream by up to 40 ms.
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
}

fn https<C>(config: ClientConfig, inner: C) -> HttpsConnector<C> {
    HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(inner)
}

/// The configuration for all, or one that trusts these certificates (PEM) too.
fn trusting(ca: Option<&str>) -> Result<ClientConfig, UpstreamError> {
    let Some(ca) = ca else { return tls_config() };
    let wrong =
        |why: &str| UpstreamError::Connect { host: "any host".to_owned(), why: format!("the channel's ca: {why}") };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut own = 0;
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| wrong(&error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(&error.to_string()))?;
        own += 1;
    }
    if own == 0 {
        return Err(wrong("it holds no certificate"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// One configuration for all: the system's roots, or Mozilla's where the system has none. Sessions are resumed across clients.
fn tls_config() -> Result<ClientConfig, UpstreamError> {
    static SHARED: OnceLock<ClientConfig> = OnceLock::new();
    if let Some(config) = SHARED.get() {
        return Ok(config.clone());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| UpstreamError::Connect { host: "any host".to_owned(), why: error.to_string() })
    };
    let rooted = match builder()?.with_native_roots() {
        Ok(rooted) => rooted,
        Err(_) => builder()?.with_webpki_roots(),
    };
    Ok(SHARED.get_or_init(|| rooted.with_no_client_auth()).clone())
}

#[cfg(test)]
mod tests {
    use tower_service::Service as _;

    use super::*;

    #[tokio::test]
    async fn case_28_small_pieces_to_providers_wait_for_no_acknowledgement() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (made, _accepted) = tokio::join!(tcp().call(to), listener.accept());
        assert!(made.unwrap().inner().nodelay().unwrap());
    }
}
