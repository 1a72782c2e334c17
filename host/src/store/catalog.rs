//! The catalog: which revisions there are, which one runs and which one boots, the saved states, the files seen.
//!
//! Invariants:
//! - [`Catalog::commit`] is one durable transaction: after a crash the host is wholly before or wholly after a switch (P4).
//! - A catalog file is complete or absent: a new one is built beside its place and renamed into it.

use super::chunks::ChunkFiles;
use super::counts::{Changes, Counts};
use super::record;
use super::states::{delete_states_in, insert_states, records_of};
use super::tables::{
    BEFORE, BEFORE_BYTES, FILES, HISTORY, INSTALLED, META, REVISIONS, STATE_BYTES, STATES, open, seal,
};
use super::{FileRecord, Meta, SavedState, SavedStateTag, StoreError, private_dir, sync_dir};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, Table, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use wasmhot_appup::{Digest, ModuleName};

/// The database keeps pages in memory up to this size: it would take 1 GiB unasked. Half of it is what several transactions may leave there
/// before it goes to the file. Where that is full, or all of it is, whoever reads a page writes others to the file first, and waits as long
/// as the disk is busy with a flush: keys that wake up in a sweep would. So a second's writes and the keys of the hour are to fit.
const CACHE_BYTES: usize = 32 << 20;

/// The open catalog. All methods block; a reader never waits for a writer, writers wait for each other.
pub struct Catalog {
    /// None once it is closed.
    database: RwLock<Option<Database>>,
    path: PathBuf,
    chunks: Arc<ChunkFiles>,
    /// Something was written, and nothing [`ToDisk::Now`] since.
    unflushed: AtomicBool,
    /// Held while states are written.
    counts: Mutex<Counts>,
}

/// One switch, as it becomes durable.
pub struct Commit<'a, R: Serialize, A: Serialize> {
    /// Number of the revision.
    pub revision: u64,
    /// What the engine keeps of it.
    pub record: &'a R,
    /// The meta record from now on; [`Meta::current`] normally names `revision`.
    pub meta: Meta,
    /// States handed over: at once the last saved states (R28).
    pub states: Vec<SavedState>,
    /// What the journal says of it from now on: its number, and the record.
    pub attempt: Option<(u64, &'a A)>,
    /// States of modules as they were, for a way back out of probation (R40).
    pub before: Vec<SavedState>,
    /// Modules whose saved states go, with all their keys. Removed before `states` are written.
    pub delete_states: Vec<ModuleName>,
    /// Contents that nothing bars any more.
    pub lifted: Vec<Digest>,
    /// Contents that are barred from now on.
    pub barred: Vec<(Digest, FileRecord)>,
}

/// When a write is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToDisk {
    /// With the next one that is there when it returns, or with [`Catalog::flush`]. A crash before loses it.
    Later,
    /// When it returns, and a start after a crash finds it without looking through the whole.
    Now,
    /// When it returns, after one flush of the disk instead of two: a start after a crash looks through the whole, unless another write
    /// has come [`ToDisk::Now`]. For what calls wait for.
    Soonest,
}

impl From<bool> for ToDisk {
    fn from(durable: bool) -> Self {
        if durable { ToDisk::Now } else { ToDisk::Later }
    }
}

impl Catalog {
    /// Opens `<state>/catalog.redb`, or makes an empty one.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        private_dir(state)?;
        let path = state.join("catalog.redb");
        if !path.try_exists().map_err(|error| StoreError::io(&path, error))? {
            create(state, &path)?;
        }
        let database = builder()
            .open(&path)
            .map_err(|error| StoreError::database(&path, error.into()))?;
        let catalog = Catalog {
            database: RwLock::new(Some(database)),
            path,
            chunks: ChunkFiles::open(state)?,
            unflushed: AtomicBool::new(false),
            counts: Mutex::default(),
        };
        catalog.write(true, make_tables)?;
        catalog.meta()?;
        catalog.sweep_chunks()?;
        Ok(catalog)
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no panic under this lock")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files of large states.
    pub(crate) fn chunks(&self) -> &Arc<ChunkFiles> {
        &self.chunks
    }

    /// Lets go of the file, when what is being read and written has ended. What comes later is an error.
    pub fn close(&self) {
        self.database.write().expect("no panic under this lock").take();
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        match self.database.read().expect("no panic under this lock").as_ref() {
            Some(database) => work(database),
            None => Err(redb::Error::Io(std::io::Error::other("the host has stopped"))),
        }
    }

    /// The meta record.
    pub fn meta(&self) -> Result<Meta, StoreError> {
        let read = |database: &Database| -> Result<Option<Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(META)?;
            Ok(table.get("meta")?.map(|found| found.value().to_vec()))
        };
        match self.with(read).map_err(|error| self.failed(error))? {
            Some(sealed) => open(&self.path, &sealed),
            None => Err(StoreError::Corrupt {
                path: self.path.clone(),
                why: "it has no meta record".to_owned(),
            }),
        }
    }

    /// Writes the meta record, durably: what makes a revision permanent.
    pub fn set_meta(&self, meta: &Meta) -> Result<(), StoreError> {
        let sealed = seal(meta)?;
        self.write(true, |transaction| {
            transaction.open_table(META)?.insert("meta", sealed.as_slice())?;
            Ok(())
        })
    }

    /// One switch in one durable transaction: when this returns `Ok`, a crash boots what it says; when it does not, nothing
    /// of it is there.
    pub fn commit<R: Serialize, A: Serialize>(&self, commit: &Commit<'_, R, A>) -> Result<(), StoreError> {
        let meta = seal(&commit.meta)?;
        let record = seal(commit.record)?;
        let records = records_of(&commit.states)?;
        let barred: Vec<_> = commit
            .barred
            .iter()
            .map(|(digest, record)| Ok((digest.to_string(), seal(record)?)))
            .collect::<Result<_, StoreError>>()?;
        let attempt = match commit.attempt {
            Some((number, attempt)) => Some((number, seal(attempt)?)),
            None => None,
        };
        let before_tags: Vec<_> = commit
            .before
            .iter()
            .map(|state| seal(&state.tag))
            .collect::<Result<_, _>>()?;
        self.write_states(ToDisk::Soonest, |transaction, changes| {
            if let Some((number, attempt)) = &attempt {
                transaction.open_table(HISTORY)?.insert(number, attempt.as_slice())?;
            }
            transaction.open_table(BEFORE)?.retain(|_, _| false)?;
            transaction.open_table(BEFORE_BYTES)?.retain(|_, _| false)?;
            for (state, tag) in commit.before.iter().zip(&before_tags) {
                let module = state.tag.module.as_str();
                transaction.open_table(BEFORE)?.insert(module, tag.as_slice())?;
                transaction.open_table(BEFORE_BYTES)?.insert(module, &*state.bytes)?;
            }
            for module in &commit.delete_states {
                delete_states_in(transaction, module, changes)?;
            }
            insert_states(transaction, &commit.states, &records, changes)?;
            let mut files = transaction.open_table(FILES)?;
            for digest in &commit.lifted {
                lift(&mut files, digest)?;
            }
            for (digest, record) in &barred {
                files.insert(digest.as_str(), record.as_slice())?;
            }
            transaction
                .open_table(REVISIONS)?
                .insert(commit.revision, record.as_slice())?;
            transaction.open_table(META)?.insert("meta", meta.as_slice())?;
            Ok(())
        })
    }

    /// The record of a revision, as the engine's own type.
    pub fn revision<R: DeserializeOwned>(&self, revision: u64) -> Result<Option<R>, StoreError> {
        let read = |database: &Database| -> Result<Option<Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(REVISIONS)?;
            Ok(table.get(revision)?.map(|found| found.value().to_vec()))
        };
        self.opened(self.with(read))
    }

    /// The numbers of all revisions kept, ascending.
    pub fn revisions(&self) -> Result<Vec<u64>, StoreError> {
        let read = |database: &Database| -> Result<Vec<u64>, redb::Error> {
            let table = database.begin_read()?.open_table(REVISIONS)?;
            table.iter()?.map(|entry| Ok(entry?.0.value())).collect()
        };
        self.with(read).map_err(|error| self.failed(error))
    }

    /// Forgets revisions. Numbers that are not there are no error.
    pub fn delete_revisions(&self, revisions: &[u64]) -> Result<(), StoreError> {
        self.write(true, |transaction| {
            let mut table = transaction.open_table(REVISIONS)?;
            for revision in revisions {
                table.remove(revision)?;
            }
            Ok(())
        })
    }

    /// Makes durable what is not, and frees what nobody needs any more.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.unflushed.load(Ordering::Acquire) {
            self.sync_ahead()?;
            self.write(true, |_| Ok(()))?;
        }
        self.sweep_chunks()
    }

    /// Sends to the disk what the file has taken, while others go on writing: a transaction that waits for the disk holds all of them up,
    /// and has little left to wait for.
    pub fn sync_ahead(&self) -> Result<(), StoreError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_data());
        synced.map_err(|error| StoreError::io(&self.path, error))
    }

    /// Removes the files of large states that have been replaced. Apart from the writing: that may be waited for behind a gate.
    fn sweep_chunks(&self) -> Result<(), StoreError> {
        self.chunks.sweep(|module| {
            let read = |database: &Database| -> Result<[Option<Vec<u8>>; 2], redb::Error> {
                let transaction = database.begin_read()?;
                let (now, before) = (transaction.open_table(STATES)?, transaction.open_table(BEFORE)?);
                let now = now.get((module.as_str(), None))?.map(|record| record.value().to_vec());
                let before = before.get(module.as_str())?.map(|tag| tag.value().to_vec());
                Ok([now, before])
            };
            let [now, before] = self.with(read).map_err(|error| self.failed(error))?;
            let now = now.map(|now| Ok::<_, StoreError>(record::read(&self.path, &now)?.tag.ahead));
            let before = before.map(|tag| Ok::<_, StoreError>(open::<SavedStateTag>(&self.path, &tag)?.ahead));
            let named = [now.transpose()?, before.transpose()?];
            Ok(named
                .into_iter()
                .flatten()
                .flatten()
                .map(|ahead| ahead.number)
                .collect())
        })
    }

    /// A state as it was read, with what lies in a file.
    pub(super) fn joined(&self, mut state: SavedState) -> Result<SavedState, StoreError> {
        if let Some(ahead) = state.tag.ahead.take() {
            let mut all = self.chunks.read(&state.tag.module, ahead)?;
            all.extend_from_slice(&state.bytes);
            state.bytes = all.into();
        }
        Ok(state)
    }

    /// What is known of a file with this content.
    pub fn file(&self, digest: &Digest) -> Result<Option<FileRecord>, StoreError> {
        let read = |database: &Database| -> Result<Option<Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(FILES)?;
            Ok(table
                .get(digest.to_string().as_str())?
                .map(|found| found.value().to_vec()))
        };
        self.opened(self.with(read))
    }

    /// Writes down what became of a file, durably.
    pub fn put_file(&self, digest: &Digest, record: &FileRecord) -> Result<(), StoreError> {
        let sealed = seal(record)?;
        self.write(true, |transaction| {
            transaction
                .open_table(FILES)?
                .insert(digest.to_string().as_str(), sealed.as_slice())?;
            Ok(())
        })
    }

    /// Forgets a file: it counts as new when it is seen again.
    pub fn delete_file(&self, digest: &Digest) -> Result<(), StoreError> {
        self.write(true, |transaction| {
            transaction.open_table(FILES)?.remove(digest.to_string().as_str())?;
            Ok(())
        })
    }

    /// Runs `change` in one transaction. On an error nothing of it is kept.
    pub(super) fn write<T>(
        &self,
        to_disk: impl Into<ToDisk>,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let to_disk = to_disk.into();
        let run = |database: &Database| -> Result<T, redb::Error> {
            let mut transaction = database.begin_write()?;
            // Writers come one after another: the one before has ended.
            let unflushed = self.unflushed.swap(to_disk != ToDisk::Now, Ordering::AcqRel);
            match to_disk {
                ToDisk::Later => transaction.set_durability(Durability::None)?,
                // A start after a crash is to be quick however large the states are; that costs a commit little.
                ToDisk::Now => transaction.set_quick_repair(true),
                ToDisk::Soonest => {}
            }
            let written = change(&transaction).and_then(|changed| {
                transaction.commit()?;
                Ok(changed)
            });
            if written.is_err() {
                self.unflushed.fetch_or(unflushed, Ordering::AcqRel);
            }
            written
        };
        self.with(run).map_err(|error| self.failed(error))
    }

    /// As [`Catalog::write`], where states are written or removed.
    pub(super) fn write_states<T>(
        &self,
        to_disk: impl Into<ToDisk>,
        change: impl FnOnce(&WriteTransaction, &mut Changes) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut counts = self.counts();
        let mut changes = Changes::default();
        let written = self.write(to_disk, |transaction| change(transaction, &mut changes));
        match &written {
            Ok(_) => counts.apply(changes),
            Err(_) => counts.forget(),
        }
        written
    }

    pub(super) fn opened<T: DeserializeOwned>(
        &self,
        read: Result<Option<Vec<u8>>, redb::Error>,
    ) -> Result<Option<T>, StoreError> {
        read.map_err(|error| self.failed(error))?
            .map(|sealed| open(&self.path, &sealed))
            .transpose()
    }

    pub(super) fn failed(&self, error: redb::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }
}

pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// An empty catalog with all its tables. Built under another name: a crash in the middle must not leave half a file behind.
fn create(state: &Path, path: &Path) -> Result<(), StoreError> {
    let new = state.join("catalog.redb.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(&new, error)),
        _ => {}
    }
    let meta = seal(&Meta::default())?;
    let fill = || -> Result<(), redb::Error> {
        let database = builder().create(&new)?;
        let transaction = database.begin_write()?;
        make_tables(&transaction)?;
        transaction.open_table(META)?.insert("meta", meta.as_slice())?;
        transaction.commit()?;
        Ok(database.close()?)
    };
    fill().map_err(|error| StoreError::database(&new, error))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&new, private).map_err(|error| StoreError::io(&new, error))?;
    std::fs::rename(&new, path).map_err(|error| StoreError::io(path, error))?;
    sync_dir(state)
}

/// All tables: an older wasmhot knew fewer.
fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?;
    transaction.open_table(REVISIONS)?;
    transaction.open_table(STATES)?;
    transaction.open_table(STATE_BYTES)?;
    transaction.open_table(FILES)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(BEFORE)?;
    transaction.open_table(BEFORE_BYTES)?;
    transaction.open_table(INSTALLED)?;
    Ok(())
}

/// What is known of the content stays, but for the bar.
fn lift(files: &mut Table<'_, &str, &[u8]>, digest: &Digest) -> Result<(), redb::Error> {
    let place = digest.to_string();
    let known = files
        .get(place.as_str())?
        .and_then(|known| open::<FileRecord>(Path::new("catalog"), known.value()).ok());
    if let Some(known) = known.filter(|known| known.barred.is_some())
        && let Ok(sealed) = seal(&FileRecord { barred: None, ..known })
    {
        files.insert(place.as_str(), sealed.as_slice())?;
    }
    Ok(())
}
