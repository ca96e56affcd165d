//! Where the file and the data are.

use std::path::{Path, PathBuf};

use directories::{BaseDirs, ProjectDirs};

/// The file's name.
pub const FILE_NAME: &str = "myelin.toml";
/// Names the file, below `--config`.
const CONFIG_VARIABLE: &str = "MYELIN_CONFIG";
/// Names the data directory, below `--data-dir`.
const DATA_VARIABLE: &str = "MYELIN_DATA_DIR";

/// Where the service of the package (packaging/systemd) keeps both.
#[cfg(target_os = "linux")]
const SERVICE: (&str, &str) = ("/etc/myelin/myelin.toml", "/var/lib/myelin");

/// Where the file and the data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The configuration file.
    pub config: PathBuf,
    /// The file was asked for by name: it must be there.
    pub config_required: bool,
    /// The data directory: store, journal, key file, socket.
    pub data: PathBuf,
}

/// The system does not say where configuration and data belong.
#[derive(Debug, thiserror::Error)]
#[error("there is no home directory: name the places with --config and --data-dir")]
pub struct PathsError;

impl Paths {
    /// Flags, then `MYELIN_CONFIG` and `MYELIN_DATA_DIR`, then the system's usual places.
    ///
    /// # Errors
    /// When neither is named and there is no home directory.
    pub fn find(config: Option<PathBuf>, data: Option<PathBuf>) -> Result<Self, PathsError> {
        Self::find_in(config, data, |name| std::env::var_os(name).map(PathBuf::from))
    }

    /// Where the service of this machine keeps its own, if neither place is named: whoever may look there has a gateway without a word.
    pub fn of_service(config: Option<&Path>, data: Option<&Path>) -> Option<Self> {
        Self::of_service_in(config, data, |name| std::env::var_os(name).map(PathBuf::from))
    }

    /// Whether these are the places of the machine's service, which its manager makes for it.
    pub fn are_of_service(&self) -> bool {
        Self::of_service_in(None, None, |_| None)
            .is_some_and(|service| service.config == self.config && service.data == self.data)
    }

    #[cfg(target_os = "linux")]
    fn of_service_in(
        config: Option<&Path>,
        data: Option<&Path>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Option<Self> {
        let set = |name| variable(name).is_some_and(|path| !path.as_os_str().is_empty());
        let named = config.is_some() || data.is_some() || set(CONFIG_VARIABLE) || set(DATA_VARIABLE);
        (!named).then(|| Self { config: SERVICE.0.into(), config_required: false, data: SERVICE.1.into() })
    }

    #[cfg(not(target_os = "linux"))]
    fn of_service_in(_: Option<&Path>, _: Option<&Path>, _: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        None
    }

    fn find_in(
        config: Option<PathBuf>,
        data: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, PathsError> {
        let named = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
        let config = config.or_else(|| named(CONFIG_VARIABLE));
        let data = data.or_else(|| named(DATA_VARIABLE));
        let usual = Self::usual();
        Ok(Self {
            config_required: config.is_some(),
            config: config.or_else(|| usual.as_ref().map(|(config, _)| config.clone())).ok_or(PathsError)?,
            data: data.or_else(|| usual.map(|(_, data)| data)).ok_or(PathsError)?,
        })
    }

    /// The system's usual places: the file, the data.
    fn usual() -> Option<(PathBuf, PathBuf)> {
        let usual = ProjectDirs::from("", "", "myelin")?;
        Some((usual.config_dir().join(FILE_NAME), usual.data_dir().to_owned()))
    }

    /// Flags that say to another start of the program where these places are, as far as they are not the usual ones; absolute.
    ///
    /// # Errors
    /// When there is no folder that they could start from.
    pub fn unusual(&self) -> std::io::Result<Vec<(&'static str, PathBuf)>> {
        let usual = Self::usual();
        let own = [("--config", &self.config), ("--data-dir", &self.data)];
        let usual = [usual.as_ref().map(|(config, _)| config), usual.as_ref().map(|(_, data)| data)];
        let unusual = own.into_iter().zip(usual).filter(|((_, own), usual)| Some(*own) != *usual);
        unusual.map(|((flag, path), _)| Ok((flag, std::path::absolute(path)?))).collect()
    }

    /// Where the system's service manager reads what a user wrote for it: a unit of systemd's, an agent of launchd's.
    ///
    /// # Errors
    /// When there is no home directory.
    pub fn of_service_manager() -> Result<PathBuf, PathsError> {
        let base = BaseDirs::new().ok_or(PathsError)?;
        Ok(if cfg!(target_os = "macos") {
            base.home_dir().join("Library/LaunchAgents/dev.myelin.plist")
        } else {
            base.config_dir().join("systemd/user/myelin.service")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment() {
        let environment = |name: &str| Some(PathBuf::from(format!("/env/{name}")));
        let paths = Paths::find_in(Some("/flag/a.toml".into()), None, environment).unwrap();
        assert_eq!(paths.config, PathBuf::from("/flag/a.toml"));
        assert_eq!(paths.data, PathBuf::from("/env/MYELIN_DATA_DIR"));
        assert!(paths.config_required);
        let paths = Paths::find_in(None, Some("/d".into()), |_| None);
        assert!(paths.is_err() || !paths.unwrap().config_required);
    }
    #[test]
    #[cfg(target_os = "linux")]
    fn the_service_of_the_machine_is_looked_for_only_if_no_place_is_named() {
        let unset = |_: &str| None;
        let found = Paths::of_service_in(None, None, unset).unwrap();
        assert!(found.data.ends_with("var/lib/myelin") && found.config.starts_with("/etc"));
        assert_eq!(Paths::of_service_in(Some(Path::new("/a.toml")), None, unset), None);
        assert_eq!(Paths::of_service_in(None, Some(Path::new("/d")), unset), None);
        let set = |to: &'static str| move |name: &str| (name == DATA_VARIABLE).then(|| PathBuf::from(to));
        assert_eq!(Paths::of_service_in(None, None, set("/d")), None);
        assert_eq!(Paths::of_service_in(None, None, set("")), Some(found.clone()), "nothing was named");
        assert!(found.are_of_service());
        assert!(!Paths { data: "/d".into(), ..found }.are_of_service());
    }
}
