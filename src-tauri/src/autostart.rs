//! Starting at login: off until the owner switches it on, and what the system says is the truth.

use anyhow::Result;

#[cfg(target_os = "linux")]
mod system {
    use std::path::PathBuf;

    use anyhow::{Context as _, Result};

    /// Its name in the folder of things that start with the session.
    const FILE: &str = "myelin-desktop.desktop";

    fn path() -> Result<PathBuf> {
        Ok(gtk::glib::user_config_dir().join("autostart").join(FILE))
    }

    pub(super) fn is_on() -> bool {
        // Desktops switch an entry off by a line in it.
        path().ok().and_then(|path| std::fs::read_to_string(path).ok()).is_some_and(|entry| {
            !entry.lines().any(|line| matches!(line.trim(), "Hidden=true" | "X-GNOME-Autostart-enabled=false"))
        })
    }

    pub(super) fn set(on: bool) -> Result<()> {
        let path = path()?;
        if !on {
            return match std::fs::remove_file(&path) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why).context(path.display().to_string()),
                _ => Ok(()),
            };
        }
        let program = std::env::current_exe().context("this program does not know where it lies")?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::write(&path, super::entry(&program.to_string_lossy())).with_context(|| path.display().to_string())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use anyhow::Result;
    use auto_launch::{AutoLaunch, AutoLaunchBuilder};

    fn entry() -> Result<AutoLaunch> {
        let program = std::env::current_exe()?;
        let mut builder = AutoLaunchBuilder::new();
        builder.set_app_name("Myelin").set_app_path(&program.to_string_lossy()).set_args(&["--hidden"]);
        Ok(builder.build()?)
    }

    pub(super) fn is_on() -> bool {
        entry().is_ok_and(|entry| entry.is_enabled().unwrap_or(false))
    }

    pub(super) fn set(on: bool) -> Result<()> {
        let entry = entry()?;
        if on {
            entry.enable()?
        } else {
            entry.disable()?
        };
        Ok(())
    }
}

/// Whether the app starts at login.
pub(crate) fn is_on() -> bool {
    system::is_on()
}

/// Switches it.
///
/// # Errors
/// When the system's place for it cannot be written.
pub(crate) fn set(on: bool) -> Result<()> {
    system::set(on)
}

/// The entry of a program, with what the entry's grammar wants quoted.
#[cfg(target_os = "linux")]
fn entry(program: &str) -> String {
    let mut quoted = String::new();
    for c in program.chars() {
        match c {
            '"' | '`' | '$' => quoted.push_str(&format!("\\\\{c}")),
            '\\' => quoted.push_str("\\\\\\\\"),
            '%' => quoted.push_str("%%"),
            c => quoted.push(c),
        }
    }
    format!(
        "[Desktop Entry]\nType=Application\nName=Myelin\nComment=One local address for every model\nExec=\"{quoted}\" --hidden\nIcon=myelin-desktop\nTerminal=false\n\
         X-GNOME-Autostart-enabled=true\n"
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn odd_paths_are_quoted() {
        let entry = super::entry("/opt/my tools/50%/my\"elin");
        assert!(entry.contains("Exec=\"/opt/my tools/50%%/my\\\\\"elin\" --hidden\n"), "{entry}");
    }
}
