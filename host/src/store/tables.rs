//! The records of the catalog and how they are written: JSON in an envelope with a format number, so that a newer wasmhot can
//! read what an older one wrote, and an older one refuses what it does not know instead of guessing. Of saved states there may be a million:
//! they have a form of their own (record.rs).

use super::{Ahead, StoreError};
use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmhot_appup::{Digest, ModuleName, ModuleVersion};

/// The format this wasmhot writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

/// One record, [`Meta`], under the name `meta`.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Revision → whatever the engine keeps of it.
pub(super) const REVISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("revisions");
/// (module, key) → the record of a saved state: its tag, and its bytes where they are few.
pub(super) const STATES: TableDefinition<'_, (&str, Option<&str>), &[u8]> = TableDefinition::new("states");
/// (module, key) → the bytes that `save` gave, where they are many.
pub(super) const STATE_BYTES: TableDefinition<'_, (&str, Option<&str>), &[u8]> = TableDefinition::new("state-bytes");
/// sha256 of a file seen in the watched directory → [`FileRecord`].
pub(super) const FILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("files");

/// (name, version) of a release that is installed → [`InstalledRecord`](super::InstalledRecord).
pub(super) const INSTALLED: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("installed");

/// Number of an attempt at an upgrade → whatever the engine keeps of it: the journal, and the history.
pub(super) const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
/// module → [`SavedStateTag`] of its state before an upgrade that is on probation (R40).
pub(super) const BEFORE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("before");
/// module → the bytes of that state.
pub(super) const BEFORE_BYTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("before-bytes");

/// What the host is: where it boots, and what it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The revision that runs.
    pub current: Option<u64>,
    /// The revision that a start boots. What is only current is never written here.
    pub permanent: Option<u64>,
    /// Digest of the release.toml that this catalog came from: changed since then means, apply it.
    pub release_file: Option<Digest>,
    /// Why drops and applies wait, if somebody holds them.
    #[serde(default)]
    pub held: Option<String>,
    /// Versions that perhaps no revision names any more, and that saved states still have to go through (R28).
    #[serde(default)]
    pub middle: Vec<ModuleVersion>,
}

/// Why a state was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaveReason {
    /// Every `save_interval` (R14).
    Periodic,
    /// At a switch: what the old instance gave to the new one (R28).
    HandedOver,
    /// After a call (`durability = "call"`).
    Call,
    /// The host stopped.
    Stop,
    /// The module left the release; its state is kept.
    Removed,
    /// `wasmhot state export`.
    Export,
    /// An idle key was put to sleep (R9).
    Hibernated,
}

/// How the bytes of a state are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// They are what `save` gave.
    #[default]
    Whole,
    /// They are what `incremental` gave: framed chunks, the last of them the rest.
    Chunks,
}

impl Form {
    fn is_whole(&self) -> bool {
        *self == Form::Whole
    }
}

/// What every saved state carries (R28).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedStateTag {
    /// Whose state it is.
    pub module: ModuleName,
    /// Of which key, in a keyed module.
    pub key: Option<String>,
    /// The version that wrote the bytes: the true `from` of the next `migrate`.
    pub version: ModuleVersion,
    /// The revision in which it was written.
    pub revision: u64,
    /// When, in milliseconds since 1970. A label: nothing is decided by it.
    pub time_ms: u64,
    /// Media type of the bytes, empty where the module does not say.
    pub format: String,
    /// Length of the bytes.
    pub size: u64,
    /// Why it was saved.
    pub reason: SaveReason,
    /// When, among the saves of one host: an older state never replaces a newer one, in whatever order they are written.
    #[serde(default)]
    pub order: SaveOrder,
    /// For which other version it was written, where it was handed over: on the way down the newer code writes the older format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_for: Option<WrittenFor>,
    /// How the bytes are to be read.
    #[serde(default, skip_serializing_if = "Form::is_whole")]
    pub form: Form,
    /// Where the first of them lie, if not with the others. A state that was read has them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
}

/// The place of a save among those of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveOrder {
    pub(super) process: u64,
    pub(super) number: u64,
}

impl SaveOrder {
    /// After every earlier one. Taken when the bytes are, not when they are written.
    pub fn next() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self {
            process: *PROCESS,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What another process left is older, whatever its number: one host at a time has the state directory.
    pub(super) fn is_newer_than(self, other: Self) -> bool {
        self.process == other.process && self.number > other.number
    }
}

/// The version that a handed-over state was written for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFor {
    /// Who was to read it.
    pub to: ModuleVersion,
    /// The `extra` of the change.
    #[serde(default)]
    pub extra: serde_json::Value,
}

/// A state with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// What it is.
    pub tag: SavedStateTag,
    /// What `save` gave, or `incremental`, without what lies [ahead](SavedStateTag::ahead).
    pub bytes: std::sync::Arc<[u8]>,
}

impl SavedState {
    /// The bytes, and how they are to be read. Of one that was read from the catalog: else a part may lie in a file.
    pub fn content(&self) -> (Form, &[u8]) {
        (self.tag.form, &self.bytes)
    }
}

/// What became of a file of the watched directory (R34, R36).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name without `.wasm`.
    pub stem: String,
    /// Why its content is refused from now on, if it is.
    pub barred: Option<String>,
    /// When this was noted, in milliseconds since 1970.
    #[serde(rename = "first_seen_ms")]
    pub noted_ms: u64,
}

impl FileRecord {
    /// Something has become of the content of this file.
    #[must_use]
    pub fn seen(stem: impl Into<String>) -> Self {
        Self {
            stem: stem.into(),
            barred: None,
            noted_ms: crate::event::now_ms(),
        }
    }

    /// Its content is refused from now on.
    #[must_use]
    pub fn barred(stem: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            barred: Some(why.into()),
            ..Self::seen(stem)
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a, T: ?Sized> {
    format: u32,
    value: &'a T,
}

#[derive(Deserialize)]
struct OpenedEnvelope<T> {
    value: T,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// A record as it is written.
pub(super) fn seal<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Envelope { format: FORMAT, value }).map_err(StoreError::encode)
}

/// How a record begins that was written by [`seal`].
const OURS: &[u8] = br#"{"format":1,"value":"#;

/// A record read back. The format number is looked at first: what follows it may be of any shape in a newer format.
pub(super) fn open<T: DeserializeOwned>(path: &Path, sealed: &[u8]) -> Result<T, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::Corrupt {
        path: path.to_owned(),
        why: error.to_string(),
    };
    // Nearly all are as we write them, and there may be a million: those are not read twice.
    if !sealed.starts_with(OURS) {
        let found = serde_json::from_slice::<FormatOnly>(sealed).map_err(damaged)?.format;
        if found > FORMAT {
            return Err(StoreError::NewerFormat {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
    }
    Ok(serde_json::from_slice::<OpenedEnvelope<T>>(sealed)
        .map_err(damaged)?
        .value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_begin_as_the_reader_knows_them() {
        let sealed = seal(&Meta::default()).expect("is written");
        assert!(sealed.starts_with(OURS), "{}", String::from_utf8_lossy(&sealed));
        assert!(OURS.starts_with(format!("{{\"format\":{FORMAT},").as_bytes()));
    }
}
