//! Compiled code, kept so that no bytes are compiled twice: a copy of what the compiler can make again at any time.
//!
//! Code is machine code: whoever can put a file here runs what he likes as the host. So a file is given back only if
//!
//! - nobody but the host's own user, and root, can write in the directory or rename anything above it ([`Compiled::open`]; folders in which
//!   everybody may only touch his own, as `/tmp`, are good enough);
//! - the file itself belongs to that user, is a plain file and no link, and is writable by nobody else;
//! - its end says that it is the code of these bytes for this compiler, and its checksum is right: so it is whole, and not that of
//!   others under their name.
//!
//! Behind the code stands the interface of the component, which cost as much to find as the code to load.
//!
//! The same end says which bytes had the digest in its name when the code was made from them; that saves a start from computing all
//! digests again.
//!
//! The checksums are against torn writes and bad disks, not against an attacker: against him stands that only the host's user can write
//! here. Guests run as that user, so no folder that reaches the state directory is granted to one ([`Untouchable`]); drops are only ever
//! read, and compiled code among them is refused; backups hold no code.
//!
//! Invariants: a file under its final name is never written again, only replaced or removed, since running code may be mapped from it.
//! Nothing here is synced: what a crash tears is seen by its checksum, and compiled anew.

use super::{StoreError, private_dir};
use crate::fault::may_be_killed_here;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use twox_hash::XxHash3_64;
use wasmhot_appup::Digest;

/// `<state>/compiled`. Blocking.
#[derive(Debug)]
pub(crate) struct Compiled {
    dir: PathBuf,
    next_temp: AtomicU64,
}

/// Whose code a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeName {
    /// Of the bytes of the version.
    pub(crate) digest: Digest,
    /// Wasmtime's version, the processor, and the settings of the engine.
    pub(crate) key: EngineKey,
    /// Of the same bytes, which had that digest.
    pub(crate) bytes: Checksum,
}

/// A file of code that was checked.
pub(crate) struct KeptCode {
    pub(crate) path: PathBuf,
    /// So many bytes of it are code.
    pub(crate) code_length: usize,
    pub(crate) interface: Vec<u8>,
}

/// Tells what is damaged from what is not, many times as fast as a digest: XXH3 (Collet), of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u64);

impl Checksum {
    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sum = XxHash3_64::new();
        sum.write(bytes);
        Self(sum.finish())
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// What compiled code depends on besides the bytes that are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineKey(pub(crate) [u8; 16]);

/// Why a file that is there is not used.
#[derive(Debug, Error)]
pub(crate) enum NotTrusted {
    /// Somebody else may have written it.
    #[error("{0}")]
    Writable(&'static str),
    /// It is not what its name says, or not whole.
    #[error("it is damaged ({0})")]
    Damaged(&'static str),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Compiled {
    /// Opens or makes the directory, and sweeps what a crash left half written.
    ///
    /// # Errors
    /// Of the disk; and if somebody else can write there.
    pub(crate) fn open(state: &Path) -> Result<Self, StoreError> {
        let dir = state.join("compiled");
        private_dir(&dir)?;
        let failed = |error| StoreError::io(&dir, error);
        if let Some((place, why)) = writable_by_others(&dir.canonicalize().map_err(failed)?).map_err(failed)? {
            return Err(StoreError::Open { path: place, why });
        }
        let compiled = Self {
            next_temp: AtomicU64::new(0),
            dir,
        };
        for name in compiled.names()? {
            if name.starts_with(TEMP) {
                compiled.unlink(&compiled.dir.join(name))?;
            }
        }
        Ok(compiled)
    }

    /// The code of this name, if it is kept and can be trusted.
    ///
    /// # Errors
    /// It is there, but is not to be used.
    pub(crate) fn get(&self, name: &CodeName) -> Result<Option<KeptCode>, NotTrusted> {
        let path = self.dir.join(file_name(&name.digest, &name.key));
        let Some((mut file, length)) = open(&path)? else {
            return Ok(None);
        };
        let end = read_end(&file, length)?;
        let damaged = NotTrusted::Damaged("its end says otherwise, or the module has changed");
        let Some(code_length) = code_length(&end).filter(|code| *code <= length) else {
            return Err(damaged);
        };
        let mut sum = XxHash3_64::new();
        let mut rest = code_length;
        let mut part = vec![0; PART];
        while rest > 0 {
            let wanted = usize::try_from(rest).map_or(PART, |rest| rest.min(PART));
            file.read_exact(&mut part[..wanted])?;
            sum.write(&part[..wanted]);
            rest -= wanted as u64;
        }
        let mut interface = Vec::new();
        file.take(length - code_length).read_to_end(&mut interface)?;
        sum.write(&interface);
        if end != name.end(code_length, sum) {
            return Err(damaged);
        }
        Ok(Some(KeptCode {
            path,
            code_length: usize::try_from(code_length).unwrap_or(usize::MAX),
            interface,
        }))
    }

    /// Keeps code and the interface of its component, in the place of what was there.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn put(&self, name: &CodeName, code: &[u8], interface: &[u8]) -> Result<(), StoreError> {
        let path = self.dir.join(file_name(&name.digest, &name.key));
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        let temp = self.dir.join(format!("{TEMP}{}-{number}", std::process::id()));
        let mut sum = XxHash3_64::new();
        sum.write(code);
        sum.write(interface);
        let end = [interface, &name.end(code.len() as u64, sum)].concat();
        let written = write(&temp, code, &end).and_then(|()| std::fs::rename(&temp, &path));
        written.map_err(|error| {
            // A full disk must not get fuller; if even the removal fails, the next opening sweeps.
            let _ = std::fs::remove_file(&temp);
            StoreError::io(&path, error)
        })
    }

    /// Forgets code of bytes that are not wanted any more, and of compilers that are not used; gives the bytes that this frees. Foreign
    /// files are passed over.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn retain(
        &self,
        wanted: impl Fn(&Digest, &EngineKey) -> bool,
        dry_run: bool,
    ) -> Result<u64, StoreError> {
        let mut freed = 0;
        for name in self.names()? {
            let parsed = parse(&name);
            if parsed.is_none_or(|(digest, key)| wanted(&digest, &key)) {
                continue;
            }
            let path = self.dir.join(name);
            freed += std::fs::symlink_metadata(&path).map_or(0, |found| found.len());
            if !dry_run {
                self.unlink(&path)?;
            }
        }
        Ok(freed)
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
/// Of a mode: group and others may write.
const BY_OTHERS: u32 = 0o022;
/// Others may write, but rename and remove only what is theirs.
const STICKY: u32 = 0o1000;

/// The digest and the checksum of the bytes from which the code was made, a key, the length of the code.
const NAMED: usize = 32 + 8 + 16 + LENGTH;
const LENGTH: usize = 8;
/// The same, a checksum, and what kind of file this is.
const END: usize = NAMED + 8 + MAGIC.len();
/// So much is read at a time: what the caches of a processor hold, and the allocator gives without asking the system.
const PART: usize = 64 << 10;
/// Another format gets another one. It is part of the key, too: files of another format are not found.
pub(crate) const MAGIC: &[u8; 8] = b"wasmhot3";

impl CodeName {
    /// What stands behind code of this length, and an interface, with this sum over both.
    fn end(&self, length: u64, mut sum: XxHash3_64) -> [u8; END] {
        let mut end = [0; END];
        let (named, rest) = end.split_at_mut(NAMED);
        let parts: [&[u8]; 4] = [
            self.digest.as_bytes(),
            &self.bytes.to_le_bytes(),
            &self.key.0,
            &length.to_le_bytes(),
        ];
        let filled = parts.into_iter().flatten();
        named.iter_mut().zip(filled).for_each(|(place, byte)| *place = *byte);
        sum.write(named);
        let filled = sum.finish().to_le_bytes().into_iter().chain(*MAGIC);
        rest.iter_mut().zip(filled).for_each(|(place, byte)| *place = byte);
        end
    }
}

impl std::fmt::Display for EngineKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

const SUFFIX: &str = ".code";

fn file_name(digest: &Digest, key: &EngineKey) -> String {
    format!("{digest}-{key}{SUFFIX}")
}

fn read_end(file: &File, length: u64) -> io::Result<[u8; END]> {
    let mut end = [0; END];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut end, length)?;
    Ok(end)
}

fn code_length(end: &[u8; END]) -> Option<u64> {
    let length = end[NAMED - LENGTH..NAMED].try_into().ok()?;
    Some(u64::from_le_bytes(length))
}

/// A file that nobody but we can have written, and the length of what stands in it before its end.
fn open(path: &Path) -> Result<Option<(File, u64)>, NotTrusted> {
    // NONBLOCK: a pipe in its place does not hold us.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(NotTrusted::Writable("it is a symbolic link")),
        Err(error) => return Err(NotTrusted::Io(error.into())),
    };
    let found = file.metadata()?;
    if FileType::from_raw_mode(found.mode()) != FileType::RegularFile {
        return Err(NotTrusted::Writable("it is no file"));
    }
    if found.uid() != own_uid() {
        return Err(NotTrusted::Writable("it belongs to another user"));
    }
    if found.mode() & BY_OTHERS != 0 {
        return Err(NotTrusted::Writable("others can write it"));
    }
    let length = found.len().checked_sub(END as u64);
    Ok(Some((file, length.ok_or(NotTrusted::Damaged("it is too short"))?)))
}

fn parse(name: &str) -> Option<(Digest, EngineKey)> {
    let (digest, key) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let mut bytes = [0; 16];
    if key.len() != 2 * bytes.len() || !key.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&key[2 * place..2 * place + 2], 16).ok()?;
    }
    Some((digest.parse().ok()?, EngineKey(bytes)))
}

fn write(path: &Path, code: &[u8], end: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(code)?;
    may_be_killed_here("code-half-written");
    file.write_all(end)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The first of a folder and all above it in which somebody else than we and root could put or rename something.
fn writable_by_others(dir: &Path) -> io::Result<Option<(PathBuf, &'static str)>> {
    for place in dir.ancestors() {
        let found = std::fs::metadata(place)?;
        if ![own_uid(), 0].contains(&found.uid()) {
            return Ok(Some((place.to_path_buf(), "it belongs to another user")));
        }
        let is_sticky = found.mode() & STICKY != 0 && place != dir;
        if found.mode() & BY_OTHERS != 0 && !is_sticky {
            return Ok(Some((place.to_path_buf(), "others can write in it")));
        }
    }
    Ok(None)
}

/// A state directory, as folders are held against it that a guest is to have.
#[derive(Clone, Debug)]
pub(crate) struct Untouchable(PathBuf);

impl Untouchable {
    /// The state directory, which is there.
    pub(crate) fn new(state: &Path) -> io::Result<Self> {
        state.canonicalize().map(Self)
    }

    /// Whether a guest with this folder would have the state directory, or a part of it. A folder that cannot be looked at is for
    /// those to refuse who open it.
    pub(crate) fn is_reached_by(&self, folder: &Path) -> bool {
        let folder = folder.canonicalize();
        folder.is_ok_and(|folder| folder.starts_with(&self.0) || self.0.starts_with(&folder))
    }
}
