//! Quitting: nothing new is accepted, open answers finish, the store closes. A second wish does not wait.

use std::time::Duration;

use tauri::Manager as _;

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

/// Orders to stop from outside: at logout, by `kill`, by Ctrl-C.
pub(crate) async fn on_signals(desk: Desk) {
    loop {
        stop_signal().await;
        quit(&desk);
    }
}

async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut term) = signal(SignalKind::terminate()) else { return drop(tokio::signal::ctrl_c().await) };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}
