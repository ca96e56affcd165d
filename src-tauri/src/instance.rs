//! One app for a data directory: a second start hands its wish to the first and ends.
//!
//! A socket in the data directory, mode 0600, takes one line: a link, or nothing for "show yourself". On systems without Unix sockets the store's own
//! lock keeps two gateways apart.

use std::path::Path;

/// What a second start wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The window.
    Show,
    /// To follow a link.
    Link(String),
    /// Nothing: it was to start hidden, and here we are.
    Nothing,
}

impl Wish {
    fn line(&self) -> String {
        match self {
            Self::Show => "show\n".to_owned(),
            Self::Link(link) => format!("link {}\n", link.replace(['\n', '\r'], "")),
            Self::Nothing => "nothing\n".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.trim_end().split_once(' ') {
            None if line.trim_end() == "show" => Some(Self::Show),
            None if line.trim_end() == "nothing" => Some(Self::Nothing),
            Some(("link", link)) => Some(Self::Link(link.to_owned())),
            _ => None,
        }
    }
}

/// Longest line that is read: links are short.
#[cfg(unix)]
const LONGEST: u64 = 8 << 10;
/// Name of the socket in the data directory.
#[cfg(unix)]
const SOCKET: &str = "desktop.sock";

/// The place of the one app.
pub(crate) struct Place {
    #[cfg(unix)]
    listener: Option<std::os::unix::net::UnixListener>,
    #[cfg(unix)]
    path: std::path::PathBuf,
}

/// Takes the place, or hands the wish to the app that has it: then `None`.
#[cfg(unix)]
pub(crate) fn take(data: &Path, wish: &Wish) -> Option<Place> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    let path = data.join(SOCKET);
    if let Ok(mut first) = UnixStream::connect(&path) {
        let _ = first.set_read_timeout(Some(std::time::Duration::from_secs(5)));
        let heard = first.write_all(wish.line().as_bytes()).and_then(|()| first.read(&mut [0_u8; 8]));
        if heard.is_ok_and(|bytes| bytes > 0) {
            return None;
        }
        tracing::warn!("the app that has {} does not answer", path.display());
    }
    let _ = std::fs::create_dir_all(data);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .and_then(|listener| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .inspect_err(|why| tracing::warn!("{}: {why}; a second start cannot show the window", path.display()))
        .ok();
    Some(Place { listener, path })
}

#[cfg(not(unix))]
pub(crate) fn take(_: &Path, _: &Wish) -> Option<Place> {
    Some(Place {})
}

impl Place {
    /// Hears second starts for as long as the app lives.
    #[cfg(unix)]
    pub(crate) async fn listen(mut self, hear: impl Fn(Wish)) {
        use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
        let Some(listener) = self.listener.take().and_then(|own| tokio::net::UnixListener::from_std(own).ok()) else {
            return;
        };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                continue;
            };
            let mut stream = BufReader::new(stream.take(LONGEST));
            let mut line = String::new();
            let read = tokio::time::timeout(std::time::Duration::from_secs(2), stream.read_line(&mut line)).await;
            if let (Ok(Ok(_)), Some(wish)) = (read, Wish::parse(&line)) {
                let _ = stream.into_inner().into_inner().write_all(b"ok\n").await;
                hear(wish);
            }
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn listen(self, _: impl Fn(Wish)) {}
}

impl Drop for Place {
    fn drop(&mut self) {
        #[cfg(unix)]
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_survive_the_way() {
        for wish in [Wish::Show, Wish::Nothing, Wish::Link("myelin://use/cheap?tool=claude code".to_owned())] {
            assert_eq!(Wish::parse(&wish.line()), Some(wish));
        }
        assert_eq!(Wish::parse("format c:\n"), None);
        assert_eq!(Wish::Link("myelin://a\nshow".into()).line(), "link myelin://ashow\n");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_second_start_hands_over_and_gets_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let place = take(dir.path(), &Wish::Show).unwrap();
        let (heard_in, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let first = tokio::spawn(place.listen(move |wish| heard_in.send(wish).unwrap()));
        let data = dir.path().to_owned();
        let wish = Wish::Link("myelin://use/cheap".into());
        let sent = wish.clone();
        let second = tokio::task::spawn_blocking(move || take(&data, &sent).is_none()).await.unwrap();
        assert!(second);
        assert_eq!(heard.recv().await, Some(wish));
        first.abort();
        let _ = first.await;
        // What was left behind by a crash is no first app.
        std::fs::write(dir.path().join(SOCKET), "").unwrap();
        assert!(take(dir.path(), &Wish::Show).is_some());
    }
}
