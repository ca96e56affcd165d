//! Addresses that no provider has: link-local ones, cloud metadata services, and the gateway itself.
//!
//! Hosts are checked when a channel is built, and again when the connection is made and the name has been resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::uri::Authority;

const LINK_LOCAL: &str = "link-local and metadata addresses need allow_link_local";
const INSIDE: &str = "media is fetched from public addresses only (private_media in myelin.toml)";
const LOOP: &str = "it is the gateway's own address";

/// Names of metadata services, whatever they resolve to.
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata.goog", "metadata", "instance-data.ec2.internal"];

/// Metadata services outside the link-local ranges: Alibaba Cloud, AWS over IPv6, Oracle (old), Azure's wire server.
const METADATA_IPS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Checks a host as it is written. `own` are the gateway's own listeners.
pub fn check(authority: &Authority, tls: bool, allow_link_local: bool, own: &[SocketAddr]) -> Result<(), &'static str> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let ip = literal(host);
    let loopback =
        host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified());
    if own.iter().any(|own| own.port() == port && (ip == Some(own.ip()) || loopback && is_here(own.ip()))) {
        return Err(LOOP);
    }
    if allow_link_local {
        return Ok(());
    }
    let named = METADATA_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name));
    if named || ip.is_some_and(forbidden) { Err(LINK_LOCAL) } else { Ok(()) }
}

/// Whether a resolved address is one that no provider has.
pub fn forbidden(ip: IpAddr) -> bool {
    let ip = canonical(ip);
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local || METADATA_IPS.contains(&ip)
}

/// Checks a host that a caller named (media by address): nothing but the public internet may be reached.
pub fn check_public(authority: &Authority) -> Result<(), &'static str> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let inside = host.eq_ignore_ascii_case("localhost")
        || METADATA_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
        || literal(host).is_some_and(inside);
    if inside { Err(INSIDE) } else { Ok(()) }
}

/// Whether a resolved address lies anywhere but in the public internet.
pub fn inside(ip: IpAddr) -> bool {
    let ip = canonical(ip);
    let own = match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    own || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || forbidden(ip)
}

/// Listeners that a loopback address reaches.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// IPv4 inside IPv6 (`::ffff:a.b.c.d`, `64:ff9b::a.b.c.d`, `::a.b.c.d`, 6to4) as IPv4.
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        (0x2002, ..) => v4(b, c),
        _ => ip,
    }
}

/// The address that a host's text is, in every notation that `getaddrinfo` takes (`127.1`, `0x7f000001`, `2852039166`).
fn literal(host: &str) -> Option<IpAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(canonical(ip));
    }
    let number = |text: &str| {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("0x") {
            Some("") => Some(0),
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None if lower.len() > 1 && lower.starts_with('0') => u64::from_str_radix(&lower, 8).ok(),
            None => lower.parse().ok(),
        }
    };
    let pieces: Vec<u64> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, heads) = pieces.split_last()?;
    if heads.len() > 3 || heads.iter().any(|head| *head > 255) || *last >= 1 << (8 * (4 - heads.len())) {
        return None;
    }
    let high = heads.iter().enumerate().fold(0u64, |sum, (index, head)| sum | (head << (8 * (3 - index))));
    u32::try_from(high | last).ok().map(|ip| IpAddr::V4(Ipv4Addr::from(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, allow: bool, own: &[&str]) -> Result<(), &'static str> {
        let own: Vec<SocketAddr> = own.iter().map(|own| own.parse().unwrap()).collect();
        check(&host.parse().unwrap(), false, allow, &own)
    }

    #[test]
    fn media_comes_from_the_public_internet_only() {
        for host in [
            "127.0.0.1",
            "127.1",
            "localhost",
            "[::1]",
            "10.0.0.1",
            "192.168.1.2:8080",
            "172.20.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "169.254.169.254",
            "2130706433",
            "224.0.0.1",
            "metadata.google.internal",
        ] {
            assert_eq!(check_public(&host.parse().unwrap()), Err(INSIDE), "{host}");
        }
        for host in ["example.org", "93.184.216.34", "[2606:2800:220:1::1]"] {
            assert_eq!(check_public(&host.parse().unwrap()), Ok(()), "{host}");
        }
    }

    #[test]
    fn metadata_and_link_local_are_refused_in_every_notation() {
        for host in [
            "169.254.169.254",
            "169.254.1.1:8080",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "169.254.43518",
            "metadata.google.internal",
            "METADATA.google.internal.",
        ] {
            assert_eq!(at(host, false, &[]), Err(LINK_LOCAL), "{host}");
            assert_eq!(at(host, true, &[]), Ok(()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.2:11434",
            "api.openai.com",
            "[::1]",
            "[2001:db8::1]",
            "1.2.3.4.5",
            "a.1",
        ] {
            assert_eq!(at(host, false, &[]), Ok(()), "{host}");
        }
    }

    #[test]
    fn the_gateways_own_address_is_refused() {
        let own = ["127.0.0.1:6935", "[::1]:6935"];
        for host in ["127.0.0.1:6935", "localhost:6935", "[::1]:6935", "0.0.0.0:6935", "127.1:6935", "127.0.0.2:6935"] {
            assert_eq!(at(host, true, &own), Err(LOOP), "{host}");
        }
        assert_eq!(at("127.0.0.1:6936", false, &own), Ok(()));
        assert_eq!(at("192.168.1.5:6935", false, &["192.168.1.5:6935"]), Err(LOOP));
        assert_eq!(at("127.0.0.1:6935", false, &["0.0.0.0:6935"]), Err(LOOP));
        assert_eq!(at("192.168.1.9:6935", false, &["192.168.1.5:6935"]), Ok(()));
        assert_eq!(at("localhost", false, &["127.0.0.1:80"]), Err(LOOP));
    }
}
