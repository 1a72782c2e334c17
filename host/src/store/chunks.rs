//! Chunks of large states, written while the state is still being taken out of its instance: so a switch has to write only the rest.
//!
//! A file holds chunks one after another, each framed: its length (`u32`) and its checksum (`u64`, both little endian), then the bytes.
//! The tag of a saved state names the file and how much of it belongs to the state.
//!
//! Invariants:
//! - A file that no tag names and nobody writes is swept, at a start and with [`Catalog::flush`](super::Catalog::flush).
//! - What a tag names was synced before the tag was written.

use super::{Checksum, StoreError, private_dir, sync_dir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use wasmhot_appup::ModuleName;

/// Bytes of length and checksum before a chunk.
const HEAD: usize = 4 + size_of::<u64>();

/// The part of a saved state that lies in a file of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// Which file of the module.
    pub number: u64,
    /// How much of it.
    pub bytes: u64,
}

/// `<state>/chunks`. Blocking.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    dir: PathBuf,
    numbers: Mutex<Numbers>,
    /// Held while nothing may be swept.
    sweeping: Mutex<()>,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    /// Of files that somebody has in his hands.
    open: BTreeSet<u64>,
}

impl ChunkFiles {
    pub(super) fn open(state: &Path) -> Result<Arc<Self>, StoreError> {
        let dir = state.join("chunks");
        private_dir(&dir)?;
        let files = Self {
            dir,
            numbers: Mutex::new(Numbers {
                next: 1,
                open: BTreeSet::new(),
            }),
            sweeping: Mutex::new(()),
        };
        let last = files.list()?.into_iter().map(|(_, number)| number).max();
        files.lock().next = last.unwrap_or(0) + 1;
        Ok(Arc::new(files))
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().expect("no panic under this lock")
    }

    fn path(&self, module: &ModuleName, number: u64) -> PathBuf {
        self.dir.join(format!("{module}.{number}"))
    }

    /// A new file, which goes when the last clone of it is dropped and no tag names it.
    pub(crate) fn create(self: &Arc<Self>, module: &ModuleName) -> Result<ChunkFile, StoreError> {
        let number = {
            let mut numbers = self.lock();
            let number = numbers.next;
            numbers.next += 1;
            numbers.open.insert(number);
            number
        };
        let path = self.path(module, number);
        let opened = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => Ok(ChunkFile {
                files: Arc::clone(self),
                number,
                path,
                file,
                bytes: 0,
            }),
            Err(error) => {
                self.lock().open.remove(&number);
                Err(StoreError::io(&path, error))
            }
        }
    }

    /// The chunks of a state, framed. Each is held against its checksum.
    pub(super) fn read(&self, module: &ModuleName, ahead: Ahead) -> Result<Vec<u8>, StoreError> {
        let path = self.path(module, ahead.number);
        let mut bytes = std::fs::read(&path).map_err(|error| StoreError::io(&path, error))?;
        let damaged = |why: &str| StoreError::Corrupt {
            path: path.clone(),
            why: why.to_owned(),
        };
        let length = usize::try_from(ahead.bytes).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return Err(damaged("it is cut short"));
        }
        bytes.truncate(length);
        let fault = chunks_in(&bytes).find_map(Result::err);
        fault.map_or(Ok(bytes), |why| Err(damaged(&why)))
    }

    fn list(&self) -> Result<Vec<(ModuleName, u64)>, StoreError> {
        let failed = |error| StoreError::io(&self.dir, error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let parts = name.to_str().and_then(|name| name.rsplit_once('.'));
            let known =
                parts.and_then(|(module, number)| Some((ModuleName::parse(module).ok()?, number.parse().ok()?)));
            found.extend(known);
        }
        Ok(found)
    }

    /// Removes the files that nobody writes and no tag names, as `named` tells.
    pub(super) fn sweep(&self, named: impl Fn(&ModuleName) -> Result<Vec<u64>, StoreError>) -> Result<(), StoreError> {
        // A backup copies them just now: the next time.
        let Ok(_sweeping) = self.sweeping.try_lock() else {
            return Ok(());
        };
        for (module, number) in self.list()? {
            // In this order: one that is closed meanwhile has been named before.
            if self.lock().open.contains(&number) || named(&module)?.contains(&number) {
                continue;
            }
            let path = self.path(&module, number);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Nothing is swept while this is held.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.sweeping.lock().expect("no panic under this lock")
    }

    /// Copies all files to those under another state directory.
    pub(super) fn copy_to(&self, state: &Path) -> Result<(), StoreError> {
        copy_all(&self.dir, &state.join("chunks"))
    }
}

/// Copies the files of chunks of a backup, if it has any.
pub(super) fn restore(backup: &Path, state: &Path) -> Result<(), StoreError> {
    let from = backup.join("chunks");
    match from.is_dir() {
        true => copy_all(&from, &state.join("chunks")),
        false => Ok(()),
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<(), StoreError> {
    private_dir(to)?;
    for entry in std::fs::read_dir(from).map_err(|error| StoreError::io(from, error))? {
        let entry = entry.map_err(|error| StoreError::io(from, error))?;
        let copy = to.join(entry.file_name());
        let copied = std::fs::copy(entry.path(), &copy).and_then(|_| File::open(&copy)?.sync_all());
        copied.map_err(|error| StoreError::io(&copy, error))?;
    }
    sync_dir(to)
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct ChunkFile {
    files: Arc<ChunkFiles>,
    number: u64,
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl ChunkFile {
    /// Puts framed chunks behind what is there.
    pub(crate) fn append(&mut self, framed: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(framed);
        written.map_err(|error| StoreError::io(&self.path, error))?;
        self.bytes += framed.len() as u64;
        Ok(())
    }

    /// Returns when what was written is on the disk, under its name.
    pub(crate) fn sync(&self) -> Result<Ahead, StoreError> {
        let synced = self.file.sync_data();
        synced.map_err(|error| StoreError::io(&self.path, error))?;
        sync_dir(&self.files.dir)?;
        Ok(self.ahead())
    }

    /// What a tag says of it.
    pub(crate) fn ahead(&self) -> Ahead {
        Ahead {
            number: self.number,
            bytes: self.bytes,
        }
    }
}

impl Drop for ChunkFile {
    fn drop(&mut self) {
        self.files.lock().open.remove(&self.number);
    }
}

/// Puts a chunk, framed, behind what is there. False if it has 4 GiB or more.
#[must_use]
pub(crate) fn frame(chunk: &[u8], into: &mut Vec<u8>) -> bool {
    let Ok(length) = u32::try_from(chunk.len()) else {
        return false;
    };
    into.reserve(HEAD + chunk.len());
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&Checksum::of(chunk).to_le_bytes());
    into.extend_from_slice(chunk);
    true
}

/// The framed chunks in some bytes. One that is cut short or damaged is an error, in a few words, and the last.
pub(crate) fn chunks_in(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let chunk = first(left);
        left = chunk.as_ref().map_or(&[], |(_, behind)| behind);
        Some(chunk.map(|(chunk, _)| chunk))
    })
}

fn first(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let cut = || "a chunk is cut short".to_owned();
    let (length, behind) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
    let (sum, behind) = behind.split_first_chunk::<8>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (chunk, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
    if Checksum::of(chunk).to_le_bytes() != *sum {
        return Err("a chunk is damaged".to_owned());
    }
    Ok((chunk, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(chunks: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(chunks.iter().all(|chunk| frame(chunk, &mut bytes)));
        bytes
    }

    #[test]
    fn chunks_are_read_as_they_were_framed_and_cut_or_changed_ones_are_refused() {
        let chunks: [&[u8]; 3] = [b"one", b"", b"three"];
        let bytes = framed(&chunks);
        let read = |bytes: &[u8]| {
            chunks_in(bytes)
                .map(|chunk| chunk.map(<[u8]>::to_vec))
                .collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(read(&bytes), Ok(chunks.map(<[u8]>::to_vec).to_vec()));
        assert_eq!(read(&[]), Ok(Vec::new()));
        // Between two chunks nothing is missing for this reader: the tag knows the length.
        let whole = [HEAD + 3, 2 * HEAD + 3];
        for cut in (1..bytes.len()).filter(|cut| !whole.contains(cut)) {
            assert!(read(&bytes[..cut]).is_err(), "{cut}");
        }
        for place in [HEAD, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(read(&changed), Err("a chunk is damaged".to_owned()));
        }
    }

    #[test]
    fn files_that_no_tag_names_are_swept_when_nobody_writes_them() {
        let state = tempfile::tempdir().expect("a folder");
        let files = ChunkFiles::open(state.path()).expect("opens");
        let module = ModuleName::parse("a-b").expect("a name");
        let [mut named, mut open, closed] = [(); 3].map(|()| files.create(&module).expect("is made"));
        let bytes = framed(&[b"state"]);
        for file in [&mut named, &mut open] {
            file.append(&bytes).expect("is written");
        }
        let ahead = named.sync().expect("is synced");
        drop((named, closed));
        files.sweep(|_| Ok(vec![ahead.number])).expect("sweeps");
        assert_eq!(files.list().expect("lists").len(), 2);
        assert_eq!(files.read(&module, ahead).expect("is read"), bytes);
        let longer = Ahead {
            bytes: ahead.bytes + 1,
            ..ahead
        };
        assert!(matches!(files.read(&module, longer), Err(StoreError::Corrupt { .. })));
        // Numbers are not used again.
        let again = ChunkFiles::open(state.path()).expect("opens");
        assert!(again.create(&module).expect("is made").number > open.number);
        drop(open);
        files.sweep(|_| Ok(Vec::new())).expect("sweeps");
        assert_eq!(files.list().expect("lists").len(), 0);
    }
}
