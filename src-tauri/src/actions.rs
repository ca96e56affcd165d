//! What clicks do. Each runs beside the main thread, so that the menu always answers.

use http::Method;
use serde_json::{Value, json};

use crate::carrier::{Failure, segment};
use crate::desk::Desk;
use crate::facts::{self, list, text};
use crate::tools::Deed;
use crate::{autostart, message, quit, surroundings, tools, window};

/// Name of the key that "copy environment" makes.
const SHELL: &str = "shell";

/// What a click does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Shows the window.
    Open,
    /// Shows a page of the console.
    Page(String),
    /// Switches the gateway.
    Use(String),
    /// Switches a tool; `None`: it follows the gateway.
    UseFor {
        /// The tool.
        tool: String,
        /// Its own profile.
        profile: Option<String>,
    },
    /// Asks, with what would be changed, whether it shall be done to a tool.
    AskTool(Deed, String),
    /// Does it.
    DoTool(Deed, String),
    /// Switches to the profile after the active one.
    NextProfile,
    /// Pauses, or goes on.
    Pause,
    /// Tests every channel that takes part.
    TestChannels,
    /// Copies what OpenAI's clients call a base URL.
    CopyBaseUrl,
    /// Copies variables for a shell, with a key.
    CopyEnvironment,
    /// Copies how a tool is launched through the gateway.
    CopyLaunch(String),
    /// Starts at login, or no longer.
    Autostart,
    /// Starts over with a gateway of its own, because the service is gone.
    TakeOver,
    /// Quits.
    Quit,
}

/// Does it.
pub(crate) fn run(desk: &Desk, action: Action) {
    let desk = desk.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(why) = act(&desk, action).await {
            message::tell(desk.app(), format!("That did not work.\n{why}"));
        }
        // Menus toggle marks by themselves: whatever came of it, they show the truth.
        desk.refresh().await;
    });
}

async fn act(desk: &Desk, action: Action) -> anyhow::Result<()> {
    let carrier = desk.carrier();
    match action {
        Action::Open => window::open(desk, None),
        Action::Page(path) => window::open(desk, Some(path)),
        Action::Use(profile) => facts::switch(carrier, Some(&profile), None).await?,
        Action::UseFor { tool, profile } => facts::switch(carrier, profile.as_deref(), Some(&tool)).await?,
        Action::AskTool(deed, tool) => tools::ask(desk, deed, &tool).await?,
        Action::DoTool(deed, tool) => tools::act(desk, deed, &tool).await?,
        Action::NextProfile => {
            if let Some(next) = desk.facts().next_profile() {
                facts::switch(carrier, Some(&next), None).await?;
                desk.notify("Profile", format!("Now: {next}"));
            }
        }
        Action::Pause => {
            let paused = !desk.facts().paused;
            carrier.tell(&Method::PATCH, "/api/v1/settings", &json!({"paused": paused})).await?;
        }
        Action::TestChannels => test_channels(desk).await?,
        Action::CopyBaseUrl => copy(desk, format!("http://{}/v1", desk.facts().address)),
        Action::CopyEnvironment => copy(desk, environment(desk).await?),
        Action::CopyLaunch(tool) => copy(desk, format!("myelin run {tool}")),
        Action::Autostart => autostart::set(!autostart::is_on())?,
        Action::TakeOver => desk.app().restart(),
        Action::Quit => quit::quit(desk),
    }
    Ok(())
}

fn copy(desk: &Desk, words: String) {
    let _ = desk.app().run_on_main_thread(move || surroundings::copy(&words));
}

/// A fresh key and the addresses, as a shell takes them. Keys cannot be read back, so each copy brings a new secret; the one before works for a day.
async fn environment(desk: &Desk) -> Result<String, Failure> {
    let made = desk.carrier().tell(&Method::POST, "/api/v1/keys", &json!({"name": SHELL})).await;
    let key = match made {
        Err(Failure::Refused { status: 409, .. }) => {
            desk.carrier().tell(&Method::POST, &format!("/api/v1/keys/{SHELL}/rotate"), &json!({})).await?
        }
        made => made?,
    };
    let (address, secret) = (desk.facts().address, text(&key, "/secret"));
    Ok(format!(
        "export OPENAI_BASE_URL=http://{address}/v1\nexport OPENAI_API_KEY={secret}\n\
         export ANTHROPIC_BASE_URL=http://{address}\nexport ANTHROPIC_AUTH_TOKEN={secret}\n\
         export GOOGLE_GEMINI_BASE_URL=http://{address}\nexport GEMINI_API_KEY={secret}\n"
    ))
}

/// One small request to each channel that takes part, and what came of it in one notification.
async fn test_channels(desk: &Desk) -> Result<(), Failure> {
    let channels = desk.carrier().get("/api/v1/channels").await?;
    let enabled = |channel: &&Value| channel.pointer("/enabled") == Some(&Value::Bool(true));
    let names: Vec<String> =
        list(&channels, "/channels").iter().filter(enabled).map(|channel| text(channel, "/name")).collect();
    let mut lines = Vec::new();
    for name in &names {
        let path = format!("/api/v1/channels/{}/test", segment(name));
        let tested = desk.carrier().tell(&Method::POST, &path, &json!({})).await;
        lines.push(match tested {
            Ok(test) if test.pointer("/passed") == Some(&Value::Bool(true)) => {
                format!("{name}: good, {} ms", facts::number(&test, "/latency_ms"))
            }
            Ok(test) => format!("{name}: {}", text(&test, "/error")),
            Err(why) => format!("{name}: {why}"),
        });
    }
    let words = if lines.is_empty() { "No channel takes part yet.".to_owned() } else { lines.join("\n") };
    // Asked for, so it is shown whatever is set about notifications.
    crate::notify::show(desk.app(), "Channels".to_owned(), words);
    desk.refresh_numbers().await;
    Ok(())
}
