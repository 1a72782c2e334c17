//! Drops: files of the watched directory become candidates, and candidates that fit become a switch (R34 to R37).
//!
//! Invariants:
//! - Only a file with new content, or a touched one, is a candidate: what merely lies in the directory moves nothing.
//! - One drop at a time is looked at, in the order in which the files came to rest.
//! - The catalog remembers a content when something has become of it. What is still pending when the host ends is not remembered,
//!   and so is new at the next start.

mod consider;
mod files;

use super::Inner;
use super::load::{CompileLimits, load_bytes, of_store};
use crate::control::protocol::Failure;
use crate::event::{EventKind, Happening};
use crate::intake::{IntakeEvent, Taken, Watcher, is_wasm, printable, take};
use crate::store::{FileRecord, StoreError};
use crate::upgrade::plan::Asked;
use crate::version::Version;
use consider::consider;
pub(super) use files::Drops;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use wasmhot_appup::{Digest, HostSettings, LimitsSpec};

/// Takes drops until the host ends.
pub(super) fn watch(inner: &Arc<Inner>, watcher: Watcher, mut files: Receiver<IntakeEvent>, settings: &HostSettings) {
    let (weak, changed) = (Arc::downgrade(inner), Arc::clone(&inner.changed));
    let (expiry, file_max) = (settings.pending_expiry(), settings.file_max());
    inner.core.services.guests.spawn(async move {
        let _watcher = watcher;
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                event = files.recv() => {
                    let (Some(event), Some(inner)) = (event, living(&weak)) else { return };
                    Taking { inner: &inner, expiry, file_max }.happened(event).await;
                }
                () = changed.notified() => {
                    let Some(inner) = living(&weak) else { return };
                    let put_off = inner.drops.lock().expect("no panic under this lock").take_put_off();
                    consider(&inner, &put_off, Asked::Drop, expiry).await;
                }
                _ = tick.tick() => {
                    let Some(inner) = living(&weak) else { return };
                    expire(&inner).await;
                }
            }
        }
    });
}

fn living(weak: &Weak<Inner>) -> Option<Arc<Inner>> {
    weak.upgrade()
        .filter(|inner| !inner.stopping.load(std::sync::atomic::Ordering::Acquire))
}

/// All files that lie in the directory when the host starts, as one switch. The catalog decides: what was seen before is not new.
pub(super) async fn take_at_start(inner: &Arc<Inner>, directory: &Path, settings: &HostSettings) {
    let mut fresh = BTreeSet::new();
    for file in files_of(directory, settings.file_max()).await {
        // What runs is at hand. A refusal is told when the watch finds the file at rest: it may still be written now.
        let at_hand = inner.core.versions.compiled(&file.digest);
        let version = match at_hand.filter(|version| !version.is_named_by_file()) {
            Some(version) => version,
            None => match load(inner, &file).await {
                Ok(version) => version,
                Err(_) => continue,
            },
        };
        note(inner, &file, &version);
        if is_new(inner, file.digest).await {
            inner.core.events.publish(taken(&file, &version));
            fresh.insert(file.digest);
        }
    }
    consider(inner, &fresh, Asked::Start, settings.pending_expiry()).await;
}

/// A release says what runs: what lies beside it when it is run first is not new afterwards.
pub(super) async fn pass_over_at_start(inner: &Arc<Inner>, directory: &Path, settings: &HostSettings) {
    for file in files_of(directory, settings.file_max()).await {
        remember(inner, file.digest, file.stem).await;
    }
}

async fn files_of(directory: &Path, file_max: u64) -> Vec<Taken> {
    let directory = directory.to_path_buf();
    let read = move || -> Vec<_> {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> = paths.filter(|path| is_wasm(path)).collect();
        paths.sort();
        paths.iter().filter_map(|path| take(path, file_max).ok()).collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

async fn load(inner: &Inner, file: &Taken) -> Result<Arc<Version>, Failure> {
    let limits = CompileLimits::of(inner, &LimitsSpec::default()).await?;
    load_bytes(&inner.core, &file.stem, Arc::clone(&file.bytes), file.digest, &limits).await
}

/// The event of a file that was taken.
fn taken(file: &Taken, version: &Version) -> Happening {
    let details = serde_json::json!({ "sha256": file.digest.to_string(), "bytes": version.size });
    let message = format!("{} is {}", printable(&file.path), version.id);
    Happening::new(EventKind::Taken, message)
        .version(&version.id)
        .details(details)
}

/// Notes a file. True if no other file is this version.
fn note(inner: &Inner, file: &Taken, version: &Arc<Version>) -> bool {
    let mut drops = inner.drops.lock().expect("no panic under this lock");
    drops.note(&file.path, version, file.modified)
}

/// Asks the catalog; what it cannot say is told as an alarm.
async fn ask<T: Send + 'static>(
    inner: &Inner,
    question: impl FnOnce(&crate::store::Catalog) -> Result<T, StoreError> + Send + 'static,
) -> Option<T> {
    let catalog = Arc::clone(&inner.core.catalog);
    match tokio::task::spawn_blocking(move || question(&catalog)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            let alarm = Happening::new(EventKind::Alarm, of_store(&error).message);
            inner.core.events.publish(alarm);
            None
        }
        Err(_) => None,
    }
}

/// Whether nothing has become of a content yet.
async fn is_new(inner: &Inner, digest: Digest) -> bool {
    ask(inner, move |catalog| catalog.file(&digest))
        .await
        .is_none_or(|known| known.is_none())
}

/// Why a content is not tried, if it is barred (R36).
async fn barred(inner: &Inner, digest: Digest) -> Option<String> {
    ask(inner, move |catalog| catalog.file(&digest)).await??.barred
}

/// What lies in the directory and is barred.
async fn barred_of(inner: &Inner) -> BTreeSet<Digest> {
    let digests = inner.drops.lock().expect("no panic under this lock").digests();
    let question = move |catalog: &crate::store::Catalog| {
        let mut barred = BTreeSet::new();
        for digest in digests {
            if catalog.file(&digest)?.is_some_and(|file| file.barred.is_some()) {
                barred.insert(digest);
            }
        }
        Ok(barred)
    };
    ask(inner, question).await.unwrap_or_default()
}

/// Something has become of this content.
async fn decided(inner: &Inner, version: &Version) {
    remember(inner, version.id.digest, version.id.to_string()).await;
}

async fn remember(inner: &Inner, digest: Digest, stem: String) {
    let remember = move |catalog: &crate::store::Catalog| {
        if catalog.file(&digest)?.is_some() {
            return Ok(());
        }
        catalog.put_file(&digest, &FileRecord::seen(stem))
    };
    ask(inner, remember).await;
}

async fn note_bar(inner: &Inner, stem: &str, digest: Digest, why: &str) {
    let record = FileRecord::barred(stem, why);
    ask(inner, move |catalog| catalog.put_file(&digest, &record)).await;
}

async fn expire(inner: &Arc<Inner>) {
    let expired = inner.drops.lock().expect("no panic under this lock").expire();
    for candidate in expired {
        let message = format!(
            "{} has been pending for as long as it may (pending_expiry): `touch` its file to try it again",
            candidate.id()
        );
        let ended = Happening::new(EventKind::PendingEnded, message).version(candidate.id());
        inner.core.events.publish(ended);
        decided(inner, &candidate.version).await;
    }
}

/// One event of the directory.
struct Taking<'a> {
    inner: &'a Arc<Inner>,
    expiry: Duration,
    file_max: u64,
}

impl Taking<'_> {
    async fn happened(&self, event: IntakeEvent) {
        match event {
            IntakeEvent::Taken(file) => self.taken(file).await,
            IntakeEvent::Refused { path, error, .. } => {
                self.not_any_more(&path);
                let message = format!("{}: {error} ({})", printable(&path), error.code());
                let details = serde_json::json!({ "code": error.code() });
                self.tell(Happening::new(EventKind::Refused, message).details(details));
            }
            IntakeEvent::Removed { path } => self.removed(&path),
            IntakeEvent::Touched { path, digest } => self.touched(&path, digest).await,
            IntakeEvent::WatchLost { why } => {
                let message = format!("the watched directory cannot be read: {why}; what runs goes on");
                self.tell(Happening::new(EventKind::WatchLost, message));
            }
            IntakeEvent::WatchBack => {
                self.tell(Happening::new(EventKind::WatchBack, "the watched directory is back"));
            }
        }
    }

    fn tell(&self, happening: Happening) {
        self.inner.core.events.publish(happening);
    }

    async fn taken(&self, file: Taken) {
        let shown = printable(&file.path);
        if file.at_start && self.is_noted(&file.path, file.digest) {
            return;
        }
        let why = barred(self.inner, file.digest).await;
        let version = match load(self.inner, &file).await {
            Ok(version) => version,
            Err(failure) => {
                self.not_any_more(&file.path);
                if let Some(why) = why {
                    return self.refused_before(&file.path, &why);
                }
                let details = serde_json::json!({ "code": failure.code, "sha256": file.digest.to_string() });
                let message = format!("{shown}: {} ({})", failure.message, failure.code);
                self.tell(Happening::new(EventKind::Refused, message).details(details));
                if failure.content_at_fault {
                    note_bar(self.inner, &file.stem, file.digest, &failure.message).await;
                }
                return;
            }
        };
        let is_first = note(self.inner, &file, &version);
        if file.at_start && !is_new(self.inner, file.digest).await {
            return;
        }
        if let Some(why) = why {
            return self.refused_before(&file.path, &why);
        }
        if is_first {
            self.tell(taken(&file, &version));
        }
        consider(self.inner, &BTreeSet::from([file.digest]), Asked::Drop, self.expiry).await;
    }

    fn is_noted(&self, path: &Path, digest: Digest) -> bool {
        let drops = self.inner.drops.lock().expect("no panic under this lock");
        drops.at(path).is_some_and(|version| version.id.digest == digest)
    }

    fn refused_before(&self, path: &Path, why: &str) {
        let shown = printable(path);
        let message = format!(
            "{shown}: the same bytes were refused before: {why}; `wasmhot apply {shown}` tries them all the same"
        );
        self.tell(Happening::new(EventKind::Refused, message));
    }

    /// Touched, or a copy: the time to try again what failed for a passing reason.
    async fn touched(&self, path: &Path, digest: Digest) {
        if self.is_noted(path, digest) {
            match barred(self.inner, digest).await {
                Some(why) => self.refused_before(path, &why),
                None => consider(self.inner, &BTreeSet::from([digest]), Asked::Drop, self.expiry).await,
            }
            return;
        }
        // A copy of a file that was taken under another name, or one that was refused for a passing reason.
        let (owned, file_max) = (path.to_path_buf(), self.file_max);
        if let Ok(Ok(file)) = tokio::task::spawn_blocking(move || take(&owned, file_max)).await {
            self.taken(file).await;
        }
    }

    /// The file is not what it was: nothing waits because of it any more. Gives what it was, unless it was pending.
    fn not_any_more(&self, path: &Path) -> Option<Arc<Version>> {
        let (version, pending) = self.inner.drops.lock().expect("no panic under this lock").forget(path);
        let Some(pending) = pending else { return version };
        let message = format!("{} is pending no more: {} is gone", pending.id(), printable(path));
        self.tell(Happening::new(EventKind::PendingEnded, message).version(pending.id()));
        None
    }

    fn removed(&self, path: &Path) {
        let Some(version) = self.not_any_more(path) else { return };
        let name = &version.id.name;
        let message = format!(
            "{} was deleted: that stops nothing; `wasmhot remove {name}` does",
            printable(path)
        );
        self.tell(Happening::new(EventKind::FileDeleted, message).module(name));
    }
}
