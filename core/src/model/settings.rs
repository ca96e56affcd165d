//! Settings of the gateway itself.

use serde::{Deserialize, Serialize};

use super::{Policy, Timeouts};

/// Settings of the gateway itself: file, then environment (`MYELIN__SECTION__KEY`), then flags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Addresses to listen on. Default: loopback, IPv4 and IPv6, port 6935.
    pub listen: Vec<String>,
    /// The profile that is active at the very first start; later switches are stored and win.
    pub active_profile: String,
    /// Extra host names that the `Host` check accepts (`[::1]`, `localhost` and `127.0.0.1` always are).
    pub allowed_hosts: Vec<String>,
    /// Browser origins that may call; none by default.
    pub allowed_origins: Vec<String>,
    /// Listening on anything but loopback is refused unless this is set; keys are then always required.
    pub lan: bool,
    /// Console and admin API on the TCP listeners. Absent: a server has them there, the desktop app does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<bool>,
    /// Requests for models are refused with a clear 503 until this is taken back.
    pub paused: bool,
    /// What the desktop app does by itself.
    pub desktop: DesktopSettings,
    /// Name of the virtual key that keyless requests on a loopback listener count as.
    pub anonymous_key: Option<String>,
    /// Limits on waiting for every channel that has none of its own.
    pub timeouts: Timeouts,
    /// Retries, hedges, races, mirrors and the answer cache, where nothing narrower says otherwise.
    #[serde(skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Of a hundred requests so many may lead to a second try at the same deployment or a hedge, so that a storm is not made worse.
    pub retry_budget_percent: u32,
    /// Most bytes of answers that the cache keeps in memory.
    pub cache_memory_bytes: u64,
    /// Most bytes of answers that the cache keeps on disk; 0: none.
    pub cache_disk_bytes: u64,
    /// Media that a request names by address may lie in private networks (for providers that take no addresses it is fetched here).
    pub private_media: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: u64,
    /// How long a client may send nothing while its body is read, in seconds; 0: as long as it likes.
    pub body_idle_seconds: u64,
    /// How many deployments one request may try.
    pub max_attempts: u32,
    /// How to choose among deployments where no route, profile or key says it.
    pub strategy: super::Strategy,
    /// How long a conversation stays at the deployment that has its prompt in its cache, in seconds after its last answer; 0: it does not.
    pub affinity_seconds: u64,
    /// When deployments that fail are left alone, and for how long.
    pub breaker: BreakerSettings,
    /// How often provider model lists are fetched again, in seconds; 0 never.
    pub model_sync_seconds: u64,
    /// How long stored responses (`previous_response_id`) are kept, in seconds.
    pub stored_response_seconds: u64,
    /// Which bodies are kept.
    pub bodies: BodyPolicy,
    /// How long kept bodies stay, in days.
    pub bodies_days: u32,
    /// Most bytes that kept bodies take on disk, compressed; the oldest go first.
    pub bodies_bytes: u64,
    /// What happens to requests for models that have no price.
    pub unpriced: Unpriced,
    /// How long request metadata is kept, in days.
    pub metadata_days: u32,
    /// Master key that seals provider secrets; `env:`, `file:` or `keychain:`. Absent: an entry of the keychain in stores that the desktop app began, else a
    /// 0600 key file.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub master_key: Option<super::SecretSource>,
}

impl Settings {
    /// What the desktop app does where nobody says anything: the bodies of all requests are kept, since they are the owner's own. `fixed`: names of settings that
    /// somebody set.
    pub fn take_desktop_defaults(&mut self, fixed: &std::collections::BTreeSet<String>) {
        if !fixed.contains("bodies") {
            self.bodies = BodyPolicy::All;
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:6935".to_owned(), "[::1]:6935".to_owned()],
            active_profile: "direct".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            lan: false,
            console: None,
            paused: false,
            desktop: DesktopSettings::default(),
            anonymous_key: None,
            timeouts: Timeouts::default(),
            policy: Policy::default(),
            retry_budget_percent: 20,
            cache_memory_bytes: 32 << 20,
            cache_disk_bytes: 256 << 20,
            private_media: false,
            max_body_bytes: 64 << 20,
            body_idle_seconds: 60,
            max_attempts: 5,
            strategy: super::Strategy::Weighted,
            affinity_seconds: 3_600,
            breaker: BreakerSettings::default(),
            model_sync_seconds: 6 * 3_600,
            stored_response_seconds: 30 * 86_400,
            bodies: BodyPolicy::Errors,
            bodies_days: 7,
            bodies_bytes: 256 << 20,
            unpriced: Unpriced::Allow,
            metadata_days: 90,
            master_key: None,
        }
    }
}

/// What the desktop app does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DesktopSettings {
    /// The system's notifications tell of failover, budgets, keys that expire.
    pub notifications: bool,
    /// A closed window is kept for so long, in seconds, then its memory is given back; opening it again then takes a moment.
    pub free_window_seconds: u64,
    /// Keys that open the window from anywhere, like `Ctrl+Alt+M`. Empty: none.
    pub shortcut_open: String,
    /// Keys that switch to the next profile from anywhere. Empty: none.
    pub shortcut_next_profile: String,
}

impl Default for DesktopSettings {
    fn default() -> Self {
        Self {
            notifications: true,
            free_window_seconds: 60,
            shortcut_open: String::new(),
            shortcut_next_profile: String::new(),
        }
    }
}

/// When deployments that fail are left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// So many failures in a row.
    pub failures: u32,
    /// Or such a share of the last five minutes, of at least ten attempts.
    pub failure_percent: u32,
    /// For so long at first; doubled each time that it fails right after. Milliseconds.
    pub cooldown_ms: u64,
    /// And at most. Milliseconds.
    pub longest_cooldown_ms: u64,
    /// The longest wait that a provider may ask for. Milliseconds.
    pub retry_after_cap_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 3,
            failure_percent: 50,
            cooldown_ms: 5_000,
            longest_cooldown_ms: 60_000,
            retry_after_cap_ms: 600_000,
        }
    }
}

/// Which bodies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyPolicy {
    /// None.
    Off,
    /// Those of failed requests.
    #[default]
    Errors,
    /// All.
    All,
}

/// What happens to requests for models that have no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unpriced {
    /// They are served; their records say that there is no price.
    #[default]
    Allow,
    /// They are refused before any provider is asked.
    Block,
}
