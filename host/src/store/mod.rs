//! What survives a restart, all of it under one state directory:
//!
//! ```text
//! <state>/            0700
//!   lock              one host at a time; holds the pid               (lock.rs)
//!   catalog.redb      revisions, saved states, files seen: one database, so that a switch is one transaction (catalog.rs)
//!   chunks/           <module>.<number>: large states, as far as they are handed over while they change (chunks.rs)
//!   objects/          <sha256>.wasm, 0600, written whole or not at all (objects.rs)
//!   compiled/         machine code of what lies in objects/, each file with a checksum; it may be deleted at any time (compiled.rs)
//!   keyvalue.redb     the buckets of `wasi:keyvalue`, once a module has used one (keyvalue.rs)
//! ```
//!
//! Everything here blocks on the disk: call it by `tokio::task::spawn_blocking`.

mod backup;
mod catalog;
pub(crate) mod chunks;
mod compiled;
mod counts;
mod error;
mod history;
mod installed;
pub(crate) mod keyvalue;
mod lock;
mod objects;
mod record;
mod states;
mod sweep;
mod tables;

pub(crate) use backup::CATALOG;
pub use backup::restore;
pub use catalog::{Catalog, Commit};
pub use chunks::Ahead;
pub(crate) use compiled::{Checksum, CodeName, Compiled, EngineKey, KeptCode, MAGIC, Untouchable};
pub use error::StoreError;
pub use installed::InstalledRecord;
pub(crate) use keyvalue::KeyValue;
pub use lock::StateLock;
pub use objects::Objects;
pub(crate) use sweep::{Asleep, Exchange, Stretch};
pub use tables::{FileRecord, Form, Meta, SaveOrder, SaveReason, SavedState, SavedStateTag, WrittenFor};

use std::path::Path;

/// Makes `dir` with its parents, readable by its owner only.
pub(crate) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| StoreError::io(dir, error))
}

/// Makes a rename or a removal in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| StoreError::io(dir, error))
}

#[cfg(test)]
mod tests;
