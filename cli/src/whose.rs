//! Whose gateway a command is for: this user's own, or the service of the machine. Must not know what is asked of it.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::bail;
use myelin_core::config::Paths;

use crate::args::Place;

/// Where a command works if no gateway answers.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Where things are.
    pub(crate) paths: Paths,
    /// Whose they are.
    pub(crate) whose: Whose,
    /// What this user should know of another store on this machine.
    pub(crate) beside: Option<&'static str>,
}

/// Whose gateway a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This user's, or that of a place which was named.
    Own,
    /// The machine's, and this user may work on it: the superuser.
    Machine,
    /// The machine's, and it was never started: it has no store yet.
    Fresh,
    /// The machine's, and this user may not even look at it.
    Closed,
}

/// How the machine's service looks to this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// There is none, or none that this user would start.
    Nowhere,
    /// It was never started.
    Fresh,
    /// Its store is another user's.
    Closed,
    /// Its store can be read.
    Open,
}

/// Chooses, as far as nobody has named a place.
pub(crate) fn choose(place: &Place) -> anyhow::Result<Choice> {
    let own = Paths::find(place.config.clone(), place.data_dir.clone())?;
    let Some(service) = Paths::of_service(place.config.as_deref(), place.data_dir.as_deref()) else {
        return Ok(Choice { paths: own, whose: Whose::Own, beside: None });
    };
    let seen = look(&service);
    let (whose, beside) = weigh(own.data.exists(), seen);
    let paths = if matches!(whose, Whose::Machine | Whose::Fresh) { service } else { own };
    Ok(Choice { paths, whose, beside })
}

fn weigh(own: bool, service: Service) -> (Whose, Option<&'static str>) {
    let beside = "the service of this machine has a store of its own, which this is not";
    match (own, service) {
        (true, Service::Open | Service::Closed) => (Whose::Own, Some(beside)),
        (true, _) | (false, Service::Nowhere) => (Whose::Own, None),
        (false, Service::Open) => (Whose::Machine, None),
        (false, Service::Fresh) => (Whose::Fresh, None),
        (false, Service::Closed) => (Whose::Closed, None),
    }
}

fn look(service: &Paths) -> Service {
    match std::fs::read_dir(&service.data) {
        Ok(_) => Service::Open,
        Err(why) if why.kind() == ErrorKind::PermissionDenied => Service::Closed,
        Err(_) if is_superuser() && is_installed(service) => Service::Fresh,
        Err(_) => Service::Nowhere,
    }
}

/// A systemd runs here, and has a gateway to start.
fn is_installed(service: &Paths) -> bool {
    let units = ["/etc/systemd/system/myelin.service", "/lib/systemd/system/myelin.service"];
    Path::new("/run/systemd/system").exists()
        && (service.config.exists() || units.iter().any(|unit| Path::new(unit).exists()))
}

impl Choice {
    /// Refuses what would lead to another store than the one that is meant.
    pub(crate) fn refuse_others(&self) -> anyhow::Result<()> {
        match self.whose {
            Whose::Own | Whose::Machine => Ok(()),
            Whose::Fresh => bail!(
                "the service of this machine was never started, so there is nothing to work on yet: `systemctl enable --now myelin` first (a gateway of root's own: name its place with --data-dir)"
            ),
            Whose::Closed => bail!(
                "the gateway of this machine belongs to root: `sudo myelin …` asks it. To use it from a tool: `sudo myelin key create NAME` makes a key, `sudo myelin tool snippet TOOL` shows where it goes. A gateway of your own: `myelin serve --listen ADDRESS`"
            ),
        }
    }

    /// What starts the gateway that a command was for.
    pub(crate) fn starter(&self) -> &'static str {
        if self.whose == Whose::Own { "`myelin serve`" } else { "`systemctl start myelin`" }
    }
}

/// What starts the gateway that a command was for.
pub(crate) fn starter(place: &Place) -> &'static str {
    choose(place).map_or("`myelin serve`", |choice| choice.starter())
}

/// Whether this is root.
#[cfg(target_os = "linux")]
pub(crate) fn is_superuser() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// No service of a machine is known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_superuser() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_store_works_on_it_and_is_told_of_the_machines() {
        for service in [Service::Nowhere, Service::Fresh, Service::Closed, Service::Open] {
            let (whose, beside) = weigh(true, service);
            assert_eq!(whose, Whose::Own);
            assert_eq!(beside.is_some(), matches!(service, Service::Closed | Service::Open), "{service:?}");
        }
    }

    #[test]
    fn who_has_none_is_led_to_the_machines_or_told_why_not() {
        assert_eq!(weigh(false, Service::Nowhere).0, Whose::Own);
        for (service, whose) in
            [(Service::Open, Whose::Machine), (Service::Fresh, Whose::Fresh), (Service::Closed, Whose::Closed)]
        {
            assert_eq!(weigh(false, service).0, whose);
            let choice =
                Choice { paths: Paths::find(Some("/c".into()), Some("/d".into())).unwrap(), whose, beside: None };
            assert_eq!(choice.refuse_others().is_ok(), whose == Whose::Machine);
            assert!(choice.starter().contains("systemctl"));
        }
    }
}
