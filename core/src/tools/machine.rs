//! This machine as far as tools are concerned: the home, the variables, the system. Must not read the environment itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The home, the variables and the system.
#[derive(Clone)]
pub struct Machine {
    home: PathBuf,
    variables: BTreeMap<String, String>,
    system: &'static str,
}

impl std::fmt::Debug for Machine {
    // Variables hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("home", &self.home).field("system", &self.system).finish_non_exhaustive()
    }
}

impl Machine {
    /// From the variables of a process; `homeless` stands for the home if they name none.
    pub fn new(variables: BTreeMap<String, String>, homeless: &Path) -> Self {
        let home = variables.get("HOME").or_else(|| variables.get("USERPROFILE")).filter(|home| !home.is_empty());
        let home = home.map_or_else(|| homeless.to_owned(), PathBuf::from);
        Self { home, variables, system: std::env::consts::OS }
    }

    /// The same machine, as another system would lay it out.
    #[must_use]
    pub fn on(mut self, system: &'static str) -> Self {
        self.system = system;
        self
    }

    /// Whether it is that system: `linux`, `macos`, `windows`.
    pub fn is(&self, system: &str) -> bool {
        self.system == system
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The file or folder that a row of the table names. Alternatives: those that begin with a variable win if it is set, then the first that is
    /// there, then the first. `linux:`, `macos:` or `windows:` before one: only there.
    pub fn place(&self, alternatives: &[String]) -> Option<PathBuf> {
        let mut first = None;
        for alternative in alternatives {
            let Some((path, named)) = self.resolve(alternative) else { continue };
            if named || path.symlink_metadata().is_ok() {
                return Some(path);
            }
            first = first.or(Some(path));
        }
        first
    }

    /// One alternative; whether a variable named it.
    fn resolve(&self, alternative: &str) -> Option<(PathBuf, bool)> {
        let text = match alternative.split_once(':') {
            Some((system @ ("linux" | "macos" | "windows"), rest)) if system == self.system => rest,
            Some(("linux" | "macos" | "windows", _)) => return None,
            _ => alternative,
        };
        let (head, rest) = text.split_once('/').unwrap_or((text, ""));
        let folder = |name: &str, usual: &str| self.variable(name).map_or_else(|| self.home.join(usual), PathBuf::from);
        let (base, named) = match head {
            "~" => (self.home.clone(), false),
            "{config}" => (folder("XDG_CONFIG_HOME", ".config"), false),
            "{roaming}" => (folder("APPDATA", "AppData/Roaming"), false),
            "{local}" => (folder("LOCALAPPDATA", "AppData/Local"), false),
            "{support}" => (self.home.join("Library/Application Support"), false),
            name => (PathBuf::from(self.variable(name.strip_prefix('$')?)?), true),
        };
        Some((if rest.is_empty() { base } else { base.join(rest) }, named))
    }

    /// Where a command is on the search path.
    pub fn command(&self, name: &str) -> Option<PathBuf> {
        let endings: &[&str] = if self.system == "windows" { &[".exe", ".cmd", ".bat", ""] } else { &[""] };
        let path = self.variable("PATH")?;
        std::env::split_paths(path).find_map(|folder| {
            endings.iter().map(|ending| folder.join(format!("{name}{ending}"))).find(|file| is_program(file))
        })
    }

    /// A path as people write it: the home as `~`.
    pub fn show(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) => format!("~/{}", rest.display()),
            Err(_) => path.display().to_string(),
        }
    }
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}
