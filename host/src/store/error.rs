//! What can go wrong with the state directory.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An error of the state directory. None of them is a fault of a module: nothing is barred because of one (R36).
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot be read.
    #[error("{path}: the catalog is damaged ({why}); move it away, or bring it back from a copy")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the database says.
        why: String,
    },
    /// Written by a wasmhot that knows more than this one.
    #[error("{path}: written by a newer wasmhot (format {found}, this one knows up to {known}); run that one")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Format number found.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// Another host runs on this state directory.
    #[error("{path}: another wasmhot{} runs on this state directory; stop it, or choose another with --state", holder(.pid))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Process id written in it, if it can be read.
        pid: Option<u32>,
    },
    /// The disk, or the quota, is full.
    #[error("{path}: no space left")]
    NoSpace {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// Bytes under a digest do not have that digest.
    #[error("{path}: the bytes are not those of its name (found {found}); they were changed on disk")]
    Changed {
        /// The object file.
        path: PathBuf,
        /// sha256 of what is there, in hex.
        found: String,
    },
    /// Where machine code is kept nobody else may write.
    #[error("{path}: {why}, so compiled code is not kept there")]
    Open {
        /// The folder that is open to others.
        path: PathBuf,
        /// How.
        why: &'static str,
    },
    /// A record has no form to be written in.
    #[error("a record of the catalog cannot be written: {0}")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else the system refuses.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// ` (pid 17)`, or nothing.
fn holder(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl StoreError {
    /// An I/O error at `path`; a full disk gets its own name.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace { path: path.to_owned() },
            _ => StoreError::Io {
                path: path.to_owned(),
                error,
            },
        }
    }

    /// An error of the database at `path`.
    pub(crate) fn database(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => StoreError::Corrupt {
                path: path.to_owned(),
                why: error.to_string(),
            },
            redb::Error::Io(error) => StoreError::io(path, error),
            redb::Error::DatabaseAlreadyOpen => StoreError::Locked {
                path: path.to_owned(),
                pid: None,
            },
            other => StoreError::Corrupt {
                path: path.to_owned(),
                why: other.to_string(),
            },
        }
    }

    pub(super) fn encode(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        StoreError::Encode(Box::new(error))
    }

    /// A stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Corrupt { .. } => "catalog-damaged",
            StoreError::NewerFormat { .. } => "newer-format",
            StoreError::Locked { .. } => "already-running",
            StoreError::NoSpace { .. } => "no-space",
            StoreError::Changed { .. } => "object-changed",
            StoreError::Open { .. } => "open-to-others",
            StoreError::Encode(_) => "encode",
            StoreError::Io { .. } => "io",
        }
    }
}
