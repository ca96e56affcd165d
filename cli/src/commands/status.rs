//! `myelin status`: how the running gateway is.

use anyhow::bail;

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, plain, text};
use crate::whose;

/// Shows it.
pub(crate) fn run(place: &Place) -> anyhow::Result<()> {
    let Some(carrier) = Carrier::running(place)? else {
        bail!("Myelin is not running: start it with {}", whose::starter(place));
    };
    let status = carrier.get("/api/v1/status")?;
    if place.json {
        return output::json(&status);
    }
    output::line(&format!("Myelin {} runs as process {}", text(&status, "/version"), text(&status, "/pid")))?;
    let served = |at| status.pointer(at).and_then(serde_json::Value::as_bool).unwrap_or_default();
    let console = match (served("/console"), served("/desktop")) {
        (true, _) => "in the browser at the addresses above".to_owned(),
        (false, true) => "in the app's window; `console = true` serves it to browsers too".to_owned(),
        (false, false) => "not served (`console = false`)".to_owned(),
    };
    let rows: [(&str, String); 10] = [
        ("listens on", text(&status, "/listen")),
        ("console", console),
        ("profile", text(&status, "/active_profile")),
        ("channels", format!("{} of {} take part", text(&status, "/channels_serving"), text(&status, "/channels"))),
        ("degraded", text(&status, "/degraded")),
        ("models", text(&status, "/models")),
        ("keys", text(&status, "/keys")),
        ("requests", text(&status, "/requests")),
        ("config", text(&status, "/config")),
        ("store", text(&status, "/store")),
    ];
    for (name, value) in rows {
        output::line(&format!("  {name:<12}{}", plain(&value)))?;
    }
    let is = |at| status.pointer(at).and_then(serde_json::Value::as_bool) == Some(true);
    let why = || plain(&text(&status, "/ledger/last_error"));
    if is("/ledger/failing") {
        output::aside!("warning: records cannot be written, {} wait: {}", text(&status, "/ledger/waiting"), why());
    }
    if is("/ledger/journal_failing") {
        output::aside!("warning: what waits would be lost if the process died: {}", why());
    }
    if is("/bodies/failing") {
        output::aside!("warning: bodies cannot be kept: {}", plain(&text(&status, "/bodies/last_error")));
    }
    let lost = |at| status.pointer(at).and_then(serde_json::Value::as_u64).unwrap_or_default();
    if lost("/ledger/lost") > 0 {
        output::aside!("warning: {} records are lost: the disk could not take them", lost("/ledger/lost"));
    }
    let bodies = lost("/bodies/dropped") + lost("/bodies_not_copied");
    if bodies > 0 {
        output::aside!(
            "warning: the bodies of {bodies} requests were not kept: there was too much at once, or the disk failed"
        );
    }
    for problem in list(&status, "/problems") {
        output::aside!("warning: {}: {}", plain(&text(problem, "/path")), plain(&text(problem, "/message")));
    }
    Ok(())
}
