//! Whether the master key is the right one: something sealed stands in the file to tell.

use std::path::Path;

use redb::TableError;

use super::db::Db;
use super::held::Held;
use super::seal::{self, Seal};
use super::tables::META;
use super::{MasterKey, StoreError, history};

/// Row of [`META`] that tells whether the master key is the right one.
pub(super) const SEAL_ROW: &str = "seal";
/// What is sealed in it.
pub(super) const SEAL_TEXT: &[u8] = b"myelin";

/// The seal, proven to be the one that the store's secrets were sealed with.
pub(super) fn open_seal(db: &Db, dir: &Path, master: &MasterKey) -> Result<Seal, StoreError> {
    let wrong = || StoreError::WrongKey { path: db.path().to_owned() };
    let proof = db.read(|txn| match txn.open_table(META) {
        Ok(table) => Ok(table.get(SEAL_ROW)?.map(|row| String::from_utf8_lossy(row.value()).into_owned())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    let Some(proof) = proof else {
        let seal = Seal::open(dir, master)?;
        prove(db, &seal)?;
        return Ok(seal);
    };
    if *master == MasterKey::KeyFile && !dir.join(seal::KEY_FILE).exists() {
        return Err(wrong());
    }
    let seal = Seal::open(dir, master)?;
    if seal.unseal(SEAL_ROW, &proof).is_ok() {
        return Ok(seal);
    }
    // The owner went from the key file to a key of their own: everything is sealed anew and the file goes.
    let old = match master {
        MasterKey::Given(_) => Seal::of_key_file(dir).ok_or_else(wrong)?,
        MasterKey::KeyFile => return Err(wrong()),
    };
    old.unseal(SEAL_ROW, &proof).map_err(|_| wrong())?;
    let held = db.read(|txn| Held::load(txn, &old))?;
    let sealed = Held { channels: Default::default(), ..held.clone() };
    let rows = sealed.difference(&held, &seal)?;
    let proof = seal.seal(SEAL_ROW, SEAL_TEXT)?;
    db.write(|txn| {
        rows.iter().try_for_each(|row| row.write(txn))?;
        history::reseal(txn, &old, &seal)?;
        txn.open_table(META)?.insert(SEAL_ROW, proof.as_bytes())?;
        Ok(())
    })?;
    let _ = std::fs::remove_file(dir.join(seal::KEY_FILE));
    Ok(seal)
}

fn prove(db: &Db, seal: &Seal) -> Result<(), StoreError> {
    let proof = seal.seal(SEAL_ROW, SEAL_TEXT)?;
    db.write(|txn| {
        txn.open_table(META)?.insert(SEAL_ROW, proof.as_bytes())?;
        Ok(())
    })
}
