//! Profiles for common cases, ready to be taken over and changed.

use serde::{Deserialize, Serialize};

use super::Profile;

/// A profile for a common case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preset {
    /// What it is called by.
    pub name: String,
    /// The channels that it points at, by the provider that a channel is usually named after.
    pub needs: Vec<String>,
    /// The profile.
    pub profile: Profile,
}

const PRESETS: &str = include_str!("presets.json");

/// All of them.
pub fn presets() -> Vec<Preset> {
    serde_json::from_str(PRESETS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::{Channel, ChannelModel, Entities};
    use super::*;

    #[test]
    fn every_preset_is_a_sound_profile() {
        let all = presets();
        let names: Vec<&str> = all.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(
            names,
            ["claude-code-deepseek", "claude-code-kimi", "claude-code-glm", "claude-code-ollama", "cheap", "offline"]
        );
        for preset in &all {
            assert_eq!(preset.name, preset.profile.name);
            let channel = |provider: &String| Channel {
                tags: vec!["local".into()],
                models: Some(Vec::<ChannelModel>::new()),
                ..Channel::bare(provider, provider)
            };
            // With the channels that it needs nothing is missing but their models.
            let entities = Entities { channels: preset.needs.iter().map(channel).collect(), ..Entities::default() };
            let problems = check::profile(&preset.profile, &entities);
            let odd: Vec<_> = problems.iter().filter(|own| !own.message.contains("does not list")).collect();
            assert!(odd.iter().all(|own| !own.is_error()) && odd.is_empty(), "{}: {odd:?}", preset.name);
        }
    }
}
