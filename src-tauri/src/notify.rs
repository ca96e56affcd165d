//! The system's notifications. One that cannot be shown is no trouble: the log has it.

use tauri::AppHandle;

/// Shows a notification, if the system has a place for such.
pub(crate) fn show(app: &AppHandle, title: String, text: String) {
    tracing::info!("{title}: {text}");
    let _ = app.run_on_main_thread(move || system::show(&title, &text));
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;

    use gtk::gio;
    use gtk::glib::{ToVariant as _, Variant};

    pub(super) fn show(title: &str, text: &str) {
        let Ok(bus) = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE) else { return };
        let actions: Vec<String> = Vec::new();
        let hints: HashMap<String, Variant> = HashMap::new();
        // Servers read a little markup in the text.
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let arguments = ("Myelin", 0_u32, "myelin-desktop", title, text, actions, hints, -1_i32).to_variant();
        bus.call(
            Some("org.freedesktop.Notifications"),
            "/org/freedesktop/Notifications",
            "org.freedesktop.Notifications",
            "Notify",
            Some(&arguments),
            None,
            gio::DBusCallFlags::NONE,
            5_000,
            gio::Cancellable::NONE,
            |shown| {
                if let Err(why) = shown {
                    tracing::debug!("no notification: {why}");
                }
            },
        );
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn show(title: &str, text: &str) {
        if let Err(why) = notify_rust::Notification::new().appname("Myelin").summary(title).body(text).show() {
            tracing::debug!("no notification: {why}");
        }
    }
}
