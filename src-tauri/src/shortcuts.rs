//! Shortcuts that work everywhere: none unless the owner names some. Not every desktop allows them (Wayland rarely does).

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use global_hotkey::hotkey::HotKey;
use global_hotkey::{GlobalHotKeyEvent, GlobalHotKeyManager, HotKeyState};

use crate::actions::{self, Action};
use crate::desk::Desk;
use crate::facts::Wanted;
use crate::message;

/// What the registered keys mean, by their ids.
static MEANINGS: Mutex<Vec<(u32, Action)>> = Mutex::new(Vec::new());

thread_local! {
    /// Of the main thread alone.
    static SET: RefCell<Option<(GlobalHotKeyManager, Vec<HotKey>)>> = const { RefCell::new(None) };
}

/// A shortcut that is wanted, and what it does.
type Shortcut = (HotKey, Action);

/// Puts the shortcuts in force that are wanted, in place of those before. Those that cannot be had are told in one message; the others work.
pub(crate) fn set(desk: &Desk, wanted: &Wanted) {
    let (shortcuts, mut wrong) = read(wanted);
    let desk = desk.clone();
    let app = desk.app().clone();
    let _ = app.run_on_main_thread(move || {
        SET.with_borrow_mut(|set| {
            if let Some((manager, keys)) = set.take() {
                let _ = manager.unregister_all(&keys);
            }
            if !shortcuts.is_empty() {
                match register(&desk, shortcuts, &mut wrong) {
                    Ok(registered) => *set = Some(registered),
                    Err(why) => wrong.push(format!("This desktop allows none: {why}.")),
                }
            }
        });
        if !wrong.is_empty() {
            wrong.push("They are set as desktop.shortcut_… in the settings.".to_owned());
            message::tell(desk.app(), format!("Not every shortcut can be used.\n{}", wrong.join("\n")));
        }
    });
}

/// The shortcuts that can be read, and in words what is wrong with the others. Nothing is named by default.
fn read(wanted: &Wanted) -> (Vec<Shortcut>, Vec<String>) {
    let mut shortcuts: Vec<Shortcut> = Vec::new();
    let mut wrong = Vec::new();
    for (name, action) in [(&wanted.shortcut_open, Action::Open), (&wanted.shortcut_next_profile, Action::NextProfile)]
    {
        if name.trim().is_empty() {
            continue;
        }
        match name.parse::<HotKey>() {
            // A bare letter would be taken from every program.
            Ok(key) if key.mods.is_empty() && !stands_alone(&key) => {
                wrong.push(format!("'{name}' alone would be taken from all programs: add Ctrl, Alt, Shift or Super."));
            }
            Ok(key) if shortcuts.iter().any(|(other, _)| other.id() == key.id()) => {
                wrong.push(format!("'{name}' is named twice."));
            }
            Ok(key) => shortcuts.push((key, action)),
            Err(why) => wrong.push(format!("'{name}' is no shortcut, like Ctrl+Alt+M: {why}.")),
        }
    }
    (shortcuts, wrong)
}

/// Whether a key types nothing: those of the top row and of media.
fn stands_alone(key: &HotKey) -> bool {
    let code = key.key.to_string();
    let row = code.strip_prefix('F').is_some_and(|number| number.parse::<u8>().is_ok());
    row || code.starts_with("Media") || code.starts_with("Audio")
}

fn register(
    desk: &Desk,
    shortcuts: Vec<Shortcut>,
    wrong: &mut Vec<String>,
) -> Result<(GlobalHotKeyManager, Vec<HotKey>), global_hotkey::Error> {
    let manager = GlobalHotKeyManager::new()?;
    let mut meanings = Vec::new();
    let mut keys = Vec::new();
    for (key, action) in shortcuts {
        match manager.register(key) {
            Ok(()) => {
                keys.push(key);
                meanings.push((key.id(), action));
            }
            Err(global_hotkey::Error::AlreadyRegistered(_)) => {
                wrong.push(format!("'{key}' is taken by another program: name another."));
            }
            Err(why) => wrong.push(format!("'{key}': {why}.")),
        }
    }
    *MEANINGS.lock().unwrap_or_else(PoisonError::into_inner) = meanings;
    // It can be set once; what keys mean is looked up each time.
    let desk = desk.clone();
    GlobalHotKeyEvent::set_event_handler(Some(move |event: GlobalHotKeyEvent| {
        let meanings = MEANINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let pressed = meanings.iter().find(|(id, _)| *id == event.id() && event.state() == HotKeyState::Pressed);
        if let Some((_, action)) = pressed {
            actions::run(&desk, action.clone());
        }
    }));
    Ok((manager, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(open: &str, next: &str) -> Wanted {
        Wanted { shortcut_open: open.to_owned(), shortcut_next_profile: next.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn there_are_none_unless_the_owner_names_some() {
        let (shortcuts, wrong) = read(&Wanted::default());
        assert!(shortcuts.is_empty() && wrong.is_empty());
        let owner = myelin_core::model::Settings::default().desktop;
        assert_eq!((owner.shortcut_open.as_str(), owner.shortcut_next_profile.as_str()), ("", ""));
    }

    #[test]
    fn a_shortcut_is_read_as_people_write_it() {
        for name in ["Ctrl+Alt+M", "ctrl+shift+f5", "Super+Space", "CmdOrCtrl+Shift+ArrowUp", "Alt+1", "F9"] {
            let (shortcuts, wrong) = read(&wanted(name, ""));
            assert!(wrong.is_empty() && shortcuts.len() == 1, "{name}: {wrong:?}");
            assert_eq!(shortcuts[0].1, Action::Open);
        }
        let (shortcuts, _) = read(&wanted("Ctrl+Alt+M", "Ctrl+Alt+N"));
        assert!(shortcuts[0].0.id() != shortcuts[1].0.id() && shortcuts[1].1 == Action::NextProfile);
    }

    #[test]
    fn what_is_wrong_with_one_is_said_and_the_other_works() {
        for (name, words) in [
            ("Ctrl+Alt+", "is no shortcut"),
            ("Control and M", "is no shortcut"),
            ("Ctrl+Alt+Nonsense", "is no shortcut"),
            ("M", "add Ctrl, Alt, Shift or Super"),
            ("ctrl+alt+n", "is named twice"),
        ] {
            let (shortcuts, wrong) = read(&wanted("Ctrl+Alt+N", name));
            assert_eq!((shortcuts.len(), wrong.len()), (1, 1), "{name}: {wrong:?}");
            assert!(wrong[0].contains(words) && wrong[0].contains(name), "{name}: {wrong:?}");
        }
    }
}
