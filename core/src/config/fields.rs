//! Every key of the file: what it holds, what it means, an example. Unknown keys are told by this table, variables of the environment are read by it,
//! and the reference page is written from it.

use crate::model::check;

/// One key of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The table that it stands in: empty for the top, `channels`, `channels.timeouts`, `profiles.rules` …
    pub section: &'static str,
    /// The key.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// What it is when it is left out, in words or as TOML; empty: nothing.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A number.
    Decimal,
    /// Dollars: a number, or a text with one.
    Amount,
    /// A list of whole numbers.
    Numbers,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// A table with keys of its own, in the section `section.name`.
    Table,
    /// A list of such tables; `[[name]]`.
    Tables,
    /// A list of texts or of tables.
    Mixed,
    /// A table with any keys.
    Free,
    /// A date and time, or a text with one.
    Time,
}

impl Shape {
    /// The shape in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "whole number",
            Self::Decimal => "number",
            Self::Amount => "number or text",
            Self::Numbers => "list of whole numbers",
            Self::Flag => "true or false",
            Self::Texts => "list of texts",
            Self::Table => "table",
            Self::Tables => "list of tables",
            Self::Mixed => "list of texts or tables",
            Self::Free => "table with any keys",
            Self::Time => "date and time",
        }
    }
}

macro_rules! fields {
    ($($section:literal { $($name:literal: $shape:ident = $default:literal, $example:literal, $doc:literal;)* })*) => {
        &[$($(Field {
            section: $section,
            name: $name,
            shape: Shape::$shape,
            default: $default,
            doc: $doc,
            example: $example,
        },)*)*]
    };
}

/// Every key of the file.
pub const FIELDS: &[Field] = fields! {
    "" {
        "listen": Texts = "[\"127.0.0.1:6935\", \"[::1]:6935\"]", "[\"127.0.0.1:6935\"]",
            "Addresses to listen on. Tools have the port in their files: choose it once. Anything but loopback needs `lan`. Read at start.";
        "active_profile": Text = "\"direct\"", "\"cheap\"",
            "The profile that is active at the very first start. Later switches are stored and win.";
        "allowed_hosts": Texts = "[]", "[\"myelin.example\"]",
            "More host names under which the gateway may be called. `localhost`, `127.0.0.1` and `[::1]` always are.";
        "allowed_origins": Texts = "[]", "[\"https://chat.example\"]",
            "Browser origins that may call, as scheme://host[:port]. All others are refused.";
        "lan": Flag = "false", "true",
            "Allows `listen` to name addresses that other machines can reach. Keys are always required there.";
        "console": Flag = "true on a server, false in the desktop app", "true",
            "Console and admin API on `listen`, behind an admin token. The desktop app's window and the command line do without.";
        "paused": Flag = "false", "true",
            "Requests for models are refused with a clear 503 until this is taken back.";
        "desktop": Table = "", "{ notifications = false }",
            "What the desktop app does by itself.";
        "anonymous_key": Text = "", "\"ollama\"",
            "Name of the virtual key that requests without a key count as, on loopback only. Without it a key is always required.";
        "private_media": Flag = "false", "true",
            "Media that a request names by address may lie in private networks. It is fetched here for providers that take no addresses.";
        "max_body_bytes": Number = "67108864", "67108864",
            "Largest body of a request, in bytes.";
        "body_idle_seconds": Number = "60", "60",
            "How long a client may send nothing while the body of its request is read, in seconds; then it gets a 408. 0: as long as it likes.";
        "max_attempts": Number = "5", "5",
            "How many deployments one request may try.";
        "strategy": Text = "\"weighted\"", "\"lowest-latency\"",
            "How to choose among deployments where no key, profile or route says it: see `routes.groups`.";
        "affinity_seconds": Number = "3600", "3600",
            "How long a conversation stays at the deployment that has its prompt in its cache, in seconds after its last answer; 0: it does not.";
        "breaker": Table = "", "{ failures = 5 }",
            "When deployments that fail are left alone, and for how long.";
        "model_sync_seconds": Number = "21600", "21600",
            "How often the model lists of providers are fetched again, in seconds; 0 never.";
        "stored_response_seconds": Number = "2592000", "2592000",
            "How long stored responses (`previous_response_id`) are kept, in seconds.";
        "bodies": Text = "\"errors\"", "\"errors\"",
            "Which bodies of requests and answers are kept: `off`, `errors` or `all`.";
        "unpriced": Text = "\"allow\"", "\"block\"",
            "What happens to requests for models that have no price: `allow` or `block`. A budget in money cannot hold what has no price.";
        "bodies_days": Number = "7", "7",
            "How long kept bodies stay, in days.";
        "bodies_bytes": Number = "268435456", "268435456",
            "Most bytes that kept bodies take on disk, compressed; the oldest go first.";
        "metadata_days": Number = "90", "90",
            "How long the records of requests are kept, in days.";
        "master_key": Text = "an entry of the system's keychain for stores that the desktop app begins, else a key file with mode 0600 in the data directory", "\"file:master.key\"",
            "Seals the provider secrets in the store: `env:NAME`, `file:PATH` or `keychain:NAME`, long and random. Read at start. Naming one later seals everything anew.";
        "timeouts": Table = "", "{ idle_ms = 60000 }",
            "Limits on waiting, for every channel that has none of its own.";
        "policy": Table = "", "{ hedge_after_ms = 2000 }",
            "Retries, hedges, races, mirrors and the answer cache for every request. A profile, a route and a key may have a `policy` too: the narrowest place that says something wins (key, route, profile, gateway).";
        "retry_budget_percent": Number = "20", "20",
            "Of a hundred requests so many may lead to a second try at the same deployment or to a hedge, so that a storm is not made worse. Trying another deployment is always allowed.";
        "cache_memory_bytes": Number = "33554432", "33554432",
            "Most bytes of answers that the answer cache keeps in memory; what was not used longest goes first.";
        "cache_disk_bytes": Number = "268435456", "268435456",
            "Most bytes of answers that the answer cache keeps on disk; 0 keeps none there. The file is made when the first answer is kept.";
        "channels": Tables = "[]", "[{ name = \"main\", provider = \"openai\" }]",
            "Configured accounts at providers. What stands here is read-only elsewhere.";
        "keys": Tables = "[]", "[{ name = \"laptop\" }]",
            "Virtual keys: what clients call the gateway with.";
        "routes": Tables = "[]", "[{ model = \"smart\", groups = [{ use = [\"tag:paid\"] }] }]",
            "From a model's name to ordered groups of deployments. Without a route, all enabled channels that list the model form one weighted group.";
        "profiles": Tables = "[]", "[{ name = \"cheap\", rules = [{ match = \"*\", to = \"echo\" }] }]",
            "Named sets of mapping rules. `direct` is built in and maps nothing.";
        "owners": Tables = "[]", "[{ kind = \"team\", name = \"research\" }]",
            "Whom keys belong to: tools, users, teams, projects and organisations, in a tree.";
        "limits": Tables = "[]", "[{ on = \"gateway\", money = 50, per = \"month\" }]",
            "Budgets and limits on anything: the gateway, keys, owners, models, channels, tags, profiles.";
    }
    "timeouts" {
        "connect_ms": Number = "10000", "5000", "Until the connection stands, TLS included, in milliseconds.";
        "first_byte_ms": Number = "none but `total_ms`", "30000", "Until the head of the answer, in milliseconds.";
        "first_token_ms": Number = "none but `total_ms`", "60000", "Until the first content of a stream, in milliseconds.";
        "idle_ms": Number = "none but `total_ms`", "60000", "Between two reads of a stream, in milliseconds.";
        "total_ms": Number = "the gateway's own", "600000", "The whole attempt, in milliseconds.";
    }
    "desktop" {
        "notifications": Flag = "true", "false", "The system's notifications tell of failover, budgets and keys that expire.";
        "free_window_seconds": Number = "60", "300", "A closed window is kept for so long, then its memory is given back.";
        "shortcut_open": Text = "\"\"", "\"Ctrl+Alt+M\"", "Keys that open the window from anywhere. Empty: none.";
        "shortcut_next_profile": Text = "\"\"", "\"Ctrl+Alt+P\"", "Keys that switch to the next profile from anywhere. Empty: none.";
    }
    "breaker" {
        "failures": Number = "3", "5", "So many failures in a row take a deployment out of rotation.";
        "failure_percent": Number = "50", "30", "Or such a share of the last five minutes, of at least ten attempts.";
        "cooldown_ms": Number = "5000", "5000", "For so long at first, then one request tries; doubled each time that it fails.";
        "longest_cooldown_ms": Number = "60000", "60000", "And at most.";
        "retry_after_cap_ms": Number = "600000", "600000", "The longest wait that a provider may ask for.";
    }
    "policy" {
        "retry": Table = "", "{ same = 2, on = { timeout = \"again\" } }", "Second tries.";
        "hedge_after_ms": Number = "0", "2000",
            "A second deployment is asked when the first content is later than this; the first answer wins. 0 never. It costs what the second one bills.";
        "race": Number = "1", "2", "So many deployments are asked at once and the first answer wins; each bills its own. 1 is no race.";
        "mirror": Table = "", "{ to = \"main/gpt-5\", percent = 5 }",
            "A second target that gets a copy of some requests. Its answers are dropped and recorded apart; nothing waits for them.";
        "context_fallback": Texts = "[]", "[\"main/gpt-5-long\"]", "Models to go to when a request is longer than the model takes.";
        "content_fallback": Texts = "[]", "[\"local/llama\"]", "Models to go to when a provider's content policy refuses a request.";
        "key_breaker": Table = "", "{ error_percent = 60 }",
            "When a virtual key whose traffic is out of the ordinary is held back. The gateway's policy and a key's can say it.";
        "cache": Table = "", "{ mode = \"deterministic\" }", "Answers that are kept and given again.";
    }
    "policy.key_breaker" {
        "error_percent": Number = "0", "60",
            "A key of whose last requests so many percent were wrong by their own fault is held back; 0: not watched. A provider's failures do not count.";
        "least_requests": Number = "20", "50", "With fewer requests nothing is said about errors.";
        "spend_times": Number = "0", "10",
            "A key that spends so many times what it usually spends in that time is held back; 0: not watched. It takes three windows with spend to know what is usual.";
        "least_spend_cents": Number = "100", "500", "Less spend than this is no spike, in cents of a dollar.";
        "window_seconds": Number = "300", "60", "The time that is looked at.";
        "hold_seconds": Number = "600", "3600", "For how long the key is held back; 0: until `myelin key release`.";
    }
    "policy.retry" {
        "same": Number = "1", "2", "How often one deployment may be asked again.";
        "backoff_ms": Number = "250", "500", "The wait before that, in milliseconds; doubles with each further try, and varies a little.";
        "backoff_max_ms": Number = "5000", "10000", "The longest such wait.";
        "max_wait_ms": Number = "3000", "10000",
            "The longest wait that a provider may ask for (`Retry-After` in any form) and still be waited for.";
        "on": Free = "{}", "{ timeout = \"again\", empty = \"elsewhere\" }",
            "What follows on which failure: `never`, `elsewhere` (another deployment or credential) or `again` (the same one too, after a wait). Failures: `connect`, `timeout`, `rate-limit`, `overloaded`, `failed`, `cut`, `empty`, `denied`, `unknown-model`, `context-length`, `content-policy`, `rejected`.";
        "cut_streams": Text = "\"retry\"", "\"resume\"",
            "What follows when a stream breaks off: `off` (told to the caller), `retry` (another try before content; after content it is told) or `resume` (the same, and after content a deployment that can go on from the text so far is asked for the rest, where the answer is plain text).";
    }
    "policy.mirror" {
        "to": Text = "required", "\"main/gpt-5\"", "A model, a route or `channel/model`.";
        "percent": Number = "100", "5", "Of a hundred requests so many are copied.";
    }
    "policy.cache" {
        "mode": Text = "\"off\"", "\"deterministic\"",
            "Which requests: `off`, `deterministic` (temperature 0, and embeddings), `unsampled` (those without a temperature too) or `all`.";
        "ttl_seconds": Number = "3600", "600", "How long an answer is kept. A request may ask for less.";
        "namespace": Text = "each key its own", "\"team\"", "Callers with the same namespace share answers.";
        "share_in_flight": Flag = "true", "false", "Identical requests in flight share one call to the provider.";
    }
    "channels" {
        "name": Text = "required", "\"main\"",
            "Unique name: letters, digits, `-`, `_` and `.`. `main/gpt-5` then means this channel.";
        "provider": Text = "required", "\"openai\"",
            "A row of the provider catalog; the wire follows from it. For any other address: `openai-compatible`, `anthropic-compatible` or `gemini-compatible`.";
        "base_url": Text = "the catalog's", "\"https://api.openai.com/v1\"",
            "Base address, written as its users write it: OpenAI with `/v1`, Anthropic and Gemini without.";
        "base_urls": Texts = "the catalog's", "[\"https://api.deepseek.com\"]",
            "Several base addresses, in place of `base_url`.";
        "credentials": Texts = "[]", "[\"env:OPENAI_API_KEY\"]",
            "`env:NAME`, `file:PATH`, `keychain:NAME` or the secret itself; several are rotated. AWS: `ACCESS_KEY:SECRET[:SESSION]` or a bearer key. Vertex: a service-account JSON or an API key.";
        "models": Mixed = "whatever the provider lists", "[\"gpt-5\", { name = \"fast\", upstream = \"gpt-5-mini\" }]",
            "The models offered: names, or a name with what the provider calls it.";
        "names": Table = "", "{ prefix = \"hub\" }", "Under which names the models are offered.";
        "probe": Table = "none", "{ every_seconds = 60 }",
            "Looks by itself whether the channel works, beside what traffic shows. Off unless it is said.";
        "disable": Tables = "[]", "[{ status = 401, text = \"suspended\" }]", "Failures that take a credential or the channel out of rotation at once.";
        "tags": Texts = "[]", "[\"paid\"]", "Labels for routes and keys (`tag:paid`).";
        "weight": Number = "1", "1", "Share among the channels that list the same model; 0 takes no traffic of its own.";
        "enabled": Flag = "true", "true", "Takes part in routing. Channels made elsewhere are off until their test passes; the file's are on.";
        "options": Free = "{}", "{ region = \"us-east-1\" }",
            "Settings of the provider that are no secret: `region`, `project`, `location`, `api_version`, `resource` …";
        "headers": Free = "{}", "{ X-Title = \"myelin\" }", "Headers added to every request upstream.";
        "dialect": Free = "{}", "{ no-stream-options = true }",
            "Overrides of what the catalog says about the provider's wire.";
        "timeouts": Table = "the gateway's", "{ idle_ms = 60000 }", "Limits on waiting for this channel.";
        "proxy": Text = "", "\"http://proxy.example:3128\"", "`http://`, `https://` or `socks5://` proxy for this channel.";
        "ca": Text = "", "\"file:company-ca.pem\"",
            "Certificates (PEM) to trust beside the system's, for this channel and a https:// proxy on the way: `file:PATH`, `env:NAME` or the text itself.";
        "retry": Table = "as in `policy.retry`", "{ same = 0 }", "Second tries at this channel; wins over every `policy`.";
        "overrides": Tables = "[]", "[{ set = { temperature = 0.2 } }]",
            "Changes in requests and answers, in the provider's words. A profile may have `overrides` too, in the caller's words.";
        "for_models": Tables = "[]", "[{ match = \"o3*\", timeouts = { first_token_ms = 120000 } }]",
            "What holds for some of the channel's models.";
        "price_multiplier": Decimal = "1", "0.8",
            "What list prices are multiplied with here; prices that are told for the channel itself are taken as they are.";
        "prices_of": Text = "the provider", "\"openai\"",
            "The provider whose price list holds, for hosts that resell another's models.";
        "allow_link_local": Flag = "false", "true",
            "Allows a link-local or cloud metadata address as base address. Those hand out credentials: leave it off.";
    }
    "channels.names" {
        "prefix": Text = "", "\"hub\"", "Models are offered as `hub/model` too.";
        "trim": Texts = "[]", "[\"models/\"]", "Beginnings that are taken off: `models/x` is offered as `x` too.";
        "aliases": Free = "{}", "{ fast = \"gpt-5-mini\" }", "Further names, with the model that each one means.";
        "hide_originals": Flag = "false", "true", "Models that have another name are not offered under their own.";
        "lowercase": Flag = "false", "true", "Names are offered in lower case.";
    }
    "channels.probe" {
        "every_seconds": Number = "60", "30", "Time between two looks; at least 5.";
        "how": Text = "\"models\"", "\"talk\"",
            "`models`: the provider's list of models, which costs nothing. `talk`: a question of a few tokens, **which is billed**; only while there was no answer since the last look, or something is out of rotation.";
        "model": Text = "as for a test", "\"gpt-5-mini\"", "The model to talk to, by the provider's name.";
    }
    "channels.disable" {
        "status": Number = "any", "401", "HTTP status of the provider's answer.";
        "text": Text = "any", "\"suspended\"", "Words in the provider's message, but for case.";
        "minutes": Number = "until it is reset", "60", "For how long.";
        "whole_channel": Flag = "false", "true", "The whole channel, not just the credential that was used.";
    }
    "channels.timeouts" {
        "connect_ms": Number = "the gateway's", "5000", "As in `timeouts`.";
        "first_byte_ms": Number = "the gateway's", "30000", "As in `timeouts`.";
        "first_token_ms": Number = "the gateway's", "60000", "As in `timeouts`.";
        "idle_ms": Number = "the gateway's", "60000", "As in `timeouts`.";
        "total_ms": Number = "the gateway's", "600000", "As in `timeouts`.";
    }
    "channels.retry" {
        "same": Number = "1", "2", "As in `policy.retry`.";
        "backoff_ms": Number = "250", "500", "As in `policy.retry`.";
        "backoff_max_ms": Number = "5000", "10000", "As in `policy.retry`.";
        "max_wait_ms": Number = "3000", "10000", "As in `policy.retry`.";
        "on": Free = "{}", "{ timeout = \"again\" }", "As in `policy.retry`.";
        "cut_streams": Text = "\"retry\"", "\"resume\"", "As in `policy.retry`.";
    }
    "channels.overrides" {
        "on": Text = "\"request\"", "\"response\"", "`request`, or `response`: whole answers, and every event of a stream (not AWS's binary ones).";
        "when": Free = "always", "{ tool = \"codex\", body = { temperature = { above = 1 } } }",
            "Only if all of this holds: `model`, `upstream`, `channel`, `tool`, `key`, `profile`, `format`, `upstream_format`, `surface` (texts or lists of texts, `*` as a wildcard), `stream`, `header.NAME`, `body.PATH` (a value, or `exists`, `is`, `not`, `matches`, `contains`, `above`, `below`, `at_least`, `at_most`), `any` (a list of such tables), `not` (one).";
        "rename": Free = "{}", "{ max_tokens = \"max_completion_tokens\" }", "Body fields that move: from = to. Order within one table: rename, copy, delete, default, set, prepend, append.";
        "copy": Free = "{}", "{ user = \"metadata.user\" }", "Body fields that are written to a second place: from = to.";
        "delete": Texts = "[]", "[\"logit_bias\", \"messages.*.name\"]", "Body fields that go, by path: `a.b[0]`, `a.*.b` or `/a/b/0`.";
        "default": Free = "{}", "{ max_tokens = 4096 }", "Body fields that are set if they are absent.";
        "set": Free = "{}", "{ \"metadata.tool\" = \"{{tool}}\" }",
            "Body fields that are set. Texts may hold `{{model}}`, `{{upstream}}`, `{{channel}}`, `{{provider}}`, `{{tool}}`, `{{key}}`, `{{profile}}`, `{{format}}`, `{{upstream_format}}`, `{{session}}`, `{{trace}}`, `{{request_id}}`, `{{header.NAME}}` and `{{body.PATH}}`, each with `|` and what it is if it is absent.";
        "prepend": Free = "{}", "{ tools = { type = \"web_search\" } }", "Values put in front of lists.";
        "append": Free = "{}", "{ stop = \"END\" }", "Values put behind lists.";
        "headers": Table = "{}", "{ set = { X-Tool = \"{{tool}}\" } }", "Headers.";
    }
    "channels.overrides.headers" {
        "rename": Free = "{}", "{ X-Old = \"X-New\" }", "From = to.";
        "copy": Free = "{}", "{ X-One = \"X-Two\" }", "From = to.";
        "delete": Texts = "[]", "[\"X-Title\"]", "Headers that go.";
        "default": Free = "{}", "{ X-Title = \"myelin\" }", "Headers that are set if they are absent.";
        "set": Free = "{}", "{ X-Tool = \"{{tool}}\" }", "Headers that are set.";
    }
    "channels.for_models" {
        "match": Texts = "required", "[\"o3*\"]", "The provider's names of the models, `*` as a wildcard; one text or a list.";
        "timeouts": Free = "the channel's", "{ first_token_ms = 120000 }", "Limits on waiting, as in `timeouts`.";
        "retry": Free = "the channel's", "{ same = 0 }", "Second tries, as in `policy.retry`.";
        "overrides": Tables = "[]", "[{ delete = [\"temperature\"] }]", "After the channel's own; as in `channels.overrides`.";
    }
    "channels.for_models.overrides" {
        "on": Text = "\"request\"", "\"response\"", "`request`, or `response`: whole answers, and every event of a stream (not AWS's binary ones).";
        "when": Free = "always", "{ tool = \"codex\", body = { temperature = { above = 1 } } }",
            "Only if all of this holds: `model`, `upstream`, `channel`, `tool`, `key`, `profile`, `format`, `upstream_format`, `surface` (texts or lists of texts, `*` as a wildcard), `stream`, `header.NAME`, `body.PATH` (a value, or `exists`, `is`, `not`, `matches`, `contains`, `above`, `below`, `at_least`, `at_most`), `any` (a list of such tables), `not` (one).";
        "rename": Free = "{}", "{ max_tokens = \"max_completion_tokens\" }", "Body fields that move: from = to. As in `channels.overrides`.";
        "copy": Free = "{}", "{ user = \"metadata.user\" }", "Body fields that are written to a second place: from = to.";
        "delete": Texts = "[]", "[\"logit_bias\", \"messages.*.name\"]", "Body fields that go, by path: `a.b[0]`, `a.*.b` or `/a/b/0`.";
        "default": Free = "{}", "{ max_tokens = 4096 }", "Body fields that are set if they are absent.";
        "set": Free = "{}", "{ \"metadata.tool\" = \"{{tool}}\" }",
            "Body fields that are set. Texts may hold `{{model}}`, `{{upstream}}`, `{{channel}}`, `{{provider}}`, `{{tool}}`, `{{key}}`, `{{profile}}`, `{{format}}`, `{{upstream_format}}`, `{{session}}`, `{{trace}}`, `{{request_id}}`, `{{header.NAME}}` and `{{body.PATH}}`, each with `|` and what it is if it is absent.";
        "prepend": Free = "{}", "{ tools = { type = \"web_search\" } }", "Values put in front of lists.";
        "append": Free = "{}", "{ stop = \"END\" }", "Values put behind lists.";
        "headers": Table = "{}", "{ set = { X-Tool = \"{{tool}}\" } }", "Headers.";
    }
    "channels.for_models.overrides.headers" {
        "rename": Free = "{}", "{ X-Old = \"X-New\" }", "From = to.";
        "copy": Free = "{}", "{ X-One = \"X-Two\" }", "From = to.";
        "delete": Texts = "[]", "[\"X-Title\"]", "Headers that go.";
        "default": Free = "{}", "{ X-Title = \"myelin\" }", "Headers that are set if they are absent.";
        "set": Free = "{}", "{ X-Tool = \"{{tool}}\" }", "Headers that are set.";
    }
    "channels.models" {
        "name": Text = "required", "\"fast\"", "What clients ask for.";
        "upstream": Text = "the name", "\"gpt-5-mini\"", "What the provider calls it.";
        "price": Free = "what the price lists say", "{ input = 0.25, cache_read = 0.025, output = 2 }",
            "What it costs here, in dollars a million tokens: `input`, `cache_read`, `cache_write`, `cache_write_1h`, `output`, `reasoning`, `audio_input`, `audio_output`, `image_input`, `image_output`; in dollars each: `web_search`, `request`. In `above_200k = {…}` for whole requests with a longer prompt, in `priority`, `flex` and `batch = {…}` for these services.";
    }
    "keys" {
        "name": Text = "required", "\"laptop\"", "Unique name.";
        "secret": Text = "one is made and shown once", "\"env:MYELIN_KEY\"",
            "`env:NAME`, `file:PATH`, `keychain:NAME` or the secret itself, at least 16 characters. Only its hash is stored.";
        "profile": Text = "follows the gateway's", "\"cheap\"",
            "The key's own active profile at first. Later switches are stored and win.";
        "expires": Time = "never", "2030-12-31", "Refused from then on.";
        "blocked": Flag = "false", "true", "Refused.";
        "models": Texts = "all", "[\"gpt-5*\"]", "Models that may be asked for, as names or globs.";
        "channels": Texts = "all", "[\"tag:paid\"]", "Channels that may serve, by name or `tag:t`.";
        "formats": Texts = "all", "[\"openai-chat\"]",
            "Client formats that may be spoken: `openai-chat`, `openai-responses`, `anthropic-messages`, `gemini`, `embeddings` …";
        "tool": Text = "", "\"claude-code\"", "The tool that the key belongs to.";
        "strategy": Text = "as profile and routes say", "\"lowest-latency\"", "How to choose within groups.";
        "owner": Text = "", "\"team:research\"", "The user, team, project or organisation that the key belongs to.";
        "strict": Flag = "false", "true", "The last byte of an answer waits until its record is on disk.";
        "bodies": Text = "the gateway's", "\"off\"", "Which bodies are kept for this key: `off`, `errors` or `all`.";
        "policy": Free = "", "{ cache = { mode = \"off\" } }", "As in `policy`, for requests with this key.";
    }
    "routes" {
        "model": Text = "required", "\"smart\"", "The name that clients ask for.";
        "also": Texts = "[]", "[\"smart-*\"]", "More names that lead here, exact or globs.";
        "regex": Text = "", "\"^smart-[0-9]+$\"", "Names that lead here, as a regular expression.";
        "if": Table = "", "{ headers = { x-team = \"blue\" } }", "What else must hold; if it does not, the route is not there for this request.";
        "strategy": Text = "the gateway's", "\"lowest-cost\"", "How to choose within those groups that do not say it themselves.";
        "groups": Tables = "required", "[{ use = [\"tag:paid\"] }]",
            "Groups in order: a lower one is only used when those above cannot serve.";
        "policy": Free = "", "{ hedge_after_ms = 2000 }", "As in `policy`, for requests for this model.";
    }
    "routes.if" {
        "tool": Texts = "any", "\"claude-code\"", "Tools, as names or globs.";
        "format": Texts = "any", "\"anthropic-messages\"", "Client formats.";
        "min_prompt_tokens": Number = "any", "60000", "The prompt has at least so many tokens, by our own estimate.";
        "max_prompt_tokens": Number = "any", "8000", "The prompt has at most so many tokens.";
        "images": Flag = "either", "true", "Whether the request holds images.";
        "thinking": Flag = "either", "true", "Whether the request asks for thinking.";
        "stream": Flag = "either", "true", "Whether the request asks for a stream.";
        "time": Table = "any", "{ from = \"22:00\", to = \"06:00\", days = [\"sat\", \"sun\"], zone = \"Europe/Berlin\" }", "Time of day and day of the week.";
        "metadata": Free = "any", "{ env = \"prod*\" }", "Fields of the request's `metadata`: values or globs.";
        "headers": Free = "any", "{ x-team = \"blue\" }", "Headers of the request: values or globs.";
    }
    "routes.if.time" {
        "from": Text = "\"00:00\"", "\"22:00\"", "From then on.";
        "to": Text = "\"24:00\"", "\"06:00\"", "Up to then. Before `from`: on the next day.";
        "days": Texts = "every day", "[\"sat\", \"sun\"]", "`mon` … `sun`; a window over midnight belongs to the day on which it begins.";
        "zone": Text = "the machine's", "\"Europe/Berlin\"", "Time zone.";
    }
    "routes.groups" {
        "strategy": Text = "the route's", "\"ordered\"",
            "How to choose within the group: `weighted`, `ordered`, `round-robin`, `random`, `weighted-shuffle`, `weighted-shuffle-rpm`, `weighted-shuffle-tpm`, `least-busy`, `lowest-latency`, `lowest-tpm-rpm`, `lowest-cost`, `tag-based`, `context-fit` or `adaptive`.";
        "if": Table = "", "{ images = true }", "What must hold; if it does not, the group is left out.";
        "use": Texts = "required", "[\"main/gpt-5\", \"deepseek/*\", \"tag:paid\"]",
            "`channel/model`, `channel/*`, `channel/~regex`, `tag:t`, `tag:t/model`, a model that channels list, or `~regex`; `*` and a bare tag mean the name that was asked for.";
        "exclude": Texts = "[]", "[\"tag:slow\", \"main/*-preview\"]", "Left out all the same: channels, `tag:t` or `channel/model`, with globs.";
    }
    "routes.groups.if" {
        "tool": Texts = "any", "\"claude-code\"", "Tools, as names or globs.";
        "format": Texts = "any", "\"anthropic-messages\"", "Client formats.";
        "min_prompt_tokens": Number = "any", "60000", "The prompt has at least so many tokens, by our own estimate.";
        "max_prompt_tokens": Number = "any", "8000", "The prompt has at most so many tokens.";
        "images": Flag = "either", "true", "Whether the request holds images.";
        "thinking": Flag = "either", "true", "Whether the request asks for thinking.";
        "stream": Flag = "either", "true", "Whether the request asks for a stream.";
        "time": Table = "any", "{ from = \"22:00\", to = \"06:00\", days = [\"sat\", \"sun\"], zone = \"Europe/Berlin\" }", "Time of day and day of the week.";
        "metadata": Free = "any", "{ env = \"prod*\" }", "Fields of the request's `metadata`: values or globs.";
        "headers": Free = "any", "{ x-team = \"blue\" }", "Headers of the request: values or globs.";
    }
    "routes.groups.if.time" {
        "from": Text = "\"00:00\"", "\"22:00\"", "From then on.";
        "to": Text = "\"24:00\"", "\"06:00\"", "Up to then. Before `from`: on the next day.";
        "days": Texts = "every day", "[\"sat\", \"sun\"]", "`mon` … `sun`; a window over midnight belongs to the day on which it begins.";
        "zone": Text = "the machine's", "\"Europe/Berlin\"", "Time zone.";
    }
    "profiles" {
        "name": Text = "required", "\"cheap\"", "Unique name; not `direct`.";
        "description": Text = "", "\"for long evenings\"", "For people.";
        "channels": Texts = "all", "[\"tag:free\", \"!slow\"]", "Only these channels may serve: names, globs, `tag:t`; with `!` before it: not these.";
        "strategy": Text = "as routes say", "\"lowest-cost\"", "How to choose within groups, in place of what routes say.";
        "rules": Tables = "[]", "[{ match = \"*\", to = \"echo\" }]", "Rules in order: the first match wins, no match passes the name through.";
        "overrides": Tables = "[]", "[{ set = { temperature = 0.2 } }]",
            "Changes in requests and answers, in the caller's words, before anything is converted and after.";
        "policy": Free = "", "{ race = 2 }", "As in `policy`, while this profile holds.";
    }
    "profiles.overrides" {
        "on": Text = "\"request\"", "\"response\"", "`request`, or `response`: whole answers, and every event of a stream (not AWS's binary ones).";
        "when": Free = "always", "{ tool = \"codex\", body = { temperature = { above = 1 } } }",
            "Only if all of this holds: `model`, `upstream`, `channel`, `tool`, `key`, `profile`, `format`, `upstream_format`, `surface` (texts or lists of texts, `*` as a wildcard), `stream`, `header.NAME`, `body.PATH` (a value, or `exists`, `is`, `not`, `matches`, `contains`, `above`, `below`, `at_least`, `at_most`), `any` (a list of such tables), `not` (one).";
        "rename": Free = "{}", "{ max_tokens = \"max_completion_tokens\" }", "Body fields that move: from = to. As in `channels.overrides`.";
        "copy": Free = "{}", "{ user = \"metadata.user\" }", "Body fields that are written to a second place: from = to.";
        "delete": Texts = "[]", "[\"logit_bias\", \"messages.*.name\"]", "Body fields that go, by path: `a.b[0]`, `a.*.b` or `/a/b/0`.";
        "default": Free = "{}", "{ max_tokens = 4096 }", "Body fields that are set if they are absent.";
        "set": Free = "{}", "{ \"metadata.tool\" = \"{{tool}}\" }",
            "Body fields that are set. Texts may hold `{{model}}`, `{{upstream}}`, `{{channel}}`, `{{provider}}`, `{{tool}}`, `{{key}}`, `{{profile}}`, `{{format}}`, `{{upstream_format}}`, `{{session}}`, `{{trace}}`, `{{request_id}}`, `{{header.NAME}}` and `{{body.PATH}}`, each with `|` and what it is if it is absent.";
        "prepend": Free = "{}", "{ tools = { type = \"web_search\" } }", "Values put in front of lists.";
        "append": Free = "{}", "{ stop = \"END\" }", "Values put behind lists.";
        "headers": Table = "{}", "{ set = { X-Tool = \"{{tool}}\" } }", "Headers.";
    }
    "profiles.overrides.headers" {
        "rename": Free = "{}", "{ X-Old = \"X-New\" }", "From = to.";
        "copy": Free = "{}", "{ X-One = \"X-Two\" }", "From = to.";
        "delete": Texts = "[]", "[\"X-Title\"]", "Headers that go.";
        "default": Free = "{}", "{ X-Title = \"myelin\" }", "Headers that are set if they are absent.";
        "set": Free = "{}", "{ X-Tool = \"{{tool}}\" }", "Headers that are set.";
    }
    "profiles.rules" {
        "match": Text = "", "\"claude-*\"", "Exact name or glob with `*`. Either this or `regex`.";
        "regex": Text = "", "\"^gpt-5(-.*)?$\"", "Regular expression; its groups can be used in `to` as `$1`.";
        "if": Table = "", "{ min_prompt_tokens = 60000 }", "What else must hold.";
        "to": Text = "required", "\"deepseek/deepseek-chat\"", "A model, a route or `channel/model`. In a glob's target `$1` is what its first star stood for.";
        "fallback": Texts = "[]", "[\"main/fast\"]", "Tried in order when `to` fails.";
        "set": Free = "{}", "{ temperature = 0.2 }", "Fields of the request's body (names of the caller's format) to set.";
    }
    "profiles.rules.if" {
        "tool": Texts = "any", "\"claude-code\"", "Tools, as names or globs.";
        "format": Texts = "any", "\"anthropic-messages\"", "Client formats.";
        "min_prompt_tokens": Number = "any", "60000", "The prompt has at least so many tokens, by our own estimate.";
        "max_prompt_tokens": Number = "any", "8000", "The prompt has at most so many tokens.";
        "images": Flag = "either", "true", "Whether the request holds images.";
        "thinking": Flag = "either", "true", "Whether the request asks for thinking.";
        "stream": Flag = "either", "true", "Whether the request asks for a stream.";
        "time": Table = "any", "{ from = \"22:00\", to = \"06:00\", days = [\"sat\", \"sun\"], zone = \"Europe/Berlin\" }", "Time of day and day of the week.";
        "metadata": Free = "any", "{ env = \"prod*\" }", "Fields of the request's `metadata`: values or globs.";
        "headers": Free = "any", "{ x-team = \"blue\" }", "Headers of the request: values or globs.";
    }
    "profiles.rules.if.time" {
        "from": Text = "\"00:00\"", "\"22:00\"", "From then on.";
        "to": Text = "\"24:00\"", "\"06:00\"", "Up to then. Before `from`: on the next day.";
        "days": Texts = "every day", "[\"sat\", \"sun\"]", "`mon` … `sun`; a window over midnight belongs to the day on which it begins.";
        "zone": Text = "the machine's", "\"Europe/Berlin\"", "Time zone.";
    }
    "owners" {
        "kind": Text = "required", "\"team\"", "`tool`, `user`, `team`, `project` or `organisation`.";
        "name": Text = "required", "\"research\"", "Unique among its kind. `team:research` then means this owner.";
        "parent": Text = "", "\"organisation:acme\"", "The owner above: what limits it limits everything below.";
    }
    "limits" {
        "name": Text = "made of the rest", "\"laptop-month\"", "Unique name. What was counted stays with it.";
        "on": Text = "required", "\"key:laptop\"",
            "What it holds back: `gateway`, `key:NAME`, `tool:NAME`, `user:NAME`, `team:NAME`, `project:NAME`, `organisation:NAME`, `model:NAME`, `channel:NAME`, `channel:NAME/MODEL`, `tag:NAME` or `profile:NAME`. Models may be globs.";
        "models": Texts = "all", "[\"gpt-5*\"]", "Only requests for these models count, as names or globs.";
        "requests": Number = "", "60", "Requests in the window. Each limit has one of this, `tokens`, `money` and `parallel`.";
        "tokens": Number = "", "100000", "Tokens in and out in the window.";
        "money": Amount = "", "5.50", "US dollars in the window.";
        "parallel": Number = "", "4", "Requests at the same time; has no window.";
        "per": Text = "required but for `parallel`", "\"month\"",
            "The window: `minute`, `30s`, `5h`, `7d` … (the last so long), `day`, `week`, `month` (by the calendar) or `total`.";
        "zone": Text = "the machine's", "\"Europe/Berlin\"", "Time zone in which days, weeks and months begin.";
        "soft": Numbers = "[80] for money, [] else", "[50, 80]", "Percentages at which an event tells of it.";
        "refuse": Flag = "true", "false", "`false`: events tell of it, nothing is refused.";
        "queue": Table = "", "{ timeout_ms = 10000 }", "Wait for room instead of being refused at once; first come, first served.";
    }
    "limits.queue" {
        "timeout_ms": Number = "required", "10000", "How long a request waits at most, in milliseconds.";
        "max_waiting": Number = "100", "100", "How many may wait at the same time.";
    }
};

/// The keys of one table.
pub(super) fn section(section: &str) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.section == section)
}

/// One key of one table.
pub(super) fn find(in_section: &str, name: &str) -> Option<&'static Field> {
    section(in_section).find(|field| field.name == name)
}

/// The section under a key.
pub(super) fn below(in_section: &str, name: &str) -> String {
    if in_section.is_empty() { name.to_owned() } else { format!("{in_section}.{name}") }
}

/// What an entry of a list of tables is called by: its name, or its model.
pub(super) fn identity(section: &str) -> Option<&'static str> {
    match section {
        "channels" | "keys" | "profiles" | "limits" => Some("name"),
        "routes" => Some("model"),
        _ => None,
    }
}

/// The key of a table that is most like a wrong one, if any is alike.
pub(super) fn closest(in_section: &str, wrong: &str) -> Option<&'static str> {
    check::closest(section(in_section).map(|field| field.name), wrong)
}
