//! Keeping what traffic taught: breakers that are open survive a restart. Off the hot path: a task looks now and then whether something changed.

use std::time::Duration;

use super::Gateway;
use crate::routing::Saved;

/// Namespace and key in the store.
const SPACE: &str = "routing";
const KEY: &str = "breakers";
/// A gateway that is not started for so long begins anew.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
/// How often it is looked whether something changed.
const EVERY: Duration = Duration::from_secs(2);

impl Gateway {
    /// Takes up what survived the last run.
    pub(super) async fn restore_fares(&self) {
        let kept = match self.store().kept().get(SPACE, KEY).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "what is out of rotation could not be read"),
        };
        match serde_json::from_slice::<Saved>(&kept.value) {
            Ok(saved) => self.services().fleet.restore(&saved),
            Err(error) => tracing::warn!(%error, "what is out of rotation could not be understood"),
        }
    }

    /// Keeps it whenever it changed.
    pub(super) async fn follow_fares(self) {
        let mut seen = self.services().fleet.changes();
        loop {
            tokio::time::sleep(EVERY).await;
            let changes = self.services().fleet.changes();
            if changes != seen {
                seen = changes;
                self.keep_fares();
            }
        }
    }

    /// Keeps it now.
    pub(super) fn keep_fares(&self) {
        let saved = self.services().fleet.save();
        let kept = serde_json::to_vec(&saved).is_ok_and(|row| self.store().kept().put(SPACE, KEY, "", KEEP, &row));
        if !kept {
            tracing::warn!("what is out of rotation could not be kept");
        }
    }
}
