//! What is around the app: a display, a panel with a place for tray icons, who has a port, the clipboard.

/// Whether there is a display to draw on.
#[cfg(target_os = "linux")]
pub(crate) fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn has_display() -> bool {
    true
}

/// Whether something shows tray icons. Panels may come later than the app, so it is asked anew each time. On the main thread.
#[cfg(target_os = "linux")]
pub(crate) fn has_tray_host() -> bool {
    use gtk::gio;
    use gtk::glib::ToVariant as _;
    let Ok(bus) = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE) else { return false };
    let asked = ("org.kde.StatusNotifierWatcher",).to_variant();
    let answer = bus.call_sync(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "NameHasOwner",
        Some(&asked),
        None,
        gio::DBusCallFlags::NONE,
        500,
        gio::Cancellable::NONE,
    );
    answer.ok().and_then(|answer| answer.get::<(bool,)>()).is_some_and(|(owned,)| owned)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn has_tray_host() -> bool {
    true
}

/// Ends the helper process that WebKit keeps after its last page is gone, for as long as the app lives. A new page starts another.
#[cfg(target_os = "linux")]
pub(crate) fn end_web_helpers() {
    use rustix::process::{Pid, Signal, kill_process};
    /// The kernel keeps 15 letters of a name.
    const HELPER: &str = "WebKitNetworkPr";
    let own = std::process::id().to_string();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // `PID (NAME) STATE PARENT …`
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        let ours = rest.split_whitespace().nth(1) == Some(own.as_str());
        if ours
            && head.ends_with(HELPER)
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn end_web_helpers() {}

/// Puts a text on the clipboard. On the main thread.
#[cfg(target_os = "linux")]
pub(crate) fn copy(text: &str) {
    let clipboard = gtk::Clipboard::get(&gtk::gdk::SELECTION_CLIPBOARD);
    clipboard.set_text(text);
    clipboard.store();
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn copy(text: &str) {
    if let Err(why) = arboard::Clipboard::new().and_then(|mut clipboard| clipboard.set_text(text)) {
        tracing::warn!("the clipboard took nothing: {why}");
    }
}

/// Which program listens on a port of this machine, if the system tells: name and process.
#[cfg(target_os = "linux")]
pub(crate) fn holder_of(port: u16) -> Option<(String, u32)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let sockets: Vec<String> = tables.flat_map(|table| listening(&table, port)).collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(|target| {
            let target = target.to_string_lossy();
            target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|inode| sockets.iter().any(|own| own == inode))
        });
        if has {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((name.trim().to_owned(), pid));
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn holder_of(_: u16) -> Option<(String, u32)> {
    None
}

/// Inodes of the sockets that listen on a port, from the system's table.
#[cfg(target_os = "linux")]
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let found = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (found == port && *state == LISTEN).then(|| (*inode).to_owned())
    });
    rows.collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holder_of(port).map(|(_, pid)| pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(holder_of(port), None);
    }
}
