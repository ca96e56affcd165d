//! What the admin API asks of the gateway: testing channels, fetching model lists, telling where it is.

use super::Gateway;
use crate::error::GatewayError;
use crate::model::ChannelState;
use crate::pipeline::probed;
use crate::providers::{self, list_models};
use crate::server::admin::{ChannelTest, Desk, Facts, Later};
use crate::snapshot::Line;
use crate::store::Change;

impl Desk for Gateway {
    fn test_channel(&self, name: String, model: Option<String>) -> Later<Result<ChannelTest, String>> {
        let gateway = self.clone();
        Box::pin(async move {
            let Some(line) = gateway.line(&name) else {
                return Err(format!("there is no channel '{name}'"));
            };
            let outcome = match line {
                Ok(line) => gateway.test_line(&line, model).await,
                // A channel that cannot even be built (no credential, bad address) fails its test like any other.
                Err(why) => failed(model.unwrap_or_default(), why.to_string()),
            };
            let at = gateway.services().clock.unix_ms();
            let state = match &outcome.error {
                None => ChannelState::Working { at },
                Some(why) => ChannelState::Failing { at, why: why.clone() },
            };
            let tested = Change::ChannelTested { name: name.clone(), state };
            gateway.store().apply(tested, "test").await.map_err(|error| error.to_string())?;
            Ok(outcome)
        })
    }

    fn sync_models(&self, name: String) -> Later<Result<Vec<String>, String>> {
        let gateway = self.clone();
        Box::pin(async move { gateway.sync_models(&name).await })
    }

    fn probe(&self, channel: crate::model::Channel) -> Later<Result<Vec<String>, String>> {
        let gateway = self.clone();
        Box::pin(async move {
            let line = gateway.connect(&channel).map_err(|error| error.to_string())?;
            let listed = list_models(&line.channel, line.client.as_ref(), gateway.services().clock.as_ref()).await;
            let listed = listed.map_err(|error| error.public.message.clone())?;
            Ok(listed.into_iter().map(|model| model.id).collect())
        })
    }

    fn facts(&self) -> Facts {
        let own = self.0.own.get().map(Vec::as_slice).unwrap_or_default();
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.0.started,
            listen: own.iter().map(ToString::to_string).collect(),
            store: self.store().path().display().to_string(),
            config: self.0.config_file.get().map(|file| file.display().to_string()),
            desktop: self.is_desktop(),
        }
    }
}

impl Gateway {
    /// One small conversation with each credential; the first that fails is told.
    async fn test_line(&self, line: &Line, model: Option<String>) -> ChannelTest {
        let model = match model {
            Some(model) => model,
            None => match self.model_to_test(line).await {
                Ok(model) => model,
                Err(why) => return failed(String::new(), why),
            },
        };
        let clock = self.services().clock.as_ref();
        let credentials = line.channel.credentials().max(1);
        let mut shown = failed(model.clone(), "nothing was tested".to_owned());
        for credential in 0..credentials {
            let report = providers::test(&line.channel, credential, &model, line.client.as_ref(), clock).await;
            probed(self.services(), line, credential, &report);
            let place = if credentials > 1 { format!("credential {}: ", credential + 1) } else { String::new() };
            shown = ChannelTest {
                passed: report.failure.is_none(),
                model: report.model,
                format: report.format.map(|format| format.as_str().to_owned()),
                status: report.status,
                latency_ms: report.latency_us / 1_000,
                text: report.text,
                error: report.failure.map(|failure| format!("{place}{}", line.channel.redact(&told(&failure)))),
                enabled: line.channel.config.enabled,
            };
            if !shown.passed {
                break;
            }
        }
        shown
    }

    /// The first model that the channel offers by itself, the provider's usual one, or the first that it lists.
    pub(super) async fn model_to_test(&self, line: &Line) -> Result<String, String> {
        let config = &line.channel.config;
        let own = config.models.as_ref().and_then(|models| models.first()).map(|model| model.upstream().to_owned());
        let usual = || line.channel.provider.test_model.clone();
        if let Some(model) = own.or_else(usual).or_else(|| config.listed.first().cloned()) {
            return Ok(model);
        }
        let listed = list_models(&line.channel, line.client.as_ref(), self.services().clock.as_ref()).await;
        let listed = listed.map_err(|error| line.channel.redact(&error.public.message).into_owned())?;
        let first = listed.into_iter().next().map(|model| model.id);
        first.ok_or_else(|| "the provider lists no model: name those that the channel offers".to_owned())
    }
}

/// What went wrong, and the provider's own words where callers do not get to see them: this is for the owner.
pub(super) fn told(failure: &GatewayError) -> String {
    let message = &failure.public.message;
    match failure.source.as_ref().map(ToString::to_string) {
        Some(words) if !words.is_empty() && !message.contains(&words) => format!("{message}: {words}"),
        _ => message.clone(),
    }
}

fn failed(model: String, why: String) -> ChannelTest {
    ChannelTest {
        passed: false,
        model,
        format: None,
        status: None,
        latency_ms: 0,
        text: String::new(),
        error: Some(why),
        enabled: false,
    }
}
