//! `myelin explain`: what would happen to a request, before it is sent.

use clap::Args;
use serde_json::Value;

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, plain, text, time};

/// What would happen to a request.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The model that is asked for.
    model: String,
    /// The tool that asks.
    #[arg(long)]
    tool: Option<String>,
    /// Under this profile.
    #[arg(long)]
    profile: Option<String>,
    /// With this key (name or id).
    #[arg(long)]
    key: Option<String>,
    /// In this client format.
    #[arg(long)]
    format: Option<String>,
    /// So many tokens of prompt.
    #[arg(long)]
    tokens: Option<u64>,
    /// At most so many tokens back.
    #[arg(long)]
    max_output: Option<u64>,
    /// As a stream.
    #[arg(long)]
    stream: bool,
    /// With images.
    #[arg(long)]
    images: bool,
    /// With thinking.
    #[arg(long)]
    thinking: bool,
    /// With these tags, separated by commas.
    #[arg(long)]
    tags: Option<String>,
    /// With this header, NAME:VALUE.
    #[arg(long)]
    header: Vec<String>,
    /// With this field of metadata, NAME:VALUE.
    #[arg(long)]
    metadata: Vec<String>,
}

impl Explain {
    fn query(&self) -> String {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let flag = |value: bool| value.then(|| "true".to_owned());
        let lines = |values: &[String]| (!values.is_empty()).then(|| values.join("\n"));
        let fields = [
            ("model", Some(self.model.clone())),
            ("tool", self.tool.clone()),
            ("profile", self.profile.clone()),
            ("key", self.key.clone()),
            ("format", self.format.clone()),
            ("tokens", number(self.tokens)),
            ("max_output", number(self.max_output)),
            ("stream", flag(self.stream)),
            ("images", flag(self.images)),
            ("thinking", flag(self.thinking)),
            ("tags", self.tags.clone()),
            ("headers", lines(&self.header)),
            ("metadata", lines(&self.metadata)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(&value?))));
        given.collect::<Vec<_>>().join("&")
    }
}

/// Shows it.
pub(crate) fn run(place: &Place, explain: &Explain) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let answer = carrier.get(&format!("/api/v1/explain?{}", explain.query()))?;
    if place.json {
        return output::json(&answer);
    }
    show(&answer)
}

fn show(answer: &Value) -> anyhow::Result<()> {
    let line = |name: &str, value: &str| output::line(&format!("{name:<9}{}", plain(value)));
    line("profile", &format!("{} (from: {})", text(answer, "/profile"), text(answer, "/profile_from")))?;
    for rule in list(answer, "/rules") {
        let fired = rule.pointer("/fired") == Some(&Value::Bool(true));
        let said = if fired { "fires".to_owned() } else { format!("does not fire: {}", text(rule, "/why/words")) };
        line("rule", &format!("{} {said}", text(rule, "/rule")))?;
    }
    line("goes to", &text(answer, "/targets"))?;
    if text(answer, "/route") != "-" {
        line("route", &text(answer, "/route"))?;
    }
    if answer.pointer("/echo") == Some(&Value::Bool(true)) {
        return line("answer", "by the built-in model echo");
    }
    if text(answer, "/refused/words") != "-" {
        line("refused", &text(answer, "/refused/words"))?;
    }
    let number = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    let plan = list(answer, "/plan");
    // Which key is asked first is news only where there are several.
    let several = plan.iter().any(|step| list(step, "/credentials").len() > 1);
    let row = |(index, step): (usize, &Value)| {
        let group = number(step, "/group").unwrap_or_default() + 1;
        let until = number(step, "/benched_until").map(|at| format!(" (until {})", time(at))).unwrap_or_default();
        let mut row = vec![(index + 1).to_string(), format!("{}/{}", text(step, "/channel"), text(step, "/model"))];
        row.extend(several.then(|| positions(step)));
        row.extend([format!("{group} {}", text(step, "/strategy")), format!("{}{until}", text(step, "/why"))]);
        row
    };
    let rows: Vec<_> = plan.iter().enumerate().map(row).collect();
    if !rows.is_empty() {
        let heads: &[&str] = match several {
            true => &["try", "deployment", "credentials", "group", "why"],
            false => &["try", "deployment", "group", "why"],
        };
        output::table(heads, &rows)?;
    }
    let row = |left: &Value| vec![format!("{}/{}", text(left, "/channel"), text(left, "/model")), text(left, "/why")];
    let rows: Vec<_> = list(answer, "/left_out").iter().map(row).collect();
    if rows.is_empty() { Ok(()) } else { output::table(&["left out", "why"], &rows) }
}

/// The credentials of a deployment in the order of their tries, counted from one as everywhere.
fn positions(step: &Value) -> String {
    let positions = list(step, "/credentials").iter().filter_map(Value::as_u64);
    positions.map(|position| (position + 1).to_string()).collect::<Vec<_>>().join(", ")
}
