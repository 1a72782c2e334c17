//! The part of the catalog that keeps the saved states: a record each (record.rs), the bytes of large ones beside it.
//!
//! Invariants:
//! - A state and its tag are written together and removed together.
//! - An older state never replaces a newer one ([`SaveOrder`](super::SaveOrder)), in whatever order they are written.

use super::catalog::Catalog;
use super::counts::Changes;
use super::record::{self, Record};
use super::sweep::{Exchange, exchange_in};
use super::tables::{STATE_BYTES, STATES};
use super::{SavedState, SavedStateTag, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, WriteTransaction};
use std::borrow::Borrow;
use std::path::Path;
use std::sync::Arc;
use wasmhot_appup::ModuleName;

/// Whose state it is: module and key.
pub(super) type Owner<'a> = (&'a str, Option<&'a str>);

/// Both tables of the states, to be written.
pub(super) struct States<'t> {
    records: Table<'t, Owner<'static>, &'static [u8]>,
    bytes: Table<'t, Owner<'static>, &'static [u8]>,
}

impl<'t> States<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: transaction.open_table(STATES)?,
            bytes: transaction.open_table(STATE_BYTES)?,
        })
    }

    /// Puts a state in, if what stands there may be replaced by it: its record, if there is one.
    pub(super) fn put_if(
        &mut self,
        owner: Owner<'_>,
        (record, bytes): (&[u8], &[u8]),
        may: impl FnOnce(Option<&[u8]>) -> bool,
    ) -> Result<bool, redb::Error> {
        let was_beside = {
            let there = self.records.get(owner)?;
            let there = there.as_ref().map(redb::AccessGuard::value);
            if !may(there) {
                return Ok(false);
            }
            there.is_some_and(record::lies_beside)
        };
        self.records.insert(owner, record)?;
        if record::lies_beside(record) {
            self.bytes.insert(owner, bytes)?;
        } else if was_beside {
            self.bytes.remove(owner)?;
        }
        Ok(true)
    }

    /// Removes a state. False if there was none.
    fn remove(&mut self, owner: Owner<'_>, changes: &mut Changes) -> Result<bool, redb::Error> {
        let was_beside = match self.records.remove(owner)? {
            Some(there) => {
                changes.went(owner, there.value());
                record::lies_beside(there.value())
            }
            None => return Ok(false),
        };
        if was_beside {
            self.bytes.remove(owner)?;
        }
        Ok(true)
    }
}

/// Writes states with their records, which stand in the same order.
pub(super) fn insert_states<S: Borrow<SavedState>>(
    transaction: &WriteTransaction,
    states: &[S],
    records: &[Vec<u8>],
    changes: &mut Changes,
) -> Result<(), redb::Error> {
    if states.is_empty() {
        return Ok(());
    }
    let mut table = States::open(transaction)?;
    for (state, record) in states.iter().zip(records) {
        let SavedState { tag, bytes } = state.borrow();
        let owner = (tag.module.as_str(), tag.key.as_deref());
        let is_newest = table.put_if(owner, (record, bytes), |there| {
            let Some(there) = there else { return true };
            // Saves are written by whoever gets to it first.
            let known = record::read(Path::new("catalog"), there);
            if known.is_ok_and(|known| known.tag.order.is_newer_than(tag.order)) {
                return false;
            }
            changes.went(owner, there);
            true
        });
        if is_newest? {
            changes.came(tag);
        }
    }
    Ok(())
}

pub(super) fn delete_states_in(
    transaction: &WriteTransaction,
    module: &ModuleName,
    changes: &mut Changes,
) -> Result<(), redb::Error> {
    let mut table = States::open(transaction)?;
    let mut keys = Vec::new();
    for entry in table.records.range((module.as_str(), None)..)? {
        let (place, _) = entry?;
        let (owner, key) = place.value();
        if owner != module.as_str() {
            break;
        }
        keys.push(key.map(str::to_owned));
    }
    for key in keys {
        table.remove((module.as_str(), key.as_deref()), changes)?;
    }
    Ok(())
}

pub(super) fn records_of<S: Borrow<SavedState>>(states: &[S]) -> Result<Vec<Vec<u8>>, StoreError> {
    let record = |state: &S| record::write(&state.borrow().tag, &state.borrow().bytes);
    states.iter().map(record).collect()
}

/// The bytes of a state whose record this is.
pub(super) fn bytes_of(
    transaction: &ReadTransaction,
    owner: Owner<'_>,
    record: &Record<'_>,
) -> Result<Option<Arc<[u8]>>, redb::Error> {
    match record.bytes {
        Some(bytes) => Ok(Some(bytes.into())),
        None => {
            let beside = transaction.open_table(STATE_BYTES)?;
            Ok(beside.get(owner)?.map(|bytes| bytes.value().into()))
        }
    }
}

impl Catalog {
    /// Writes saved states, except where a later one of the same process is there already. What is not durable a crash loses,
    /// until a durable write or [`Catalog::flush`] follows.
    pub fn put_states<S: Borrow<SavedState>>(&self, states: &[S], durable: bool) -> Result<(), StoreError> {
        self.put_and_exchange(states, &[], durable)
    }

    /// The same, and then exchanges the form of others that are still as they were read.
    pub(crate) fn put_and_exchange<S: Borrow<SavedState>>(
        &self,
        states: &[S],
        exchanges: &[&Exchange],
        durable: bool,
    ) -> Result<(), StoreError> {
        let records = records_of(states)?;
        let new: Vec<_> = exchanges.iter().map(|exchange| &exchange.new).collect();
        let new_records = records_of(&new)?;
        self.write_states(durable, |transaction, changes| {
            insert_states(transaction, states, &records, changes)?;
            exchange_in(transaction, exchanges, &new_records, changes)
        })
    }

    /// The last saved state of a module, or of one key of it.
    pub fn state(&self, module: &ModuleName, key: Option<&str>) -> Result<Option<SavedState>, StoreError> {
        // Of one that is replaced meanwhile the file stays until it was read.
        let _unswept = key.is_none().then(|| self.chunks().hold());
        let owner = (module.as_str(), key);
        let read = |database: &Database| -> Result<Option<Result<SavedState, StoreError>>, redb::Error> {
            // One transaction, so that tag and bytes belong together.
            let transaction = database.begin_read()?;
            let Some(there) = transaction.open_table(STATES)?.get(owner)? else {
                return Ok(None);
            };
            let record = match record::read(self.path(), there.value()) {
                Ok(record) => record,
                Err(error) => return Ok(Some(Err(error))),
            };
            let bytes = bytes_of(&transaction, owner, &record)?;
            let tag = record.tag_of(self.path(), module.as_str(), key);
            Ok(bytes.map(|bytes| Ok(SavedState { tag: tag?, bytes })))
        };
        let found = self.with(read).map_err(|error| self.failed(error))?;
        found.transpose()?.map(|found| self.joined(found)).transpose()
    }

    /// The tags of all saved states of a module: one for itself, or one for each key.
    pub fn states_of(&self, module: &ModuleName) -> Result<Vec<SavedStateTag>, StoreError> {
        self.tags((module.as_str(), None), |name| name == module.as_str())
    }

    /// The tags of all saved states of all modules.
    pub fn all_states(&self) -> Result<Vec<SavedStateTag>, StoreError> {
        self.tags(("", None), |_| true)
    }

    /// The tags from here on, as long as they are of such modules.
    fn tags(&self, from: Owner<'_>, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<SavedStateTag>, StoreError> {
        let read = |database: &Database| -> Result<Result<Vec<SavedStateTag>, StoreError>, redb::Error> {
            let table = database.begin_read()?.open_table(STATES)?;
            let mut tags = Vec::new();
            for entry in table.range::<Owner<'_>>(from..)? {
                let (place, there) = entry?;
                let (name, key) = place.value();
                if !is_wanted(name) {
                    break;
                }
                let tag = record::read(self.path(), there.value());
                match tag.and_then(|record| record.tag_of(self.path(), name, key)) {
                    Ok(tag) => tags.push(tag),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(tags))
        };
        self.with(read).map_err(|error| self.failed(error))?
    }

    /// Removes all saved states of a module, durably.
    pub fn delete_states(&self, module: &ModuleName) -> Result<(), StoreError> {
        self.write_states(true, |transaction, changes| {
            delete_states_in(transaction, module, changes)
        })
    }

    /// Removes the saved state of one key (or of the module itself), durably. False if there was none.
    pub fn delete_state(&self, module: &ModuleName, key: Option<&str>) -> Result<bool, StoreError> {
        self.write_states(true, |transaction, changes| {
            States::open(transaction)?.remove((module.as_str(), key), changes)
        })
    }
}
