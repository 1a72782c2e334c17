//! Drops: files of the watched directory become candidates, and candidates that fit become a switch (R34 to R37).
//!
//! Invariants:
//! - Only a file with new content, or a touched one, is a candidate: what merely lies in the directory moves nothing.
//! - One drop at a time is looked at, in the order in which the files came to rest.

use super::Inner;
use super::apply::{bar, current_record, plan_from, run, spec_for};
use super::load::{desired, load_bytes, of_store};
use crate::control::protocol::{Failure, PendingStatus};
use crate::event::{EventKind, Happening};
use crate::intake::{IntakeEvent, Taken, Watcher, printable, take};
use crate::store::FileRecord;
use crate::upgrade::plan::{Asked, Desired, Options};
use crate::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::Receiver;
use wasmhot_appup::{Graph, HostSettings, ModuleName, Node, settle_drops};

/// What is known of the watched directory.
#[derive(Default)]
pub(super) struct Drops {
    files: BTreeMap<PathBuf, DroppedFile>,
    pending: BTreeMap<ModuleName, Pending>,
}

#[derive(Clone)]
struct DroppedFile {
    version: Arc<Version>,
    modified: Option<SystemTime>,
}

struct Pending {
    version: Arc<Version>,
    path: PathBuf,
    reasons: Vec<String>,
    expires: Instant,
}

/// Takes drops until the host ends.
pub(super) fn watch(inner: &Arc<Inner>, watcher: Watcher, mut files: Receiver<IntakeEvent>, expiry: Duration) {
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        let _watcher = watcher;
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                event = files.recv() => {
                    let (Some(event), Some(inner)) = (event, living(&weak)) else { return };
                    happened(&inner, event, expiry).await;
                }
                _ = tick.tick() => {
                    let Some(inner) = living(&weak) else { return };
                    expire(&inner);
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
    let fresh = note_at_start(inner, directory, settings).await;
    consider(inner, fresh, Asked::Start, settings.pending_expiry()).await;
}

/// Notes the files that lie in the directory; gives the modules of those whose content this host has not seen before.
pub(super) async fn note_at_start(
    inner: &Arc<Inner>,
    directory: &Path,
    settings: &HostSettings,
) -> BTreeSet<ModuleName> {
    let mut fresh = BTreeSet::new();
    let (dir, max) = (directory.to_path_buf(), settings.file_max());
    let read = move || -> Vec<_> {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|of| of == "wasm"))
            .collect();
        paths.sort();
        paths.iter().filter_map(|path| take(path, max).ok()).collect()
    };
    let Ok(files) = tokio::task::spawn_blocking(read).await else {
        return fresh;
    };
    for file in files {
        // A refusal is told when the watch finds the file at rest: it may still be written now.
        let Ok(version) = load_bytes(&inner.core, &file.stem, Arc::clone(&file.bytes), file.digest).await else {
            continue;
        };
        if note(inner, &file, &version).await {
            tell_taken(inner, &file, &version);
            fresh.insert(version.id.name.clone());
        }
    }
    fresh
}

/// Notes a file and says whether its content is new to this host.
async fn note(inner: &Arc<Inner>, file: &Taken, version: &Arc<Version>) -> bool {
    let dropped = DroppedFile {
        version: Arc::clone(version),
        modified: file.modified,
    };
    inner
        .drops
        .lock()
        .expect("no panic under this lock")
        .files
        .insert(file.path.clone(), dropped);
    let (catalog, digest, stem) = (Arc::clone(&inner.core.catalog), file.digest, file.stem.clone());
    let seen = tokio::task::spawn_blocking(move || -> Result<bool, crate::store::StoreError> {
        if catalog.file(&digest)?.is_some() {
            return Ok(false);
        }
        catalog.put_file(
            &digest,
            &FileRecord {
                stem,
                barred: None,
                first_seen_ms: crate::event::now_ms(),
            },
        )?;
        Ok(true)
    });
    match seen.await {
        Ok(Ok(new)) => new,
        Ok(Err(error)) => {
            inner
                .core
                .events
                .publish(Happening::new(EventKind::Alarm, of_store(&error).message));
            true
        }
        Err(_) => true,
    }
}

async fn happened(inner: &Arc<Inner>, event: IntakeEvent, expiry: Duration) {
    let tell = |kind, message: String| inner.core.events.publish(Happening::new(kind, message));
    match event {
        IntakeEvent::Taken(file) => taken(inner, file, expiry).await,
        IntakeEvent::Refused { path, error, .. } => {
            tell(
                EventKind::Refused,
                format!("{}: {error} ({})", printable(&path), error.code()),
            );
        }
        IntakeEvent::Removed { path } => removed(inner, &path),
        IntakeEvent::Touched { path, .. } => {
            let name = {
                let drops = inner.drops.lock().expect("no panic under this lock");
                drops.files.get(&path).map(|file| file.version.id.name.clone())
            };
            match name {
                Some(name) => consider(inner, BTreeSet::from([name]), Asked::Drop, expiry).await,
                // A copy of a file that was taken under another name, or one that was refused for a passing reason.
                None => retake(inner, &path, expiry).await,
            }
        }
        IntakeEvent::WatchLost { why } => tell(
            EventKind::WatchLost,
            format!("the watched directory cannot be read: {why}; what runs goes on"),
        ),
        IntakeEvent::WatchBack => tell(EventKind::WatchBack, "the watched directory is back".to_string()),
    }
}

async fn retake(inner: &Arc<Inner>, path: &Path, expiry: Duration) {
    let owned = path.to_path_buf();
    if let Ok(Ok(file)) = tokio::task::spawn_blocking(move || take(&owned, u64::MAX)).await {
        taken(inner, file, expiry).await;
    }
}

async fn taken(inner: &Arc<Inner>, file: Taken, expiry: Duration) {
    let events = &inner.core.events;
    let shown = printable(&file.path);
    if let Some(why) = barred(inner, &file).await {
        let message = format!(
            "{shown}: the same bytes were refused before: {why}; `wasmhot apply {shown}` tries them all the same"
        );
        events.publish(Happening::new(EventKind::Refused, message));
        return;
    }
    let version = match load_bytes(&inner.core, &file.stem, Arc::clone(&file.bytes), file.digest).await {
        Ok(version) => version,
        Err(failure) => {
            let details = serde_json::json!({ "code": failure.code, "sha256": file.digest.to_string() });
            events.publish(
                Happening::new(
                    EventKind::Refused,
                    format!("{shown}: {} ({})", failure.message, failure.code),
                )
                .details(details),
            );
            if failure.content_at_fault {
                note_bar(inner, &file.stem, file.digest, &failure).await;
            }
            return;
        }
    };
    let at_start = file.at_start;
    let new = note(inner, &file, &version).await;
    if at_start && !new {
        return;
    }
    tell_taken(inner, &file, &version);
    consider(inner, BTreeSet::from([version.id.name.clone()]), Asked::Drop, expiry).await;
}

fn tell_taken(inner: &Inner, file: &Taken, version: &Version) {
    let details = serde_json::json!({ "sha256": file.digest.to_string(), "bytes": version.size });
    let message = format!("{} is {}", printable(&file.path), version.id);
    inner.core.events.publish(
        Happening::new(EventKind::Taken, message)
            .version(&version.id)
            .details(details),
    );
}

async fn barred(inner: &Inner, file: &Taken) -> Option<String> {
    let (catalog, digest) = (Arc::clone(&inner.core.catalog), file.digest);
    let known = tokio::task::spawn_blocking(move || catalog.file(&digest))
        .await
        .ok()?
        .ok()??;
    known.barred
}

async fn note_bar(inner: &Inner, stem: &str, digest: wasmhot_appup::Digest, failure: &Failure) {
    if let Err(error) = bar(inner, stem, digest, &failure.message).await {
        inner
            .core
            .events
            .publish(Happening::new(EventKind::Alarm, error.message));
    }
}

fn removed(inner: &Inner, path: &Path) {
    let mut drops = inner.drops.lock().expect("no panic under this lock");
    let file = drops.files.remove(path);
    let cancelled: Vec<_> = drops
        .pending
        .iter()
        .filter(|(_, pending)| pending.path == path)
        .map(|(name, _)| name.clone())
        .collect();
    for name in &cancelled {
        drops.pending.remove(name);
    }
    drop(drops);
    let shown = printable(path);
    for name in &cancelled {
        let message = format!("{shown} was deleted: it is pending no more");
        inner
            .core
            .events
            .publish(Happening::new(EventKind::PendingEnded, message).module(name));
    }
    if let (Some(file), true) = (file, cancelled.is_empty()) {
        let name = &file.version.id.name;
        let message = format!("{shown} was deleted: that stops nothing; `wasmhot remove {name}` does");
        inner
            .core
            .events
            .publish(Happening::new(EventKind::FileDeleted, message).module(name));
    }
}

fn expire(inner: &Inner) {
    let mut drops = inner.drops.lock().expect("no panic under this lock");
    let now = Instant::now();
    let expired: Vec<_> = drops
        .pending
        .iter()
        .filter(|(_, pending)| pending.expires <= now)
        .map(|(name, _)| name.clone())
        .collect();
    for name in expired {
        if let Some(pending) = drops.pending.remove(&name) {
            let message = format!(
                "{} waited for another module until pending_expiry and is pending no more",
                pending.version.id
            );
            inner
                .core
                .events
                .publish(Happening::new(EventKind::PendingEnded, message).version(&pending.version.id));
        }
    }
}

/// Of a module's files the highest version; of equal ones the newest.
fn highest(drops: &Drops, name: &ModuleName) -> Option<(PathBuf, Arc<Version>)> {
    let of = drops.files.iter().filter(|(_, file)| file.version.id.name == *name);
    of.max_by(|(_, one), (_, other)| {
        let by_version = one.version.id.version.cmp_precedence(&other.version.id.version);
        by_version.then(one.modified.cmp(&other.modified))
    })
    .map(|(path, file)| (path.clone(), Arc::clone(&file.version)))
}

/// Looks which of the new candidates and the pending ones fit now, and moves them.
async fn consider(inner: &Arc<Inner>, fresh: BTreeSet<ModuleName>, asked: Asked, expiry: Duration) {
    // Drops wait for whatever upgrade runs (R37).
    let _lock = inner.core.upgrading.lock().await;
    let mut candidates = candidates(inner, &fresh);
    if candidates.is_empty() {
        return;
    }
    let limits = match current_record(inner).await {
        Ok(record) => record.map(|record| record.limits).unwrap_or_default(),
        Err(error) => {
            inner
                .core
                .events
                .publish(Happening::new(EventKind::Alarm, error.message));
            return;
        }
    };
    let running = inner.running();
    let wanted: BTreeMap<ModuleName, Desired> = candidates
        .iter()
        .map(|(name, (_, version))| {
            (
                name.clone(),
                desired(&inner.core, Arc::clone(version), spec_for(&running, name), &limits),
            )
        })
        .collect();
    let nodes: BTreeMap<ModuleName, Node> = wanted
        .iter()
        .map(|(name, desired)| (name.clone(), node(desired)))
        .collect();
    let routes = inner.core.router.routes();
    let current: Graph = routes.graph();
    let outcome = settle_drops(&current, &routes.wiring, &nodes);
    for (name, refusals) in outcome.pending {
        if let Some((path, version)) = candidates.remove(&name) {
            make_pending(
                inner,
                &name,
                path,
                version,
                refusals.iter().map(ToString::to_string).collect(),
                expiry,
            );
        }
    }
    // At a start everything that fits is one switch: the first revision is the directory as it was found.
    let groups = match asked {
        Asked::Start => vec![outcome.groups.into_iter().flatten().collect::<BTreeSet<_>>()],
        _ => outcome.groups,
    };
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        move_group(inner, &group, &wanted, &limits, asked, &candidates, expiry).await;
    }
}

fn node(desired: &Desired) -> Node {
    Node {
        version: desired.version.id.clone(),
        kind: desired.config.kind,
        interface: Arc::clone(&desired.version.interface),
        links: desired.config.spec.links.clone(),
    }
}

type Candidates = BTreeMap<ModuleName, (PathBuf, Arc<Version>)>;

fn candidates(inner: &Inner, fresh: &BTreeSet<ModuleName>) -> Candidates {
    let drops = inner.drops.lock().expect("no panic under this lock");
    let routes = inner.core.router.routes();
    let mut candidates: Candidates = drops
        .pending
        .iter()
        .map(|(name, pending)| (name.clone(), (pending.path.clone(), Arc::clone(&pending.version))))
        .collect();
    for name in fresh {
        let Some((path, version)) = highest(&drops, name) else {
            continue;
        };
        let runs = routes.modules.get(name).map(|route| &route.template.version.id);
        if runs.is_some_and(|runs| runs.digest == version.id.digest) {
            candidates.remove(name);
            let message = format!("{} is what runs; among its files there is none higher", version.id);
            inner
                .core
                .events
                .publish(Happening::new(EventKind::Ignored, message).version(&version.id));
            continue;
        }
        candidates.insert(name.clone(), (path, version));
    }
    candidates
}

fn make_pending(
    inner: &Inner,
    name: &ModuleName,
    path: PathBuf,
    version: Arc<Version>,
    reasons: Vec<String>,
    expiry: Duration,
) {
    let mut drops = inner.drops.lock().expect("no panic under this lock");
    let known = drops
        .pending
        .get(name)
        .is_some_and(|pending| pending.version.id == version.id);
    let id = version.id.clone();
    let expires = drops
        .pending
        .get(name)
        .filter(|_| known)
        .map_or_else(|| Instant::now() + expiry, |pending| pending.expires);
    let message = format!("{id} is pending: {}", reasons.join("; "));
    drops.pending.insert(
        name.clone(),
        Pending {
            version,
            path,
            reasons,
            expires,
        },
    );
    drop(drops);
    if !known {
        inner
            .core
            .events
            .publish(Happening::new(EventKind::Pending, message).version(&id));
    }
}

async fn move_group(
    inner: &Arc<Inner>,
    group: &BTreeSet<ModuleName>,
    wanted: &BTreeMap<ModuleName, Desired>,
    limits: &wasmhot_appup::LimitsSpec,
    asked: Asked,
    candidates: &Candidates,
    expiry: Duration,
) {
    let mut all = inner.running();
    for name in group {
        if let Some(desired) = wanted.get(name) {
            all.insert(name.clone(), desired.clone());
        }
    }
    let plan = plan_from(inner, asked, all, limits.clone(), Options::default());
    let moved = run(inner, plan).await;
    {
        let mut drops = inner.drops.lock().expect("no panic under this lock");
        drops.pending.retain(|name, _| !group.contains(name));
    }
    let Err(failure) = moved else { return };
    for name in group {
        let Some((path, version)) = candidates.get(name) else {
            continue;
        };
        // R36: a fault of the content bars it; a passing one waits for the next event.
        let at_fault =
            failure.content_at_fault && (group.len() == 1 || failure.message.starts_with(&format!("{name}:")));
        if at_fault {
            note_bar(inner, &version.id.to_string(), version.id.digest, &failure).await;
        } else {
            make_pending(
                inner,
                name,
                path.clone(),
                Arc::clone(version),
                vec![failure.message.clone()],
                expiry,
            );
        }
    }
}

impl Inner {
    /// What waits, for `status`.
    pub(super) fn pending(&self) -> Vec<PendingStatus> {
        let drops = self.drops.lock().expect("no panic under this lock");
        let now = Instant::now();
        let of = |(name, pending): (&ModuleName, &Pending)| PendingStatus {
            module: name.to_string(),
            version: pending.version.id.version.to_string(),
            path: pending.path.clone(),
            reasons: pending.reasons.clone(),
            expires_ms: u64::try_from(pending.expires.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX),
        };
        drops.pending.iter().map(of).collect()
    }
}
