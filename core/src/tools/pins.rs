//! Folders that are bound to a profile: `myelin run` inside one uses it, so that one client's work never goes where another's does.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ToolError, Tools, disk};

const FILE: &str = "pins.json";

/// A folder, and all below it, that is bound to a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// The folder.
    pub folder: String,
    /// For this tool only; nothing: for every tool.
    #[serde(default)]
    pub tool: Option<String>,
    /// The profile.
    pub profile: String,
}

impl Tools {
    /// All of them, by folder.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn pins(&self) -> Result<Vec<Pin>, ToolError> {
        let path = self.folder.join(FILE);
        let failed = |why: String| ToolError::Memory { path: path.clone(), why };
        let bytes = disk::read(&path).map_err(|why| failed(why.to_string()))?;
        bytes.map_or_else(
            || Ok(Vec::new()),
            |bytes| serde_json::from_slice(&bytes).map_err(|why| failed(why.to_string())),
        )
    }

    /// Binds a folder to a profile; without a profile the binding goes. Says whether anything changed.
    ///
    /// # Errors
    /// When there is no such tool or folder, or the disk refuses.
    pub fn pin(&self, folder: &Path, tool: Option<&str>, profile: Option<&str>) -> Result<bool, ToolError> {
        if let Some(tool) = tool {
            self.find(tool)?;
        }
        let folder = whole(folder).map_err(|why| ToolError::Disk { path: folder.to_owned(), why: why.to_string() })?;
        let shelf = super::Shelf { disk: self.disk.as_ref(), folder: self.folder.clone() };
        let _lock = shelf.lock()?;
        let before = self.pins()?;
        let named = folder.display().to_string();
        let mut pins = before.clone();
        pins.retain(|pin| pin.folder != named || pin.tool.as_deref() != tool);
        if let Some(profile) = profile {
            pins.push(Pin { folder: named, tool: tool.map(str::to_owned), profile: profile.to_owned() });
        }
        pins.sort_by(|a, b| (&a.folder, &a.tool).cmp(&(&b.folder, &b.tool)));
        if pins == before {
            return Ok(false);
        }
        let bytes = serde_json::to_vec_pretty(&pins)
            .map_err(|why| ToolError::Memory { path: self.folder.clone(), why: why.to_string() })?;
        shelf.put(FILE, &bytes)?;
        Ok(true)
    }

    /// What a folder is bound to for a tool: the nearest binding upwards wins, one for the tool before one for all.
    ///
    /// # Errors
    /// When they cannot be read: better no start than at the wrong place.
    pub fn pinned(&self, folder: &Path, tool: &str) -> Result<Option<Pin>, ToolError> {
        let pins = self.pins()?;
        let Ok(folder) = whole(folder) else { return Ok(None) };
        let at = |above: &Path, own: bool| {
            let matches = |pin: &&Pin| Path::new(&pin.folder) == above && pin.tool.as_deref() == own.then_some(tool);
            pins.iter().find(matches).cloned()
        };
        Ok(folder.ancestors().find_map(|above| at(above, true).or_else(|| at(above, false))))
    }
}

/// The folder without links and dots.
fn whole(folder: &Path) -> std::io::Result<PathBuf> {
    folder.canonicalize()
}
