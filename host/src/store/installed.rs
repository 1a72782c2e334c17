//! The part of the catalog that tells which releases are installed, and where: folders that are not the host's own.

use super::StoreError;
use super::catalog::Catalog;
use super::tables::{INSTALLED, open, seal};
use redb::{Database, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use wasmhot_appup::Version;

/// A release that was unpacked, or lies there by other means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Where its release.toml lies.
    pub folder: PathBuf,
    /// Since when that is known, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Catalog {
    /// The installed releases, by name and version.
    pub fn installed(&self) -> Result<Vec<InstalledRecord>, StoreError> {
        let read = |database: &Database| -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(INSTALLED)?;
            table.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect()
        };
        let sealed = self.with(read).map_err(|error| self.failed(error))?;
        sealed.iter().map(|sealed| open(self.path(), sealed)).collect()
    }

    /// Writes down where a release is installed, durably; that it was installed elsewhere is forgotten.
    pub fn put_installed(&self, record: &InstalledRecord) -> Result<(), StoreError> {
        let (sealed, version) = (seal(record)?, record.version.to_string());
        self.write(true, |transaction| {
            let place = (record.name.as_str(), version.as_str());
            transaction.open_table(INSTALLED)?.insert(place, sealed.as_slice())?;
            Ok(())
        })
    }

    /// Forgets that releases are installed, durably.
    pub fn delete_installed(&self, records: &[InstalledRecord]) -> Result<(), StoreError> {
        self.write(true, |transaction| {
            let mut table = transaction.open_table(INSTALLED)?;
            for record in records {
                table.remove((record.name.as_str(), record.version.to_string().as_str()))?;
            }
            Ok(())
        })
    }
}
