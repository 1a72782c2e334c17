//! What is forgotten: revisions that nobody will go back to, their history, and bytes that nothing needs.

use super::load::{blocking, of_store};
use super::lock::back_lock;
use super::releases::no_such_revision;
use super::{Host, Inner};
use crate::control::protocol::{Exit, Failure, ForgetRequest, GcReport, GcRequest};
use crate::event::now_ms;
use crate::upgrade::plan::RevisionRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasmhot_appup::{Digest, ModuleVersion};

/// Revisions that `gc` keeps if it is not told otherwise.
const KEEP: u64 = 10;
/// What is younger is kept if it is not told otherwise: 30 days.
const KEEP_MS: u64 = 30 * 24 * 3600 * 1000;

impl Host {
    /// Forgets one revision: nobody can go back to it. What runs, what boots, and where their `undo` goes are not forgotten.
    ///
    /// # Errors
    /// It is needed, or not kept.
    pub async fn forget(&self, request: ForgetRequest) -> Result<GcReport, Failure> {
        let revision = request.revision;
        self.sweep(false, move |records, needed| {
            match (records.get(&revision), needed.get(&revision)) {
                (None, _) => Err(no_such_revision(revision, records.keys())),
                (Some(_), Some(why)) => {
                    let message = format!("revision {revision} is not forgotten: {why}");
                    Err(Failure::new("needed", Exit::Refused, message))
                }
                (Some(_), None) => Ok(vec![revision]),
            }
        })
        .await
    }

    /// Forgets old revisions, the history that belongs to them, and bytes that nothing needs any more: never what runs, boots, drains,
    /// waits, or wrote a saved state.
    ///
    /// # Errors
    /// An upgrade is running, or the catalog cannot be written.
    pub async fn gc(&self, request: GcRequest) -> Result<GcReport, Failure> {
        let keep = usize::try_from(request.keep.unwrap_or(KEEP)).unwrap_or(usize::MAX);
        let oldest = now_ms().saturating_sub(request.older_than_ms.unwrap_or(KEEP_MS));
        self.sweep(request.dry_run, move |records, needed| {
            let mut old: Vec<_> = records.values().rev().skip(keep).collect();
            old.retain(|record| record.time_ms <= oldest && !needed.contains_key(&record.revision));
            Ok(old.into_iter().map(|record| record.revision).rev().collect())
        })
        .await
    }

    async fn sweep(
        &self,
        dry_run: bool,
        choose: impl FnOnce(&BTreeMap<u64, RevisionRecord>, &BTreeMap<u64, String>) -> Result<Vec<u64>, Failure>,
    ) -> Result<GcReport, Failure> {
        let inner = &self.inner;
        let _lock = back_lock(inner).await?;
        let mut records = self.records().await?;
        let gone = choose(&records, &self.needed(&records))?;
        records.retain(|revision, _| !gone.contains(revision));
        let middle = self.passed_by(&records).await?;
        let mut kept = self.kept_digests(&records).await?;
        kept.extend(middle.iter().map(|id| id.digest));
        if !dry_run {
            self.note_middle(middle).await?;
        }
        let attempts = self.attempts().await?;
        let oldest = records.values().map(|record| record.time_ms).min().unwrap_or(0);
        let ended = attempts
            .iter()
            .filter(|attempt| attempt.ending.is_some() && !records.contains_key(&attempt.revision))
            .filter(|attempt| gone.contains(&attempt.revision) || attempt.began_ms < oldest);
        let ended: Vec<u64> = if gone.is_empty() {
            Vec::new()
        } else {
            ended.map(|attempt| attempt.number).collect()
        };
        let (catalog, objects) = (Arc::clone(&inner.core.catalog), Arc::clone(&inner.core.objects));
        let (_, lost) = self.installed().await?;
        let engines = Arc::clone(&inner.core.versions.engines);
        let report = blocking(move || {
            let mut report = GcReport {
                revisions: gone,
                attempts: ended.len() as u64,
                releases: lost
                    .iter()
                    .map(|record| format!("{}@{}", record.name, record.version))
                    .collect(),
                ..GcReport::default()
            };
            let failed = |error: crate::store::StoreError| of_store(&error);
            if !dry_run && !report.revisions.is_empty() {
                // First what names them: bytes without a name are swept the next time.
                catalog.delete_revisions(&report.revisions).map_err(failed)?;
                catalog.delete_attempts(&ended).map_err(failed)?;
            }
            if !dry_run && !lost.is_empty() {
                catalog.delete_installed(&lost).map_err(failed)?;
            }
            for digest in objects.list().map_err(failed)? {
                if kept.contains(&digest) {
                    continue;
                }
                report.bytes += std::fs::metadata(objects.path(&digest)).map_or(0, |found| found.len());
                report.objects.push(digest.to_string());
                if !dry_run {
                    objects.remove(&digest).map_err(failed)?;
                }
            }
            report.bytes += engines
                .forget_code(|digest| kept.contains(digest), dry_run)
                .map_err(failed)?;
            Ok((report, kept))
        });
        let (report, kept) = report.await?;
        if !dry_run {
            inner.core.versions.forget(|id| kept.contains(&id.digest));
        }
        Ok(report)
    }

    /// Revisions that cannot be forgotten, and why.
    fn needed(&self, records: &BTreeMap<u64, RevisionRecord>) -> BTreeMap<u64, String> {
        let meta = self.inner.core.meta();
        let mut needed = BTreeMap::new();
        for (revision, what) in [
            (meta.permanent, "it is what the host boots"),
            (meta.current, "it is what runs"),
        ] {
            let Some(revision) = revision else { continue };
            if let Some(back) = records.get(&revision).and_then(|record| record.undo_to) {
                needed.insert(back, format!("`undo` of revision {revision} goes there"));
            }
            needed.insert(revision, what.to_string());
        }
        // Said last: that it runs counts more than that somebody may go back to it.
        if let Some(revision) = meta.current {
            needed.insert(revision, "it is what runs".to_string());
        }
        needed
    }

    /// The versions through which saved states have to go to what runs, or boots (R28).
    async fn passed_by(&self, records: &BTreeMap<u64, RevisionRecord>) -> Result<BTreeSet<ModuleVersion>, Failure> {
        let core = &self.inner.core;
        let meta = core.meta();
        let needed = [meta.current, meta.permanent].into_iter().flatten();
        let needed: Vec<_> = needed.filter_map(|revision| records.get(&revision)).collect();
        let keeps_state = needed
            .iter()
            .flat_map(|record| &record.modules)
            .filter(|module| module.kind.keeps_state());
        let readers: BTreeSet<&ModuleVersion> = keeps_state.map(|module| &module.id).collect();
        let modules = readers.iter().map(|reader| reader.name.clone()).collect();
        let saved = core
            .services
            .states
            .saved_of(&modules)
            .await
            .map_err(|error| of_store(&error))?;
        let mut passed = BTreeSet::new();
        for reader in readers {
            for saved in saved.iter().filter(|saved| saved.module == reader.name) {
                let way = core.versions.way(&saved.version, reader).await;
                passed.extend(way.into_iter().flatten());
            }
        }
        Ok(passed)
    }

    /// No revision may name them after this: the next start has to know of them all the same.
    async fn note_middle(&self, middle: BTreeSet<ModuleVersion>) -> Result<(), Failure> {
        let core = &self.inner.core;
        let mut meta = core.meta();
        meta.middle = middle.into_iter().collect();
        if meta == core.meta() {
            return Ok(());
        }
        let (catalog, written) = (Arc::clone(&core.catalog), meta.clone());
        blocking(move || catalog.set_meta(&written).map_err(|error| of_store(&error))).await?;
        *core.meta.lock().expect("no panic under this lock") = meta;
        Ok(())
    }

    /// The bytes that these revisions, saved states, old instances and waiting drops need.
    async fn kept_digests(&self, records: &BTreeMap<u64, RevisionRecord>) -> Result<BTreeSet<Digest>, Failure> {
        let core = &self.inner.core;
        let mut kept: BTreeSet<Digest> = records
            .values()
            .flat_map(|record| record.modules.iter().map(|module| &module.id).chain(&record.middle))
            .map(|id| id.digest)
            .collect();
        kept.extend(self.saved_by().await?.into_keys());
        kept.extend(
            core.services
                .old_pools()
                .iter()
                .map(|pool| pool.template.version.id.digest),
        );
        let routes = core.router.routes();
        kept.extend(routes.modules.values().map(|route| route.template.version.id.digest));
        kept.extend(self.inner.drops.lock().expect("no panic under this lock").digests());
        Ok(kept)
    }
}

impl Inner {
    /// `gc` with its defaults, at a start: nobody has to think of it.
    pub(super) fn sweep_at_start(self: &Arc<Self>) {
        let host = Host {
            inner: Arc::clone(self),
        };
        self.core.services.guests.spawn(async move {
            // To find what nothing needs is to look at every saved state: only where a revision is old enough.
            let oldest = now_ms().saturating_sub(KEEP_MS);
            let records = host.records().await.unwrap_or_default();
            if records
                .values()
                .rev()
                .skip(KEEP as usize)
                .all(|record| record.time_ms > oldest)
            {
                return;
            }
            if let Err(failure) = host.gc(GcRequest::default()).await {
                tracing::warn!("old revisions could not be forgotten: {}", failure.message);
            }
        });
    }
}
