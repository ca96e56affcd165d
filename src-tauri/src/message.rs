//! Words to the owner in a window of the system's own: one clear message, and what can be done about it.

use tauri::AppHandle;

/// Shows a message and waits for a button; gives its place in `buttons`, or the last one's when the window is closed. For the time before the app
/// runs, on the main thread. The words also go to stderr, for whoever starts it from a terminal.
pub(crate) fn ask_before(text: &str, buttons: &[&str]) -> usize {
    eprintln!("myelin-desktop: {text}");
    system::ask_before(text, buttons)
}

/// Asks something while the app runs; `then` is called on the main thread with whether the first button was chosen.
pub(crate) fn ask(
    app: &AppHandle,
    text: String,
    yes: &'static str,
    no: &'static str,
    then: impl FnOnce(bool) + Send + 'static,
) {
    let _ = app.run_on_main_thread(move || system::ask(&text, yes, no, Box::new(then)));
}

/// Says something while the app runs.
pub(crate) fn tell(app: &AppHandle, text: String) {
    tracing::warn!("{text}");
    let _ = app.run_on_main_thread(move || system::ask(&text, "", "Close", Box::new(|_| ())));
}

type Then = Box<dyn FnOnce(bool) + Send>;

#[cfg(target_os = "linux")]
mod system {
    use std::cell::RefCell;

    use gtk::prelude::*;
    use gtk::{ButtonsType, DialogFlags, MessageDialog, MessageType, ResponseType, Window};

    use super::Then;

    fn dialog(text: &str, buttons: &[&str]) -> MessageDialog {
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        let dialog =
            MessageDialog::new(None::<&Window>, DialogFlags::MODAL, MessageType::Other, ButtonsType::None, head);
        dialog.set_title("Myelin");
        dialog.set_icon_name(Some("myelin-desktop"));
        if !rest.is_empty() {
            dialog.set_secondary_text(Some(rest.trim_start()));
        }
        for (place, label) in buttons.iter().enumerate() {
            dialog.add_button(label, ResponseType::Other(u16::try_from(place).unwrap_or(u16::MAX)));
        }
        dialog.set_position(gtk::WindowPosition::Center);
        dialog
    }

    pub(super) fn ask_before(text: &str, buttons: &[&str]) -> usize {
        let last = buttons.len().saturating_sub(1);
        if gtk::init().is_err() {
            return last;
        }
        let dialog = dialog(text, buttons);
        dialog.set_default_response(ResponseType::Other(0));
        let answer = dialog.run();
        dialog.close();
        while gtk::events_pending() {
            gtk::main_iteration();
        }
        match answer {
            ResponseType::Other(place) => usize::from(place),
            _ => last,
        }
    }

    pub(super) fn ask(text: &str, yes: &str, no: &str, then: Then) {
        let buttons: Vec<&str> = [yes, no].into_iter().filter(|label| !label.is_empty()).collect();
        let accepts = !yes.is_empty();
        let dialog = dialog(text, &buttons);
        // A key that was on its way to another window must not say yes.
        dialog.set_default_response(ResponseType::Other(if accepts { 1 } else { 0 }));
        let then = RefCell::new(Some(then));
        dialog.connect_response(move |dialog, answer| {
            dialog.close();
            if let Some(then) = then.borrow_mut().take() {
                then(accepts && answer == ResponseType::Other(0));
            }
        });
        dialog.show_all();
        dialog.present();
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use rfd::{MessageButtons, MessageDialog, MessageDialogResult};

    use super::Then;

    pub(super) fn ask_before(text: &str, buttons: &[&str]) -> usize {
        let last = buttons.len().saturating_sub(1);
        let first = buttons.first().copied().unwrap_or("OK").to_owned();
        let other = buttons.last().copied().unwrap_or("Close").to_owned();
        let shown = MessageDialog::new().set_title("Myelin").set_description(text);
        match shown.set_buttons(MessageButtons::OkCancelCustom(first.clone(), other)).show() {
            MessageDialogResult::Ok => 0,
            MessageDialogResult::Custom(chosen) if chosen == first => 0,
            _ => last,
        }
    }

    pub(super) fn ask(text: &str, yes: &str, no: &str, then: Then) {
        let accepts = !yes.is_empty();
        let buttons = if accepts { vec![yes, no] } else { vec![no] };
        then(accepts && ask_before(text, &buttons) == 0);
    }
}
