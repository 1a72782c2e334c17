//! What is known of the watched directory: its files, and which of them are pending. No I/O.

use crate::control::protocol::PendingStatus;
use crate::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use wasmhot_appup::{Digest, ModuleName, ModuleVersion};

/// The files of the directory that are modules, whatever became of them, and those that wait.
#[derive(Default)]
pub(in crate::host) struct Drops {
    files: BTreeMap<PathBuf, DroppedFile>,
    pending: BTreeMap<ModuleName, Pending>,
    /// New contents that are looked at when a hold or a probation has ended.
    put_off: BTreeSet<Digest>,
}

struct DroppedFile {
    version: Arc<Version>,
    modified: Option<SystemTime>,
}

/// A file that may become what runs.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) version: Arc<Version>,
}

struct Pending {
    candidate: Candidate,
    reasons: Vec<String>,
    expires: Instant,
}

impl Candidate {
    pub(super) fn id(&self) -> &ModuleVersion {
        &self.version.id
    }
}

impl Drops {
    /// A file has this content now. True if no other file is this version.
    pub(super) fn note(&mut self, path: &Path, version: &Arc<Version>, modified: Option<SystemTime>) -> bool {
        let is_first = !self.files.values().any(|file| file.version.id == version.id);
        let file = DroppedFile {
            version: Arc::clone(version),
            modified,
        };
        self.files.insert(path.to_path_buf(), file);
        is_first
    }

    /// These are looked at later. Gives those of which that was not known.
    pub(super) fn put_off(&mut self, fresh: &BTreeSet<Digest>) -> Vec<Candidate> {
        let new: Vec<_> = fresh.difference(&self.put_off).copied().collect();
        self.put_off.extend(&new);
        new.iter().flat_map(|digest| self.with(digest)).collect()
    }

    /// What was put off until now.
    pub(super) fn take_put_off(&mut self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.put_off)
    }

    /// The version that a file is.
    pub(super) fn at(&self, path: &Path) -> Option<&Arc<Version>> {
        self.files.get(path).map(|file| &file.version)
    }

    /// A file is no module any more. Gives what it was, and what was pending because of it.
    pub(super) fn forget(&mut self, path: &Path) -> (Option<Arc<Version>>, Option<Candidate>) {
        let file = self.files.remove(path).map(|file| file.version);
        let waits = |(_, pending): &(&ModuleName, &Pending)| pending.candidate.path == path;
        let name = self.pending.iter().find(waits).map(|(name, _)| name.clone());
        let pending = name.and_then(|name| self.pending.remove(&name));
        (file, pending.map(|pending| pending.candidate))
    }

    /// Every content that lies in the directory.
    pub(in crate::host) fn digests(&self) -> BTreeSet<Digest> {
        self.files.values().map(|file| file.version.id.digest).collect()
    }

    /// The files with this content.
    pub(super) fn with(&self, digest: &Digest) -> Vec<Candidate> {
        let of = self.files.iter().filter(|(_, file)| file.version.id.digest == *digest);
        of.map(|(path, file)| file.candidate(path)).collect()
    }

    /// Of a module's files the highest version, of equal ones the newest (R34). What is barred does not count.
    pub(super) fn highest(&self, name: &ModuleName, barred: &BTreeSet<Digest>) -> Option<Candidate> {
        let of = self.files.iter().filter(|(_, file)| file.version.id.name == *name);
        let free = of.filter(|(_, file)| !barred.contains(&file.version.id.digest));
        let highest = free.max_by(|(_, one), (_, other)| {
            let by_version = one.version.id.version.cmp_precedence(&other.version.id.version);
            by_version.then(one.modified.cmp(&other.modified))
        });
        highest.map(|(path, file)| file.candidate(path))
    }

    /// What waits.
    pub(super) fn pending(&self) -> BTreeMap<ModuleName, Candidate> {
        let of = |(name, pending): (&ModuleName, &Pending)| (name.clone(), pending.candidate.clone());
        self.pending.iter().map(of).collect()
    }

    /// It waits from now on. True if it did not before; its time begins then.
    pub(super) fn wait(&mut self, candidate: &Candidate, reasons: Vec<String>, expiry: Duration) -> bool {
        let name = &candidate.id().name;
        if let Some(pending) = self.pending.get_mut(name)
            && pending.candidate.id() == candidate.id()
        {
            pending.reasons = reasons;
            return false;
        }
        let pending = Pending {
            candidate: candidate.clone(),
            reasons,
            expires: Instant::now() + expiry,
        };
        self.pending.insert(name.clone(), pending);
        true
    }

    /// It waits no more.
    pub(super) fn wait_no_more(&mut self, name: &ModuleName) {
        self.pending.remove(name);
    }

    /// Takes away what has waited for too long.
    pub(super) fn expire(&mut self) -> Vec<Candidate> {
        let now = Instant::now();
        let expired = self.pending.extract_if(.., |_, pending| pending.expires <= now);
        expired.map(|(_, pending)| pending.candidate).collect()
    }

    /// What waits, for `status`.
    pub(in crate::host) fn pending_status(&self) -> Vec<PendingStatus> {
        let now = Instant::now();
        let of = |(name, pending): (&ModuleName, &Pending)| PendingStatus {
            module: name.to_string(),
            version: pending.candidate.id().version.to_string(),
            path: pending.candidate.path.clone(),
            reasons: pending.reasons.clone(),
            expires_ms: u64::try_from(pending.expires.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX),
        };
        self.pending.iter().map(of).collect()
    }
}

impl DroppedFile {
    fn candidate(&self, path: &Path) -> Candidate {
        Candidate {
            path: path.to_path_buf(),
            version: Arc::clone(&self.version),
        }
    }
}
