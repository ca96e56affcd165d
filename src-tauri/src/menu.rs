//! The tray's menu as data: facts in, entries out. Pure. Everything of the app can be reached from here, because many panels send no clicks.

use myelin_core::tools::State;

use crate::actions::Action;
use crate::facts::{Facts, Reach, Tool};
use crate::tools::Deed;

/// Profiles that a menu shows before it leads to the window.
const MOST_PROFILES: usize = 12;
/// Address that tools are told where none is known yet.
const NOWHERE: &str = "not listening";

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Words; with an action they can be clicked.
    Item {
        /// What is read.
        text: String,
        /// What a click does.
        action: Option<Action>,
    },
    /// Words with a mark. Systems toggle it by themselves: it is set anew after each click.
    Check {
        /// What is read.
        text: String,
        /// Whether the mark is there.
        checked: bool,
        /// What a click does.
        action: Action,
    },
    /// A menu within the menu.
    Sub {
        /// What is read.
        text: String,
        /// Its lines.
        entries: Vec<Entry>,
    },
    /// A line between groups.
    Line,
}

/// Which icon the tray wears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Icon {
    /// Nothing to do.
    Idle,
    /// Answers are on their way.
    Active,
    /// Something is out of rotation; others stand in.
    Degraded,
    /// Nothing works, or records cannot be kept.
    Stopped,
    /// The owner paused it.
    Paused,
}

/// The icon that says how things are.
pub(crate) fn icon(facts: &Facts) -> Icon {
    match facts.reach {
        Reach::Gone | Reach::Draining => Icon::Stopped,
        _ if facts.failing => Icon::Stopped,
        _ if facts.paused => Icon::Paused,
        _ if !facts.degraded.is_empty() => Icon::Degraded,
        _ if facts.in_flight > 0 => Icon::Active,
        _ => Icon::Idle,
    }
}

/// The whole menu.
pub(crate) fn entries(facts: &Facts) -> Vec<Entry> {
    let mut menu = vec![words(state(facts)), words(today(facts)), Entry::Line, item("Open Myelin", Action::Open)];
    if facts.reach == Reach::Gone {
        menu.push(item("Start the gateway here", Action::TakeOver));
    }
    menu.push(Entry::Line);
    menu.push(Entry::Sub { text: "Profile".to_owned(), entries: profiles(facts) });
    menu.push(Entry::Sub { text: "Tools".to_owned(), entries: tools(facts) });
    menu.push(check("Pause routing", facts.paused, Action::Pause));
    menu.push(Entry::Line);
    menu.push(item("Test channels now", Action::TestChannels));
    menu.push(Entry::Sub { text: "Copy".to_owned(), entries: copies(facts) });
    menu.push(Entry::Sub { text: "Recent errors".to_owned(), entries: errors(facts) });
    menu.push(Entry::Line);
    menu.push(check("Start at login", facts.starts_at_login, Action::Autostart));
    menu.push(item("Settings…", Action::Page("/settings".to_owned())));
    let quit = if facts.reach == Reach::Draining { "Quit now" } else { "Quit Myelin" };
    menu.push(item(quit, Action::Quit));
    menu
}

/// Whether two menus have the same lines, so that the one can be painted over the other.
pub(crate) fn same_shape(one: &[Entry], other: &[Entry]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Entry::Item { .. }, Entry::Item { .. })
            | (Entry::Check { .. }, Entry::Check { .. })
            | (Entry::Line, Entry::Line) => true,
            (Entry::Sub { entries: one, text: a }, Entry::Sub { entries: other, text: b }) => {
                a == b && same_shape(one, other)
            }
            _ => false,
        })
}

fn words(text: String) -> Entry {
    Entry::Item { text, action: None }
}

fn item(text: &str, action: Action) -> Entry {
    Entry::Item { text: text.to_owned(), action: Some(action) }
}

fn check(text: &str, checked: bool, action: Action) -> Entry {
    Entry::Check { text: text.to_owned(), checked, action }
}

fn state(facts: &Facts) -> String {
    let place = if facts.address.is_empty() { NOWHERE } else { &facts.address };
    match facts.reach {
        Reach::Starting => "Starting …".to_owned(),
        Reach::Draining => format!("Stopping: {} to finish", counted(facts.in_flight, "answer")),
        Reach::Gone => "The Myelin service has stopped".to_owned(),
        Reach::Running if facts.failing => format!("Records cannot be written · {place}"),
        Reach::Running if facts.paused => format!("Paused · {place}"),
        Reach::Running if !facts.degraded.is_empty() => format!("Out of rotation: {}", facts.degraded.join(", ")),
        Reach::Running if facts.attached => format!("Attached to the service · {place}"),
        Reach::Running => format!("Running · {place}"),
    }
}

fn today(facts: &Facts) -> String {
    let requests = counted(usize::try_from(facts.requests).unwrap_or_default(), "request");
    let failed = if facts.errors > 0 { format!(" · {} failed", facts.errors) } else { String::new() };
    format!("Today {} · {requests}{failed}", dollars(facts.cost))
}

/// Nanodollars for people: cents, and finer where there are less than that.
fn dollars(nanos: i64) -> String {
    let dollars = nanos as f64 / 1e9;
    if nanos > 0 && dollars < 0.01 { format!("${dollars:.4}") } else { format!("${dollars:.2}") }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Names as they are: in menus `&` marks a letter to press.
fn name(text: &str) -> String {
    text.replace('&', "&&")
}

fn profiles(facts: &Facts) -> Vec<Entry> {
    choices(facts, &facts.active, |profile| Action::Use(profile.to_owned()))
}

/// The profiles of which one holds; the one that holds is among them however many there are.
fn choices(facts: &Facts, holds: &str, action: impl Fn(&str) -> Action) -> Vec<Entry> {
    let mut shown: Vec<&String> = facts.profiles.iter().take(MOST_PROFILES).collect();
    if let Some(own) = facts.profiles.iter().find(|profile| *profile == holds)
        && !shown.contains(&own)
    {
        shown.push(own);
    }
    let more = shown.len() < facts.profiles.len();
    let mut entries: Vec<Entry> =
        shown.into_iter().map(|profile| check(&name(profile), profile == holds, action(profile))).collect();
    if more {
        entries.push(item("More …", Action::Page("/profiles".to_owned())));
    }
    entries
}

/// What can be done to a tool's files, by how they stand.
const DEEDS: [(State, &[Deed]); 5] = [
    (State::Available, &[Deed::Connect]),
    (State::Connected, &[Deed::Restore]),
    (State::Drifted, &[Deed::Repair, Deed::Restore]),
    (State::Overridden, &[Deed::Restore]),
    (State::Unreadable, &[Deed::Restore]),
];

fn tools(facts: &Facts) -> Vec<Entry> {
    let mut entries: Vec<Entry> = facts.tools.iter().map(|own| tool(facts, own)).collect();
    if entries.is_empty() {
        entries.push(words("No tool was found".to_owned()));
    }
    entries.push(Entry::Line);
    entries.push(item("All tools…", Action::Page("/tools".to_owned())));
    entries
}

fn tool(facts: &Facts, tool: &Tool) -> Entry {
    let mut entries: Vec<Entry> = tool.amiss.iter().map(|line| words(name(line))).collect();
    let deeds = DEEDS.iter().find(|(state, _)| *state == tool.state).map_or(&[][..], |(_, deeds)| deeds);
    let offer = |deed: &Deed| item(&format!("{}…", deed.verb()), Action::AskTool(*deed, tool.id.clone()));
    entries.extend(deeds.iter().map(offer));
    if tool.state != State::Absent {
        let page = format!("/tools?tool={}", crate::carrier::segment(&tool.id));
        entries.push(item("Details…", Action::Page(page)));
    }
    if tool.keyed {
        if !entries.is_empty() {
            entries.push(Entry::Line);
        }
        let follow = Action::UseFor { tool: tool.id.clone(), profile: None };
        entries.extend([check("Follow the gateway", tool.profile.is_none(), follow), Entry::Line]);
        let holds = tool.profile.as_deref().unwrap_or_default();
        entries.extend(choices(facts, holds, |profile| Action::UseFor {
            tool: tool.id.clone(),
            profile: Some(profile.to_owned()),
        }));
    }
    let state = if tool.state == State::Absent { String::new() } else { format!(" · {}", tool.state.words()) };
    Entry::Sub { text: format!("{}{state}", name(&tool.name)), entries }
}

fn copies(facts: &Facts) -> Vec<Entry> {
    let mut entries = vec![
        item("Base URL", Action::CopyBaseUrl),
        item("Environment for a shell (with a new key)", Action::CopyEnvironment),
    ];
    let mut launches = facts.tools.iter().filter(|tool| tool.runs).map(launch).peekable();
    if launches.peek().is_some() {
        entries.push(Entry::Line);
    }
    entries.extend(launches);
    entries
}

fn launch(tool: &Tool) -> Entry {
    item(&format!("Launch command of {}", name(&tool.name)), Action::CopyLaunch(tool.id.clone()))
}

fn errors(facts: &Facts) -> Vec<Entry> {
    if facts.recent.is_empty() {
        return vec![words("None today".to_owned())];
    }
    let page = |id: &str| Action::Page(format!("/requests?open={}", crate::carrier::segment(id)));
    facts.recent.iter().map(|trouble| item(&name(&trouble.text), page(&trouble.id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(state: State) -> Tool {
        Tool {
            id: "claude-code".into(),
            name: "Claude Code".into(),
            state,
            keyed: true,
            profile: Some("local".into()),
            amiss: Vec::new(),
            runs: true,
        }
    }

    fn facts() -> Facts {
        Facts {
            reach: Reach::Running,
            address: "127.0.0.1:6935".into(),
            active: "cheap".into(),
            profiles: ["direct", "cheap", "local"].map(str::to_owned).into(),
            tools: vec![tool(State::Connected)],
            cost: 3_420_000_000,
            requests: 412,
            errors: 1,
            ..Facts::default()
        }
    }

    fn sub<'a>(menu: &'a [Entry], path: &[&str]) -> &'a [Entry] {
        path.iter().fold(menu, |menu, wanted| {
            let found = menu.iter().find_map(|entry| match entry {
                Entry::Sub { text, entries } if text == wanted => Some(entries.as_slice()),
                _ => None,
            });
            found.unwrap_or_else(|| panic!("{wanted}"))
        })
    }

    fn marked(menu: &[Entry]) -> Vec<&str> {
        let marked = menu.iter().filter_map(|entry| match entry {
            Entry::Check { text, checked: true, .. } => Some(text.as_str()),
            _ => None,
        });
        marked.collect()
    }

    #[test]
    fn the_first_lines_say_how_it_is_and_what_today_cost() {
        let menu = entries(&facts());
        assert_eq!(menu[0], words("Running · 127.0.0.1:6935".into()));
        assert_eq!(menu[1], words("Today $3.42 · 412 requests · 1 failed".into()));
        assert_eq!(dollars(1_230_000), "$0.0012");
        assert_eq!(dollars(0), "$0.00");
    }

    #[test]
    fn one_profile_is_marked_for_the_gateway_and_one_for_each_tool() {
        let menu = entries(&facts());
        assert_eq!(marked(sub(&menu, &["Profile"])), ["cheap"]);
        assert_eq!(marked(sub(&menu, &["Tools", "Claude Code · connected"])), ["local"]);
        let mut follows = facts();
        follows.tools[0].profile = None;
        assert_eq!(marked(sub(&entries(&follows), &["Tools", "Claude Code · connected"])), ["Follow the gateway"]);
    }

    #[test]
    fn what_can_be_done_to_a_tool_follows_from_how_its_files_stand() {
        let offers = |tool: Tool| {
            let menu = entries(&Facts { tools: vec![tool], ..facts() });
            let Entry::Sub { text, entries } = sub(&menu, &["Tools"])[0].clone() else { panic!("no menu of its own") };
            let offers = entries.iter().filter_map(|entry| match entry {
                Entry::Item { text, action: Some(_) } => Some(text.clone()),
                _ => None,
            });
            (text, offers.collect::<Vec<_>>().join(" "), marked(&entries).join(" "))
        };
        for (state, title, wanted) in [
            (State::Available, "Claude Code · not connected", "Connect… Details…"),
            (State::Connected, "Claude Code · connected", "Restore… Details…"),
            (State::Drifted, "Claude Code · drifted", "Repair… Restore… Details…"),
            (State::ByHand, "Claude Code · by hand", "Details…"),
            (State::Absent, "Claude Code", ""),
        ] {
            assert_eq!(offers(tool(state)), (title.to_owned(), wanted.to_owned(), "local".to_owned()));
        }
        let unknown = Tool { keyed: false, ..tool(State::Available) };
        assert_eq!(offers(unknown).2, "", "a tool without a key has no profile");
        let drifted = Tool { amiss: vec!["~/f misses a & b".into()], ..tool(State::Drifted) };
        let menu = entries(&Facts { tools: vec![drifted], ..facts() });
        assert_eq!(sub(&menu, &["Tools", "Claude Code · drifted"])[0], words("~/f misses a && b".into()));
        let none = entries(&Facts { tools: Vec::new(), ..facts() });
        assert_eq!(sub(&none, &["Tools"])[0], words("No tool was found".into()));
    }

    #[test]
    fn many_profiles_lead_to_the_window_and_the_active_one_stays_in_sight() {
        let mut many = facts();
        many.profiles = (0..30).map(|n| format!("p{n}")).collect();
        many.active = "p29".into();
        let menu = entries(&many);
        let shown = sub(&menu, &["Profile"]);
        assert_eq!((shown.len(), marked(shown)), (MOST_PROFILES + 2, vec!["p29"]));
    }

    #[test]
    fn the_icon_says_the_worst_first() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            icon(&facts)
        };
        assert_eq!(with(|_| ()), Icon::Idle);
        assert_eq!(with(|facts| facts.in_flight = 1), Icon::Active);
        assert_eq!(
            with(|facts| {
                facts.in_flight = 1;
                facts.degraded = vec!["a".into()]
            }),
            Icon::Degraded
        );
        assert_eq!(
            with(|facts| {
                facts.paused = true;
                facts.degraded = vec!["a".into()]
            }),
            Icon::Paused
        );
        assert_eq!(
            with(|facts| {
                facts.paused = true;
                facts.reach = Reach::Gone
            }),
            Icon::Stopped
        );
    }

    #[test]
    fn a_menu_is_painted_over_unless_its_lines_change() {
        let before = entries(&facts());
        let mut switched = facts();
        switched.active = "local".into();
        switched.cost = 0;
        assert!(same_shape(&before, &entries(&switched)));
        switched.profiles.push("new".into());
        assert!(!same_shape(&before, &entries(&switched)));
    }
}
