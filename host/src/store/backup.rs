//! A copy of all that a host keeps, made while it runs; and back.
//!
//! A backup is a state directory without its lock: a catalog as it was at one moment, and the objects that it needs. Beside them lies
//! `release.json`, which says what ran.
//!
//! Invariants:
//! - Nothing of a running catalog is copied as a file: what is written meanwhile is in the copy wholly or not at all.
//! - A restored catalog gets its name when it was read and all objects are there.

use super::catalog::{Catalog, builder};
use super::tables::{BEFORE, BEFORE_BYTES, FILES, HISTORY, INSTALLED, META, REVISIONS, STATE_BYTES, STATES};
use super::{Objects, StoreError, private_dir, sync_dir};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::path::Path;
use wasmhot_appup::Digest;

/// The catalog in a state directory, and in a backup.
pub(crate) const CATALOG: &str = "catalog.redb";

impl Catalog {
    /// Copies everything, as it is at one moment, into a new catalog under `state`.
    ///
    /// # Errors
    /// Of the disk.
    pub fn copy_to(&self, state: &Path) -> Result<(), StoreError> {
        let copy = Catalog::open(state)?;
        // Nothing that is in the copy goes before its files are.
        let _unswept = self.chunks().hold();
        let read = |database: &Database| Ok(database.begin_read()?);
        let moment = self.with(read).map_err(|error| self.failed(error))?;
        copy.write(true, |to| {
            copy_table(&moment, to, META)?;
            copy_table(&moment, to, REVISIONS)?;
            copy_table(&moment, to, STATES)?;
            copy_table(&moment, to, STATE_BYTES)?;
            copy_table(&moment, to, FILES)?;
            copy_table(&moment, to, HISTORY)?;
            copy_table(&moment, to, BEFORE)?;
            copy_table(&moment, to, BEFORE_BYTES)?;
            copy_table(&moment, to, INSTALLED)
        })?;
        copy.close();
        self.chunks().copy_to(state)
    }
}

pub(super) fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), redb::Error> {
    let from = from.open_table(table)?;
    let mut to = to.open_table(table)?;
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

impl Objects {
    /// Copies all objects to those under another state directory; gives which, and their bytes together.
    ///
    /// # Errors
    /// Of the disk; also if one was changed on it.
    pub fn copy_to(&self, state: &Path) -> Result<(Vec<Digest>, u64), StoreError> {
        let copy = Objects::open(state)?;
        let (mut objects, mut bytes) = (Vec::new(), 0);
        for digest in self.list()? {
            // One that goes meanwhile is needed by nobody.
            let Some(object) = self.get(&digest)? else { continue };
            copy.put(&object)?;
            objects.push(digest);
            bytes += object.len() as u64;
        }
        Ok((objects, bytes))
    }
}

/// Makes a state directory, which has no catalog yet, out of a backup that has to hold these objects.
///
/// # Errors
/// The backup is damaged or not whole, or of the disk.
pub fn restore(backup: &Path, state: &Path, needed: &[Digest]) -> Result<(), StoreError> {
    private_dir(state)?;
    let kept = Objects::open(state)?;
    let folder = backup.join("objects");
    let damaged = |path: &Path, why: String| StoreError::Corrupt {
        path: path.to_owned(),
        why,
    };
    for entry in std::fs::read_dir(&folder).map_err(|error| StoreError::io(&folder, error))? {
        let path = entry.map_err(|error| StoreError::io(&folder, error))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Ok(digest) = stem.parse::<Digest>() else { continue };
        let bytes = std::fs::read(&path).map_err(|error| StoreError::io(&path, error))?;
        let found = Digest::of(&bytes);
        if found != digest {
            let found = found.to_string();
            return Err(StoreError::Changed { path, found });
        }
        kept.put(&bytes)?;
    }
    if let Some(missing) = needed.iter().find(|digest| !kept.path(digest).is_file()) {
        return Err(damaged(&folder, format!("{missing} is not there, which was copied")));
    }
    super::keyvalue::restore(backup, state)?;
    super::chunks::restore(backup, state)?;
    let new = state.join("catalog.redb.restoring");
    let from = backup.join(CATALOG);
    std::fs::copy(&from, &new).map_err(|error| StoreError::io(&from, error))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&new, private).map_err(|error| StoreError::io(&new, error))?;
    let is_good = || -> Result<bool, redb::Error> {
        let database = builder().open(&new)?;
        let has_meta = database.begin_read()?.open_table(META)?.get("meta")?.is_some();
        database.close()?;
        Ok(has_meta)
    };
    match is_good() {
        Ok(true) => {}
        Ok(false) => return Err(damaged(&from, "it has no meta record".to_owned())),
        Err(error) => return Err(StoreError::database(&from, error)),
    }
    let synced = std::fs::File::open(&new).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::io(&new, error))?;
    let place = state.join(CATALOG);
    std::fs::rename(&new, &place).map_err(|error| StoreError::io(&place, error))?;
    sync_dir(state)
}
