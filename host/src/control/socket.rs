//! Where the socket lies and who may use it.
//!
//! Invariants:
//! - The socket lies in a directory that only its owner can write in, and has mode 0600.
//! - Only the owner of the host (and root) gets an answer, whatever the file modes say.
//! - Nothing is removed but a socket on which nobody answers.

use super::protocol::{Exit, Failure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest path of a socket, in bytes: `sun_path` of Linux less the closing zero. macOS has four less and says so itself.
pub const PATH_LENGTH_MAX: usize = 107;

/// How often, and after how long each time, another host that is just making its socket in the same directory is waited for.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Where `wasmhot run` makes its socket and clients look for it: `$XDG_RUNTIME_DIR/wasmhot/host.sock`, else
/// `/tmp/wasmhot-<uid>/host.sock`.
#[must_use]
pub fn default_path() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime.filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("wasmhot/host.sock"),
        None => PathBuf::from(format!("/tmp/wasmhot-{}/host.sock", own_uid())),
    }
}

/// Who we are.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A path that fits into a socket address.
pub(super) fn check_length(path: &Path) -> Result<(), Failure> {
    let length = path.as_os_str().len();
    if length <= PATH_LENGTH_MAX {
        return Ok(());
    }
    let message = format!(
        "{}: a socket path may have {PATH_LENGTH_MAX} bytes, this one has {length}; give a shorter one with --socket",
        path.display()
    );
    Err(Failure::new("socket-path-too-long", Exit::Usage, message))
}

/// A bound socket; its file goes when this is dropped, unless something else has taken its place.
#[derive(Debug)]
pub struct BoundSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that we made.
    file: (u64, u64),
}

impl BoundSocket {
    /// Makes the directory (mode 0700) and the socket (mode 0600). From here on clients can connect; they are answered once the
    /// server runs.
    ///
    /// # Errors
    /// `already-running` (exit code 5) if a host answers there; else what is wrong with the path or its directory.
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        check_length(path)?;
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(unusable(path, "this is no path of a file")),
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(|error| unusable(parent, error))?;
        // Two hosts that start at once must not both find the same dead socket, or the second removes the living one of the first.
        let _turn = take_turn(parent)?;
        check_directory(parent)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(|error| unusable(path, error))?;
        let finish = || {
            // Until here others might connect if the directory lets them in; the server closes on them all the same.
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
        };
        let file = finish().map_err(|error| {
            // Ours, made a moment ago, and of no use.
            let _ = fs::remove_file(path);
            unusable(path, error)
        })?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener for the runtime on which this is called.
    pub(super) fn listener(&self) -> std::io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours {
            // A socket that stays behind is found to be stale by the next host.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        "socket-unusable",
        Exit::Failed,
        format!("{}: {why}; choose another place with --socket", path.display()),
    )
}

/// Locks the directory as long as the file is kept.
fn take_turn(parent: &Path) -> Result<File, Failure> {
    let dir = File::open(parent).map_err(|error| unusable(parent, error))?;
    for _ in 0..LOCK_TRIES {
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(dir),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(unusable(parent, error)),
        }
    }
    Err(Failure::new(
        "socket-busy",
        Exit::Busy,
        format!("{}: another process keeps this directory locked", parent.display()),
    ))
}

/// Whoever can write in the directory can put a socket of his own in the place of ours.
fn check_directory(parent: &Path) -> Result<(), Failure> {
    let link = fs::symlink_metadata(parent).map_err(|error| unusable(parent, error))?;
    let dir = fs::metadata(parent).map_err(|error| unusable(parent, error))?;
    let ours = own_uid();
    if link.is_symlink() && ![ours, 0].contains(&link.uid()) {
        return Err(unusable(parent, "this is a symbolic link that another user made"));
    }
    if dir.uid() != ours {
        return Err(unusable(parent, "this directory belongs to another user"));
    }
    if dir.mode() & 0o022 != 0 {
        return Err(unusable(
            parent,
            "others can write in this directory (`chmod go-w` closes it)",
        ));
    }
    Ok(())
}

/// Makes room for the socket, if what is there is a socket on which nobody answers.
fn remove_stale(path: &Path) -> Result<(), Failure> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(path, error)),
    };
    if !found.file_type().is_socket() {
        return Err(unusable(path, "there is something else than a socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| unusable(path, error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full backlog says EAGAIN: somebody lives there, as behind every other error.
        Ok(_) | Err(_) => {
            let message = format!(
                "{}: another host runs at this socket; give this one its own with --socket, or `wasmhot stop` the other",
                path.display()
            );
            Err(Failure::new("already-running", Exit::Busy, message))
        }
    }
}
