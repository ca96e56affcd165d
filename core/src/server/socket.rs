//! The owner's door: the admin API on a Unix socket in the data directory, mode 0600, for the CLI and for a window beside a running service.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "myelin.sock";

/// Binds the socket. The data directory belongs to this process alone, so what lies there is left over and goes.
///
/// # Errors
/// When the path is too long for a socket, or the directory cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until `stop` becomes true, then takes the socket away.
pub async fn serve(listener: UnixListener, router: Router, mut stop: watch::Receiver<bool>) {
    let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // Requests are short, and who waits for logs is told by the end of the connection.
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, router.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the socket could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            () = stopped(&mut stop) => break,
        }
    }
    if let Some(path) = path {
        let _ = fs::remove_file(path);
    }
}

/// Waits for the order to stop. (The guard that `wait_for` gives must not live across an await.)
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(stream: UnixStream, router: Router) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
        }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the socket ended");
    }
}
