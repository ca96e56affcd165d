//! Where the file and the data are.

use std::path::PathBuf;

use directories::ProjectDirs;

/// The file's name.
pub const FILE_NAME: &str = "myelin.toml";
/// Names the file, below `--config`.
const CONFIG_VARIABLE: &str = "MYELIN_CONFIG";
/// Names the data directory, below `--data-dir`.
const DATA_VARIABLE: &str = "MYELIN_DATA_DIR";

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

    fn find_in(
        config: Option<PathBuf>,
        data: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, PathsError> {
        let named = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
        let config = config.or_else(|| named(CONFIG_VARIABLE));
        let data = data.or_else(|| named(DATA_VARIABLE));
        let usual = ProjectDirs::from("", "", "myelin");
        Ok(Self {
            config_required: config.is_some(),
            config: config
                .or_else(|| usual.as_ref().map(|usual| usual.config_dir().join(FILE_NAME)))
                .ok_or(PathsError)?,
            data: data.or_else(|| usual.as_ref().map(|usual| usual.data_dir().to_owned())).ok_or(PathsError)?,
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
}
