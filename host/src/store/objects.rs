//! The bytes of every version the host may still need, each under its sha256.
//!
//! Invariant: a file under its final name is whole and was synced before it got that name; [`Objects::get`] checks the digest
//! all the same, since the disk may have changed it.

use super::{StoreError, private_dir, sync_dir};

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmhot_appup::Digest;

/// `<state>/objects`. Blocking.
#[derive(Debug)]
pub struct Objects {
    dir: PathBuf,
    /// Temporary files of one process do not meet; those of a crashed one are swept at the next opening.
    next_temp: AtomicU64,
}

impl Objects {
    /// Opens or makes the directory, and sweeps what a crash left half written.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let dir = state.join("objects");
        private_dir(&dir)?;
        let objects = Objects {
            dir,
            next_temp: AtomicU64::new(0),
        };
        for name in objects.names()? {
            if name.starts_with(TEMP) {
                objects.unlink(&objects.dir.join(name))?;
            }
        }
        Ok(objects)
    }

    /// Where the object lies, whether it is there or not.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    /// Keeps `bytes`, durably, and gives their digest. Bytes that are there already (and unharmed) are not written again.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.put_known(&digest, bytes)?;
        Ok(digest)
    }

    /// The same, where the digest of the bytes is known.
    pub(crate) fn put_known(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if read_unlinked(&self.path(digest)).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        let temp = self.dir.join(format!(
            "{TEMP}{}-{}",
            std::process::id(),
            self.next_temp.fetch_add(1, Ordering::Relaxed)
        ));
        let written = write_synced(&temp, bytes).and_then(|()| std::fs::rename(&temp, self.path(digest)));
        if let Err(error) = written {
            // A full disk must not get fuller; if even the removal fails, the next opening sweeps.
            let _ = std::fs::remove_file(&temp);
            return Err(StoreError::io(&self.path(digest), error));
        }
        sync_dir(&self.dir)
    }

    /// The bytes with this digest: `None` if they are not kept, an error if they were changed on disk.
    pub fn get(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let Some(bytes) = self.get_unchecked(digest)? else {
            return Ok(None);
        };
        self.check(digest, &bytes)?;
        Ok(Some(bytes.into()))
    }

    /// The bytes under this name, whatever they are.
    pub(crate) fn get_unchecked(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        match read_unlinked(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    /// An error if these bytes, which were found under this name, were changed on disk.
    pub(crate) fn check(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let found = Digest::of(bytes);
        if found == *digest {
            return Ok(());
        }
        Err(StoreError::Changed {
            path: self.path(digest),
            found: found.to_string(),
        })
    }

    /// Removes an object; one that is not there is no error.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.unlink(&self.path(digest))
    }

    /// The digests of all objects kept. Foreign files are passed over.
    pub fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests: Vec<Digest> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_suffix(".wasm")?.parse().ok())
            .collect();
        digests.sort();
        Ok(digests)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error| StoreError::io(&self.dir, error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn unlink(&self, path: &Path) -> Result<(), StoreError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, error)),
            _ => Ok(()),
        }
    }
}

const TEMP: &str = ".new-";

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a file, not what a symbolic link in its place points to.
fn read_unlinked(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut bytes = Vec::new();
    File::from(rustix::fs::open(path, flags, Mode::empty())?).read_to_end(&mut bytes)?;
    Ok(bytes)
}
