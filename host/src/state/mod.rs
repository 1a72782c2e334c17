//! Saved states: what an instance saved, kept with the tag that says who wrote it (R28), and brought back into an instance.
//!
//! Invariants:
//! - A state is only ever read by the version that wrote it, or through `migrate` with the true `from`.
//! - Nothing here replaces a state by an empty one: what cannot be read is an error (R29). What follows from that is decided
//!   by `host/boot.rs` at a start, `call/wake.rs` for a key, and `call/loss.rs` after a trap.

mod file;
mod keeper;
mod rehearse;
mod revive;
mod way;

pub(crate) use file::{read_state_file, write_state_file};
pub(crate) use keeper::{Kept, Written};
pub(crate) use way::Chain;

use crate::call::lane::Live;
use crate::instance::Instance;
use crate::store::chunks::ChunkFile;
use crate::store::{
    Catalog, Exchange, Form, SaveOrder, SaveReason, SavedState, SavedStateTag, StoreError, Stretch, WrittenFor,
};
use crate::versions::Versions;
use keeper::Keeper;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use wasmhot_appup::{ModuleName, Saved};

/// The saved states of this host.
#[derive(Clone)]
pub(crate) struct States {
    catalog: Arc<Catalog>,
    versions: Arc<Versions>,
    guests: tokio::runtime::Handle,
    keeper: Keeper,
}

/// The state that `instance` has just saved, with its tag.
pub(crate) fn tagged(instance: &Instance, key: Option<&str>, reason: SaveReason, bytes: Vec<u8>) -> SavedState {
    let version = &instance.template.version;
    let tag = SavedStateTag {
        module: version.id.name.clone(),
        key: key.map(str::to_string),
        version: version.id.clone(),
        revision: instance.revision,
        time_ms: crate::event::now_ms(),
        format: version
            .state
            .as_ref()
            .map(|state| state.media_type.clone())
            .unwrap_or_default(),
        size: bytes.len() as u64,
        reason,
        order: SaveOrder::next(),
        written_for: None,
        form: Form::Whole,
        ahead: None,
    };
    SavedState {
        tag,
        bytes: bytes.into(),
    }
}

/// The state that `old` has saved for the live version: at once the last saved state (R28), by its true writer.
pub(crate) fn handed_over(old: &Instance, live: &Live, key: Option<&str>, bytes: Vec<u8>) -> SavedState {
    let mut state = tagged(old, key, SaveReason::HandedOver, bytes);
    state.tag.revision = live.revision;
    state.tag.written_for = Some(WrittenFor {
        to: live.template.version.id.clone(),
        extra: live.extra.clone(),
    });
    state
}

impl States {
    pub(crate) fn new(catalog: Arc<Catalog>, versions: Arc<Versions>, guests: tokio::runtime::Handle) -> Self {
        Self {
            keeper: Keeper::start(Arc::clone(&catalog), &guests),
            catalog,
            versions,
            guests,
        }
    }

    /// The newest saved state of a module, or of one of its keys.
    pub(crate) async fn newest(
        &self,
        module: &ModuleName,
        key: Option<&str>,
    ) -> Result<Option<SavedState>, StoreError> {
        let (catalog, module, key) = (Arc::clone(&self.catalog), module.clone(), key.map(str::to_string));
        self.blocking(move || catalog.state(&module, key.as_deref())).await
    }

    /// The saved states of the next keys of a module that another version than the live one holds: see [`Catalog::held_by_others`].
    pub(crate) async fn held_by_others(
        &self,
        module: &ModuleName,
        after: Option<String>,
        live: &Live,
        count: usize,
    ) -> Result<Stretch, StoreError> {
        let (catalog, module) = (Arc::clone(&self.catalog), module.clone());
        let live = live.template.version.id.digest;
        self.blocking(move || catalog.held_by_others(&module, after.as_deref(), &live, count))
            .await
    }

    /// The saved states of these modules, by the version in whose format they are. What is still to be written is among them.
    pub(crate) async fn saved_of(&self, modules: &BTreeSet<ModuleName>) -> Result<Vec<Saved>, StoreError> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        // What cannot be written is told where it was given.
        let _ = self.settled().await;
        let (catalog, modules) = (Arc::clone(&self.catalog), modules.clone());
        let read = move || {
            let mut found = Vec::new();
            for module in &modules {
                found.extend(catalog.saved_of(module)?);
            }
            Ok(found)
        };
        self.blocking(read).await
    }

    /// How many keys of a module have a saved state.
    pub(crate) async fn count_keys(&self, module: &ModuleName) -> Result<u64, StoreError> {
        let (catalog, module) = (Arc::clone(&self.catalog), module.clone());
        self.blocking(move || catalog.count_keys(&module)).await
    }

    /// Keeps these states; `durable` waits until they are on disk. What is not durable is so about a second later.
    pub(crate) async fn put(&self, states: Vec<SavedState>, durable: bool) -> Written {
        self.keeper.give(states, durable).written().await
    }

    /// Keeps states, which are written whether that is waited for or not.
    pub(crate) fn keep(&self, states: Vec<SavedState>, durable: bool) -> Kept {
        self.keeper.give(states, durable)
    }

    /// Keeps states in another form.
    pub(crate) fn exchange(&self, exchanges: Vec<Exchange>) -> Kept {
        self.keeper.exchange(exchanges)
    }

    /// Keeps states of which a part lies in these files.
    pub(crate) fn keep_with(&self, states: Vec<SavedState>, files: Vec<ChunkFile>) {
        let kept = self.keep(states, false);
        self.guests.spawn(async move {
            // What could not be written has been told. Until then the files are nobody's.
            let _ = kept.written().await;
            drop(files);
        });
    }

    /// A file for the chunks of a module's state.
    pub(crate) fn chunk_file(&self, module: &ModuleName) -> Result<ChunkFile, StoreError> {
        self.catalog.chunks().create(module)
    }

    /// Returns when everything that was kept until now is written.
    pub(crate) async fn settled(&self) -> Written {
        self.put(Vec::new(), false).await
    }

    /// Removes the saved state of a key. False if there was none.
    pub(crate) async fn delete(&self, module: &ModuleName, key: &str) -> Result<bool, StoreError> {
        let (catalog, module, key) = (Arc::clone(&self.catalog), module.clone(), key.to_string());
        self.blocking(move || catalog.delete_state(&module, Some(&key))).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.guests.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(StoreError::io(Path::new("catalog"), std::io::Error::other(error))),
        }
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("States")
    }
}
