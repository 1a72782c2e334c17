//! A pack becomes a folder with a release in it, or nothing.
//!
//! Invariants:
//! - A pack may come from anybody: no byte is written outside of the new folder, and none that its contents do not announce.
//! - The folder gets its name when it is whole, synced, and a release that a host would take. Until then it is `.NAME.installing`
//!   beside it, locked by whoever fills it; what a crash left there goes with the next attempt.

use super::pack::{CONTENTS, Contents, FILES_MAX, FORMAT, PACK_MAX, PackedFile, RELEASE, path_trick};
use super::paths::{io, settled};
use super::release::ReadRelease;
use crate::control::protocol::{Exit, Failure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use wasmhot_appup::Digest;

/// The list of contents may have 2 MiB, with what belongs to the archive around it.
const CONTENTS_MAX: u64 = 2 << 20;
/// What an archive may have around each file, long names included.
const AROUND_MAX: u64 = 8 << 10;

/// An installed release.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// What was in the pack.
    pub(crate) contents: Contents,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// It was there already, with the same files.
    pub(crate) already: bool,
}

fn bad(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(code, Exit::Refused, message)
}

/// Installs a pack into `to`, or into `NAME-VERSION` here.
///
/// # Errors
/// The pack is not whole or not well meant, its release would be refused, or there is another folder of that name. Nothing is left
/// then.
pub(crate) fn install(pack: &Path, to: Option<&Path>) -> Result<Installed, Failure> {
    let refused = |failure: Failure| Failure {
        message: format!("{}: {}", pack.display(), failure.message),
        ..failure
    };
    let mut reader = PackReader::open(pack)?;
    let result = (|| {
        let mut tar = tar::Archive::new(reader.source()?);
        let mut entries = tar.entries().map_err(|error| damaged(&error))?;
        let contents = read_contents(&mut entries, &reader.left)?;
        let named = || PathBuf::from(format!("{}-{}", contents.name, contents.version));
        let folder = to.map_or_else(named, Path::to_path_buf);
        let staging = Staging::make(&folder)?;
        for file in &contents.files {
            let bytes = read_entry(&mut entries, file)?;
            staging.write(file, &bytes)?;
        }
        if let Some(more) = entries.next() {
            let more = more.map_err(|error| damaged(&error))?;
            let path = String::from_utf8_lossy(&more.path_bytes()).into_owned();
            return Err(bad(
                "not-announced",
                format!("{path:?} is in it, but not in its {CONTENTS}"),
            ));
        }
        rest(&mut tar.into_inner())?;
        staging.is_release(&contents)?;
        let already = staging.finish(&contents)?;
        Ok(Installed {
            contents,
            folder,
            already,
        })
    })();
    result.map_err(refused)
}

/// What a damaged archive comes to, by the words of whoever found out.
fn damaged(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("truncated", format!("it ends too early: {error}")),
        std::io::ErrorKind::FileTooLarge => bad("too-large", error.to_string()),
        _ => bad("damaged", format!("not a pack, or a damaged one: {error}")),
    }
}

/// The file, and how much may still come out of it.
struct PackReader {
    file: Option<File>,
    left: Rc<Cell<u64>>,
}

impl PackReader {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| io(path, &error))?;
        let found = file.metadata().map_err(|error| io(path, &error))?;
        if !found.is_file() {
            return Err(bad("not-a-file", format!("{}: not a file", path.display())));
        }
        Ok(Self {
            file: Some(file),
            left: Rc::new(Cell::new(CONTENTS_MAX)),
        })
    }

    fn source(&mut self) -> Result<Limited, Failure> {
        let file = self
            .file
            .take()
            .ok_or_else(|| Failure::new("internal", Exit::Bug, "read twice"))?;
        let decoder = StreamingDecoder::new(BufReader::new(file))
            .map_err(|error| bad("damaged", format!("not a pack, or a damaged one: {error}")))?;
        Ok(Limited {
            inner: decoder,
            left: Rc::clone(&self.left),
        })
    }
}

/// Gives no more bytes than its reader has allowed so far: a small archive may hold a large one.
struct Limited {
    inner: StreamingDecoder<BufReader<File>, FrameDecoder>,
    left: Rc<Cell<u64>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            let why = "more comes out of it than its contents announce";
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
        }
        let length = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..length])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

fn read_contents<R: Read>(entries: &mut tar::Entries<'_, R>, left: &Rc<Cell<u64>>) -> Result<Contents, Failure> {
    let not_one = || bad("not-a-pack", format!("not a pack: it does not begin with {CONTENTS}"));
    let mut entry = match entries.next() {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(damaged(&error)),
        None => return Err(not_one()),
    };
    if &*entry.path_bytes() != CONTENTS.as_bytes() || !entry.header().entry_type().is_file() {
        return Err(not_one());
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(|error| damaged(&error))?;
    let wrong = |why: String| bad("bad-contents", format!("its {CONTENTS} cannot be read: {why}"));
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    match json.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(newer) => {
            return Err(wrong(format!(
                "it is of format {newer}, which this wasmhot does not know"
            )));
        }
        None => return Err(wrong("it has no format".to_string())),
    }
    let contents: Contents = serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
    check_contents(&contents)?;
    let total: u64 = contents
        .files
        .iter()
        .map(|file| file.size.saturating_add(AROUND_MAX))
        .sum();
    left.set(total + AROUND_MAX);
    Ok(contents)
}

fn check_contents(contents: &Contents) -> Result<(), Failure> {
    let name = &contents.name;
    if path_trick(name).is_some() || name.contains('/') || name.len() > 100 {
        return Err(bad("bad-contents", format!("{name:?} is no name of a release")));
    }
    if contents.files.len() > FILES_MAX {
        let message = format!("it has {} files; a pack may have {FILES_MAX}", contents.files.len());
        return Err(bad("too-large", message));
    }
    let total = contents
        .files
        .iter()
        .try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    if total.is_none_or(|total| total > PACK_MAX) {
        return Err(bad("too-large", format!("its files have more than {PACK_MAX} bytes")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for file in &contents.files {
        if let Some(why) = path_trick(&file.path) {
            return Err(bad("bad-path", format!("the path {:?} is refused: {why}", file.path)));
        }
        if file.path == CONTENTS || !seen.insert(&file.path) {
            return Err(bad("duplicate", format!("{:?} is in it twice", file.path)));
        }
    }
    if !contents.files.iter().any(|file| file.path == RELEASE) {
        return Err(bad("bad-contents", format!("there is no {RELEASE} in it")));
    }
    Ok(())
}

/// The next file, which has to be this one.
fn read_entry<R: Read>(entries: &mut tar::Entries<'_, R>, file: &PackedFile) -> Result<Vec<u8>, Failure> {
    let mut entry = match entries.next() {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(damaged(&error)),
        None => return Err(bad("truncated", format!("it ends before {:?}", file.path))),
    };
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if !entry.header().entry_type().is_file() {
        let kind = match entry.header().entry_type() {
            tar::EntryType::Symlink => "a symbolic link",
            tar::EntryType::Link => "a link",
            tar::EntryType::Directory => "a folder",
            tar::EntryType::Char | tar::EntryType::Block => "a device",
            tar::EntryType::Fifo => "a named pipe",
            _ => "no file",
        };
        return Err(bad(
            "not-a-file",
            format!("{path:?} in it is {kind}; a pack has plain files only"),
        ));
    }
    if let Some(why) = path_trick(&path) {
        return Err(bad("bad-path", format!("the path {path:?} is refused: {why}")));
    }
    if path != file.path {
        let message = format!("{path:?} is in it where its {CONTENTS} announces {:?}", file.path);
        return Err(bad("not-announced", message));
    }
    if entry.size() != file.size {
        let message = format!("{path:?} has {} bytes, and not {}", entry.size(), file.size);
        return Err(bad("wrong-size", message));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if bytes.len() as u64 != file.size {
        return Err(bad("truncated", format!("it ends in the middle of {path:?}")));
    }
    let found = Digest::of(&bytes);
    if found != file.sha256 {
        let message = format!("{path:?}: its sha256 is {found}, not {}", file.sha256);
        return Err(bad("wrong-digest", message));
    }
    Ok(bytes)
}

/// After the last file come zeros only, and the compressed frame is whole and the only one.
fn rest(source: &mut Limited) -> Result<(), Failure> {
    let mut rest = Vec::new();
    source.read_to_end(&mut rest).map_err(|error| damaged(&error))?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(bad("not-announced", "something comes after its last file"));
    }
    let decoder = &source.inner.decoder;
    let announced = decoder.get_checksum_from_data();
    if announced.is_some() && announced != decoder.get_calculated_checksum() {
        return Err(bad("damaged", "a damaged pack: its checksum is another"));
    }
    match source.inner.get_mut().read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(bad("not-announced", "something comes after its end")),
        Err(error) => Err(damaged(&error)),
    }
}

/// The folder while it is filled. It goes when this is dropped, unless it has got its name.
struct Staging {
    folder: PathBuf,
    staging: PathBuf,
    /// Keeps others away.
    lock: File,
    finished: Cell<bool>,
}

impl Staging {
    fn make(folder: &Path) -> Result<Self, Failure> {
        let name = folder.file_name().ok_or_else(|| {
            bad(
                "bad-path",
                format!(
                    "{}: this names no new directory: give a path that ends in a name",
                    folder.display()
                ),
            )
        })?;
        let parent = settled(folder.parent().unwrap_or(Path::new("")))?;
        let folder = parent.join(name);
        let staging = parent.join(format!(".{}.installing", name.to_string_lossy()));
        match std::fs::create_dir(&staging) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(&staging, &error)),
            _ => {}
        }
        let busy = || {
            let message = format!("{}: somebody else is installing it", folder.display());
            Failure::new("busy", Exit::Busy, message)
        };
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let lock = rustix::fs::open(&staging, flags, rustix::fs::Mode::empty())
            .map_err(|error| io(&staging, &error.into()))?;
        let lock = File::from(lock);
        lock.try_lock().map_err(|_| busy())?;
        // Between the opening and the lock it may have got its name.
        let inode = |found: std::io::Result<std::fs::Metadata>| found.map(|found| found.ino()).ok();
        if inode(lock.metadata()) != inode(std::fs::symlink_metadata(&staging)) {
            return Err(busy());
        }
        let made = Self {
            folder,
            staging,
            lock,
            finished: Cell::new(false),
        };
        made.clear().map_err(|error| io(&made.staging, &error))?;
        Ok(made)
    }

    /// What a crash left.
    fn clear(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.staging)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn write(&self, file: &PackedFile, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.staging.join(&file.path);
        let written = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let mut written = File::create_new(&path)?;
            written.write_all(bytes)?;
            written.sync_all()
        };
        written().map_err(|error: std::io::Error| {
            Failure::new(
                "io",
                Exit::Failed,
                format!("{}: {error}", self.folder.join(&file.path).display()),
            )
        })
    }

    /// What was unpacked is the release that was announced, and a host would take it.
    fn is_release(&self, contents: &Contents) -> Result<(), Failure> {
        let shown = |failure: Failure| Failure {
            message: failure
                .message
                .replace(&self.staging.display().to_string(), &self.folder.display().to_string()),
            ..failure
        };
        let read = ReadRelease::read(&self.staging.join(RELEASE)).map_err(shown)?;
        let outside = read.files.values().find(|file| !file.path.starts_with(&self.staging));
        if let Some(outside) = outside {
            let message = format!("`{}` is outside of it: {}", outside.id().name, outside.path.display());
            return Err(bad("bad-path", message));
        }
        let release = &read.release;
        if release.name != contents.name || release.version != contents.version {
            let message = format!(
                "it is announced as {} {}, but its {RELEASE} is that of {} {}",
                contents.name, contents.version, release.name, release.version
            );
            return Err(bad("bad-contents", message));
        }
        Ok(())
    }

    /// Gives it its name. True if there was one with the same files already.
    fn finish(&self, contents: &Contents) -> Result<bool, Failure> {
        let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
        let failed =
            |error: std::io::Error| Failure::new("io", Exit::Failed, format!("{}: {error}", self.folder.display()));
        sync(&self.staging).map_err(failed)?;
        match renameat_with(CWD, &self.staging, CWD, &self.folder, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.finished.set(true);
                sync(self.folder.parent().unwrap_or(Path::new("."))).map_err(failed)?;
                Ok(false)
            }
            Err(rustix::io::Errno::EXIST) => {
                let is_same = |file: &PackedFile| {
                    let found = std::fs::read(self.folder.join(&file.path));
                    found.is_ok_and(|bytes| Digest::of(&bytes) == file.sha256)
                };
                if contents.files.iter().all(is_same) {
                    return Ok(true);
                }
                let message = format!(
                    "{} is there already, and is something else; choose another directory with --to",
                    self.folder.display()
                );
                Err(bad("exists", message))
            }
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.finished.get() {
            // What cannot be removed goes with the next attempt.
            let _ = std::fs::remove_dir_all(&self.staging);
        }
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        for path in [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "./x",
            "a//b",
            "a/",
            "",
            ".",
            "..",
            "a\nb",
            "a\\b",
        ] {
            assert!(path_trick(path).is_some(), "{path:?}");
        }
        for path in ["a", "a/b.wasm", "…/ü.wasm", "..a"] {
            assert_eq!(path_trick(path), None, "{path:?}");
        }
    }
}
