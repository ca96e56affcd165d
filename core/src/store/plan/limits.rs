//! Changes of limits and owners, and what goes with whom they were on.

use super::{Done, Held, Scene, logged, may_put, own, refuse_errors};
use crate::model::check::{self, Problem};
use crate::model::{Limit, Origin, Owner, OwnerRef, Target};
use crate::store::ChangeError;
use crate::told;

pub(super) fn put_limit(held: &mut Held, limit: Limit, scene: &Scene<'_>, new: bool) -> Done {
    let before = scene.entities.limit(&limit.name);
    may_put("limit", &limit.name, before.map(|limit| limit.origin), new)?;
    let mut problems = check::limit(&limit, scene.entities);
    // What is not there now may come for the file; whoever makes a limit by hand has mistyped.
    if let Some(why) = check::missing(&limit.on, scene.entities) {
        problems.push(Problem::error(format!("limits.{}.on", limit.name), why));
    }
    refuse_errors(problems)?;
    let (name, detail) = (limit.name.clone(), format!("{}: {}", limit.on, limit.in_words()));
    held.limits.insert(name.clone(), Limit { origin: Origin::Store, ..limit });
    logged(if new { "create limit" } else { "update limit" }, name, detail)
}

pub(super) fn remove_limit(held: &mut Held, name: String, scene: &Scene<'_>) -> Done {
    own("limit", &name, scene.entities.limit(&name).map(|limit| limit.origin))?;
    held.limits.remove(&name);
    logged("remove limit", name, String::new())
}

pub(super) fn put_owner(held: &mut Held, owner: Owner, scene: &Scene<'_>, new: bool) -> Done {
    let name = owner.reference();
    may_put("owner", &name.to_string(), scene.entities.owner(&name).map(|owner| owner.origin), new)?;
    let mut problems = check::owner(&owner, scene.entities);
    if let Some(parent) = owner.parent.as_ref().filter(|parent| scene.entities.owner(parent).is_none()) {
        problems.push(Problem::error(
            format!("owners.{name}.parent"),
            told!("no-owner", "there is no owner '{owner}'", owner = parent),
        ));
    }
    refuse_errors(problems)?;
    let detail = owner.parent.as_ref().map(|parent| format!("below {parent}")).unwrap_or_default();
    held.owners.insert(name.to_string(), Owner { origin: Origin::Store, ..owner });
    logged(if new { "create owner" } else { "update owner" }, name.to_string(), detail)
}

pub(super) fn remove_owner(held: &mut Held, owner: &OwnerRef, scene: &Scene<'_>) -> Done {
    let name = owner.to_string();
    own("owner", &name, scene.entities.owner(owner).map(|owner| owner.origin))?;
    if let Some(key) = scene.entities.keys.iter().find(|key| key.owner.as_ref() == Some(owner)) {
        let why = told!(
            "owner-has-key",
            "the key '{key}' belongs to '{name}': give it to another owner or remove it first",
            key = key.name,
            name = name,
        );
        return Err(ChangeError::Refused(why));
    }
    if let Some(below) = scene.entities.owners.iter().find(|below| below.parent.as_ref() == Some(owner)) {
        let why = told!(
            "owner-has-below",
            "'{below}' stands below '{name}': move or remove it first",
            below = below.reference(),
            name = name,
        );
        return Err(ChangeError::Refused(why));
    }
    held.owners.remove(&name);
    drop_limits(held, |on| *on == Target::Owner(owner.clone()));
    logged("remove owner", name, String::new())
}

/// Limits go with what they were on.
pub(super) fn drop_limits(held: &mut Held, gone: impl Fn(&Target) -> bool) {
    held.limits.retain(|_, limit| !gone(&limit.on));
}

/// Limits stay on a key that is called differently now.
pub(super) fn rename_key(held: &mut Held, before: &str, after: &str) {
    for limit in held.limits.values_mut() {
        if limit.on == Target::Key(before.to_owned()) {
            limit.on = Target::Key(after.to_owned());
        }
    }
}
