//! The part of the catalog that tells what was attempted: the journal of the upgrade that runs, and the history of those that ended.

use super::catalog::Catalog;
use super::tables::{BEFORE, BEFORE_BYTES, HISTORY, META, open, seal};
use super::{Meta, SavedState, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use wasmhot_appup::ModuleName;

/// A sealed tag, and the state.
type SealedAndBytes = (Vec<u8>, Arc<[u8]>);

impl Catalog {
    /// All attempts, oldest first, as the engine's own type.
    pub fn attempts<A: DeserializeOwned>(&self) -> Result<Vec<A>, StoreError> {
        let read = |database: &Database| -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(HISTORY)?;
            table.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect()
        };
        let sealed = self.with(read).map_err(|error| self.failed(error))?;
        sealed.iter().map(|sealed| open(self.path(), sealed)).collect()
    }

    /// The number of the newest attempt; 0 if there was none.
    pub fn last_attempt(&self) -> Result<u64, StoreError> {
        let read = |database: &Database| -> Result<u64, redb::Error> {
            let table = database.begin_read()?.open_table(HISTORY)?;
            Ok(table.last()?.map_or(0, |(number, _)| number.value()))
        };
        self.with(read).map_err(|error| self.failed(error))
    }

    /// Writes down what is known of an attempt. Durably where something is going to be done that has to be known after a crash.
    pub fn put_attempt<A: Serialize>(&self, number: u64, attempt: &A, durable: bool) -> Result<(), StoreError> {
        let sealed = seal(attempt)?;
        self.write(durable, |transaction| {
            transaction.open_table(HISTORY)?.insert(number, sealed.as_slice())?;
            Ok(())
        })
    }

    /// Forgets attempts. Numbers that are not there are no error.
    pub fn delete_attempts(&self, numbers: &[u64]) -> Result<(), StoreError> {
        self.write(false, |transaction| {
            let mut table = transaction.open_table(HISTORY)?;
            for number in numbers {
                table.remove(number)?;
            }
            Ok(())
        })
    }

    /// A release is permanent, durably: the meta record says so, the states from before it go, and the attempt is what it is now.
    pub fn make_permanent<A: Serialize>(&self, meta: &Meta, attempt: Option<(u64, &A)>) -> Result<(), StoreError> {
        let meta = seal(meta)?;
        let attempt = match attempt {
            Some((number, attempt)) => Some((number, seal(attempt)?)),
            None => None,
        };
        self.write(true, |transaction| {
            transaction.open_table(META)?.insert("meta", meta.as_slice())?;
            transaction.open_table(BEFORE)?.retain(|_, _| false)?;
            transaction.open_table(BEFORE_BYTES)?.retain(|_, _| false)?;
            if let Some((number, attempt)) = &attempt {
                transaction.open_table(HISTORY)?.insert(number, attempt.as_slice())?;
            }
            Ok(())
        })
    }

    /// The state of a module as it was before the upgrade that is on probation, if one is.
    pub fn state_before(&self, module: &ModuleName) -> Result<Option<SavedState>, StoreError> {
        let read = |database: &Database| -> Result<Option<SealedAndBytes>, redb::Error> {
            let transaction = database.begin_read()?;
            let (tags, bytes) = (transaction.open_table(BEFORE)?, transaction.open_table(BEFORE_BYTES)?);
            let both = tags.get(module.as_str())?.zip(bytes.get(module.as_str())?);
            Ok(both.map(|(tag, bytes)| (tag.value().to_vec(), bytes.value().into())))
        };
        let _unswept = self.chunks().hold();
        let Some((tag, bytes)) = self.with(read).map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        let tag = open(self.path(), &tag)?;
        self.joined(SavedState { tag, bytes }).map(Some)
    }
}
