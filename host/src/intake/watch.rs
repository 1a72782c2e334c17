//! The watched directory: the one file that knows `notify`.

use super::run::Run;
use super::settle::Heard;
use super::take::{TakeError, Taken, printable};
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc as tokio_mpsc;
use wasmhot_appup::Digest;

/// Each event may hold a file of the largest size: few of them may wait for the host.
const EVENTS_WAITING: usize = 4;

/// What happens in the directory.
#[derive(Debug)]
pub enum IntakeEvent {
    /// A file with new content came to rest and was read. Given once for each content, however many files have it.
    Taken(Taken),
    /// A file came to rest and was not read. Told once, until it changes.
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        error: TakeError,
        /// Lay there when the watch began.
        at_start: bool,
    },
    /// A file that had been told of, or that lay there at the start, has gone.
    Removed {
        /// Where it lay.
        path: PathBuf,
    },
    /// A file was touched, rewritten with the same bytes, or is a copy of one that was taken: the time to try again what failed
    /// for a passing reason (R36).
    Touched {
        /// The file.
        path: PathBuf,
        /// Its content.
        digest: Digest,
    },
    /// The directory cannot be read any more. What runs goes on.
    WatchLost {
        /// Why.
        why: String,
    },
    /// The directory is back. What is in it now follows.
    WatchBack,
}

/// Why a directory cannot be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    /// It cannot be read.
    #[error("{}: {error}", printable(.path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The system gives no watch.
    #[error("{}: cannot be watched ({why}); are fs.inotify.max_user_instances and max_user_watches used up?", printable(.path))]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// Watches a directory for `*.wasm` files (names that begin with a dot are those of writers at work, and passed over).
/// Dropping it ends its thread.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    wake: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Times of the watch. Only tests have others than the default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How long a file is quiet before it is taken.
    pub(super) settle: Duration,
    /// The whole directory is read this often, in case an event was lost.
    pub(super) rescan: Duration,
    /// A lost directory is looked for this often.
    pub(super) retry: Duration,
}

/// What the thread of the watch is told.
#[derive(Debug)]
pub(super) enum Signal {
    /// Something happened to a file.
    Heard(PathBuf, Heard),
    /// A file went away.
    Gone(PathBuf),
    /// Events were lost, or something happened to the directory itself.
    Rescan,
    /// Look at the flag.
    Stop,
}

impl Watcher {
    /// Starts watching. What lies there already is delivered like a drop, marked `at_start`.
    pub fn start(
        dir: &Path,
        settle: Duration,
        file_max: u64,
    ) -> Result<(Watcher, tokio_mpsc::Receiver<IntakeEvent>), WatchError> {
        let times = Times {
            settle,
            rescan: Duration::from_secs(30),
            retry: Duration::from_secs(1),
        };
        Self::start_with(dir, times, file_max)
    }

    pub(super) fn start_with(
        dir: &Path,
        times: Times,
        file_max: u64,
    ) -> Result<(Watcher, tokio_mpsc::Receiver<IntakeEvent>), WatchError> {
        let failed = |error| WatchError::Directory {
            path: dir.to_owned(),
            error,
        };
        let dir = std::path::absolute(dir).map_err(failed)?;
        let (wake, signals) = mpsc::channel();
        let (events, receiver) = tokio_mpsc::channel(EVENTS_WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let watch = DirWatch::open(&dir, wake.clone())?;
        let mut run = Run::new(
            dir.clone(),
            watch,
            times,
            file_max,
            signals,
            wake.clone(),
            events,
            stop.clone(),
        );
        run.take_stock().map_err(|error| WatchError::Directory {
            path: dir.clone(),
            error,
        })?;
        let thread = std::thread::Builder::new()
            .name("wasmhot-intake".to_owned())
            .spawn(move || run.run());
        let thread = thread.map_err(|error| WatchError::Directory { path: dir, error })?;
        Ok((
            Watcher {
                stop,
                wake,
                thread: Some(thread),
            },
            receiver,
        ))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // An error means that it has ended already.
        let _ = self.wake.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One watch on one directory; another directory in its place needs another watch.
pub(super) struct DirWatch {
    /// Device and inode.
    pub(super) identity: (u64, u64),
    _watcher: notify::RecommendedWatcher,
}

impl DirWatch {
    pub(super) fn open(dir: &Path, signals: Sender<Signal>) -> Result<Self, WatchError> {
        let identity = identity(dir).map_err(|error| WatchError::Directory {
            path: dir.to_owned(),
            error,
        })?;
        let failed = |error: notify::Error| WatchError::Watch {
            path: dir.to_owned(),
            why: error.to_string(),
        };
        let watched = dir.to_owned();
        let hear = move |event: notify::Result<Event>| {
            let mut told = |signal| {
                // Nobody listens: the watch is about to be dropped.
                let _ = signals.send(signal);
            };
            match event {
                Ok(event) => tell(&watched, &event, &mut told),
                // Whatever was missed, a look at the directory finds it.
                Err(_) => told(Signal::Rescan),
            }
        };
        let mut watcher = notify::recommended_watcher(hear).map_err(failed)?;
        watcher.watch(dir, RecursiveMode::NonRecursive).map_err(failed)?;
        Ok(DirWatch {
            identity,
            _watcher: watcher,
        })
    }
}

/// Device and inode of the directory that stands under this path now.
pub(super) fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(dir)?;
    match metadata.is_dir() {
        true => Ok((metadata.dev(), metadata.ino())),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Names that are looked at.
pub(crate) fn is_wasm(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "wasm")
}

/// Translates an event of `notify`.
fn tell(dir: &Path, event: &Event, told: &mut impl FnMut(Signal)) {
    if event.need_rescan() {
        told(Signal::Rescan);
    }
    let heard = match event.kind {
        EventKind::Create(_) => Some(Heard::Created),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Heard::Closed),
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Heard::RenamedIn),
        // Told as From and To already.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Heard::Touched),
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Any | EventKind::Other => {
            told(Signal::Rescan);
            return;
        }
        EventKind::Modify(_) => Some(Heard::Modified),
    };
    for path in &event.paths {
        if path == dir {
            // Deleted, moved, or its rights changed.
            told(Signal::Rescan);
        } else if is_wasm(path) {
            told(match heard {
                Some(heard) => Signal::Heard(path.clone(), heard),
                None => Signal::Gone(path.clone()),
            });
        }
    }
}
