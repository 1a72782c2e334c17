//! Reads a file that has come to rest: once, never through a link, never waiting.

use super::settle::Stat;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;
use wasmhot_appup::Digest;

/// A file that was read. Hash, compiler and store all use these bytes: what happens to the file afterwards changes nothing.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Name without `.wasm`.
    pub stem: String,
    /// Where it lay.
    pub path: PathBuf,
    /// sha256 of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// Its time of modification: a label.
    pub modified: Option<SystemTime>,
    /// Lay there when the watch began; the catalog decides what that means (R34).
    pub at_start: bool,
}

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum TakeError {
    /// A symbolic link.
    #[error("a symbolic link is never followed; copy the file, or make a hard link")]
    Symlink,
    /// A directory.
    #[error("a directory, not a file")]
    Directory,
    /// A named pipe.
    #[error("a named pipe, not a file")]
    Fifo,
    /// A socket, or a device.
    #[error("a socket or device, not a file")]
    Special,
    /// More bytes than the host takes.
    #[error("larger than the limit ({size} bytes, at most {max}); raise file_max, or make it smaller (`wasm-opt -Oz`)")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The name cannot be written as text.
    #[error("the file name is not Unicode; rename it")]
    NotUnicode,
    /// Somebody is writing it.
    #[error("the file is still being written")]
    Changing,
    /// Not there any more.
    #[error("there is no such file")]
    Vanished,
    /// Anything else the system refuses.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl TakeError {
    /// A stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            TakeError::Symlink => "symlink",
            TakeError::Directory => "directory",
            TakeError::Fifo => "fifo",
            TakeError::Special => "special-file",
            TakeError::TooLarge { .. } => "too-large",
            TakeError::NotUnicode => "name-not-unicode",
            TakeError::Changing => "changing",
            TakeError::Vanished => "vanished",
            TakeError::Io(_) => "io",
        }
    }

    fn io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => TakeError::Vanished,
            _ => TakeError::Io(error),
        }
    }
}

/// Reads the file, if it is a regular one of at most `max` bytes. Blocks on the disk only.
pub fn take(path: &Path, max: u64) -> Result<Taken, TakeError> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .ok_or(TakeError::NotUnicode)?;
    let mut file = open(path)?;
    let before = file.metadata().map_err(TakeError::io)?;
    let kind = FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&before));
    match kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(TakeError::Directory),
        FileType::Fifo => return Err(TakeError::Fifo),
        FileType::Symlink => return Err(TakeError::Symlink),
        _ => return Err(TakeError::Special),
    }
    if before.len() > max {
        return Err(TakeError::TooLarge {
            size: before.len(),
            max,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
    // One byte more than it had: a file that grows while it is read is seen, one that never ends is not read to its end.
    (&mut file)
        .take(before.len() + 1)
        .read_to_end(&mut bytes)
        .map_err(TakeError::io)?;
    let after = file.metadata().map_err(TakeError::io)?;
    if bytes.len() as u64 != before.len() || Stat::of(&before) != Stat::of(&after) {
        return Err(TakeError::Changing);
    }
    Ok(Taken {
        stem: stem.to_owned(),
        path: path.to_owned(),
        digest: Digest::of(&bytes),
        bytes: bytes.into(),
        modified: before.modified().ok(),
        at_start: false,
    })
}

/// `O_NOFOLLOW`: a link to a secret stays one. `O_NONBLOCK`: a pipe without a writer does not hold us.
fn open(path: &Path) -> Result<File, TakeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::MLINK) => Err(TakeError::Symlink),
        // A socket, or a device without a driver.
        Err(rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => Err(TakeError::Special),
        Err(error) => Err(TakeError::io(error.into())),
    }
}

/// A name as it may be printed: what could move a cursor, colour a terminal or turn the reading direction is escaped.
#[must_use]
pub fn printable(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            let turns =
                matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}') {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    #[test]
    fn p5_only_regular_files_are_read_and_nothing_blocks() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let place = |name: &str| dir.path().join(name);
        std::fs::write(place("good.wasm"), b"bytes").expect("writes");
        std::fs::write(place("large.wasm"), b"0123456789").expect("writes");
        std::fs::create_dir(place("dir.wasm")).expect("makes a directory");
        symlink(place("good.wasm"), place("link.wasm")).expect("links");
        symlink(place("self.wasm"), place("self.wasm")).expect("links");
        rustix::fs::mkfifoat(rustix::fs::CWD, place("fifo.wasm"), Mode::RUSR | Mode::WUSR).expect("makes a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(place("socket.wasm")).expect("binds");
        let table = [
            ("large.wasm", "too-large"),
            ("dir.wasm", "directory"),
            ("link.wasm", "symlink"),
            ("self.wasm", "symlink"),
            ("fifo.wasm", "fifo"),
            ("socket.wasm", "special-file"),
            ("none.wasm", "vanished"),
        ];
        for (name, code) in table {
            assert_eq!(take(&place(name), 9).expect_err(name).code(), code);
        }
        assert_eq!(
            take(Path::new("/dev/null"), 9).expect_err("a device").code(),
            "special-file"
        );
        let name = place("").join(OsStr::from_bytes(b"\xff.wasm"));
        std::fs::write(&name, b"bytes").expect("writes");
        assert_eq!(take(&name, 9).expect_err("no text").code(), "name-not-unicode");
        let taken = take(&place("good.wasm"), 9).expect("is read");
        assert_eq!((taken.stem.as_str(), &*taken.bytes), ("good", &b"bytes"[..]));
        assert_eq!(taken.digest, Digest::of(b"bytes"));
        assert_eq!(take(&place("good.wasm"), 5).expect("exactly the limit").bytes.len(), 5);
    }

    #[test]
    fn names_are_printed_escaped() {
        let table: &[(&[u8], &str)] = &[
            (b"a-1.0.0.wasm", "a-1.0.0.wasm"),
            ("größe.wasm".as_bytes(), "größe.wasm"),
            (b"\x1b[31mred\n", "\\u{1b}[31mred\\n"),
            (b"\xff.wasm", "\\xff.wasm"),
            ("\u{202e}msaw".as_bytes(), "\\u{202e}msaw"),
            ("\u{9b}1m".as_bytes(), "\\u{9b}1m"),
        ];
        for (name, wanted) in table {
            assert_eq!(printable(Path::new(OsStr::from_bytes(name))), *wanted);
        }
    }
}
