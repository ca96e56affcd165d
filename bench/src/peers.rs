//! Other gateways that package registries carry: how each is started in front of the mock. `cargo xtask bench peers` installs them below `target/peers`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::process::Command;

use crate::scenario::peer_scenarios;
use crate::shape::{Ask, Format, Shape, ask};
use crate::target::READY;

/// The key that peers are called with.
pub const KEY: &str = "sk-bench-0123456789abcdefghijklmnop";

/// A gateway of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// LiteLLM's proxy (PyPI), one worker, no database.
    LiteLlm,
    /// Portkey's gateway (npm).
    Portkey,
    /// claude-code-router (npm); speaks Anthropic Messages to its clients and nothing else.
    Ccr,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LiteLlm, Self::Portkey, Self::Ccr];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::Portkey => "portkey",
            Self::Ccr => "claude-code-router",
        }
    }

    /// Whether it can answer clients of `format` from a provider that speaks Chat.
    pub fn serves(self, format: Format) -> bool {
        match self {
            Self::LiteLlm => matches!(format, Format::Chat | Format::Messages),
            Self::Portkey => format == Format::Chat,
            Self::Ccr => format == Format::Messages,
        }
    }

    /// The shape that it is asked for until it answers.
    fn first_shape(self) -> Shape {
        let served = peer_scenarios().into_iter().find(|scenario| self.serves(scenario.format));
        if self.serves(Format::Chat) { READY } else { served.map_or(READY, |scenario| scenario.shape) }
    }

    /// What it is asked until it answers.
    pub(crate) fn first_ask(self) -> Ask {
        let format = if self.serves(Format::Chat) { Format::Chat } else { Format::Messages };
        ask(format, self.first_shape(), 200)
    }

    /// Headers that each call needs.
    pub fn headers(self, mock: SocketAddr) -> Vec<(&'static str, String)> {
        match self {
            Self::Portkey => {
                vec![
                    ("x-portkey-provider", "openai".to_owned()),
                    ("x-portkey-custom-host", format!("http://{mock}/v1")),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// The command that starts it. `installed`: the folder with all peers.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn command(self, address: SocketAddr, mock: SocketAddr, installed: &Path, folder: &Path) -> Result<Command> {
        let home =
            installed.join(self.name()).canonicalize().with_context(|| format!("{} is not installed", self.name()))?;
        let port = address.port().to_string();
        let mut command = match self {
            Self::LiteLlm => {
                let file = folder.join("litellm.json");
                std::fs::write(&file, litellm(mock))?;
                let mut litellm = Command::new(home.join("venv/bin/litellm"));
                litellm.arg("--config").arg(file).args(["--host", "127.0.0.1", "--port", &port, "--num_workers", "1"]);
                litellm.envs([
                    ("LITELLM_MASTER_KEY", KEY),
                    ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
                    ("LITELLM_LOG", "ERROR"),
                    ("LITELLM_TELEMETRY", "False"),
                ]);
                litellm
            }
            Self::Portkey => {
                let mut portkey = Command::new("node");
                portkey.arg(home.join("node_modules/@portkey-ai/gateway/build/start-server.js"));
                portkey.arg(format!("--port={port}")).arg("--headless");
                portkey.env("TRUSTED_CUSTOM_HOSTS", format!("localhost,127.0.0.1,{mock}"));
                portkey
            }
            Self::Ccr => {
                let settings = folder.join(".claude-code-router");
                std::fs::create_dir_all(&settings)?;
                std::fs::write(settings.join("config.json"), ccr(address, mock))?;
                let mut ccr = Command::new("node");
                ccr.arg(home.join("node_modules/@musistudio/claude-code-router/dist/cli.js")).arg("start");
                ccr
            }
        };
        // Nothing of the machine's owner is read or written.
        let folder = folder.canonicalize().context("the folder is gone")?;
        command.env("HOME", &folder).current_dir(&folder);
        Ok(command)
    }
}

/// Every model that the scenarios ask for.
fn models() -> BTreeSet<String> {
    peer_scenarios().iter().map(|scenario| scenario.shape).chain([READY]).map(|shape| shape.to_string()).collect()
}

fn litellm(mock: SocketAddr) -> String {
    let models: Vec<_> = models()
        .into_iter()
        .map(|model| {
            let params = json!({ "model": format!("openai/{model}"), "api_base": format!("http://{mock}/v1"), "api_key": "bench" });
            json!({ "model_name": model, "litellm_params": params })
        })
        .collect();
    // JSON is YAML.
    // Without the second it asks the Responses API for what comes in Anthropic's format.
    let settings = json!({ "num_retries": 0, "use_chat_completions_url_for_anthropic_messages": true });
    json!({ "model_list": models, "litellm_settings": settings }).to_string()
}

fn ccr(address: SocketAddr, mock: SocketAddr) -> String {
    let models: Vec<_> = models().into_iter().collect();
    // Whatever model a client names, it asks for this one.
    let default = format!("mock,{}", Peer::Ccr.first_shape());
    json!({
        "APIKEY": KEY, "HOST": "127.0.0.1", "PORT": address.port(), "LOG": false, "NON_INTERACTIVE_MODE": true,
        "Providers": [{
            "name": "mock", "api_base_url": format!("http://{mock}/v1/chat/completions"), "api_key": "bench", "models": models,
        }],
        "Router": { "default": default },
    })
    .to_string()
}
