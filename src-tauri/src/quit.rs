//! Quitting: nothing new is accepted, open answers finish, the store closes. A second wish does not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tauri::Manager as _;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::desk::Desk;
use crate::facts::Reach;
use crate::{notify, window};

/// How long closing the store may take, once nothing waits for answers any more.
const CLOSING: Duration = Duration::from_secs(5);

/// Quits. Said again while answers are still open, it does not wait for them.
pub(crate) fn quit(desk: &Desk) {
    let first = desk.begin_quitting();
    let Some(gateway) = desk.own() else { return desk.app().exit(0) };
    if !first {
        return end(desk);
    }
    if let Some(open) = desk.app().get_webview_window(window::MAIN) {
        let _ = open.hide();
    }
    let in_flight = gateway.services().flights.list().len();
    if in_flight > 0 {
        let words = format!("{in_flight} answers are still open and may finish; Quit again ends them.");
        notify::show(desk.app(), "Myelin is stopping".to_owned(), words);
    }
    desk.update(|facts| (facts.reach, facts.in_flight) = (Reach::Draining, in_flight));
    // The page's own streams would be waited for.
    desk.door().forget_streams();
    gateway.shutdown();
}

/// Closes the store and ends. Called when the gateway has served its last, or when nobody wants to wait.
pub(crate) fn end(desk: &Desk) {
    let desk = desk.clone();
    tauri::async_runtime::spawn(async move {
        if let Some(gateway) = desk.own().cloned() {
            let closing = tauri::async_runtime::spawn_blocking(move || gateway.store().close());
            let _ = tokio::time::timeout(CLOSING, closing).await;
        }
        desk.app().exit(0);
    });
}

/// Orders to stop from outside: at logout, by `kill`, by Ctrl-C. Heard from the first moment on: while the app is still putting itself together there
/// may be answers on their way already.
pub(crate) struct Orders {
    given: mpsc::UnboundedReceiver<()>,
    serving: Arc<AtomicBool>,
}

/// Says whether there is anything to finish.
#[derive(Clone)]
pub(crate) struct Serving(Arc<AtomicBool>);

impl Serving {
    /// From now on an order waits until the app can do it.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// It came to nothing: an order ends the program at once.
    pub(crate) fn cease(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Orders {
    /// Listens from now on.
    pub(crate) fn hear(runtime: &Runtime) -> Self {
        let (give, given) = mpsc::unbounded_channel();
        let serving = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&serving);
        let _inside = runtime.enter();
        let mut signals = Signals::new();
        runtime.spawn(async move {
            loop {
                signals.next().await;
                if !begun.load(Ordering::Acquire) {
                    std::process::exit(0);
                }
                if give.send(()).is_err() {
                    return;
                }
            }
        });
        Self { given, serving }
    }

    pub(crate) fn serving(&self) -> Serving {
        Serving(Arc::clone(&self.serving))
    }

    /// Does what is ordered, for ever.
    pub(crate) async fn obey(mut self, desk: Desk) {
        while self.given.recv().await.is_some() {
            quit(&desk);
        }
    }
}

/// The signals that mean it. They are taken from here on: none of them ends the program by itself any more.
#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let given = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if given { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
