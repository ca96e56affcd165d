//! What is remembered of a request.

use myelin_protocol::ir::Usage;
use serde::{Deserialize, Serialize};

use super::{NanoUsd, Note, Placed, Why};

/// One client call, written once, when it is over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RequestRecord {
    /// `req_` and 32 hex digits of a UUIDv7: sorts by time.
    pub id: String,
    /// Milliseconds since 1970.
    pub started: u64,
    /// Microseconds from the first byte in to the last byte out.
    pub duration_us: u64,
    /// Microseconds to the first content out, streams only.
    pub first_token_us: Option<u64>,
    /// Microseconds that Myelin itself took: until the first deployment was asked, and after the last one was done.
    pub overhead_us: u64,
    /// How it ended.
    pub state: RequestState,
    /// HTTP status that the client got.
    pub status: u16,
    /// Path as asked.
    pub path: String,
    /// Client format or surface (`openai-chat`, `embeddings`, `models` …).
    pub format: String,
    /// The model that was asked for.
    pub model: String,
    /// Channel that answered (or failed last).
    pub channel: Option<String>,
    /// Provider of that channel: a row of the catalog.
    pub provider: Option<String>,
    /// Upstream's name of the model.
    pub upstream_model: Option<String>,
    /// Upstream format; equal to `format` means bytes passed unchanged.
    pub upstream_format: Option<String>,
    /// Profile that was active for it.
    pub profile: String,
    /// Which rule of the profile fired.
    pub rule: Option<String>,
    /// The route that the deployments came from, if one was defined.
    pub route: Option<String>,
    /// How deployments were chosen within their group.
    pub strategy: Option<String>,
    /// The first deployments that were planned, in order; [`MOST_PLANNED`] at most.
    #[schema(value_type = Vec<PlannedShown>)]
    pub plan: Vec<PlannedDeployment>,
    /// Id of the virtual key.
    pub key: Option<String>,
    /// The nodes above the key as `kind:name`, from the nearest to the farthest: user, team, project, organisation.
    pub owners: Vec<String>,
    /// Tool of the key, else read from the user agent.
    pub tool: Option<String>,
    /// Tags that it counts under: those of the channel that answered, and those that the caller or the key named.
    pub tags: Vec<String>,
    /// Session id that the client sent (Claude Code, Codex …).
    pub session: Option<String>,
    /// Trace id that the client sent: requests of one task.
    pub trace: Option<String>,
    /// Thread id that the client sent: tasks of one conversation.
    pub thread: Option<String>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// What the response cache had to say.
    pub cache: CacheOutcome,
    /// The limit or budget that refused it, by its id.
    pub refused_by: Option<String>,
    /// Tries, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Tokens by class; `None` is unknown. The provider's own object is kept beside them if it is small.
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Usage>,
    /// What it cost; `None` is unknown or unpriced.
    pub cost: Option<NanoUsd>,
    /// Where the cost is from; `None`: no provider was asked.
    pub cost_source: Option<CostSource>,
    /// Which price was used, in short: table and version, or the override.
    pub price: Option<String>,
    /// What an answer from the cache would have cost.
    pub saved: Option<NanoUsd>,
    /// Fields that the target could not carry.
    pub losses: Vec<String>,
    /// Kind of failure ([`crate::error::Kind`] label).
    pub error: Option<String>,
    /// The failure in words.
    pub error_message: Option<String>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Why the answer ended, in unified words.
    pub finish: Option<String>,
    /// The budgets that counted what it cost: priced anew, it costs them the difference.
    #[serde(skip)]
    pub budgets: Vec<Budgeted>,
}

/// A budget that counted what a request cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budgeted {
    /// Which counter.
    pub counter: u64,
    /// When the part of its window began that the request counts in; milliseconds since 1970.
    pub at: u64,
    /// Which attempt's own cost it counted, by its place; `None`: what all of the request cost.
    pub attempt: Option<u32>,
}

/// Planned deployments that a record keeps.
pub const MOST_PLANNED: usize = 8;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// The client got a whole answer.
    Completed,
    /// The answer broke off after content had been sent.
    Interrupted,
    /// The client left, or somebody stopped it.
    Canceled,
    /// The client got an error.
    #[default]
    Failed,
}

impl RequestState {
    /// The word that it is shown by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

/// What the response cache had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheOutcome {
    /// It was not asked.
    #[default]
    None,
    /// It had the answer.
    Hit,
    /// It had none.
    Miss,
    /// An identical request in flight shared its answer.
    Shared,
}

impl CacheOutcome {
    /// The word that it is shown by.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Shared => "shared",
        }
    }
}

/// Where a cost is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CostSource {
    /// Tokens that the provider counted, at our price.
    Computed,
    /// The provider said what it cost.
    Reported,
    /// Tokens that we estimated, at our price.
    Estimated,
    /// There is no price.
    Unpriced,
    /// It costs nothing: answered here, from the cache, or by a model that is free.
    Free,
}

/// A deployment that was planned for a request, with the reason for its place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "PlannedShown", into = "PlannedShown")]
pub struct PlannedDeployment {
    /// The channel.
    pub channel: String,
    /// Upstream's name of the model.
    pub model: String,
    /// Which group of the route, from 0.
    pub group: u32,
    /// Why it stands here; `None`: that was not kept in a form that can be read.
    pub placed: Option<Placed>,
}

/// A planned deployment as it is shown: its reason in words, and as what the words are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PlannedDeployment)]
#[serde(default)]
pub struct PlannedShown {
    /// The channel.
    pub channel: String,
    /// Upstream's name of the model.
    pub model: String,
    /// Which group of the route, from 0.
    pub group: u32,
    /// Why it stands here, in few words.
    pub why: String,
    /// Its place by the strategy.
    pub reason: Option<Why>,
    /// What moved it from there.
    pub note: Note,
}

impl From<PlannedDeployment> for PlannedShown {
    fn from(planned: PlannedDeployment) -> Self {
        let PlannedDeployment { channel, model, group, placed } = planned;
        Self {
            channel,
            model,
            group,
            why: placed.map(|placed| placed.to_string()).unwrap_or_default(),
            reason: placed.map(|placed| placed.reason),
            note: placed.map(|placed| placed.note).unwrap_or_default(),
        }
    }
}

impl From<PlannedShown> for PlannedDeployment {
    fn from(shown: PlannedShown) -> Self {
        let PlannedShown { channel, model, group, reason, note, .. } = shown;
        Self { channel, model, group, placed: reason.map(|reason| Placed { reason, note }) }
    }
}

/// One try at one deployment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct AttemptRecord {
    /// The channel.
    pub channel: String,
    /// Upstream's name of the model.
    pub upstream_model: String,
    /// Which credential, by position.
    pub credential: u32,
    /// Upstream format.
    pub format: String,
    /// Microseconds after the request began.
    pub offset_us: u64,
    /// Microseconds that it took.
    pub duration_us: u64,
    /// Microseconds to the upstream's first byte.
    pub first_byte_us: Option<u64>,
    /// HTTP status of the upstream.
    pub status: Option<u16>,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// Why it was made, in few words (`first choice`, `after a timeout` …).
    pub reason: Option<String>,
    /// It was started because another one was late.
    pub hedged: bool,
    /// It ran against others at the same time.
    pub raced: bool,
    /// It went on with an answer that had broken off in the attempt before: the caller got one text of both.
    pub resumed: bool,
    /// Kind of failure.
    pub error_kind: Option<String>,
    /// The failure in words, secrets removed.
    pub error: Option<String>,
    /// Upstream's request id, for its support.
    pub upstream_request_id: Option<String>,
    /// Tokens that it used, where that is known of this attempt apart.
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Usage>,
    /// What it cost, where that is known of this attempt apart.
    pub cost: Option<NanoUsd>,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// It answered.
    Answered,
    /// It refused or failed; another one was or could be tried.
    #[default]
    Failed,
    /// It took too long.
    TimedOut,
    /// It broke off after content.
    Interrupted,
    /// The client left, or another one was faster.
    Canceled,
}
