//! The window with the console. Closing hides it; after a while its webview goes, and with it the webview's processes; opening brings it back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tauri::webview::{DownloadEvent, NewWindowResponse, PageLoadEvent};
use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use crate::desk::Desk;
use crate::scheme::{SCHEME, SHIM, origin};
use crate::{message, quit, surroundings};

/// Label of the one window.
pub(crate) const MAIN: &str = "main";
/// How long helpers of the webview live on after it.
const HELPERS: Duration = Duration::from_secs(2);
/// Says that the app lives on, once in its life.
const TOLD: &str = "desktop-told-about-tray";

/// Counts showing and hiding: a plan to free the window holds only while nothing happened since.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// Shows the window, at a page if one is named.
pub(crate) fn open(desk: &Desk, page: Option<String>) {
    let desk = desk.clone();
    let app = desk.app().clone();
    let _ = app.run_on_main_thread(move || {
        MOVES.fetch_add(1, Ordering::SeqCst);
        if let Err(why) = show(&desk, page.as_deref()) {
            tracing::error!("the window cannot be shown: {why}");
            message::tell(desk.app(), format!("The window cannot be shown.\n{why}"));
        }
    });
}

fn show(desk: &Desk, page: Option<&str>) -> tauri::Result<()> {
    let Some(window) = desk.app().get_webview_window(MAIN) else {
        return build(desk, page.unwrap_or("/"));
    };
    if let Some(url) = page.and_then(address) {
        window.navigate(url)?;
    }
    window.show()?;
    window.unminimize()?;
    window.set_focus()
}

/// The address of a page of the console.
fn address(page: &str) -> Option<Url> {
    Url::parse(&format!("{SCHEME}://localhost{page}")).ok()
}

fn build(desk: &Desk, page: &str) -> tauri::Result<()> {
    let app = desk.app();
    let Some(url) = address(page) else { return Ok(()) };
    let door = desk.door().clone();
    let gateway = format!("http://{}", desk.facts().address);
    WebviewWindowBuilder::new(app, MAIN, WebviewUrl::CustomProtocol(url))
        .title("Myelin")
        .inner_size(1180.0, 780.0)
        .min_inner_size(380.0, 480.0)
        .initialization_script(SHIM)
        .initialization_script(format!("window.myelinAddress = {};", serde_json::Value::from(gateway)))
        .on_navigation(|url| own(url) || leave(url))
        .on_new_window(|url, _| {
            leave(&url);
            NewWindowResponse::Deny
        })
        .on_download(|_, event| {
            if let DownloadEvent::Requested { destination, .. } = event {
                *destination = free_name(destination);
            }
            true
        })
        .on_page_load(move |_, load| {
            // A page that begins anew pulls nothing of what the one before it asked for.
            if load.event() == PageLoadEvent::Started {
                door.forget_streams();
            }
        })
        .build()?;
    Ok(())
}

/// Whether an address is the console's own.
fn own(url: &Url) -> bool {
    url.as_str().strip_prefix(origin()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || (url.scheme() == SCHEME && url.host_str() == Some("localhost"))
        || (url.scheme() == "blob" && url.as_str().starts_with(&format!("blob:{}", origin())))
}

/// Opens a page of the web in the owner's browser. The window never goes there, so the answer is always no.
fn leave(url: &Url) -> bool {
    if matches!(url.scheme(), "http" | "https")
        && let Err(why) = open::that_detached(url.as_str())
    {
        tracing::warn!("{url} could not be opened: {why}");
    }
    false
}

/// Where a download goes: the folder for such, under a name that is not taken.
fn free_name(wanted: &std::path::Path) -> PathBuf {
    let folder = directories::UserDirs::new()
        .and_then(|dirs| dirs.download_dir().map(PathBuf::from).or_else(|| Some(dirs.home_dir().to_owned())))
        .unwrap_or_else(std::env::temp_dir);
    let name = wanted.file_name().map_or_else(|| "myelin".into(), |name| name.to_string_lossy().into_owned());
    let (stem, ending) =
        name.rsplit_once('.').map_or((name.as_str(), String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut path = folder.join(&name);
    let mut count = 1;
    while path.exists() {
        path = folder.join(format!("{stem} ({count}){ending}"));
        count += 1;
    }
    path
}

/// The owner closes the window. It hides, and is freed after a while; where nothing else shows the app, it asks.
pub(crate) fn closing(desk: &Desk) {
    let Some(window) = desk.app().get_webview_window(MAIN) else { return };
    if desk.is_quitting() {
        let _ = window.hide();
        return;
    }
    if !desk.has_tray() {
        let desk = desk.clone();
        let app = desk.app().clone();
        let words = "There is no tray on this desktop.\nQuit, or keep the gateway running in the background? Starting Myelin again brings the window back.";
        return message::ask(&app, words.to_owned(), "Keep running", "Quit", move |keep| {
            if keep { hide(&desk) } else { quit::quit(&desk) }
        });
    }
    hide(desk);
    tell_once(desk);
}

fn hide(desk: &Desk) {
    let Some(window) = desk.app().get_webview_window(MAIN) else { return };
    if let Err(why) = window.hide() {
        tracing::warn!("the window could not be hidden: {why}");
    }
    let planned = MOVES.fetch_add(1, Ordering::SeqCst) + 1;
    let after = Duration::from_secs(desk.facts().wanted.free_window_seconds);
    let desk = desk.clone();
    tauri::async_runtime::spawn(async move {
        tokio::time::sleep(after).await;
        let app = desk.app().clone();
        let _ = app.run_on_main_thread(move || {
            if MOVES.load(Ordering::SeqCst) == planned {
                free(&window);
                desk.door().forget_streams();
            }
        });
    });
}

fn free(window: &WebviewWindow) {
    if let Err(why) = window.destroy() {
        return tracing::warn!("the window could not be freed: {why}");
    }
    let planned = MOVES.load(Ordering::SeqCst);
    let app = window.app_handle().clone();
    tauri::async_runtime::spawn(async move {
        // The page's process writes what it has to write first.
        tokio::time::sleep(HELPERS).await;
        let _ = app.run_on_main_thread(move || {
            if MOVES.load(Ordering::SeqCst) == planned {
                surroundings::end_web_helpers();
            }
        });
    });
}

/// The first time, people wonder where it went.
fn tell_once(desk: &Desk) {
    let mark = desk.mark(TOLD);
    if !mark.exists() {
        let _ = std::fs::write(&mark, "");
        desk.notify("Myelin keeps running", "It is in the tray; Quit is in its menu.".to_owned());
    }
}

/// Tells the page that something changed beyond its own doing, so that it reads anew.
pub(crate) fn tell_page(app: &AppHandle, what: &'static str) {
    if let Some(window) = app.get_webview_window(MAIN) {
        let _ = window.eval(format!("window.dispatchEvent(new CustomEvent('myelin', {{detail: '{what}'}}))"));
    }
}
