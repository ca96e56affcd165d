//! What a service manager is told of this process: that it answers, that it stops. Must not know what the process does.

/// Tells systemd, if it started this and wants to hear (`Type=notify`): `READY=1`, `STOPPING=1`. Whether it hears makes no difference here.
#[cfg(target_os = "linux")]
pub(crate) fn tell(state: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&place),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

/// Nobody listens on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tell(_: &str) {}
