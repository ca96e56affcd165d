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

/// Puts the shortcuts in force that are wanted, in place of those before.
pub(crate) fn set(desk: &Desk, wanted: &Wanted) {
    let names =
        [(wanted.shortcut_open.clone(), Action::Open), (wanted.shortcut_next_profile.clone(), Action::NextProfile)];
    let desk = desk.clone();
    let app = desk.app().clone();
    let _ = app.run_on_main_thread(move || {
        SET.with_borrow_mut(|set| {
            if let Some((manager, keys)) = set.take() {
                let _ = manager.unregister_all(&keys);
            }
            if names.iter().all(|(name, _)| name.is_empty()) {
                return;
            }
            match register(&desk, names) {
                Ok(registered) => *set = Some(registered),
                Err(why) => message::tell(desk.app(), format!("The shortcuts cannot be used.\n{why}")),
            }
        });
    });
}

fn register(desk: &Desk, names: [(String, Action); 2]) -> anyhow::Result<(GlobalHotKeyManager, Vec<HotKey>)> {
    let manager = GlobalHotKeyManager::new()?;
    let mut keys = Vec::new();
    let mut meanings = Vec::new();
    for (name, action) in names.into_iter().filter(|(name, _)| !name.is_empty()) {
        let key: HotKey = name.parse().map_err(|why| anyhow::anyhow!("'{name}': {why}"))?;
        manager.register(key).map_err(|why| anyhow::anyhow!("'{name}': {why}"))?;
        keys.push(key);
        meanings.push((key.id(), action));
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
