//! What the parts of the app share: the way to the gateway, what is known of it, the tray. Follows the gateway and shows what changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use myelin_core::gateway::Gateway;
use serde_json::Value;
use tauri::AppHandle;

use crate::carrier::{Carrier, Failure};
use crate::facts::{self, Facts, Reach, list, number, text};
use crate::scheme::Door;
use crate::tray::Tray;
use crate::{notify, shortcuts, window};

/// How often numbers are read: today's cost, channels out of rotation.
const NUMBERS: Duration = Duration::from_secs(15);
/// So many rounds of numbers later, tools' files are looked at again.
const TOOLS: u32 = 4;
/// How often it is looked whether answers are on their way, for the icon.
const FLIGHTS: Duration = Duration::from_secs(2);
/// How long one long poll waits, in seconds.
const WAIT: u64 = 50;
/// Pause before a gateway that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// A key that ends within so long is worth a word; milliseconds.
const SOON: u64 = 3 * 86_400_000;

/// What the parts of the app share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    app: AppHandle,
    carrier: Carrier,
    door: Door,
    /// The gateway of this process; `None`: a service has it.
    own: Option<Gateway>,
    facts: Mutex<Facts>,
    tray: Mutex<Option<Tray>>,
    /// The data directory.
    data: PathBuf,
    /// A quit was asked for.
    quitting: std::sync::atomic::AtomicBool,
}

impl Desk {
    pub(crate) fn new(app: AppHandle, carrier: Carrier, door: Door, own: Option<Gateway>, data: PathBuf) -> Self {
        let facts = Facts { attached: own.is_none(), ..Facts::default() };
        Self(Arc::new(Inner {
            app,
            carrier,
            door,
            own,
            facts: Mutex::new(facts),
            tray: Mutex::new(None),
            data,
            quitting: std::sync::atomic::AtomicBool::new(false),
        }))
    }

    pub(crate) fn app(&self) -> &AppHandle {
        &self.0.app
    }

    pub(crate) fn carrier(&self) -> &Carrier {
        &self.0.carrier
    }

    pub(crate) fn door(&self) -> &Door {
        &self.0.door
    }

    pub(crate) fn own(&self) -> Option<&Gateway> {
        self.0.own.as_ref()
    }

    /// A file that remembers something for the app.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.0.data.join(name)
    }

    /// What is known now.
    pub(crate) fn facts(&self) -> Facts {
        locked(&self.0.facts).clone()
    }

    /// Whether this is the first wish to quit.
    pub(crate) fn begin_quitting(&self) -> bool {
        !self.0.quitting.swap(true, std::sync::atomic::Ordering::SeqCst)
    }

    pub(crate) fn is_quitting(&self) -> bool {
        self.0.quitting.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Makes the tray icon. On the main thread. Without one the app lives on in its window.
    pub(crate) fn make_tray(&self) -> bool {
        match Tray::new(&self.0.app, &self.facts()) {
            Ok(tray) => {
                *locked(&self.0.tray) = Some(tray);
                true
            }
            Err(why) => {
                tracing::warn!("there is no tray icon: {why:#}");
                false
            }
        }
    }

    /// Whether the app can be reached without its window. On the main thread.
    pub(crate) fn has_tray(&self) -> bool {
        locked(&self.0.tray).is_some() && crate::surroundings::has_tray_host()
    }

    /// What a click on the menu means.
    pub(crate) fn clicked(&self, event: &tauri::menu::MenuEvent) -> Option<crate::actions::Action> {
        locked(&self.0.tray).as_ref().and_then(|tray| tray.action(event))
    }

    /// Changes what is known and shows it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut locked(&self.0.facts));
        self.show();
    }

    /// Shows what is known; also where nothing changed, because menus toggle their own marks.
    pub(crate) fn show(&self) {
        let desk = self.clone();
        let _ = self.0.app.run_on_main_thread(move || {
            let facts = desk.facts();
            if let Some(tray) = locked(&desk.0.tray).as_mut()
                && let Err(why) = tray.show(&facts)
            {
                tracing::warn!("the tray could not be painted: {why:#}");
            }
        });
    }

    /// Reads what is configured and shows it.
    pub(crate) async fn refresh(&self) {
        let mut facts = self.facts();
        let before = facts.tools.clone();
        let read = facts.read_configuration(self.carrier()).await;
        self.heard(&read);
        if read.is_ok() {
            for tool in facts::newly_drifted(&before, &facts.tools) {
                let words = format!("{} no longer points here as it did. Tools in the menu mends it.", tool.name);
                self.notify("A tool was changed", words);
            }
            self.update(|known| {
                let (reach, before) = (known.reach.clone(), known.clone());
                *known = Facts { reach, degraded: before.degraded, in_flight: before.in_flight, ..facts };
            });
        } else {
            self.show();
        }
    }

    /// Reads the numbers and shows them; tells of channels that fell out of rotation.
    pub(crate) async fn refresh_numbers(&self) {
        let before = self.facts();
        let mut facts = before.clone();
        let read = facts.read_numbers(self.carrier()).await;
        self.heard(&read);
        if read.is_err() {
            return;
        }
        let fallen: Vec<&str> =
            facts.degraded.iter().filter(|name| !before.degraded.contains(name)).map(String::as_str).collect();
        if !fallen.is_empty() && before.reach == Reach::Running {
            let words = format!("{} is out of rotation for now; requests go to the others.", fallen.join(", "));
            self.notify("Failover", words);
        }
        if facts == before {
            return;
        }
        self.update(|known| {
            known.address = facts.address;
            known.version = facts.version;
            known.degraded = facts.degraded;
            known.failing = facts.failing;
            known.in_flight = facts.in_flight;
            (known.cost, known.requests, known.errors, known.recent) =
                (facts.cost, facts.requests, facts.errors, facts.recent);
        });
    }

    /// Keeps whether the gateway answers.
    fn heard<T>(&self, answer: &Result<T, Failure>) {
        if self.is_quitting() {
            return;
        }
        let reach = match answer {
            Ok(_) => Reach::Running,
            Err(Failure::Gone(_)) => Reach::Gone,
            Err(refused) => return tracing::warn!("{refused}"),
        };
        let before = std::mem::replace(&mut locked(&self.0.facts).reach, reach.clone());
        if before != reach {
            if reach == Reach::Gone {
                self.notify(
                    "Myelin",
                    "The Myelin service has stopped: tools get no answer until it is back.".to_owned(),
                );
            }
            self.show();
        }
    }

    /// A notification, unless the owner wants none.
    pub(crate) fn notify(&self, title: &str, words: String) {
        if self.facts().wanted.notifications {
            notify::show(&self.0.app, title.to_owned(), words);
        }
    }

    /// Follows the gateway for as long as the app lives.
    pub(crate) fn follow(&self) {
        tauri::async_runtime::spawn(self.clone().follow_configuration());
        tauri::async_runtime::spawn(self.clone().follow_numbers());
        tauri::async_runtime::spawn(self.clone().follow_events());
        tauri::async_runtime::spawn(self.clone().watch_keys());
    }

    async fn follow_configuration(self) {
        let mut known: Option<i64> = None;
        loop {
            let path = known.map_or_else(
                || "/api/v1/version".to_owned(),
                |known| format!("/api/v1/version?not={known}&wait={WAIT}"),
            );
            let answer = self.carrier().get(&path).await;
            self.heard(&answer);
            let Ok(answer) = answer else {
                known = None;
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let version = number(&answer, "/version");
            let last = known.replace(version);
            if last != Some(version) {
                let before = self.facts();
                self.refresh().await;
                let after = self.facts();
                if before.wanted != after.wanted {
                    shortcuts::set(&self, &after.wanted);
                }
                // Whoever changed it: the tray's own clicks have been read already, so comparing would miss them.
                window::tell_page(self.app(), "configuration");
            }
        }
    }

    async fn follow_numbers(self) {
        for round in 0_u32.. {
            self.refresh_numbers().await;
            // Other programs change tools' files, and no version tells of it.
            if round % TOOLS == 1 {
                self.refresh().await;
            }
            let rounds = NUMBERS.as_secs() / FLIGHTS.as_secs();
            for _ in 0..rounds {
                tokio::time::sleep(FLIGHTS).await;
                let Ok(active) = self.carrier().get("/api/v1/requests/active").await else { break };
                let in_flight = list(&active, "/requests").len();
                if in_flight != self.facts().in_flight {
                    self.update(|facts| facts.in_flight = in_flight);
                }
            }
        }
    }

    /// Budgets, limits and whatever else the gateway tells its owner.
    async fn follow_events(self) {
        let mut after: Option<i64> = None;
        loop {
            let path = after.map_or_else(
                || "/api/v1/events".to_owned(),
                |after| format!("/api/v1/events?after={after}&wait={WAIT}"),
            );
            let Ok(page) = self.carrier().get(&path).await else {
                after = None;
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            after = Some(number(&page, "/next"));
            let worth =
                |event: &&Value| event.pointer("/level").and_then(Value::as_str).is_some_and(|level| level != "info");
            for event in list(&page, "/events").iter().filter(worth) {
                self.notify(&title(&text(event, "/kind")), text(event, "/message"));
            }
        }
    }

    /// Keys that end soon, said once a day.
    async fn watch_keys(self) {
        loop {
            // Not in the middle of a login.
            tokio::time::sleep(Duration::from_secs(20)).await;
            if let Ok(keys) = self.carrier().get("/api/v1/keys").await {
                let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
                for key in list(&keys, "/keys") {
                    let ends = key.pointer("/expires").and_then(Value::as_u64);
                    if ends.is_some_and(|ends| ends > now && ends - now < SOON) {
                        self.notify(
                            "Key expires soon",
                            format!("The key {} ends within three days.", text(key, "/name")),
                        );
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(86_400)).await;
        }
    }
}

/// Kinds of events in words.
fn title(kind: &str) -> String {
    match kind {
        "limit-mark" => "Budget running out".to_owned(),
        "limit-reached" => "Budget or limit reached".to_owned(),
        "spend-spike" => "Spend spike".to_owned(),
        other => other.replace('-', " "),
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
