//! The Secret Service, as desktops of Linux offer it: <https://specifications.freedesktop.org/secret-service>. Secrets cross the session bus as they are;
//! whoever can read that bus can ask the service as well.

use std::time::Duration;

use super::bus::{At, Bus, BusError};
use super::wire::Value;
use super::{KeychainError, SERVICE};
use crate::config::environment;
use crate::model::Secret;

const NAME: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
/// Stands for nothing where a path is due.
const NONE: &str = "/";
/// How long a person may take to type a password.
const TYPING: Duration = Duration::from_secs(90);

const SERVICES: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

impl From<BusError> for KeychainError {
    fn from(why: BusError) -> Self {
        match why {
            BusError::Gone(why) => Self::Absent(why),
            BusError::Said(name, words) => match name.rsplit('.').next() {
                Some("ServiceUnknown" | "NameHasNoOwner" | "NoReply") => Self::Absent(words),
                Some("IsLocked") => Self::Locked,
                Some("NoSuchObject") => Self::Missing,
                // A service that cannot be started is none.
                _ if name.contains(".Spawn.") => Self::Absent(words),
                _ => Self::Refused(if words.is_empty() { name } else { words }),
            },
        }
    }
}

pub(super) fn get(name: &str) -> Result<Secret, KeychainError> {
    Session::open(&bus_address(), has_display())?.get(name)
}

pub(super) fn put(name: &str, secret: &Secret) -> Result<(), KeychainError> {
    Session::open(&bus_address(), has_display())?.put(name, secret)
}

fn bus_address() -> String {
    let variables = environment::variables();
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let usual = || set("XDG_RUNTIME_DIR").map(|folder| format!("unix:path={folder}/bus"));
    set("DBUS_SESSION_BUS_ADDRESS").cloned().or_else(usual).unwrap_or_default()
}

/// Whether somebody may be there to type a password.
fn has_display() -> bool {
    let variables = environment::variables();
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| variables.get(*name).is_some_and(|value| !value.is_empty()))
}

/// A talk with the service.
struct Session {
    bus: Bus,
    path: String,
    may_ask: bool,
}

fn at<'a>(path: &'a str, interface: &'a str) -> At<'a> {
    At { service: NAME, path, interface }
}

fn path(values: &[Value], place: usize) -> Result<String, KeychainError> {
    let strange = || KeychainError::Refused("it answers something else".to_owned());
    values.get(place).and_then(Value::as_str).map(str::to_owned).ok_or_else(strange)
}

impl Session {
    fn open(bus: &str, may_ask: bool) -> Result<Self, KeychainError> {
        let mut bus = Bus::connect(bus)?;
        let plain = [Value::text("plain"), Value::variant(Value::text(""))];
        let answer = bus.call(&at(ROOT, SERVICES), "OpenSession", &plain)?;
        Ok(Self { bus, path: path(&answer, 1)?, may_ask })
    }

    fn get(&mut self, name: &str) -> Result<Secret, KeychainError> {
        let mut found = self.search(name)?;
        if found.is_none() {
            // Some show nothing of what is locked.
            let Some(collection) = self.collection()? else { return Err(KeychainError::Missing) };
            if !self.is_locked(&collection)? {
                return Err(KeychainError::Missing);
            }
            self.unlock(&collection)?;
            found = self.search(name)?;
        }
        let (item, locked) = found.ok_or(KeychainError::Missing)?;
        if locked {
            self.unlock(&item)?;
        }
        let session = [Value::path(&self.path)];
        let answer = self.bus.call(&at(&item, ITEM), "GetSecret", &session)?;
        let bytes = answer.first().map(Value::items).and_then(|fields| fields.get(2).map(|value| value.as_bytes()));
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim().to_owned());
        let text = text.filter(|text| !text.is_empty());
        text.map(Secret::new).ok_or_else(|| KeychainError::Refused("the entry holds no text".to_owned()))
    }

    fn put(&mut self, name: &str, secret: &Secret) -> Result<(), KeychainError> {
        let none = || KeychainError::Absent("it has no default collection yet".to_owned());
        let collection = self.collection()?.ok_or_else(none)?;
        if self.is_locked(&collection)? {
            self.unlock(&collection)?;
        }
        let property = |name: &str, value: Value| {
            Value::Pair(Box::new((Value::Text(format!("{ITEM}.{name}")), Value::variant(value))))
        };
        let properties = vec![
            property("Label", Value::Text(format!("Myelin: {name}"))),
            property("Attributes", Value::table(&words(name))),
        ];
        let secret = Value::Struct(vec![
            Value::path(&self.path),
            Value::bytes(b""),
            Value::bytes(secret.expose().as_bytes()),
            Value::text("text/plain"),
        ]);
        let arguments = [Value::Array("{sv}".to_owned(), properties), secret, Value::Bool(true)];
        let answer = self.bus.call(&at(&collection, COLLECTION), "CreateItem", &arguments)?;
        self.agree(&path(&answer, 1)?)
    }

    /// An entry of that name, and whether it is locked.
    fn search(&mut self, name: &str) -> Result<Option<(String, bool)>, KeychainError> {
        let answer = self.bus.call(&at(ROOT, SERVICES), "SearchItems", &[Value::table(&words(name))])?;
        let mut lists = answer.iter().map(Value::texts);
        let (open, locked) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
        let open = open.into_iter().next().map(|item| (item, false));
        Ok(open.or_else(|| locked.into_iter().next().map(|item| (item, true))))
    }

    /// Where entries go by themselves.
    fn collection(&mut self) -> Result<Option<String>, KeychainError> {
        let answer = self.bus.call(&at(ROOT, SERVICES), "ReadAlias", &[Value::text("default")])?;
        Ok(Some(path(&answer, 0)?).filter(|path| path != NONE))
    }

    fn is_locked(&mut self, collection: &str) -> Result<bool, KeychainError> {
        let which = [Value::text(COLLECTION), Value::text("Locked")];
        let answer = self.bus.call(&at(collection, PROPERTIES), "Get", &which)?;
        Ok(answer.first().is_some_and(|value| *value == Value::variant(Value::Bool(true))))
    }

    fn unlock(&mut self, what: &str) -> Result<(), KeychainError> {
        let answer = self.bus.call(&at(ROOT, SERVICES), "Unlock", &[Value::paths(&[what.to_owned()])])?;
        self.agree(&path(&answer, 1)?)
    }

    /// Lets the service ask whoever is there, if it wants to.
    fn agree(&mut self, prompt: &str) -> Result<(), KeychainError> {
        if prompt == NONE {
            return Ok(());
        }
        if !self.may_ask {
            return Err(KeychainError::Locked);
        }
        self.bus.subscribe(PROMPT)?;
        self.bus.call(&at(prompt, PROMPT), "Prompt", &[Value::text("")])?;
        match self.bus.signal(prompt, "Completed", TYPING) {
            Ok(answer) if answer.first() == Some(&Value::Bool(false)) => Ok(()),
            _ => Err(KeychainError::Locked),
        }
    }
}

/// What an entry is found by.
fn words(name: &str) -> [(&'static str, &str); 2] {
    [("service", SERVICE), ("username", name)]
}
