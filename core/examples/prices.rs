//! Makes the bundled price table from LiteLLM's and models.dev's JSON: `cargo xtask prices VERSION LITELLM.json MODELS_DEV.json`.

use std::process::ExitCode;

use myelin_core::pricing::{Imported, bundle};

/// What the table says of itself.
const NOTES: [&str; 5] = [
    "Made by `cargo xtask prices`; see core/src/pricing/table.rs for the columns.",
    "Prices: L = LiteLLM (github.com/BerriAI/litellm), M = models.dev (github.com/anomalyco/models.dev).",
    "Limits and abilities: models.dev, where it knows the model.",
    "Both are under the MIT licence: Copyright (c) 2023 Berri AI; Copyright (c) 2025 models.dev.",
    "The version names LiteLLM's release and models.dev's commit. The whole notices are in core/src/pricing/NOTICE.",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [version, litellm, models_dev] = arguments.as_slice() else {
        eprintln!("prices VERSION LITELLM.json MODELS_DEV.json");
        return ExitCode::FAILURE;
    };
    let read = |path: &String| {
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        Imported::read(&bytes).map_err(|error| format!("{path}: {error}"))
    };
    match read(litellm).and_then(|litellm| Ok((litellm, read(models_dev)?))) {
        Ok((litellm, models_dev)) => {
            print!("{}", bundle(version, &NOTES, &litellm, &models_dev).text());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
