//! Reads the file again when it changes. A file with a mistake is reported; what was in force stays.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::load::{ConfigError, Loaded, Loader};

/// Editors write in several steps: the file is read once they have been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// The file cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be watched: {source}")]
pub struct WatchError {
    /// The file.
    path: PathBuf,
    /// Why.
    source: notify::Error,
}

/// Watches the file for as long as it lives.
pub struct Watcher {
    // Dropped first: the thread ends when the last sender is gone.
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Calls `changed` with what was read, whenever the content of the file has changed. It runs on a thread of its own and may block.
    ///
    /// # Errors
    /// When the system cannot watch the folder of the file.
    pub fn start(
        loader: Loader,
        changed: impl FnMut(Result<Loaded, ConfigError>) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let path = loader.path().to_owned();
        let failed = |source| WatchError { path: path.clone(), source };
        let (sender, receiver) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(tell(sender)).map_err(failed)?;
        let mut watched = 0;
        for folder in folders(&path) {
            // The folder, not the file: editors and ConfigMaps put a new file in its place.
            if folder.is_dir() {
                watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed)?;
                watched += 1;
            }
        }
        if watched == 0 {
            return Err(failed(notify::Error::path_not_found()));
        }
        let before = std::fs::read(&path).ok();
        let thread = std::thread::Builder::new()
            .name("myelin-config".to_owned())
            .spawn(move || follow(&loader, &receiver, before, changed))
            .map_err(|why| failed(notify::Error::io(why)))?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watcher = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The folders where a change of the file can be seen: its own, and that of what it links to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let folder = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let own = folder(path);
    let linked = path.canonicalize().ok().map(|real| folder(&real));
    let same = linked.as_ref().is_some_and(|linked| own.canonicalize().is_ok_and(|own| own == *linked));
    std::iter::once(own).chain(linked.filter(|_| !same)).collect()
}

fn tell(sender: Sender<()>) -> impl FnMut(notify::Result<notify::Event>) + Send + 'static {
    move |event| {
        // An error may mean that events were missed: looking once more is right then too.
        if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            return;
        }
        let _ = sender.send(());
    }
}

fn follow(
    loader: &Loader,
    events: &Receiver<()>,
    mut before: Option<Vec<u8>>,
    mut changed: impl FnMut(Result<Loaded, ConfigError>),
) {
    while events.recv().is_ok() {
        loop {
            match events.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let now = std::fs::read(loader.path()).ok();
        if now != before {
            before = now;
            changed(loader.load());
        }
    }
}
