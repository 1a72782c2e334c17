//! The key-value store of the modules: buckets of keys, in a database of its own beside the catalog.
//!
//! Invariants:
//! - A write that was answered is on the disk; writes that come together are written together.
//! - Each value has a stamp that no other value of the store ever had: a swap finds out whether it was changed meanwhile.
//! - The file is made when a module first opens a bucket.

use super::catalog::builder;
use super::{StoreError, private_dir, sync_dir};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// The key-value store in a state directory, and in a backup.
pub(super) const FILE: &str = "keyvalue.redb";

/// (bucket, key) → stamp, then the value.
const VALUES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("values");
/// One number: the last stamp that was given.
const STAMPS: TableDefinition<'_, &str, u64> = TableDefinition::new("stamps");
const LAST: &str = "last";

/// The longest key, in bytes.
pub(crate) const KEY_MAX: usize = 4 << 10;
/// The largest value, in bytes.
pub(crate) const VALUE_MAX: usize = 16 << 20;
/// Keys that are listed at once.
pub(crate) const PAGE: usize = 1000;
/// Writes that are written together at most.
const TOGETHER_MAX: usize = 256;

type Answer<T> = Result<T, String>;
type Found = Option<(u64, Vec<u8>)>;
type Writes<'t> = Table<'t, (&'static str, &'static str), &'static [u8]>;

/// The store of one host.
pub(crate) struct KeyValue {
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

enum State {
    /// Nobody has used it yet.
    Untouched,
    Open(Opened, std::thread::JoinHandle<()>),
    Closed,
}

#[derive(Clone)]
struct Opened {
    database: Arc<Database>,
    writer: mpsc::UnboundedSender<Order>,
}

/// A change of one bucket.
pub(crate) enum Change {
    /// Sets these keys.
    Set(Vec<(String, Vec<u8>)>),
    /// Deletes these keys.
    Delete(Vec<String>),
    /// Adds to the number that is the value; one that is absent is 0. The result must lie within the bounds.
    Add {
        key: String,
        delta: i128,
        least: i128,
        most: i128,
    },
    /// Sets a key if its stamp is still this one; 0 is that of a key that is absent.
    Swap { key: String, stamp: u64, value: Vec<u8> },
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Done,
    /// The number after [`Change::Add`].
    Number(i128),
    /// [`Change::Swap`] did nothing: this is what is there now.
    Other(Found),
}

struct Order {
    bucket: String,
    change: Change,
    reply: oneshot::Sender<Answer<Changed>>,
}

impl KeyValue {
    /// The store under this state directory; without one there is none.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        Self {
            folder: state.map(Path::to_path_buf),
            state: Mutex::new(State::Untouched),
        }
    }

    /// Lets go of the file, when what was asked for is written. What comes later is an error.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(
            &mut *self.state.lock().expect("no panic under this lock"),
            State::Closed,
        );
        if let State::Open(opened, writer) = state {
            drop(opened);
            // It ends when nobody can ask it for anything any more; a panic of it has been answered to those who waited.
            let _ = writer.join();
        }
    }

    fn opened(&self) -> Answer<Opened> {
        let mut state = self.state.lock().expect("no panic under this lock");
        match &*state {
            State::Open(opened, _) => return Ok(opened.clone()),
            State::Closed => return Err("the host has stopped".to_owned()),
            State::Untouched => {}
        }
        let folder = self.folder.as_deref().ok_or("there is no key-value store here")?;
        let database = Arc::new(open_file(folder).map_err(|error| error.to_string())?);
        let (writer, orders) = mpsc::unbounded_channel();
        let writes = Arc::clone(&database);
        let thread = std::thread::Builder::new().name("wasmhot-keyvalue".to_owned());
        let thread = thread
            .spawn(move || write_all(&writes, orders))
            .map_err(|error| error.to_string())?;
        let opened = Opened { database, writer };
        *state = State::Open(opened.clone(), thread);
        Ok(opened)
    }

    /// What is on the disk now.
    fn values(&self) -> Answer<ReadOnlyTable<(&'static str, &'static str), &'static [u8]>> {
        let read = self.opened()?.database.begin_read().map_err(failed)?;
        read.open_table(VALUES).map_err(failed)
    }

    /// The values of these keys with their stamps. Blocks on the disk.
    pub(crate) fn get(&self, bucket: &str, keys: &[String]) -> Answer<Vec<Found>> {
        let table = self.values()?;
        let get = |key: &String| {
            Ok(table
                .get((bucket, key.as_str()))
                .map_err(failed)?
                .map(|found| split(found.value())))
        };
        keys.iter().map(get).collect()
    }

    /// Keys of a bucket in their order: at most [`PAGE`] of them, behind `after` and without the first `skip`; and whether there are
    /// more. Blocks on the disk.
    pub(crate) fn keys(&self, bucket: &str, after: Option<&str>, skip: usize) -> Answer<(Vec<String>, bool)> {
        let table = self.values()?;
        let from = after.map_or(Bound::Included((bucket, "")), |after| Bound::Excluded((bucket, after)));
        let mut found = Vec::new();
        for entry in table.range((from, Bound::Unbounded)).map_err(failed)?.skip(skip) {
            let (key, _) = entry.map_err(failed)?;
            let (of, key) = key.value();
            if of != bucket {
                break;
            }
            if found.len() == PAGE {
                return Ok((found, true));
            }
            found.push(key.to_owned());
        }
        Ok((found, false))
    }

    /// Changes a bucket. What it comes to is on the disk when this returns.
    pub(crate) async fn change(&self, bucket: &str, change: Change) -> Answer<Changed> {
        let (reply, answer) = oneshot::channel();
        let order = Order {
            bucket: bucket.to_owned(),
            change,
            reply,
        };
        let sent = self.opened()?.writer.send(order);
        sent.map_err(|_| "the key-value store was closed".to_owned())?;
        answer
            .await
            .unwrap_or_else(|_| Err("the key-value store was closed".to_owned()))
    }

    /// Copies everything, as it is at one moment, into a new store under `folder`, if there is any. Blocks on the disk.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<(), StoreError> {
        let Some(state) = &self.folder else { return Ok(()) };
        let path = state.join(FILE);
        if !path.try_exists().map_err(|error| StoreError::io(&path, error))? {
            return Ok(());
        }
        let open = self
            .opened()
            .map_err(|error| StoreError::io(&path, std::io::Error::other(error)))?;
        let copy = || -> Result<(), redb::Error> {
            let moment = open.database.begin_read()?;
            let copy = builder().create(folder.join(FILE))?;
            let to = copy.begin_write()?;
            super::backup::copy_table(&moment, &to, VALUES)?;
            super::backup::copy_table(&moment, &to, STAMPS)?;
            to.commit()?;
            Ok(())
        };
        copy().map_err(|error| StoreError::database(&path, error))
    }
}

/// Makes the store of a state directory that has none yet, out of a backup that may have one.
pub(super) fn restore(backup: &Path, state: &Path) -> Result<(), StoreError> {
    let (from, to) = (backup.join(FILE), state.join(FILE));
    if !from.try_exists().map_err(|error| StoreError::io(&from, error))? {
        return Ok(());
    }
    std::fs::copy(&from, &to).map_err(|error| StoreError::io(&from, error))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&to, private).map_err(|error| StoreError::io(&to, error))?;
    open_file(state)?;
    let synced = std::fs::File::open(&to).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::io(&to, error))
}

fn open_file(folder: &Path) -> Result<Database, StoreError> {
    private_dir(folder)?;
    let path = folder.join(FILE);
    if !path.try_exists().map_err(|error| StoreError::io(&path, error))? {
        create(folder, &path)?;
    }
    builder()
        .open(&path)
        .map_err(|error| StoreError::database(&path, error.into()))
}

/// An empty store. Built under another name: a crash in the middle must not leave half a file behind.
fn create(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let new = folder.join("keyvalue.redb.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(&new, error)),
        _ => {}
    }
    let make = || -> Result<(), redb::Error> {
        let database = builder().create(&new)?;
        let transaction = database.begin_write()?;
        transaction.open_table(VALUES)?;
        transaction.open_table(STAMPS)?;
        transaction.commit()?;
        Ok(())
    };
    make().map_err(|error| StoreError::database(&new, error))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    let settled = std::fs::set_permissions(&new, private).and_then(|()| std::fs::rename(&new, path));
    settled.map_err(|error| StoreError::io(path, error))?;
    sync_dir(folder)
}

/// Stamp and value, as they are kept together.
fn split(kept: &[u8]) -> (u64, Vec<u8>) {
    match kept.split_first_chunk() {
        Some((stamp, value)) => (u64::from_le_bytes(*stamp), value.to_vec()),
        None => (0, Vec::new()),
    }
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("the key-value store failed: {error}")
}

/// Serves all writes, one transaction after another, until the store is closed.
fn write_all(database: &Database, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut together = vec![first];
        while together.len() < TOGETHER_MAX
            && let Ok(next) = orders.try_recv()
        {
            together.push(next);
        }
        let written = write(database, &together);
        for (place, order) in together.into_iter().enumerate() {
            let answer = match &written {
                Ok(answers) => answers.get(place).cloned().unwrap_or(Ok(Changed::Done)),
                Err(error) => Err(failed(error)),
            };
            // Whoever asked may be gone.
            let _ = order.reply.send(answer);
        }
    }
}

fn write(database: &Database, orders: &[Order]) -> Result<Vec<Answer<Changed>>, redb::Error> {
    let transaction = database.begin_write()?;
    let mut answers = Vec::with_capacity(orders.len());
    {
        let mut stamps = transaction.open_table(STAMPS)?;
        let mut values = transaction.open_table(VALUES)?;
        let mut last = stamps.get(LAST)?.map_or(0, |last| last.value());
        for order in orders {
            answers.push(apply(&mut values, &mut last, &order.bucket, &order.change)?);
        }
        stamps.insert(LAST, last)?;
    }
    transaction.commit()?;
    Ok(answers)
}

fn apply(
    values: &mut Writes<'_>,
    last: &mut u64,
    bucket: &str,
    change: &Change,
) -> Result<Answer<Changed>, redb::Error> {
    let mut set = |values: &mut Writes<'_>, key: &str, value: &[u8]| -> Result<(), redb::Error> {
        *last += 1;
        let kept = [last.to_le_bytes().as_slice(), value].concat();
        values.insert((bucket, key), kept.as_slice())?;
        Ok(())
    };
    let get = |values: &Writes<'_>, key: &str| -> Result<Found, redb::Error> {
        Ok(values.get((bucket, key))?.map(|found| split(found.value())))
    };
    match change {
        Change::Set(pairs) => {
            for (key, value) in pairs {
                set(values, key, value)?;
            }
        }
        Change::Delete(keys) => {
            for key in keys {
                values.remove((bucket, key.as_str()))?;
            }
        }
        Change::Add {
            key,
            delta,
            least,
            most,
        } => {
            let found = get(values, key)?;
            let text = found
                .as_ref()
                .map_or("0".into(), |(_, value)| String::from_utf8_lossy(value));
            let Ok(number) = text.parse::<i128>() else {
                return Ok(Err(format!("the value of {key:?} is no number")));
            };
            let Some(sum) = number.checked_add(*delta).filter(|sum| (*least..=*most).contains(sum)) else {
                return Ok(Err(format!("the value of {key:?} would be too large")));
            };
            set(values, key, sum.to_string().as_bytes())?;
            return Ok(Ok(Changed::Number(sum)));
        }
        Change::Swap { key, stamp, value } => {
            let found = get(values, key)?;
            if found.as_ref().map_or(0, |(stamp, _)| *stamp) != *stamp {
                return Ok(Ok(Changed::Other(found)));
            }
            set(values, key, value)?;
        }
    }
    Ok(Ok(Changed::Done))
}

#[cfg(test)]
#[path = "keyvalue_tests.rs"]
mod tests;
