//! Model lists, both ways: `ListFoundationModels`, `{"modelSummaries": [{"modelId", "modelName", "providerName"}]}`.

use serde::Deserialize;

use super::FORMAT;
use crate::DecodeError;
use crate::ir::ModelInfo;
use crate::json::object;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    model_summaries: Vec<Summary>,
    /// `ListInferenceProfiles`.
    #[serde(default)]
    inference_profile_summaries: Vec<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    model_id: String,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    provider_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    inference_profile_id: String,
    #[serde(default)]
    inference_profile_name: Option<String>,
}

/// Reads a list of foundation models or of inference profiles.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let list: List = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    let models = list.model_summaries.into_iter().map(|model| ModelInfo {
        id: model.model_id,
        display_name: model.model_name,
        owned_by: model.provider_name,
        ..ModelInfo::default()
    });
    let profiles = list.inference_profile_summaries.into_iter().map(|profile| ModelInfo {
        id: profile.inference_profile_id,
        display_name: profile.inference_profile_name,
        ..ModelInfo::default()
    });
    Ok(models.chain(profiles).collect())
}

/// Writes a list of foundation models.
pub(super) fn encode(models: &[ModelInfo]) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |o| {
        o.list("modelSummaries", |list| {
            for model in models {
                list.object(|o| {
                    o.value("modelId", &model.id);
                    o.value("modelName", model.display_name.as_deref().unwrap_or(&model.id));
                    o.some("providerName", model.owned_by.as_deref());
                    o.value("responseStreamingSupported", &true);
                });
            }
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_and_profiles_are_read() {
        let models = vec![ModelInfo {
            id: "amazon.nova".into(),
            display_name: Some("Nova".into()),
            owned_by: Some("Amazon".into()),
            ..ModelInfo::default()
        }];
        assert_eq!(decode(&encode(&models)).unwrap(), models);
        let profiles = br#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.x","inferenceProfileName":"X"}]}"#;
        assert_eq!(decode(profiles).unwrap()[0].id, "us.x");
        assert!(decode(b"[1]").is_err());
    }
}
