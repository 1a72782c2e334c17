//! `wasmhot backup`: all that a host keeps, copied while it runs; and a host that starts with such a copy.

use super::load::{blocking, of_store};
use super::lock::back_lock;
use super::stop::lanes_to_save;
use super::{Host, saver};
use crate::control::protocol::{BackupReport, BackupRequest, Exit, Failure, RunningRelease};
use crate::store::{self, SaveReason, StoreError, private_dir, sync_dir};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmhot_appup::Digest;

/// What ran, in a backup.
const RELEASE: &str = "release.json";
/// The format of backups that this wasmhot writes and reads.
const FORMAT: u32 = 1;

/// `release.json`.
#[derive(Serialize, Deserialize)]
struct Note {
    format: u32,
    wasmhot: String,
    time_ms: u64,
    release: RunningRelease,
    /// The versions that were copied: their bytes lie in `objects`.
    objects: Vec<Digest>,
}

impl Host {
    /// Copies all that the host keeps into a new folder: revisions, states (saved now), history, and the bytes of all versions. Calls
    /// go on meanwhile; upgrades wait for its end.
    ///
    /// # Errors
    /// The folder is there already, or the disk. Nothing is left then.
    pub async fn backup(&self, request: BackupRequest) -> Result<BackupReport, Failure> {
        let folder = request.path;
        let (parent, staging) = places(&folder)?;
        let lanes = lanes_to_save(&self.inner.core.router.routes());
        let changed = lanes.into_iter().filter(|lane| lane.figures().unsaved_calls > 0);
        let (_, not_saved) = saver::save_all(&self.inner, changed.collect(), SaveReason::Periodic).await;
        saver::flush(&self.inner).await;
        // No switch and no `gc` between the catalog and the objects.
        let lock = back_lock(&self.inner).await?;
        let release = self.release().await?;
        let mut report = BackupReport {
            folder: folder.clone(),
            revision: release.revision,
            release: format!("{} {}", release.name, release.version),
            not_saved: not_saved.into_iter().collect(),
            ..BackupReport::default()
        };
        let mut note = Note {
            format: FORMAT,
            wasmhot: env!("CARGO_PKG_VERSION").to_string(),
            time_ms: crate::event::now_ms(),
            release,
            objects: Vec::new(),
        };
        let core = &self.inner.core;
        let (catalog, objects) = (Arc::clone(&core.catalog), Arc::clone(&core.objects));
        let keyvalue = Arc::clone(&core.keyvalue);
        let copy = move || {
            let staging = Staging::make(staging)?;
            catalog.copy_to(&staging.0).map_err(|error| of_store(&error))?;
            report.states = catalog.all_states().map_err(|error| of_store(&error))?.len() as u64;
            keyvalue.copy_to(&staging.0).map_err(|error| of_store(&error))?;
            (note.objects, report.bytes) = objects.copy_to(&staging.0).map_err(|error| of_store(&error))?;
            report.objects = note.objects.len() as u64;
            staging.finish(&note, &folder, &parent)?;
            Ok(report)
        };
        let report = blocking(copy).await;
        drop(lock);
        report
    }
}

/// The folder's parent, and where it is made.
fn places(folder: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let refused = |code: &str, why: &str| Failure::new(code, Exit::Refused, format!("{}: {why}", folder.display()));
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(refused(
            "bad-path",
            "this names no new directory: give a path that ends in a name",
        ));
    };
    if folder.symlink_metadata().is_ok() {
        return Err(refused("exists", "it is there already; a backup is a new directory"));
    }
    if !parent.is_dir() {
        return Err(refused(
            "io",
            "the directory in which it is to lie is not there: make it first",
        ));
    }
    let staging = parent.join(format!(".{}.backing-up", name.to_string_lossy()));
    Ok((parent.to_path_buf(), staging))
}

/// The folder while it is filled; it goes when this is dropped, unless it has got its name.
struct Staging(PathBuf);

impl Staging {
    fn make(path: PathBuf) -> Result<Self, Failure> {
        // What a crash left: upgrades and backups of this host come one after another.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path, &error)),
            _ => {}
        }
        private_dir(&path).map_err(|error| of_store(&error))?;
        Ok(Self(path))
    }

    fn finish(&self, note: &Note, folder: &Path, parent: &Path) -> Result<(), Failure> {
        let text =
            serde_json::to_vec_pretty(note).map_err(|error| Failure::new("internal", Exit::Bug, error.to_string()))?;
        let path = self.0.join(RELEASE);
        let written = std::fs::write(&path, text).and_then(|()| std::fs::File::open(&path)?.sync_all());
        written.map_err(|error| failed(&path, &error))?;
        sync_dir(&self.0).map_err(|error| of_store(&error))?;
        renameat_with(CWD, &self.0, CWD, folder, RenameFlags::NOREPLACE)
            .map_err(|error| failed(folder, &error.into()))?;
        sync_dir(parent).map_err(|error| of_store(&error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Once it has its name there is nothing here.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("io", Exit::Failed, format!("{}: {error}", path.display()))
}

/// Fills a state directory, which is locked, out of a backup. It must have no state yet.
pub(super) fn restore(backup: &Path, state: &Path) -> Result<(), Failure> {
    let refused = |code: &str, message: String| Failure::new(code, Exit::Refused, message);
    if state.join(store::CATALOG).symlink_metadata().is_ok() {
        let message = format!(
            "{}: there is a state already, which a restored one would replace; choose another with --state, or run without --restore",
            state.display()
        );
        return Err(refused("state-exists", message));
    }
    let path = backup.join(RELEASE);
    let not_one = |why: String| refused("not-a-backup", format!("{}: not a backup: {why}", path.display()));
    let text = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            not_one("there is no such file; name a directory that `wasmhot backup` has made".to_string())
        }
        _ => not_one(error.to_string()),
    })?;
    let note: serde_json::Value = serde_json::from_slice(&text).map_err(|error| not_one(error.to_string()))?;
    if note["format"] != FORMAT {
        return Err(not_one(format!(
            "it is of format {}, which this wasmhot does not know; a newer one made it",
            note["format"]
        )));
    }
    let note: Note = serde_json::from_value(note).map_err(|error| not_one(error.to_string()))?;
    store::restore(backup, state, &note.objects).map_err(|error| match error {
        StoreError::NoSpace { .. } => of_store(&error),
        // It is the copy that is at fault.
        _ => Failure {
            exit: Exit::Refused,
            ..of_store(&error)
        },
    })
}
