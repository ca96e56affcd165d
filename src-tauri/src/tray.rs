//! The tray icon and its menu: paints what `menu` says. The menu is built when its lines change and painted over otherwise, so that it does not close
//! under the owner's hand.

use std::collections::HashMap;

use anyhow::Result;
use tauri::image::Image;
use tauri::menu::{CheckMenuItem, IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Wry};

use crate::actions::Action;
use crate::facts::Facts;
use crate::menu::{self, Entry, Icon};

/// Id of the icon.
const ID: &str = "myelin";

/// The tray icon.
pub(crate) struct Tray {
    icon: TrayIcon<Wry>,
    shown: Vec<Entry>,
    wears: Icon,
    lines: Vec<Handle>,
    actions: HashMap<String, Action>,
    /// Rises with each menu that is built: ids of an old one mean nothing.
    built: u32,
}

/// A line whose words can change.
enum Handle {
    Item(MenuItem<Wry>),
    Check(CheckMenuItem<Wry>),
}

/// A menu that was built.
struct Built {
    menu: Menu<Wry>,
    lines: Vec<Handle>,
    actions: HashMap<String, Action>,
}

impl Tray {
    /// Makes the icon. On the main thread.
    ///
    /// # Errors
    /// When the system has no place for such icons, or lacks the library for it.
    pub(crate) fn new(app: &AppHandle, facts: &Facts) -> Result<Self> {
        let shown = menu::entries(facts);
        let Built { menu, lines, actions } = build(app, &shown, 0)?;
        let wears = menu::icon(facts);
        let mut builder = TrayIconBuilder::with_id(ID).menu(&menu).icon(picture(wears)?).tooltip("Myelin");
        builder = builder.icon_as_template(cfg!(target_os = "macos")).show_menu_on_left_click(true);
        if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
            // Else it would be /tmp, where another user's folder is in the way.
            builder = builder.temp_dir_path(std::path::Path::new(&folder).join("myelin-tray"));
        }
        // The library that is missing is found out by a panic.
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.build(app)));
        let icon = made.map_err(|_| anyhow::anyhow!("the library libayatana-appindicator is missing"))??;
        Ok(Self { icon, shown, wears, lines, actions, built: 0 })
    }

    /// Shows how things are. On the main thread.
    pub(crate) fn show(&mut self, facts: &Facts) -> Result<()> {
        let entries = menu::entries(facts);
        if menu::same_shape(&self.shown, &entries) {
            self.paint(&entries)?;
        } else {
            self.built = self.built.wrapping_add(1);
            let Built { menu, lines, actions } = build(self.icon.app_handle(), &entries, self.built)?;
            self.icon.set_menu(Some(menu))?;
            (self.lines, self.actions) = (lines, actions);
        }
        self.shown = entries;
        let wears = menu::icon(facts);
        if wears != self.wears {
            self.wears = wears;
            self.icon.set_icon_with_as_template(Some(picture(wears)?), cfg!(target_os = "macos"))?;
        }
        Ok(())
    }

    /// What a click means.
    pub(crate) fn action(&self, event: &MenuEvent) -> Option<Action> {
        self.actions.get(event.id().as_ref()).cloned()
    }

    /// Writes the words and marks that differ. Marks are set always: a click has toggled one, whatever came of it.
    fn paint(&mut self, entries: &[Entry]) -> Result<()> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        flatten(&self.shown, &mut old);
        flatten(entries, &mut new);
        let mut actions = HashMap::new();
        for ((line, before), entry) in self.lines.iter().zip(old).zip(new) {
            match (line, entry) {
                (Handle::Item(item), Entry::Item { text, action }) => {
                    if before != entry {
                        item.set_text(text)?;
                        item.set_enabled(action.is_some())?;
                    }
                    actions.extend(action.clone().map(|action| (item.id().as_ref().to_owned(), action)));
                }
                (Handle::Check(item), Entry::Check { text, checked, action }) => {
                    if before != entry {
                        item.set_text(text)?;
                    }
                    item.set_checked(*checked)?;
                    actions.insert(item.id().as_ref().to_owned(), action.clone());
                }
                _ => {}
            }
        }
        self.actions = actions;
        Ok(())
    }
}

/// Lines with words, in the order in which they were built.
fn flatten<'a>(entries: &'a [Entry], found: &mut Vec<&'a Entry>) {
    for entry in entries {
        match entry {
            Entry::Sub { entries, .. } => flatten(entries, found),
            Entry::Line => {}
            words => found.push(words),
        }
    }
}

fn build(app: &AppHandle, entries: &[Entry], generation: u32) -> Result<Built> {
    let menu = Menu::new(app)?;
    let mut built = Built { menu: menu.clone(), lines: Vec::new(), actions: HashMap::new() };
    fill(app, entries, generation, &mut built, &mut |line| Ok(menu.append(line)?))?;
    Ok(built)
}

fn fill(
    app: &AppHandle,
    entries: &[Entry],
    generation: u32,
    built: &mut Built,
    append: &mut dyn FnMut(&dyn IsMenuItem<Wry>) -> Result<()>,
) -> Result<()> {
    for entry in entries {
        let id = format!("{generation}.{}", built.lines.len());
        match entry {
            Entry::Line => append(&PredefinedMenuItem::separator(app)?)?,
            Entry::Item { text, action } => {
                let item = MenuItem::with_id(app, &id, text, action.is_some(), None::<&str>)?;
                append(&item)?;
                built.actions.extend(action.clone().map(|action| (id, action)));
                built.lines.push(Handle::Item(item));
            }
            Entry::Check { text, checked, action } => {
                let item = CheckMenuItem::with_id(app, &id, text, true, *checked, None::<&str>)?;
                append(&item)?;
                built.actions.insert(id, action.clone());
                built.lines.push(Handle::Check(item));
            }
            Entry::Sub { text, entries } => {
                let sub = Submenu::new(app, text, true)?;
                let inner = sub.clone();
                fill(app, entries, generation, built, &mut |line| Ok(inner.append(line)?))?;
                append(&sub)?;
            }
        }
    }
    Ok(())
}

/// The drawing of a state. The menu bar of macOS paints one shape in its own colour, so there words alone tell.
fn picture(icon: Icon) -> Result<Image<'static>> {
    if cfg!(target_os = "macos") {
        return Ok(Image::from_bytes(include_bytes!("../../icons/tray-template.png"))?);
    }
    let bytes: &[u8] = match icon {
        Icon::Idle => include_bytes!("../../icons/tray-idle.png"),
        Icon::Active => include_bytes!("../../icons/tray-active.png"),
        Icon::Degraded => include_bytes!("../../icons/tray-degraded.png"),
        Icon::Stopped => include_bytes!("../../icons/tray-stopped.png"),
        Icon::Paused => include_bytes!("../../icons/tray-paused.png"),
    };
    Ok(Image::from_bytes(bytes)?)
}
