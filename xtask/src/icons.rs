//! `cargo xtask icons`: the sizes and formats that systems want, drawn from the SVG files in `icons/`. They are committed, so that nothing needs this
//! to build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{packaging, process};

/// Files of the app's icon that the packages and the window use.
const APP: [&str; 5] = ["32x32.png", "128x128.png", "128x128@2x.png", "icon.icns", "icon.ico"];
/// States of the tray, one SVG each.
const TRAY: [&str; 6] = ["idle", "active", "degraded", "stopped", "paused", "template"];
/// Pixels of a tray icon: enough for a panel at twice the usual size.
const TRAY_SIZE: u32 = 64;

/// Draws them all; `--check`: are they what the SVG files say?
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("icons takes nothing or --check"),
    };
    let tauri = packaging::tauri()?;
    let icons = process::root().join("icons");
    let work = process::root().join("target").join("icons");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    }
    let draw = |source: &str, to: &Path, more: &[&str]| {
        let mut command = process::command(&tauri);
        command.arg("icon").arg(icons.join(source)).arg("-o").arg(to).args(more);
        process::run_quietly(&mut command)
    };
    draw("app.svg", &work.join("app"), &[])?;
    let mut drawn: Vec<(PathBuf, PathBuf)> = Vec::new();
    for name in APP {
        drawn.push((work.join("app").join(name), icons.join(name)));
    }
    let size = TRAY_SIZE.to_string();
    for state in TRAY {
        let to = work.join(state);
        draw(&format!("tray-{state}.svg"), &to, &["--png", &size])?;
        drawn.push((to.join(format!("{size}x{size}.png")), icons.join(format!("tray-{state}.png"))));
    }
    for (new, old) in drawn {
        let fresh = fs::read(&new).with_context(|| format!("{} was not drawn", new.display()))?;
        if fs::read(&old).is_ok_and(|known| known == fresh) {
            continue;
        }
        if check {
            bail!("{} is not what its SVG says: run `cargo xtask icons`", old.display());
        }
        fs::write(&old, fresh).with_context(|| format!("cannot write {}", old.display()))?;
        eprintln!("wrote {}", old.strip_prefix(process::root()).unwrap_or(&old).display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_drawing_and_its_picture() {
        let icons = process::root().join("icons");
        for state in TRAY {
            for ending in ["svg", "png"] {
                assert!(icons.join(format!("tray-{state}.{ending}")).is_file(), "{state}.{ending}");
            }
        }
        for name in APP {
            assert!(icons.join(name).is_file(), "{name}");
        }
    }
}
