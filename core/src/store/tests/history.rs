//! Every change is kept with who, when and what, and can be taken back.

use serde_json::Value;

use super::*;
use crate::model::{Limit, LimitSpec, Owner};

fn undo(store: &Store, id: u64) -> Result<Applied, ChangeError> {
    store.undo_blocking(id, "owner")
}

/// The newest line of the change log.
fn newest(store: &Store) -> ChangeEntry {
    store.changes(None, 1).unwrap().remove(0)
}

fn do_it(store: &Store, change: Change) -> u64 {
    store.apply_blocking(change, "owner").unwrap();
    newest(store).id
}

/// Kinds of changes of what is configured.
const KINDS: usize = 27;

/// What kind of change it is; `None`: it changes nothing that is configured. A new kind does not compile until it is here, and in the test below.
fn kind(change: &Change) -> Option<&'static str> {
    Some(match change {
        // What tests and traffic find out is nobody's change; what was counted or priced anew is noted alone.
        Change::ChannelTested { .. }
        | Change::ChannelListed { .. }
        | Change::ResetLimit { .. }
        | Change::Reprice { .. } => {
            return None;
        }
        Change::CreateChannel(_) => "create channel",
        Change::UpdateChannel(_) => "update channel",
        Change::RemoveChannel { .. } => "remove channel",
        Change::EnableChannel { .. } => "enable channel",
        Change::CreateKey(_) => "create key",
        Change::UpdateKey(_) => "update key",
        Change::RotateKey { .. } => "rotate key",
        Change::BlockKey { .. } => "block key",
        Change::RemoveKey { .. } => "remove key",
        Change::CreateRoute(_) => "create route",
        Change::UpdateRoute(_) => "update route",
        Change::RemoveRoute { .. } => "remove route",
        Change::CreateProfile(_) => "create profile",
        Change::UpdateProfile(_) => "update profile",
        Change::RemoveProfile { .. } => "remove profile",
        Change::CreateOwner(_) => "create owner",
        Change::UpdateOwner(_) => "update owner",
        Change::RemoveOwner { .. } => "remove owner",
        Change::CreateLimit(_) => "create limit",
        Change::UpdateLimit(_) => "update limit",
        Change::RemoveLimit { .. } => "remove limit",
        Change::UseProfile { .. } => "use profile",
        Change::SetSettings(_) => "set settings",
        Change::SetPrice { .. } => "set price",
        Change::ImportPrices { .. } => "import prices",
        Change::CreateAdminToken { .. } => "create token",
        Change::RemoveAdminToken { .. } => "remove token",
    })
}

#[test]
fn what_cannot_be_taken_back_is_in_the_history_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let reset = Change::ResetLimit { name: "purse".into(), counted: "1.50 USD".into() };
    let reprice = Change::Reprice { words: "9 records".into() };
    for (change, what, detail, why) in [
        (reset, "reset limit", "1.50 USD are forgotten", "what a limit had counted is gone for good"),
        (reprice, "reprice", "9 records", "price the same records anew"),
    ] {
        let id = do_it(&store, change);
        let entry = newest(&store);
        assert_eq!((entry.who.as_str(), entry.what.as_str(), entry.detail.as_str()), ("owner", what, detail));
        assert!(!entry.undoable && entry.final_because.as_ref().is_some_and(|own| own.contains(why)), "{entry:?}");
        let refused = undo(&store, id).unwrap_err().to_string();
        assert!(refused.contains("cannot be taken back") && refused.contains(why), "{refused}");
    }
    let made = do_it(&store, new_key("laptop"));
    assert_eq!(store.change(made).unwrap().0.final_because, None);
}

#[test]
fn every_kind_of_change_can_be_taken_back_and_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    store.apply_blocking(new_key("laptop"), "owner").unwrap();
    let route = |weight: &str| {
        let group = RouteGroup { targets: vec![format!("main/{weight}")], ..RouteGroup::default() };
        Route { model: "smart".into(), groups: vec![group], ..Route::default() }
    };
    let owner = |fields: Value| -> Owner { serde_json::from_value(fields).unwrap() };
    let limit = |fields: Value| -> Box<Limit> {
        let spec: LimitSpec = serde_json::from_value(fields).unwrap();
        Box::new(spec.into_limit("limits", Origin::Store).unwrap())
    };
    let [team, other_team] = ["a", "b"].map(|name| owner(json!({"kind": "team", "name": name})));
    for change in [
        Change::CreateRoute(route("m")),
        Change::CreateProfile(profile("dear")),
        Change::CreateOwner(owner(json!({"kind": "organisation", "name": "o"}))),
        Change::CreateOwner(team.clone()),
        Change::CreateLimit(limit(json!({"name": "purse", "on": "team:a", "money": 5, "per": "month"}))),
        Change::CreateAdminToken { name: "first".into() },
    ] {
        do_it(&store, change);
    }
    let settings = json!({"max_attempts": 7, "timeouts": {"idle_ms": 9}}).as_object().unwrap().clone();
    let other = Channel { weight: 9, tags: vec!["paid".into()], ..channel("main") };
    let price = serde_json::from_value(json!({"input": 1, "output": 2})).unwrap();
    let key = store.entities().key("laptop").unwrap().clone();
    let changes = [
        Change::CreateChannel(Box::new(channel("second"))),
        Change::UpdateChannel(Box::new(other)),
        Change::EnableChannel { name: "main".into(), enabled: true },
        Change::RemoveChannel { name: "main".into() },
        new_key("desk"),
        Change::UpdateKey(Box::new(VirtualKey { name: "renamed".into(), ..key })),
        Change::RotateKey { key: "laptop".into(), grace_seconds: 0 },
        Change::BlockKey { key: "laptop".into(), blocked: true },
        Change::RemoveKey { key: "laptop".into() },
        Change::CreateRoute(Route { model: "other".into(), ..route("m") }),
        Change::UpdateRoute(route("n")),
        Change::RemoveRoute { model: "smart".into() },
        Change::CreateProfile(profile("cheap")),
        Change::UpdateProfile(Profile { strategy: Some(crate::model::Strategy::Random), ..profile("dear") }),
        Change::RemoveProfile { name: "dear".into() },
        Change::CreateOwner(other_team),
        Change::UpdateOwner(owner(json!({"kind": "team", "name": "a", "parent": "organisation:o"}))),
        // Its limit goes and comes with it.
        Change::RemoveOwner { owner: team.reference() },
        Change::CreateLimit(limit(json!({"name": "rate", "on": "key:laptop", "requests": 5, "per": "minute"}))),
        Change::UpdateLimit(limit(json!({"name": "purse", "on": "team:a", "money": 9, "per": "week"}))),
        Change::RemoveLimit { name: "purse".into() },
        Change::UseProfile { key: None, profile: Some("dear".into()) },
        Change::UseProfile { key: Some("laptop".into()), profile: Some("dear".into()) },
        Change::SetSettings(settings),
        Change::SetPrice { channel: None, model: "m".into(), price: Some(price) },
        Change::ImportPrices { source: "list".into(), priced: 1, text: "text".into() },
        Change::CreateAdminToken { name: "second".into() },
        Change::RemoveAdminToken { token: "first".into() },
    ];
    let done: BTreeSet<&str> = changes.iter().filter_map(kind).collect();
    assert_eq!(done.len(), KINDS, "every kind there is: {done:?}");
    let same = |a: &Entities, b: &Entities| {
        let bare = |entities: &Entities| Entities { version: 0, ..entities.clone() };
        bare(a) == bare(b)
    };
    for change in changes {
        let shown = format!("{change:?}");
        let (before, tokens) = (store.entities(), store.admin_tokens());
        let id = do_it(&store, change);
        let (after, made) = (store.entities(), store.admin_tokens());
        assert!(!same(&before, &after) || tokens != made, "{shown}");
        let entry = newest(&store);
        assert!(entry.undoable && entry.who == "owner" && entry.at > 0, "{shown}: {entry:?}");
        undo(&store, id).unwrap_or_else(|why| panic!("{shown}: {why}"));
        assert!(same(&before, &store.entities()) && store.admin_tokens() == tokens, "{shown}");
        // Taking that back does it again; and what is in force is what is on disk.
        let undone = newest(&store);
        assert_eq!((undone.what.as_str(), undone.name.as_str()), ("undo", format!("change {id}").as_str()));
        undo(&store, undone.id).unwrap();
        assert!(same(&after, &store.entities()) && store.admin_tokens() == made, "{shown}");
        undo(&store, newest(&store).id).unwrap();
    }
    let before = store.entities();
    drop(store);
    assert!(same(&before, &open(dir.path()).entities()));
}

#[test]
fn what_something_later_touched_is_not_taken_back_and_the_later_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    let first = newest(&store).id;
    let second = do_it(&store, Change::EnableChannel { name: "main".into(), enabled: true });
    create(&store, channel("other"));
    // What a test finds out is nobody's change and no reason against it.
    let state = ChannelState::Working { at: 5 };
    store.apply_blocking(Change::ChannelTested { name: "main".into(), state }, "test").unwrap();
    let why = undo(&store, first).unwrap_err().to_string();
    assert!(why.contains(&format!("change {second} came after it")), "{why}");
    undo(&store, second).unwrap();
    undo(&store, first).unwrap();
    assert!(store.entities().channel("main").is_none());
    assert!(matches!(undo(&store, 99), Err(ChangeError::NotFound { .. })));
}

#[test]
fn an_undo_that_would_break_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let id = do_it(&store, Change::CreateProfile(profile("cheap")));
    do_it(&store, Change::CreateOwner(serde_json::from_value(json!({"kind": "team", "name": "a"})).unwrap()));
    let team = newest(&store).id;
    let mut key = NewKey { name: "laptop".into(), profile: Some("cheap".into()), ..NewKey::default() };
    key.owner = Some("team:a".parse().unwrap());
    do_it(&store, Change::CreateKey(Box::new(key)));
    for id in [id, team] {
        let why = undo(&store, id).unwrap_err();
        assert!(why.to_string().contains("there would be no"), "{why}");
    }
    assert!(store.entities().has_profile("cheap"));
}

#[test]
fn case_47_the_history_shows_before_and_after_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    let other = Channel { weight: 9, credentials: Vec::new(), ..channel("main") };
    let id = do_it(&store, Change::UpdateChannel(Box::new(other)));
    let (entry, things) = store.change(id).unwrap();
    assert_eq!((entry.id, things.len()), (id, 1));
    let thing = &things[0];
    assert_eq!((thing.kind.as_str(), thing.name.as_str(), thing.secrets), ("channel", "main", true));
    assert_eq!(thing.before.as_ref().unwrap()["weight"], 1);
    assert_eq!(thing.after.as_ref().unwrap()["weight"], 9);
    let key = do_it(&store, new_key("laptop"));
    let rotated = do_it(&store, Change::RotateKey { key: "laptop".into(), grace_seconds: 60 });
    let hash = store.entities().key("laptop").unwrap().hash.clone();
    let all: Vec<_> = [id, key, rotated].map(|id| store.change(id).unwrap()).into();
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains(CANARY) && !text.contains(&hash) && !text.contains("sealed"), "{text}");
    store.close();
    assert!(!holds(&all_bytes(dir.path()), CANARY));
}

#[test]
fn the_history_of_channels_moves_to_a_new_master_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    let id = do_it(&store, Change::RemoveChannel { name: "main".into() });
    drop(store);
    let master = MasterKey::Given(Secret::new("a key of my own"));
    let store = open_with(dir.path(), &clock(), &master).unwrap();
    undo(&store, id).unwrap();
    let main = store.entities().channel("main").unwrap().clone();
    assert_eq!(main.credentials[0].secret, SecretSource::parse(CANARY));
}

#[test]
fn what_the_file_says_is_in_the_history_each_time_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut declared = Declared { channels: vec![channel("main")], ..Declared::default() };
    store.declare(declared.clone()).unwrap();
    let first = newest(&store);
    assert_eq!(
        (first.who.as_str(), first.what.as_str(), first.detail.as_str()),
        ("file", "read file", "added channel main")
    );
    drop(store);
    let store = open(dir.path());
    store.declare(declared.clone()).unwrap();
    assert_eq!(newest(&store).id, first.id, "the same file is no news, in another process neither");
    declared.channels[0].weight = 5;
    declared.channels.push(channel("other"));
    declared.settings.max_attempts = 9;
    declared.fixed_settings.insert("max_attempts".into());
    store.declare(declared.clone()).unwrap();
    let second = newest(&store);
    assert_eq!(second.detail, "added channel other, added setting max_attempts, changed channel main");
    assert!(!second.undoable);
    assert!(undo(&store, second.id).unwrap_err().to_string().contains("the configuration"));
    store.declare(Declared::default()).unwrap();
    assert!(newest(&store).detail.starts_with("removed channel main"), "{}", newest(&store).detail);
}
