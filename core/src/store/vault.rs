//! Backups of everything, and putting one back while traffic goes on.

use std::sync::{Arc, MutexGuard};

use super::backup::{self, BackupError, BackupSummary};
use super::held::Held;
use super::{RESTORE, Store};
use crate::model::Secret;

impl Store {
    /// Writes everything as one encrypted stream, as it is at this moment, while traffic goes on. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the passphrase is too short, another backup or restore is under way, the store cannot be read, or `out` cannot be written.
    pub fn backup_blocking(
        &self,
        passphrase: &Secret,
        with_bodies: bool,
        out: impl std::io::Write,
    ) -> Result<BackupSummary, BackupError> {
        let _alone = self.vault()?;
        let inner = &self.0;
        inner.writer.queue().flush()?;
        let bodies = with_bodies.then(|| inner.bodies.db());
        backup::write(&inner.db, bodies, &inner.seal, inner.clock.unix_ms(), passphrase, out)
    }

    /// Puts what a backup holds in place of everything, once all of it was read and is right; what was there before goes aside into `before-restore.redb`.
    /// Traffic goes on. What the file declares stays as it is. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the passphrase is wrong, the backup is damaged, cut off or of a newer Myelin, or the disk fails: then nothing was changed.
    pub fn restore_blocking(
        &self,
        passphrase: &Secret,
        input: impl std::io::Read,
        who: &str,
    ) -> Result<BackupSummary, BackupError> {
        let _alone = self.vault()?;
        let inner = &self.0;
        let path = self.path();
        let dir = path.parent().unwrap_or(&path).to_owned();
        let staged = backup::stage(&dir, &inner.seal, passphrase, input)?;
        // From here on no change comes in between.
        let mut state = self.state();
        let (db, main) = (Arc::clone(&inner.db), staged.main.clone());
        let aside = dir.join(backup::ASIDE);
        inner.writer.queue().exclusively(move || db.replace(&main, &aside))?;
        inner.kept.forget_recent();
        if let Some(bodies) = &staged.bodies {
            inner.bodies.take(bodies, &dir.join(backup::ASIDE_BODIES))?;
        }
        let restored = inner.db.read(|txn| Held::load(txn, &inner.seal))?;
        let mut held = restored.clone();
        for (name, row) in &state.held.file_keys {
            held.file_keys.entry(name.clone()).or_insert_with(|| row.clone());
        }
        state.held = restored;
        let made = jiff::Timestamp::from_millisecond(staged.summary.made.cast_signed()).unwrap_or_default();
        let words = format!("of {made:.0}: {} records", staged.summary.records);
        let declared = state.declared.clone();
        let log = vec![(RESTORE, String::new(), words)];
        self.publish_as(&mut state, held, declared, Vec::new(), log, (who, false))
            .map_err(|why| BackupError::Damaged(why.to_string()))?;
        Ok(staged.summary.clone())
    }

    fn vault(&self) -> Result<MutexGuard<'_, ()>, BackupError> {
        match self.0.vault.try_lock() {
            Ok(guard) => Ok(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => Err(BackupError::Busy),
        }
    }
}
