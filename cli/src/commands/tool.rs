//! `myelin tool`: pointing this machine's programs at the gateway, and back.
//!
//! Files are changed in this process, with this shell's variables: `CODEX_HOME` or `CLAUDE_CONFIG_DIR` mean here what they mean to the tool. Only the
//! key comes from the gateway.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use myelin_core::model::Secret;
use myelin_core::tools::{Connected, Machine, Override, Source, State, Tools, View, Wanted};
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, plain, text};

/// Programs on this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// All of them, and how each stands.
    List,
    /// Point a tool here: its file is changed after the change was shown.
    Connect {
        /// The tool; `myelin tool list` names them.
        tool: String,
        #[command(flatten)]
        how: Ask,
        /// Do not ask before changing a file.
        #[arg(long, short)]
        yes: bool,
    },
    /// Show what connecting would change; nothing is touched.
    Diff {
        /// The tool.
        tool: String,
        #[command(flatten)]
        how: Ask,
    },
    /// What is not as it was left, and what beats the tool's files; ends with 1 if anything is.
    Drift {
        /// The tool (default: every one that is connected).
        tool: Option<String>,
    },
    /// Connect again as it was, after something else changed the tool's file.
    Repair {
        /// The tool.
        tool: String,
    },
    /// Put a tool's files back as they were before.
    #[command(alias = "disconnect")]
    Restore {
        /// The tool.
        #[arg(required_unless_present = "all")]
        tool: Option<String>,
        /// Every tool that is connected.
        #[arg(long, conflicts_with = "tool")]
        all: bool,
        /// Its key goes too: what still uses it is refused from then on.
        #[arg(long)]
        remove_key: bool,
    },
    /// Text to paste where no file can be changed, or on another machine.
    Snippet {
        /// The tool, or shell, or ci.
        tool: String,
        #[command(flatten)]
        how: Ask,
        /// Write the tool's key into it, made if there is none; else KEY stands in its place.
        #[arg(long)]
        reveal: bool,
    },
    /// Bind a folder, and all below it, to a profile: `myelin run` inside it uses that.
    Pin {
        /// The profile.
        profile: String,
        /// The folder (default: this one).
        folder: Option<PathBuf>,
        /// For this tool only (default: every tool).
        #[arg(long)]
        tool: Option<String>,
    },
    /// Free a folder from its profile.
    Unpin {
        /// The folder (default: this one).
        folder: Option<PathBuf>,
        /// The binding of this tool only.
        #[arg(long)]
        tool: Option<String>,
    },
    /// Folders that are bound to profiles.
    Pins,
}

/// How a tool is pointed here.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Ask {
    /// The model that it is told (default: its own choice, or the first that can be asked for).
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Pin a profile by the address, whatever is active elsewhere.
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Another address of this gateway, as `https://gateway.example`.
    #[arg(long, value_name = "URL")]
    pub(crate) base: Option<String>,
}

/// Does it.
pub(crate) fn run(place: &Place, tool: Tool) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    // Text without a key is for anybody.
    if !matches!(tool, Tool::Snippet { reveal: false, .. }) {
        carrier.refuse_tools_of_the_machine()?;
    }
    let desk = Desk::new(&carrier)?;
    match tool {
        Tool::List => desk.list(place),
        Tool::Connect { tool, how, yes } => desk.connect(place, &tool, &how, yes),
        Tool::Diff { tool, how } => {
            let wanted = desk.wanted(&how)?;
            let preview = desk.tools.preview(&tool, &wanted, desk.tools.key(&tool)?.as_ref())?;
            shown(place, &preview)
        }
        Tool::Drift { tool } => desk.drift(place, tool.as_deref()),
        Tool::Repair { tool } => desk.repair(place, &tool),
        Tool::Restore { tool, all, remove_key } => desk.restore(place, tool, all, remove_key),
        Tool::Snippet { tool, how, reveal } => {
            let key = if reveal { Some(desk.key(&tool)?) } else { None };
            let text = desk.tools.snippet(&tool, &desk.wanted(&how)?, key.as_ref())?;
            let notes = &desk.tools.find(&tool)?.notes;
            if place.json {
                return output::json(&json!({"tool": tool, "text": text, "notes": notes}));
            }
            output::line(&text)?;
            notes.iter().for_each(|note| output::aside!("note: {}", note.text));
            Ok(())
        }
        Tool::Pin { profile, folder, tool } => desk.pin(place, folder, tool.as_deref(), Some(&profile)),
        Tool::Unpin { folder, tool } => desk.pin(place, folder, tool.as_deref(), None),
        Tool::Pins => {
            let answer = carrier.get("/api/v1/pins")?;
            if place.json {
                return output::json(&answer);
            }
            let row = |pin: &Value| vec![text(pin, "/folder"), text(pin, "/profile"), text(pin, "/tool")];
            let rows: Vec<_> = list(&answer, "/pins").iter().map(row).collect();
            output::table(&["folder", "profile", "tool"], &rows)
        }
    }
}

/// The tools of this shell's machine, and the gateway that they are pointed at.
pub(crate) struct Desk<'c> {
    carrier: &'c Carrier,
    pub(crate) tools: Tools,
    base: String,
}

impl<'c> Desk<'c> {
    pub(crate) fn new(carrier: &'c Carrier) -> anyhow::Result<Self> {
        let data = &carrier.paths().data;
        let machine = Machine::new(myelin_core::config::variables(), data);
        let base = text(&carrier.get("/api/v1/tools")?, "/base");
        Ok(Self { carrier, tools: Tools::new(machine, data), base })
    }

    pub(crate) fn wanted(&self, ask: &Ask) -> anyhow::Result<Wanted> {
        let root = ask.base.as_deref().unwrap_or(&self.base).trim_end_matches('/');
        let base = match &ask.profile {
            Some(profile) => {
                // A name that nothing has would be refused at the first request only.
                if profile != "direct" {
                    self.carrier.get(&format!("/api/v1/profiles/{}", segment(profile)))?;
                }
                format!("{root}/p/{}", segment(profile))
            }
            None => root.to_owned(),
        };
        let names = self.carrier.get("/api/v1/models")?;
        let names = list(&names, "/models")
            .iter()
            .filter(|model| !list(model, "/channels").is_empty() || model.pointer("/routed") == Some(&json!(true)));
        Ok(Wanted {
            base,
            model: ask.model.clone(),
            models: names.take(100).map(|model| text(model, "/name")).collect(),
        })
    }

    /// The tool's own key, made by the gateway if there is none that works.
    pub(crate) fn key(&self, tool: &str) -> anyhow::Result<Secret> {
        self.carrier.post(&format!("/api/v1/tools/{}/key", segment(tool)), &json!({}))?;
        self.tools.key(tool)?.context("the key that was made cannot be found")
    }

    fn view(&self, view: View) -> View {
        // This shell's variables and folder are looked at here; whether the key is good, the gateway knows.
        let known = self.carrier.get(&format!("/api/v1/tools/{}", segment(&view.id)));
        let bad_key = known.is_ok_and(|known| list(&known, "/drift").iter().any(|drift| text(drift, "/kind") == "key"));
        let mut view = view;
        if bad_key && view.connected.is_some() && matches!(view.state, State::Connected | State::Overridden) {
            view.state = State::Drifted;
        }
        view
    }

    fn project() -> Option<PathBuf> {
        std::env::current_dir().ok()
    }

    fn views(&self) -> Vec<View> {
        self.tools.list(&self.base, Self::project().as_deref()).into_iter().map(|view| self.view(view)).collect()
    }

    fn list(&self, place: &Place) -> anyhow::Result<()> {
        let views = self.views();
        if place.json {
            return output::json(&json!({"base": self.base, "tools": views}));
        }
        let row = |view: &View| {
            let more = view.points_at.as_ref().map(|other| format!("points at {other}"));
            let beaten =
                view.overrides.first().map(|first| format!("{} beats its file ({})", first.name, place_of(first)));
            let drifted = view.drift.first().map(|first| format!("{} {}", first.kind.words(), first.at));
            let note = more.or(drifted).or(beaten).unwrap_or_default();
            let drifted_file = view.drift.first().map(|first| first.path.clone());
            let file = drifted_file.or_else(|| view.files.first().cloned()).unwrap_or_else(|| "-".to_owned());
            vec![view.id.clone(), view.name.clone(), view.state.words().to_owned(), file, note]
        };
        output::table(&["tool", "name", "state", "file", ""], &views.iter().map(row).collect::<Vec<_>>())
    }

    fn connect(&self, place: &Place, tool: &str, how: &Ask, yes: bool) -> anyhow::Result<()> {
        let wanted = self.wanted(how)?;
        let preview = self.tools.preview(tool, &wanted, self.tools.key(tool)?.as_ref())?;
        if preview.changed && !place.json {
            diffs(&preview)?;
        }
        if preview.changed && !yes && !confirmed("change it?")? {
            bail!("nothing was changed");
        }
        let key = self.key(tool)?;
        let done = self.tools.connect(tool, &wanted, &key, output::now()?)?;
        self.told(place, tool, &done, "points here now")
    }

    fn repair(&self, place: &Place, tool: &str) -> anyhow::Result<()> {
        let kept = self.tools.wanted(tool)?;
        let kept = kept.with_context(|| format!("{tool} is not connected: `myelin tool connect {tool}`"))?;
        let profile = kept.base.split_once("/p/").map(|(_, profile)| profile.to_owned());
        let fresh = self.wanted(&Ask { model: kept.model.clone(), profile, base: None })?;
        let models = if fresh.models.is_empty() { kept.models } else { fresh.models.clone() };
        let key = self.key(tool)?;
        let done = self.tools.connect(tool, &Wanted { models, ..fresh }, &key, output::now()?)?;
        if !place.json {
            diffs(&done)?;
        }
        self.told(place, tool, &done, "is as it was left again")
    }

    fn told(&self, place: &Place, tool: &str, done: &Connected, words: &str) -> anyhow::Result<()> {
        if place.json {
            return output::json(&serde_json::to_value(done)?);
        }
        done.warnings.iter().for_each(|warning| output::aside!("warning: {warning}"));
        let known = self.tools.find(tool)?;
        let view = self.tools.look(tool, &self.base, Self::project().as_deref())?;
        view.overrides
            .iter()
            .for_each(|beats| output::aside!("warning: {} beats its file: {}", beats.name, place_of(beats)));
        if !done.changed {
            return output::line(&format!("{} points here already: nothing was changed", known.name));
        }
        known.notes.iter().for_each(|note| output::aside!("note: {}", note.text));
        output::line(&format!("{} {words}; it sees it {}", known.name, known.effect))?;
        output::line(&format!("back again: myelin tool restore {tool}"))
    }

    fn drift(&self, place: &Place, tool: Option<&str>) -> anyhow::Result<()> {
        let views: Vec<View> = match tool {
            Some(tool) => vec![self.view(self.tools.look(tool, &self.base, Self::project().as_deref())?)],
            None => self.views().into_iter().filter(|view| view.connected.is_some()).collect(),
        };
        let off = views.iter().any(|view| !matches!(view.state, State::Connected));
        if place.json {
            output::json(&json!({"tools": views}))?;
        } else {
            for view in &views {
                output::line(&format!("{}: {}", view.name, view.state.words()))?;
                for drift in &view.drift {
                    let found = drift.found.as_ref().map(|found| format!(": {}", plain(found))).unwrap_or_default();
                    output::line(&format!("  {} {} {}{found}", drift.path, drift.kind.words(), drift.at))?;
                }
                for beats in &view.overrides {
                    output::line(&format!(
                        "  {} = {} beats its file: {}",
                        beats.name,
                        plain(&beats.value),
                        place_of(beats)
                    ))?;
                }
            }
        }
        if off {
            bail!("something is not as it was left: `myelin tool repair TOOL` mends what stands in files");
        }
        Ok(())
    }

    fn restore(&self, place: &Place, tool: Option<String>, all: bool, remove_key: bool) -> anyhow::Result<()> {
        let tools: Vec<String> = match tool {
            Some(tool) => vec![tool],
            None if all => self
                .tools
                .list(&self.base, None)
                .into_iter()
                .filter(|view| view.connected.is_some())
                .map(|view| view.id)
                .collect(),
            None => Vec::new(),
        };
        let mut answers = Vec::new();
        for tool in tools {
            let done = self.tools.restore(&tool)?;
            if remove_key {
                let keys = self.carrier.get("/api/v1/keys")?;
                let own = list(&keys, "/keys").iter().filter(|key| text(key, "/tool") == tool);
                for key in own {
                    self.carrier.delete(&format!("/api/v1/keys/{}", segment(&text(key, "/id"))))?;
                }
                self.tools.keep_key(&tool, None)?;
            }
            if !place.json {
                for file in &done.files {
                    output::line(&format!("{} {}", file.path, file.how.words()))?;
                    file.left.iter().for_each(|left| output::aside!("warning: {left} was changed since and is left"));
                }
            }
            answers.push(serde_json::to_value(done)?);
        }
        if place.json { output::json(&json!({"restored": answers})) } else { Ok(()) }
    }

    fn pin(
        &self,
        place: &Place,
        folder: Option<PathBuf>,
        tool: Option<&str>,
        profile: Option<&str>,
    ) -> anyhow::Result<()> {
        let folder = folder.unwrap_or_else(|| PathBuf::from("."));
        let folder = folder.canonicalize().with_context(|| format!("{} is no folder", folder.display()))?;
        let answer = self.carrier.put("/api/v1/pins", &json!({"folder": folder, "tool": tool, "profile": profile}))?;
        if place.json {
            return output::json(&answer);
        }
        output::line(&match profile {
            Some(profile) => format!("`myelin run {}` in {} uses {profile}", tool.unwrap_or("TOOL"), folder.display()),
            None => format!("{} is bound to no profile", folder.display()),
        })
    }
}

fn shown(place: &Place, preview: &Connected) -> anyhow::Result<()> {
    if place.json {
        return output::json(&serde_json::to_value(preview)?);
    }
    if preview.changed { diffs(preview) } else { output::line("nothing would change") }
}

fn diffs(preview: &Connected) -> anyhow::Result<()> {
    for file in preview.files.iter().filter(|file| !file.diff.is_empty()) {
        let fresh = if file.new { " (new)" } else { "" };
        output::line(&format!("{}{fresh}", file.path))?;
        file.diff.lines().skip(2).try_for_each(|line| output::line(&plain(&line.replace('\t', "    "))))?;
    }
    Ok(())
}

/// Asks; nobody there to answer means no.
pub(super) fn confirmed(question: &str) -> anyhow::Result<bool> {
    use std::io::{BufRead as _, IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to ask: say --yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn place_of(beats: &Override) -> String {
    match &beats.from {
        Source::Environment => "set in this shell".to_owned(),
        Source::Shell(place) => format!("set in {place}"),
        Source::Project(place) => format!("set in {place}"),
    }
}
