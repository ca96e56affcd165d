use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::ThisDisk;
use super::*;
use crate::tools::edit::Format;

const SYSTEMS: &[&str] = &["linux", "macos", "windows"];

/// Files as people have them: name, and the text by format. `\n` becomes what the variant says.
const JSON: &[&str] = &[
    "{\n  // mine\n  \"theme\": \"dark\",   /* odd */\n\n      \"env\": {\n   \"FOO\": \"1\",\n\t\"ANTHROPIC_API_KEY\": \"sk-ant-old\"\n  },\n  \"models\": [1, 2,],\n  \"hooks\": {\"a\": []}\n}\n",
    "{\"a\":1,\"env\":{\"ANTHROPIC_BASE_URL\":\"http://127.0.0.1:15721\"},\"provider\":{\"other\":{\"npm\":\"x\"}}}",
    "{}",
    "\n\n{\n\t\"security\": {\n\t\t\"auth\": {\n\t\t\t\"selectedType\": \"oauth-personal\" // google\n\t\t}\n\t}\n}\n\n\n",
    "",
    "// only a comment\n",
];
const LISTS: &[&str] = &["[]", "[\n    {\"name\": \"Other\", \"vendor\": \"x\", \"models\": []} // mine\n]\n", ""];
const TOML: &[&str] = &[
    "# top\nmodel = \"gpt-5\"   # mine\nmodel_provider = 'azure'\n\n[tui]\n  theme = \"x\"\n\n[model_providers.azure]\nname = \"Azure\"\nquery_params = { a = \"1\" }\n\n[[mcp]]\nx = 1\n[hooks.state]\n\"a b\" = \"\"\"\nline\n  other\"\"\"\n",
    "model_providers = { azure = { name = \"A\" } }\nmodel=\"o\"",
    "model_providers.azure.name = \"A\"\n[x]\n",
    "",
    "# only a comment",
];
const YAML: &[&str] = &[
    "# mine\nname: Local\nversion: 1.0.0\nmodels:\n    -   name: Old\n        provider: ollama   # here\n        note: |\n          model: no\n          - name: no\n    # tail\nrules: [a, b]\n",
    "model: gpt-4o # mine\nopenai-api-key: sk-old\n\nread:\n- a.md\n- b.md\n",
    "---\nmodels: []\nopenai-api-base: \"https://x\"\n",
    "",
    "# only a comment\n",
];
const ENV: &[&str] = &[
    "# mine\nexport FOO='a b'  # x\nGEMINI_API_KEY=\"old\"\n\nBAR=`c`",
    "",
    "GEMINI_API_KEY=a\nGOOGLE_GEMINI_BASE_URL=http://127.0.0.1:3456\n",
];

fn wanted() -> Wanted {
    Wanted {
        base: "http://127.0.0.1:6935".to_owned(),
        model: None,
        models: vec!["gpt-5".to_owned(), "a/b:c".to_owned()],
    }
}

fn key() -> Secret {
    Secret::new("my-0123456789abcdefghijABCDEFGHIJ0123456789")
}

struct Place {
    dir: tempfile::TempDir,
    tools: Tools,
}

fn place_with(system: &'static str, more: &[(&str, &str)]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut variables = BTreeMap::from([("HOME".to_owned(), home.display().to_string())]);
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let machine = Machine::new(variables, Path::new("/")).on(system);
    // Waiting for the disk proves nothing here and takes minutes.
    let swift = Dying { left: AtomicUsize::new(usize::MAX) };
    let tools = Tools::new(machine, &dir.path().join("data")).with_disk(Arc::new(swift));
    Place { dir, tools }
}

fn place(system: &'static str) -> Place {
    place_with(system, &[])
}

/// Tools with files, and the system.
fn cases() -> Vec<(&'static str, &'static Tool)> {
    let with = |system: &&'static str| {
        let place = place(system);
        place.tools.table().filter(|tool| !tool.files.is_empty()).map(|tool| (*system, tool)).collect::<Vec<_>>()
    };
    SYSTEMS.iter().flat_map(with).collect()
}

fn samples(tool: &Tool, index: usize) -> &'static [&'static str] {
    let file = &tool.files[index];
    match file.format {
        Format::Json if file.set[0].at.starts_with('[') => LISTS,
        Format::Json => JSON,
        Format::Toml => TOML,
        Format::Yaml => YAML,
        Format::Env => ENV,
    }
}

fn path(place: &Place, tool: &Tool, index: usize) -> PathBuf {
    place.tools.machine.place(&tool.files[index].at).unwrap()
}

/// How a file of a sample may lie there.
const VARIANTS: &[&str] = &["plain", "crlf", "bom", "link", "absent"];

/// Lays out every file of a tool with the given sample and variant; gives what is there.
fn lay(place: &Place, tool: &Tool, sample: usize, variant: &str) -> Vec<Option<Vec<u8>>> {
    (0..tool.files.len())
        .map(|index| {
            if variant == "absent" {
                return None;
            }
            let path = path(place, tool, index);
            let samples = samples(tool, index);
            let text = samples[sample % samples.len()];
            let bytes = match variant {
                "crlf" => text.replace('\n', "\r\n").into_bytes(),
                "bom" => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
                _ => text.as_bytes().to_vec(),
            };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if variant == "link" && cfg!(unix) {
                let real = place.dir.path().join(format!("dotfiles-{index}"));
                fs::write(&real, &bytes).unwrap();
                let _ = fs::remove_file(&path);
                #[cfg(unix)]
                std::os::unix::fs::symlink(&real, &path).unwrap();
            } else {
                fs::write(&path, &bytes).unwrap();
                #[cfg(unix)]
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
            }
            Some(bytes)
        })
        .collect()
}

fn there(place: &Place, tool: &Tool) -> Vec<Option<Vec<u8>>> {
    (0..tool.files.len()).map(|index| fs::read(path(place, tool, index)).ok()).collect()
}

#[test]
fn connecting_and_restoring_every_tool_gives_back_the_same_bytes() {
    for (system, tool) in cases() {
        for variant in VARIANTS {
            for sample in 0..6 {
                let place = place(system);
                let before = lay(&place, tool, sample, variant);
                let what = format!("{} on {system}, {variant}, sample {sample}", tool.id);
                let preview =
                    place.tools.preview(&tool.id, &wanted(), None).unwrap_or_else(|why| panic!("{what}: {why}"));
                assert!(preview.changed, "{what}");
                assert_eq!(there(&place, tool), before, "{what}: a preview touches nothing");
                let done =
                    place.tools.connect(&tool.id, &wanted(), &key(), 1).unwrap_or_else(|why| panic!("{what}: {why}"));
                assert!(done.changed && done.warnings.is_empty(), "{what}: {done:?}");
                assert!(!format!("{done:?}").contains("6789abcdefghij"), "{what}: the key is shown");
                let connected = there(&place, tool);
                assert_ne!(connected, before, "{what}");
                let again = place.tools.connect(&tool.id, &wanted(), &key(), 2).unwrap();
                assert!(!again.changed, "{what}: {again:?}");
                assert_eq!(there(&place, tool), connected, "{what}: a second time changes nothing");
                place.tools.keep_key(&tool.id, Some(&key())).unwrap();
                let view = place.tools.look(&tool.id, &wanted().base, None).unwrap();
                assert_eq!((view.state, &view.drift[..]), (State::Connected, &[][..]), "{what}");
                if *variant == "link" && cfg!(unix) {
                    assert!(path(&place, tool, 0).is_symlink(), "{what}");
                }
                #[cfg(unix)]
                if *variant == "plain" {
                    use std::os::unix::fs::PermissionsExt as _;
                    let mode = fs::metadata(path(&place, tool, 0)).unwrap().permissions().mode() & 0o777;
                    assert_eq!(mode, 0o640, "{what}: the mode is kept");
                }
                place.tools.restore(&tool.id).unwrap();
                assert_eq!(there(&place, tool), before, "{what}: restored");
                if *variant == "absent" {
                    assert_eq!(
                        fs::read_dir(place.dir.path().join("home")).unwrap().count(),
                        0,
                        "{what}: folders of ours stay"
                    );
                }
                assert!(matches!(place.tools.restore(&tool.id), Err(ToolError::NotConnected(_))), "{what}");
            }
        }
    }
}

#[test]
fn another_address_and_more_models_restore_to_the_first_bytes_too() {
    for (system, tool) in cases() {
        let place = place(system);
        let before = lay(&place, tool, 0, "plain");
        place.tools.connect(&tool.id, &wanted(), &key(), 1).unwrap();
        let other = Wanted {
            base: "http://127.0.0.1:7000/p/cheap".to_owned(),
            model: Some("claude-x".to_owned()),
            models: Vec::new(),
        };
        assert!(place.tools.connect(&tool.id, &other, &key(), 2).unwrap().changed);
        let text: String =
            there(&place, tool).into_iter().flatten().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        assert!(!text.contains(":6935") && !text.contains("a/b:c"), "{}: the old values stay: {text}", tool.id);
        place.tools.restore(&tool.id).unwrap();
        assert_eq!(there(&place, tool), before, "{}", tool.id);
    }
}

#[test]
fn what_somebody_changed_since_stays_and_only_ours_goes() {
    let place = place("linux");
    let tool = Tool::find("claude-code").unwrap();
    lay(&place, tool, 0, "plain");
    place.tools.connect("claude-code", &wanted(), &key(), 1).unwrap();
    let file = path(&place, tool, 0);
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("\"dark\"", "\"light\"")
        .replace("\"CLAUDE_CODE_ATTRIBUTION_HEADER\": \"0\"", "\"CLAUDE_CODE_ATTRIBUTION_HEADER\": \"1\"");
    fs::write(&file, text).unwrap();
    let view = place.tools.look("claude-code", &wanted().base, None).unwrap();
    assert_eq!(view.state, State::Drifted);
    let done = place.tools.restore("claude-code").unwrap();
    assert_eq!(done.files[0].how, How::OursOnly);
    assert_eq!(done.files[0].left, ["env.CLAUDE_CODE_ATTRIBUTION_HEADER"]);
    assert!(done.warnings[0].contains("was changed since"), "{:?}", done.warnings);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"light\"") && text.contains("// mine") && text.contains("sk-ant-old"), "{text}");
    assert!(!text.contains("ANTHROPIC_BASE_URL") && !text.contains("my-01234"), "{text}");
}

#[test]
fn repairing_after_a_change_keeps_that_change_through_a_restore() {
    for (id, from, to) in [
        ("codex", "theme = \"x\"", "theme = \"y\""),
        ("aider", "read:", "write:"),
        ("claude-code", "dark", "light"),
        ("gemini-cli", "FOO", "BAZ"),
    ] {
        let place = place("linux");
        let tool = Tool::find(id).unwrap();
        let sample = usize::from(id == "aider");
        let before = lay(&place, tool, sample, "crlf");
        place.tools.connect(id, &wanted(), &key(), 1).unwrap();
        let file = path(&place, tool, 0);
        fs::write(&file, fs::read_to_string(&file).unwrap().replace(from, to).replace("6935", "1")).unwrap();
        place.tools.keep_key(id, Some(&key())).unwrap();
        let view = place.tools.look(id, &wanted().base, None).unwrap();
        assert_eq!(view.state, State::Drifted, "{id}");
        assert!(view.drift.iter().any(|drift| drift.kind == DriftKind::Changed), "{id}: {:?}", view.drift);
        place.tools.connect(id, &wanted(), &key(), 2).unwrap();
        assert_eq!(place.tools.look(id, &wanted().base, None).unwrap().state, State::Connected, "{id}");
        place.tools.restore(id).unwrap();
        let now = String::from_utf8(there(&place, tool)[0].clone().unwrap()).unwrap();
        let expected = String::from_utf8(before[0].clone().unwrap()).unwrap().replace(from, to);
        // A value that was put back is written in the quotes of whoever writes it.
        let kept: Vec<&str> = expected.lines().filter(|line| !line.contains('\'')).collect();
        let bare = |line: &str| line.trim().trim_end_matches(',').replace('"', "");
        let now = now.replace('"', "");
        assert!(kept.iter().all(|line| now.contains(&bare(line))), "{id}: {now}\n---\n{expected}");
    }
}

#[test]
fn a_value_that_somebody_put_in_place_of_ours_is_gone_after_a_repair_and_a_restore_byte_for_byte() {
    for (system, tool) in cases() {
        for variant in ["plain", "crlf", "bom", "absent"] {
            let place = place(system);
            let before = lay(&place, tool, 0, variant);
            let what = format!("{} on {system}, {variant}", tool.id);
            place.tools.connect(&tool.id, &wanted(), &key(), 1).unwrap();
            let mut drifted = false;
            for index in 0..tool.files.len() {
                let file = path(&place, tool, index);
                let text = fs::read_to_string(&file).unwrap();
                let elsewhere = text.replace("http://127.0.0.1:6935", "https://elsewhere.example");
                drifted |= elsewhere != text;
                fs::write(&file, elsewhere).unwrap();
            }
            assert!(drifted, "{what}");
            place.tools.connect(&tool.id, &wanted(), &key(), 2).unwrap();
            place.tools.restore(&tool.id).unwrap();
            assert_eq!(there(&place, tool), before, "{what}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_untouched() {
    let broken: &[(&str, &[u8])] = &[
        ("claude-code", b"{ \"env\": { \"A\": \"1\" \"B\": 2 } }"),
        ("claude-code", b"\xff\xfe{\0}\0"),
        ("claude-code", b"{\"env\": \"a text\"}"),
        ("claude-code", b"[1, 2]"),
        ("codex", b"model = \n"),
        ("codex", b"model_providers = 3\n"),
        ("aider", b"model: [unclosed\n"),
        ("aider", b"a: 1\n---\nb: 2\n"),
        ("continue", b"models: 3\n"),
        ("continue", b"\t- x: {\n"),
        ("gemini-cli", b"A='never closed\n"),
        ("vscode-copilot", b"{\"name\": \"Other\"}"),
    ];
    for (id, bytes) in broken {
        let place = place("linux");
        let tool = Tool::find(id).unwrap();
        let file = path(&place, tool, 0);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        let what = String::from_utf8_lossy(bytes);
        let error = place.tools.connect(id, &wanted(), &key(), 1).expect_err(&what);
        assert!(
            matches!(error, ToolError::Edit { .. }) && error.to_string().contains("is left as it is"),
            "{what}: {error}"
        );
        assert_eq!(fs::read(&file).unwrap(), *bytes, "{what}");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "{what}: something was left");
        assert!(matches!(place.tools.restore(id), Err(ToolError::NotConnected(_))));
    }
}

#[test]
fn the_real_disk_does_the_same() {
    let place = place("linux");
    let tools = place.tools.clone().with_disk(Arc::new(ThisDisk));
    let tool = Tool::find("codex").unwrap();
    let before = lay(&place, tool, 0, "crlf");
    assert!(tools.connect("codex", &wanted(), &key(), 1).unwrap().changed);
    assert_ne!(there(&place, tool), before);
    tools.restore("codex").unwrap();
    assert_eq!(there(&place, tool), before);
}

#[test]
fn links_in_a_circle_and_folders_are_refused() {
    let place = place("linux");
    let folder = place.tools.machine.home().join(".claude");
    fs::create_dir_all(folder.join("settings.json")).unwrap();
    assert!(place.tools.connect("claude-code", &wanted(), &key(), 1).is_err());
    fs::remove_dir(folder.join("settings.json")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("b"), folder.join("settings.json")).unwrap();
        std::os::unix::fs::symlink(folder.join("settings.json"), folder.join("b")).unwrap();
        assert!(place.tools.connect("claude-code", &wanted(), &key(), 1).is_err());
        // A link to a file that is not there yet is followed, and stays.
        fs::remove_file(folder.join("b")).unwrap();
        place.tools.connect("claude-code", &wanted(), &key(), 1).unwrap();
        assert!(folder.join("settings.json").is_symlink() && folder.join("b").is_file());
        place.tools.restore("claude-code").unwrap();
        assert!(folder.join("settings.json").is_symlink() && !folder.join("b").exists());
    }
}

/// A disk on which the program dies: the call of that number is the last that begins. A write stops half way, as the system may let it; nothing
/// after it happens, no clean-up either. That is what `kill -9` between any two system calls, or inside a write, leaves behind.
struct Dying {
    left: AtomicUsize,
}

impl Dying {
    fn step(&self) -> io::Result<()> {
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(1)))
            .unwrap_or_default();
        if left == 0 { Err(io::Error::other("killed")) } else { Ok(()) }
    }
}

impl Disk for Dying {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        ThisDisk.create(path)
    }
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(killed) = self.step() {
            ThisDisk.write(file, &bytes[..bytes.len() / 2])?;
            return Err(killed);
        }
        ThisDisk.write(file, bytes)
    }
    fn sync(&self, _: &File) -> io::Result<()> {
        self.step()
    }
    fn alike(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        self.step()?;
        ThisDisk.alike(file, like)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        ThisDisk.rename(from, to)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.step()
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        ThisDisk.remove(path)
    }
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        ThisDisk.make_folder(folder)
    }
    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        ThisDisk.remove_folder(folder)
    }
}

/// What is done while the program dies.
#[derive(Clone, Copy, Debug)]
enum Act {
    Connect,
    Again,
    Restore,
}

#[test]
fn killed_between_any_two_calls_every_file_is_whole_and_can_be_taken_back() {
    let other = Wanted { base: "http://127.0.0.1:7000".to_owned(), ..wanted() };
    let many = ["claude-code", "codex", "gemini-cli", "continue", "cline"];
    let mut seen = std::collections::BTreeSet::new();
    for (system, tool) in cases() {
        let id = tool.id.as_str();
        if !seen.insert(id) {
            continue;
        }
        // The files of the others lie as these do.
        let variants = if many.contains(&id) { &["plain", "link", "absent"][..] } else { &["plain"] };
        for variant in variants.iter().copied() {
            for act in [Act::Connect, Act::Again, Act::Restore] {
                // The whole new text, as an undisturbed run writes it.
                let goal = {
                    let calm = self::place(system);
                    lay(&calm, tool, 0, variant);
                    let wanted = if matches!(act, Act::Again) { other.clone() } else { wanted() };
                    calm.tools.connect(id, &wanted, &key(), 1).unwrap();
                    there(&calm, tool)
                };
                let mut survived = false;
                for calls in 0..200 {
                    let place = place(system);
                    let before = lay(&place, tool, 0, variant);
                    if !matches!(act, Act::Connect) {
                        place.tools.connect(id, &wanted(), &key(), 1).unwrap();
                    }
                    let first = there(&place, tool);
                    let dying = place.tools.clone().with_disk(Arc::new(Dying { left: AtomicUsize::new(calls) }));
                    let done = match act {
                        Act::Connect => dying.connect(id, &wanted(), &key(), 1).map(drop),
                        Act::Again => dying.connect(id, &other, &key(), 2).map(drop),
                        Act::Restore => dying.restore(id).map(drop),
                    };
                    let what = format!("{id}, {variant}, {act:?}, killed after {calls} calls: {done:?}");
                    let left = there(&place, tool);
                    for (index, now) in left.iter().enumerate() {
                        let whole = [&first[index], &goal[index], &before[index]].contains(&now);
                        assert!(whole, "{what}: {:?}", now.as_deref().map(String::from_utf8_lossy));
                    }
                    // After a restart: doing it again comes to its end, and a restore gives back the first bytes.
                    if matches!(act, Act::Connect | Act::Again) {
                        let wanted = if matches!(act, Act::Again) { other.clone() } else { wanted() };
                        place.tools.connect(id, &wanted, &key(), 3).unwrap_or_else(|why| panic!("{what}: {why}"));
                        assert_eq!(there(&place, tool), goal, "{what}: once more");
                    }
                    match place.tools.restore(id) {
                        Ok(_) | Err(ToolError::NotConnected(_)) => {}
                        Err(why) => panic!("{what}: {why}"),
                    }
                    assert_eq!(there(&place, tool), before, "{what}: restored");
                    survived = done.is_ok();
                    if survived {
                        break;
                    }
                }
                assert!(survived, "{id}, {variant}, {act:?}: it never came to its end");
            }
        }
    }
}

#[test]
fn variables_shell_files_and_projects_that_beat_the_files_are_named() {
    let place = place_with(
        "linux",
        &[("ANTHROPIC_BASE_URL", "https://elsewhere.example"), ("ANTHROPIC_API_KEY", "sk-ant-0123456789abcdefghij")],
    );
    let tool = Tool::find("claude-code").unwrap();
    lay(&place, tool, 2, "plain");
    fs::write(
        place.tools.machine.home().join(".bashrc"),
        "# x\n  export ANTHROPIC_AUTH_TOKEN=\"sk-0123456789abcdefghij\"\n",
    )
    .unwrap();
    let project = place.dir.path().join("work");
    fs::create_dir_all(project.join(".claude")).unwrap();
    fs::write(project.join(".claude/settings.json"), "{\"env\": {\"ANTHROPIC_BASE_URL\": \"https://proxy\"}}").unwrap();
    place.tools.connect("claude-code", &wanted(), &key(), 1).unwrap();
    place.tools.keep_key("claude-code", Some(&key())).unwrap();
    let view = place.tools.look("claude-code", &wanted().base, Some(&project)).unwrap();
    assert_eq!(view.state, State::Overridden);
    let from: Vec<_> = view.overrides.iter().map(|o| (o.name.as_str(), o.from.clone())).collect();
    assert_eq!(from[0], ("ANTHROPIC_BASE_URL", Source::Environment));
    assert_eq!(from[1], ("ANTHROPIC_API_KEY", Source::Environment));
    assert_eq!(from[2], ("ANTHROPIC_AUTH_TOKEN", Source::Shell("~/.bashrc:2".to_owned())));
    assert!(matches!(&from[3].1, Source::Project(path) if path.ends_with(".claude/settings.json")));
    assert!(!format!("{view:?}").contains("456789abcdef"), "{view:?}");
    // Our own address in the environment beats nothing.
    let place = place_with("linux", &[("ANTHROPIC_BASE_URL", "http://127.0.0.1:6935/anthropic")]);
    place.tools.connect("claude-code", &wanted(), &key(), 1).unwrap();
    place.tools.keep_key("claude-code", Some(&key())).unwrap();
    assert_eq!(place.tools.look("claude-code", &wanted().base, None).unwrap().state, State::Connected);
}

#[test]
fn in_the_home_folder_a_tools_own_file_is_no_file_of_a_project() {
    for id in ["gemini-cli", "qwen-code", "claude-code"] {
        let place = place("linux");
        lay(&place, Tool::find(id).unwrap(), 2, "plain");
        place.tools.connect(id, &wanted(), &key(), 1).unwrap();
        place.tools.keep_key(id, Some(&key())).unwrap();
        let home = place.tools.machine.home().to_owned();
        let view = place.tools.look(id, &wanted().base, Some(&home)).unwrap();
        assert_eq!((view.state, view.overrides.as_slice()), (State::Connected, [].as_slice()), "{id}");
    }
}

#[test]
fn another_path_of_our_own_address_is_nobodys_value() {
    for repaired in [false, true] {
        let place = place("linux");
        let tool = Tool::find("claude-code").unwrap();
        let before = lay(&place, tool, 3, "crlf");
        place.tools.connect("claude-code", &wanted(), &key(), 1).unwrap();
        let file = path(&place, tool, 0);
        let pinned = fs::read_to_string(&file).unwrap().replace("/anthropic", "/p/cheap/anthropic");
        fs::write(&file, pinned).unwrap();
        assert_eq!(place.tools.look("claude-code", &wanted().base, None).unwrap().state, State::Drifted);
        if repaired {
            place.tools.connect("claude-code", &wanted(), &key(), 2).unwrap();
        }
        place.tools.restore("claude-code").unwrap();
        assert_eq!(there(&place, tool), before, "repaired {repaired}");
    }
}

#[test]
fn a_lost_data_directory_never_makes_our_own_values_the_original() {
    for id in ["claude-code", "codex", "opencode", "aider", "continue"] {
        let place = place("linux");
        let tool = Tool::find(id).unwrap();
        let before = lay(&place, tool, 3, "plain");
        place.tools.connect(id, &wanted(), &key(), 1).unwrap();
        fs::remove_dir_all(place.dir.path().join("data")).unwrap();
        place.tools.connect(id, &wanted(), &key(), 2).unwrap();
        place.tools.restore(id).unwrap();
        let now = there(&place, tool)[0].clone().unwrap();
        let text = String::from_utf8_lossy(&now);
        assert!(!text.contains("6935") && !text.contains("my-0123"), "{id}: {text}");
        let format = tool.files[0].format;
        let (was, is) = (edit::read(format, before[0].as_deref().unwrap()), edit::read(format, &now));
        assert!(is.is_ok() && was.is_ok(), "{id}");
    }
}

#[test]
fn another_program_that_has_the_tool_is_named() {
    let place = place("linux");
    lay(&place, Tool::find("claude-code").unwrap(), 1, "plain");
    let view = place.tools.look("claude-code", &wanted().base, None).unwrap();
    assert_eq!(view.points_at.as_deref(), Some("cc-switch (http://127.0.0.1:15721)"));
    assert_eq!(view.state, State::Available);
}

#[test]
fn the_table_is_sound() {
    let ids: Vec<&str> = Tool::all().iter().map(|tool| tool.id.as_str()).collect();
    assert_eq!(ids.len(), 18);
    for tool in Tool::all() {
        assert!(!tool.snippet.is_empty(), "{}", tool.id);
        assert!(tool.files.is_empty() == tool.effect.is_empty() || tool.run.is_some(), "{}: effect", tool.id);
        for file in &tool.files {
            let texts: Vec<_> = file.edits(&wanted()).into_iter().map(|edit| format!("{edit:?}")).collect();
            assert!(texts.iter().all(|text| !text.contains("{base}") && !text.contains("{model}")), "{texts:?}");
            for system in
                SYSTEMS.iter().filter(|system| tool.systems.is_empty() || tool.systems.contains(&(**system).to_owned()))
            {
                assert!(place(system).tools.machine.place(&file.at).is_some(), "{} has no place on {system}", tool.id);
            }
        }
    }
}
