//! What a tool's file holds when `myelin` is killed while it connects the tool or takes it back: all of the old or all of the new, at whatever moment.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::commands::Home;

const BEFORE: &str = "{\r\n  // mine\r\n  \"theme\": \"dark\",\r\n  \"env\": {\"FOO\": \"1\"}\r\n}\r\n";
const CONNECT: [&str; 4] = ["tool", "connect", "claude-code", "--yes"];
const RESTORE: [&str; 3] = ["tool", "restore", "claude-code"];
/// Kills at moments spread evenly over the time that a whole run takes, and a little beyond.
const SPREAD: u32 = 24;
/// Kills after the first trace of the work on the disk, each so much later than the one before.
const CLOSE: u32 = 36;
const STEP: Duration = Duration::from_micros(250);
/// Letters of a key.
const KEY: usize = 43;

struct Scene {
    home: Home,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new("model_sync_seconds = 0\n");
        fs::create_dir_all(home.path().join("user/.claude")).unwrap();
        let scene = Self { home };
        fs::write(scene.file(), BEFORE).unwrap();
        scene
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("user/.claude/settings.json")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.env("HOME", self.home.path().join("user")).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs to the end; whether it worked, and its errors.
    fn whole(&self, words: &[&str]) -> (bool, String) {
        let output = self.command(words).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// What is there, with a stand-in for the key: a run that was killed may have made one, then the next makes another.
    fn shown(&self) -> String {
        let text = fs::read_to_string(self.file()).unwrap();
        match text.split_once("\"my-") {
            Some((head, tail)) => format!("{head}\"KEY{}", tail.get(KEY - "my-".len()..).unwrap_or_default()),
            None => text,
        }
    }

    /// What the work leaves on the disk first: names and sizes in the folders that it writes to.
    fn traces(&self) -> Vec<(PathBuf, u64)> {
        let folders = ["data/tools/claude-code", "user/.claude"].map(|folder| self.home.path().join(folder));
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut traces: Vec<_> =
            entries.map(|entry| (entry.path(), entry.metadata().map_or(0, |found| found.len()))).collect();
        traces.sort();
        traces
    }

    /// Kills it after so long, or so long after its first trace.
    fn kill(&self, words: &[&str], after: Duration, close: bool) {
        let before = self.traces();
        let mut child = self.start(words);
        while close && self.traces() == before && child.try_wait().unwrap().is_none() {}
        std::thread::sleep(after);
        // SIGKILL; a child that has ended already stays as it ended.
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Whatever was killed: taking back gives the first bytes, and leaves nothing beside them.
    fn taken_back(&self, when: &str) {
        let (done, why) = self.whole(&RESTORE);
        assert!(done || why.contains("is not connected"), "{when}: {why}");
        assert_eq!(fs::read_to_string(self.file()).unwrap(), BEFORE, "{when}");
        if done {
            let beside = fs::read_dir(self.file().parent().unwrap()).unwrap().count();
            assert_eq!(beside, 1, "{when}: something lies beside the file");
        }
    }
}

/// Delays, and whether they count from the first trace.
fn moments(whole: Duration) -> impl Iterator<Item = (Duration, bool)> {
    let spread = (0..SPREAD).map(move |run| (whole * run / (SPREAD - 4), false));
    spread.chain((0..CLOSE).map(|run| (STEP * run, true)))
}

#[test]
fn a_kill_at_any_moment_of_connecting_leaves_a_whole_file_and_restore_gives_the_first_bytes() {
    let scene = Scene::new();
    assert!(scene.whole(&["key", "list"]).0, "the store is there");
    let began = Instant::now();
    assert!(scene.whole(&CONNECT).0);
    let (whole, after) = (began.elapsed(), scene.shown());
    assert_ne!(after, BEFORE);
    scene.taken_back("nothing was killed");

    let mut seen = [0, 0];
    for (delay, close) in moments(whole) {
        scene.kill(&CONNECT, delay, close);
        let (shown, when) = (
            scene.shown(),
            format!("connect, killed {delay:?} after its {}", if close { "first trace" } else { "start" }),
        );
        assert!(shown == BEFORE || shown == after, "{when}: {shown}");
        seen[usize::from(shown == after)] += 1;
        scene.taken_back(&when);
    }
    println!("old and new: {seen:?}");
    assert!(seen.iter().all(|&times| times > 0), "kills came too early or too late: {seen:?}");
    // The wreckage of all that stands in nobody's way.
    assert!(scene.whole(&CONNECT).0);
    assert_eq!(scene.shown(), after);
    scene.taken_back("in the end");
}

#[test]
fn a_kill_at_any_moment_of_restoring_leaves_a_whole_file_and_a_second_try_ends_it() {
    let scene = Scene::new();
    assert!(scene.whole(&CONNECT).0);
    let after = scene.shown();
    let began = Instant::now();
    scene.taken_back("nothing was killed");
    let mut seen = [0, 0];
    for (delay, close) in moments(began.elapsed()).step_by(2) {
        assert!(scene.whole(&CONNECT).0);
        scene.kill(&RESTORE, delay, close);
        let (shown, when) = (
            scene.shown(),
            format!("restore, killed {delay:?} after its {}", if close { "first trace" } else { "start" }),
        );
        assert!(shown == BEFORE || shown == after, "{when}: {shown}");
        seen[usize::from(shown == after)] += 1;
        scene.taken_back(&when);
    }
    println!("old and new: {seen:?}");
    assert!(seen.iter().all(|&times| times > 0), "kills came too early or too late: {seen:?}");
}
