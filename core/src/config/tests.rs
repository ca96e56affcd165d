//! The file as people write it, and every way to get it wrong.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::*;
use crate::model::check::{Problem, Severity};
use crate::model::{BodyPolicy, Origin, Strategy};

const SAMPLE: &str = r#"
listen = ["127.0.0.1:6935"]
active_profile = "direct"

[[channels]]
name = "main"
provider = "openai"
base_url = "https://api.openai.com/v1"
credentials = ["env:OPENAI_API_KEY"]
models = ["gpt-5", { name = "fast", upstream = "gpt-5-mini" }]
tags = ["paid"]
weight = 1

[[keys]]
name = "laptop"
secret = "env:MYELIN_KEY"
profile = "cheap"

[[channels]]
name = "deepseek"
provider = "deepseek"
credentials = ["env:DEEPSEEK_API_KEY"]

[[routes]]
model = "smart"
groups = [{ strategy = "lowest-latency", use = ["main/gpt-5", "deepseek/*"] }, { use = ["tag:paid"] }]

[[profiles]]
name = "cheap"
rules = [
  { match = "claude-*", to = "deepseek/deepseek-chat", fallback = ["main/fast"] },
  { regex = "^gpt-5(-.*)?$", to = "main/fast" },
]
"#;

fn loader(path: &std::path::Path) -> Loader {
    let paths = Paths { config: path.to_owned(), config_required: true, data: path.with_extension("data") };
    let known = |provider: &str| ["openai", "deepseek", "anthropic-compatible"].contains(&provider);
    let variables = |name: &str| match name {
        "UNSET" => None,
        "MYELIN_KEY" => Some("my-a-long-enough-secret".to_owned()),
        name => Some(format!("value-of-{name}")),
    };
    Loader::new(&paths, Flags::default(), Arc::new(known))
        .with_variables(Vec::new())
        .with_secrets(Arc::new(Secrets::new(path.parent().unwrap()).with_variables(variables)))
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    std::fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    loader(&path).with_variables(variables).load()
}

fn load(text: &str) -> Result<Loaded, ConfigError> {
    load_with(text, &[])
}

/// Line, path and message of every error.
fn errors(text: &str) -> Vec<(Option<usize>, String, String)> {
    let problems = load(text).expect_err(text).problems;
    let errors = problems.into_iter().filter(Problem::is_error);
    errors.map(|problem| (problem.line, problem.path, problem.message)).collect()
}

#[test]
fn the_documented_sample_is_taken_whole() {
    let loaded = load(SAMPLE).unwrap();
    let declared = &loaded.declared;
    assert_eq!(declared.settings.listen, ["127.0.0.1:6935"]);
    assert_eq!(declared.channels.len(), 2);
    let main = &declared.channels[0];
    assert_eq!(
        (main.name.as_str(), main.base_urls.as_slice()),
        ("main", &["https://api.openai.com/v1".to_owned()][..])
    );
    assert!(main.enabled && main.origin == Origin::File && main.weight == 1);
    let models: Vec<_> = main.models.as_ref().unwrap().iter().map(|m| (m.name(), m.upstream())).collect();
    assert_eq!(models, [("gpt-5", "gpt-5"), ("fast", "gpt-5-mini")]);
    assert!(declared.channels[1].models.is_none());
    assert_eq!(declared.keys[0].secret.as_ref().unwrap().expose(), "my-a-long-enough-secret");
    assert_eq!(declared.keys[0].key.profile.as_deref(), Some("cheap"));
    assert_eq!(declared.routes[0].groups.len(), 2);
    let strategies: Vec<_> = declared.routes[0].groups.iter().map(|group| group.strategy).collect();
    assert_eq!(strategies, [Some(Strategy::LowestLatency), None]);
    assert_eq!(declared.profiles[0].rules[0].fallback, ["main/fast"]);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn an_error_names_line_and_key() {
    let cases: [(&str, usize, &str, &str); 22] = [
        ("listen = 5", 1, "listen", "invalid type"),
        ("\nlisten = [\"127.0.0.1:1\", 5]", 2, "listen[1]", "invalid type"),
        ("\n\nlisten = [\"0.0.0.0:1\"]", 3, "listen[0]", "set lan = true"),
        ("\nlisen = []", 2, "lisen", "did you mean 'listen'"),
        ("bodies = \"some\"", 1, "bodies", "unknown variant"),
        ("[timeouts]\nidle_ms = 1\nidel_ms = 2", 3, "timeouts.idel_ms", "did you mean 'idle_ms'"),
        ("[[channels]]\nname = \"a\"\nprovider = \"openia\"", 3, "channels.a.provider", "no provider 'openia'"),
        ("[[channels]]\nname = \"a\"\nprovider = \"openai\"\nweight = \"x\"", 4, "channels.a.weight", "invalid type"),
        ("[[channels]]\nname = \"a\"\nprovider = \"openai\"\nbase = 1", 4, "channels.a.base", "unknown key"),
        ("[[channels]]\nprovider = \"openai\"", 1, "channels[0]", "missing field `name`"),
        (
            "[[channels]]\nname=\"a\"\nprovider=\"openai\"\nmodels = [\"m\", 3]",
            4,
            "channels.a.models[1]",
            "a model's name",
        ),
        (
            "[[channels]]\nname=\"a\"\nprovider=\"openai\"\nbase_url = \"http://localhost:6935\"",
            4,
            "channels.a.base_urls[0]",
            "itself",
        ),
        (
            "[[channels]]\nname=\"a\"\nprovider=\"openai\"\n[[channels]]\nname=\"a\"\nprovider=\"openai\"",
            4,
            "channels.a",
            "twice",
        ),
        ("[[keys]]\nname=\"k\"\nsecret=\"env:UNSET\"", 3, "keys.k.secret", "UNSET is not set"),
        ("[[keys]]\nname=\"k\"\nexpires=\"soon\"", 3, "keys.k.expires", "is no time"),
        ("[[keys]]\nname=\"k\"\nformats=[\"opnai\"]", 3, "keys.k.formats[0]", "no format"),
        (
            "[[routes]]\nmodel=\"m\"\ngroups=[{strategy=\"best\",use=[\"a/b\"]}]",
            3,
            "routes.m.groups[0].strategy",
            "no strategy",
        ),
        ("[[routes]]\nmodel=\"m\"\ngroups=[{use=[]}]", 3, "routes.m.groups[0].use", "at least one target"),
        (
            "[[profiles]]\nname=\"p\"\nrules=[\n{match=\"a\",to=\"b\"},\n{regex=\"(\",to=\"b\"}]",
            5,
            "profiles.p.rules[1].regex",
            "no regular",
        ),
        ("[[profiles]]\nname=\"direct\"", 1, "profiles.direct", "built in"),
        ("channels = 5", 1, "channels", "[[channels]]"),
        ("listen = [", 1, "", ""),
    ];
    for (text, line, path, message) in cases {
        let found = errors(text);
        assert!(
            found.iter().any(|(l, p, m)| *l == Some(line) && p == path && m.contains(message)),
            "{text}\nwanted {line} {path} {message}\nfound {found:?}"
        );
    }
}

#[test]
fn all_errors_are_told_at_once_and_can_be_clicked() {
    let error = load("lisen = []\n\n[[channels]]\nname = \"a\"\nprovider = \"nobody\"\nweigth = 1\n").unwrap_err();
    let text = error.to_string();
    for part in
        ["myelin.toml:1: lisen: unknown key", "myelin.toml:5: channels.a.provider", "myelin.toml:6: channels.a.weigth"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn every_documented_key_is_taken() {
    for field in FIELDS {
        let text = sample_with(field, field.example);
        if let Err(error) = load(&text) {
            // What the example names need not be there; that its key and shape are taken is what counts.
            let shape: Vec<_> = error
                .problems
                .iter()
                .filter(|p| p.message.contains("unknown key") || p.message.contains("invalid type"))
                .collect();
            assert!(shape.is_empty(), "{text}: {error}");
        }
    }
}

/// A file that says only this, and what must stand beside it.
fn sample_with(field: &Field, value: &str) -> String {
    let required: String = FIELDS
        .iter()
        .filter(|own| own.section == field.section && own.default == "required" && own.name != field.name)
        .map(|own| format!("{} = {}, ", own.name, own.example))
        .collect();
    let inner = format!("{{ {required}{} = {value} }}", field.name);
    let main = "name = \"main\", provider = \"openai\"";
    match field.section {
        "" => format!("{} = {value}", field.name),
        "timeouts" | "breaker" | "desktop" => format!("{} = {inner}", field.section),
        "channels.timeouts" => format!("channels = [{{ {main}, timeouts = {inner} }}]"),
        "channels.names" => format!("channels = [{{ {main}, names = {inner} }}]"),
        "channels.disable" => format!("channels = [{{ {main}, disable = [{inner}] }}]"),
        "channels.models" => format!("channels = [{{ {main}, models = [{inner}] }}]"),
        "routes.groups" => format!("routes = [{{ model = \"smart\", groups = [{inner}] }}]"),
        "routes.if" => format!("routes = [{{ model = \"smart\", groups = [], if = {inner} }}]"),
        "routes.if.time" => format!("routes = [{{ model = \"smart\", groups = [], if = {{ time = {inner} }} }}]"),
        "routes.groups.if" => format!("routes = [{{ model = \"smart\", groups = [{{ use = [], if = {inner} }}] }}]"),
        "routes.groups.if.time" => {
            format!("routes = [{{ model = \"smart\", groups = [{{ use = [], if = {{ time = {inner} }} }}] }}]")
        }
        "profiles.rules.if" => {
            format!("profiles = [{{ name = \"p\", rules = [{{ match = \"a\", to = \"b\", if = {inner} }}] }}]")
        }
        "profiles.rules.if.time" => {
            format!(
                "profiles = [{{ name = \"p\", rules = [{{ match = \"a\", to = \"b\", if = {{ time = {inner} }} }}] }}]"
            )
        }
        "profiles.rules" if field.name == "match" || field.name == "regex" => {
            format!("profiles = [{{ name = \"p\", rules = [{inner}] }}]")
        }
        "profiles.rules" => {
            format!(
                "profiles = [{{ name = \"p\", rules = [{{ match = \"a\", {} }}] }}]",
                inner.trim_matches(['{', '}', ' '])
            )
        }
        "policy" => format!("policy = {inner}"),
        section if section.starts_with("policy.") => {
            format!("policy = {{ {} = {inner} }}", section.trim_start_matches("policy."))
        }
        "limits.queue" => {
            format!("limits = [{{ on = \"gateway\", requests = 1, per = \"day\", queue = {inner} }}]")
        }
        section => format!("{section} = [{inner}]"),
    }
}

#[test]
fn every_key_that_is_taken_is_documented() {
    // What serde would take stands in its message about an unknown field.
    let taken = |parsed: Result<(), String>| -> Vec<String> {
        let message = parsed.unwrap_err();
        let list = message.split_once("expected").unwrap().1;
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    fn parse<T: serde::de::DeserializeOwned>() -> Result<(), String> {
        toml::from_str::<T>("no_such_key = 1").map(|_| ()).map_err(|error| error.message().to_owned())
    }
    let sections = [
        ("", taken(parse::<crate::model::Settings>())),
        ("timeouts", taken(parse::<crate::model::Timeouts>())),
        ("channels.timeouts", taken(parse::<crate::model::Timeouts>())),
        ("channels", taken(parse::<file::FileChannel>())),
        ("keys", taken(parse::<file::FileKey>())),
        ("routes", taken(parse::<file::FileRoute>())),
        ("profiles", taken(parse::<file::FileProfile>())),
        ("profiles.rules", taken(parse::<crate::model::ProfileRule>())),
        ("profiles.rules.if", taken(parse::<crate::model::Conditions>())),
        ("profiles.rules.if.time", taken(parse::<crate::model::TimeWindow>())),
        ("routes.if", taken(parse::<crate::model::Conditions>())),
        ("routes.if.time", taken(parse::<crate::model::TimeWindow>())),
        ("routes.groups.if", taken(parse::<crate::model::Conditions>())),
        ("routes.groups.if.time", taken(parse::<crate::model::TimeWindow>())),
        ("channels.names", taken(parse::<crate::model::ModelNames>())),
        ("channels.disable", taken(parse::<crate::model::DisableRule>())),
        ("desktop", taken(parse::<crate::model::DesktopSettings>())),
        ("breaker", taken(parse::<crate::model::BreakerSettings>())),
        ("owners", taken(parse::<file::FileOwner>())),
        ("limits", taken(parse::<crate::model::LimitSpec>())),
        ("limits.queue", taken(parse::<crate::model::LimitQueue>())),
    ];
    for (section, keys) in sections {
        let mut documented: Vec<&str> = fields::section(section).map(|field| field.name).collect();
        let lists = ["channels", "keys", "routes", "profiles", "owners", "limits"];
        documented.retain(|name| !section.is_empty() || !lists.contains(name));
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        documented.sort_unstable();
        keys.sort_unstable();
        assert_eq!(documented, keys, "section {section:?}");
    }
}

#[test]
fn limits_and_owners_are_read_with_their_lines() {
    let good = r#"
[[owners]]
kind = "team"
name = "research"
parent = "organisation:acme"

[[owners]]
kind = "organisation"
name = "acme"

[[keys]]
name = "laptop"
secret = "my-0123456789abcdef"
owner = "team:research"

[[limits]]
on = "key:laptop"
money = 5.25
per = "month"
zone = "Europe/Berlin"

[[limits]]
name = "burst"
on = "team:research"
requests = 60
per = "minute"
queue = { timeout_ms = 5000 }
"#;
    let loaded = load_with(good, &[]).unwrap();
    let warned: Vec<&str> = loaded.warnings.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(warned, ["limits.key-laptop-money-month.money"], "what has no price is not held back by money");
    let [month, burst] = loaded.declared.limits.as_slice() else { panic!("{:?}", loaded.declared.limits) };
    assert_eq!((month.name.as_str(), month.amount), ("key-laptop-money-month", 5_250_000_000));
    assert_eq!(burst.queue.map(|queue| (queue.timeout_ms, queue.max_waiting)), Some((5_000, 100)));
    assert_eq!(loaded.declared.keys[0].key.owner.as_ref().map(ToString::to_string).as_deref(), Some("team:research"));

    let wrong = good.replace("Europe/Berlin", "Mars/Olympus").replace("requests = 60", "requests = 0");
    let problems = load_with(&wrong, &[]).unwrap_err().problems;
    let errors: Vec<_> = problems.iter().filter(|p| p.is_error()).map(|p| (p.path.as_str(), p.line)).collect();
    assert!(errors.contains(&("limits.burst.requests", Some(25))), "{problems:?}");
    assert!(errors.iter().any(|(path, _)| *path == "limits.key-laptop-money-month.zone"), "{problems:?}");
}

#[test]
fn documented_defaults_are_the_real_ones() {
    let defaults = serde_json::to_value(crate::model::Settings::default()).unwrap();
    for field in fields::section("").filter(|field| matches!(field.shape, Shape::Number | Shape::Flag | Shape::Texts)) {
        // It depends on what the gateway lives in.
        if field.name == "console" {
            continue;
        }
        let documented: toml::Table = toml::from_str(&format!("v = {}", field.default)).unwrap();
        let documented = serde_json::to_value(&documented["v"]).unwrap();
        assert_eq!(defaults[field.name], documented, "{}", field.name);
    }
}

#[test]
fn the_environment_sets_every_kind_of_key() {
    let variables = [
        ("MYELIN__LISTEN", "127.0.0.1:1, [::1]:1"),
        ("MYELIN__MAX_ATTEMPTS", "3"),
        ("MYELIN__LAN", "true"),
        ("MYELIN__TIMEOUTS__IDLE_MS", "77"),
        ("MYELIN__CHANNELS__MAIN__BASE_URL", "https://other.example/v1"),
        ("MYELIN__CHANNELS__MAIN__CREDENTIALS", "env:A,env:B"),
        ("MYELIN__CHANNELS__1__WEIGHT", "9"),
        ("MYELIN__CHANNELS__MAIN__DIALECT__NO_STREAM_OPTIONS", "true"),
        ("MYELIN__CHANNELS__MAIN__OPTIONS__REGION", "eu"),
        ("MYELIN__CHANNELS__2__NAME", "added"),
        ("MYELIN__CHANNELS__2__PROVIDER", "openai"),
        ("MYELIN__KEYS__LAPTOP__EXPIRES", "2030-01-01"),
    ];
    let loaded = load_with(SAMPLE, &variables).unwrap();
    let declared = loaded.declared;
    assert_eq!(declared.settings.listen, ["127.0.0.1:1", "[::1]:1"]);
    assert_eq!((declared.settings.max_attempts, declared.settings.lan), (3, true));
    assert_eq!(declared.settings.timeouts.idle_ms, Some(77));
    let main = &declared.channels[0];
    assert_eq!(main.base_urls, ["https://other.example/v1"]);
    assert_eq!(main.credentials.len(), 2);
    assert_eq!((&main.dialect["no-stream-options"], &main.options["region"]), (&true.into(), &"eu".into()));
    assert_eq!(declared.channels[1].weight, 9);
    assert_eq!((declared.channels.len(), declared.channels[2].name.as_str()), (3, "added"));
    assert_eq!(declared.keys[0].key.expires, Some(1_893_456_000_000));
    for fixed in ["listen", "max_attempts", "lan", "timeouts.idle_ms", "active_profile"] {
        assert!(declared.fixed_settings.contains(fixed), "{fixed}");
    }
}

#[test]
fn a_wrong_variable_names_itself() {
    let cases = [
        ("MYELIN__LISEN", "x", "did you mean 'listen'"),
        ("MYELIN__MAX_ATTEMPTS", "many", "is no whole number"),
        ("MYELIN__LAN", "yes", "is no true or false"),
        ("MYELIN__CHANNELS__GONE__WEIGHT", "1", "no entry 'gone'"),
        ("MYELIN__CHANNELS__7__WEIGHT", "1", "no entry '7'"),
        ("MYELIN__LISTEN__X", "1", "no keys of its own"),
        ("MYELIN__MAX_BODY_BYTES", "5", "(set by MYELIN__MAX_BODY_BYTES)"),
    ];
    for (name, value, message) in cases {
        let error = load_with(SAMPLE, &[(name, value)]).unwrap_err();
        let problem = error.problems.iter().find(|problem| problem.message.contains(message));
        let problem = problem.unwrap_or_else(|| panic!("{name}: {error}"));
        assert!(format!("{problem}").contains(name), "{problem}");
        assert_eq!(problem.line, None);
    }
}

#[test]
fn flags_win_over_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    std::fs::write(&path, SAMPLE).unwrap();
    let paths = Paths { config: path.clone(), config_required: true, data: dir.path().to_owned() };
    let flags = Flags { listen: vec!["127.0.0.1:9".into()], ..Flags::default() };
    let loader = Loader::new(&paths, flags, Arc::new(|_: &str| true))
        .with_variables(vec![("MYELIN__LISTEN".into(), "127.0.0.1:8".into())])
        .with_secrets(Arc::clone(self::loader(&path).secrets()));
    assert_eq!(loader.load().unwrap().declared.settings.listen, ["127.0.0.1:9"]);
}

#[test]
fn no_file_is_fine_unless_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Paths { config: dir.path().join(FILE_NAME), config_required: false, data: dir.path().to_owned() };
    let load = |paths: &Paths| {
        Loader::new(paths, Flags::default(), Arc::new(|_: &str| true)).with_variables(Vec::new()).load()
    };
    let loaded = load(&paths).unwrap();
    assert_eq!((loaded.file, loaded.declared), (None, crate::model::Declared::default()));
    paths.config_required = true;
    assert!(load(&paths).is_err());
}

#[test]
fn a_missing_credential_is_a_warning_and_shows_no_secret() {
    let text =
        SAMPLE.replace("env:OPENAI_API_KEY", "env:UNSET").replace("env:DEEPSEEK_API_KEY", "sk-canary-0123456789");
    let loaded = load(&text).unwrap();
    let warning = loaded.warnings.iter().find(|problem| problem.message.contains("UNSET")).unwrap();
    assert_eq!((warning.severity, warning.line), (Severity::Warning, Some(9)));
    assert!(!format!("{loaded:?}").contains("canary"));
}

#[test]
fn the_file_is_read_again_when_it_changes_and_a_bad_one_is_only_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    std::fs::write(&path, "max_attempts = 1").unwrap();
    let (sender, seen) = mpsc::channel();
    let watcher = Watcher::start(loader(&path), move |loaded| {
        let _ = sender.send(loaded.map(|loaded| loaded.declared.settings.max_attempts).map_err(|e| e.to_string()));
    })
    .unwrap();
    let next = || seen.recv_timeout(Duration::from_secs(20)).unwrap();
    std::fs::write(&path, "max_attempts = 2").unwrap();
    assert_eq!(next(), Ok(2));
    // As editors do: a new file takes the place of the old one.
    let new = dir.path().join("new");
    std::fs::write(&new, "max_attempts = 3").unwrap();
    std::fs::rename(&new, &path).unwrap();
    assert_eq!(next(), Ok(3));
    std::fs::write(&path, "max_attempts = ").unwrap();
    assert!(next().unwrap_err().contains("myelin.toml:1"));
    // What does not change the content is no change.
    std::fs::write(dir.path().join("other"), "x").unwrap();
    std::fs::write(&path, "max_attempts = 4").unwrap();
    assert_eq!(next(), Ok(4));
    drop(watcher);
    std::fs::write(&path, "max_attempts = 5").unwrap();
    assert!(seen.recv_timeout(Duration::from_secs(20)).is_err());
}

#[test]
fn the_reference_page_is_fresh() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/config.md");
    let committed = std::fs::read_to_string(&page).unwrap_or_default().replace("\r\n", "\n");
    assert!(committed == reference(), "run: cargo run -p myelin -- config reference > docs/reference/config.md");
}

#[test]
fn the_desktop_app_keeps_all_bodies_unless_somebody_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    for (text, desktop, kept) in
        [("", false, BodyPolicy::Errors), ("", true, BodyPolicy::All), ("bodies = \"off\"\n", true, BodyPolicy::Off)]
    {
        std::fs::write(&path, text).unwrap();
        let paths = Paths { config: path.clone(), config_required: true, data: dir.path().to_owned() };
        let flags = Flags { desktop, ..Flags::default() };
        let loaded = Loader::new(&paths, flags, Arc::new(|_: &str| true)).with_variables(Vec::new()).load().unwrap();
        assert_eq!(loaded.declared.settings.bodies, kept, "{text:?} {desktop}");
    }
}
