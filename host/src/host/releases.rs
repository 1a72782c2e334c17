//! Releases and their history: what ran, what was attempted, how revisions differ, what keeps a version.

use super::Host;
use super::load::{blocking, of_store};
use super::plans::current_record;
use crate::call::frame::Frame;
use crate::call::routes::{Route, Target};
use crate::clock::coarse_ms;
use crate::control::protocol::{
    DiffReport, Exit, Failure, Held, HistoryEntry, HistoryMove, HistoryStep, HoldRequest, ModuleDiff, ReleaseStatus,
    RunningCall, RunningModule, RunningRelease, WhyReport, word,
};
use crate::event::{EventKind, Happening};
use crate::store::Catalog;
use crate::upgrade::Core;
use crate::upgrade::journal::{Attempt, Ending, Step};
use crate::upgrade::plan::{ModuleRecord, RevisionRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasmhot_appup::{Digest, ModuleName, ModuleVersion, Version as Semver};

impl Host {
    /// The revisions that this host keeps, newest last, and the releases that are installed; of one status, or all.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn releases(&self, status: Option<&str>) -> Result<Vec<ReleaseStatus>, Failure> {
        let records = self.records().await?;
        let meta = self.inner.core.meta();
        let wanted = status.map(str::to_string);
        let of = |record: RevisionRecord| {
            let (runs, boots) = (
                meta.current == Some(record.revision),
                meta.permanent == Some(record.revision),
            );
            let status = match (runs, boots) {
                (true, true) => "permanent",
                (true, false) => "current",
                (false, true) => "boots",
                (false, false) => "old",
            };
            ReleaseStatus {
                revision: Some(record.revision),
                release: record.release,
                version: record.version.to_string(),
                status: status.to_string(),
                time_ms: record.time_ms,
                origin: word(&record.asked),
                modules: record.modules.iter().map(|module| short(&module.id)).collect(),
                undo_to: record.undo_to,
                folder: None,
            }
        };
        let mut releases: Vec<_> = records.into_values().map(of).collect();
        self.with_installed(&mut releases).await?;
        releases.retain(|release| wanted.as_deref().is_none_or(|wanted| release.status == wanted));
        Ok(releases)
    }

    /// The release that runs, as a value: all that a plan is made from.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn release(&self) -> Result<RunningRelease, Failure> {
        let core = &self.inner.core;
        let limits = current_record(&self.inner).await?.map(|record| record.limits);
        let kept = core.kept_of(&modules_with_states(core).await?).await?;
        let routes = core.router.routes();
        let module = |route: &Route| {
            let version = &route.template.version;
            RunningModule {
                version: version.id.clone(),
                kind: route.template.config.kind,
                spec: route.template.config.spec.clone(),
                interface: (*version.interface).clone(),
                state: version.state.clone(),
                appup: version.appup.clone(),
            }
        };
        Ok(RunningRelease {
            revision: routes.revision,
            name: routes.release.clone(),
            version: routes.release_version.clone(),
            limits: limits.unwrap_or_default(),
            modules: routes.modules.values().map(module).collect(),
            wiring: routes.wiring.clone(),
            open: core.router.open_before(routes.revision),
            known: core
                .versions
                .known()
                .into_iter()
                .filter(|id| core.objects.path(&id.digest).is_file())
                .collect(),
            saved: kept.saved,
            described: kept.states,
        })
    }

    /// What was attempted, newest last; at most `limit` of the newest.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn history(&self, limit: Option<usize>) -> Result<Vec<HistoryEntry>, Failure> {
        let mut attempts = self.attempts().await?;
        if let Some(limit) = limit {
            attempts.drain(..attempts.len().saturating_sub(limit));
        }
        Ok(attempts.into_iter().map(entry).collect())
    }

    /// How two revisions differ, module by module, configuration included.
    ///
    /// # Errors
    /// A revision is not kept.
    pub async fn diff(&self, from: u64, to: u64) -> Result<DiffReport, Failure> {
        let records = self.records().await?;
        let find = |revision: u64| {
            records
                .get(&revision)
                .ok_or_else(|| no_such_revision(revision, records.keys()))
        };
        let (one, other) = (find(from)?, find(to)?);
        let modules = |record: &RevisionRecord| -> BTreeMap<ModuleName, ModuleRecord> {
            let modules = record.modules.iter();
            modules.map(|module| (module.id.name.clone(), module.clone())).collect()
        };
        let (before, after) = (modules(one), modules(other));
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        Ok(DiffReport {
            from,
            to,
            from_release: format!("{} {}", one.release, one.version),
            to_release: format!("{} {}", other.release, other.version),
            modules: names
                .into_iter()
                .filter_map(|name| differ(name, before.get(name), after.get(name)))
                .collect(),
        })
    }

    /// What keeps a version, written `name@version`: that it runs, calls that have not ended, states, revisions.
    ///
    /// # Errors
    /// No such version is known, or the catalog cannot be read.
    pub async fn why(&self, version: &str) -> Result<WhyReport, Failure> {
        let core = &self.inner.core;
        let known = core.versions.known();
        let id = find_version(&known, version)?;
        let mut report = WhyReport {
            version: short(&id),
            digest: id.digest.to_string(),
            ..WhyReport::default()
        };
        let routes = core.router.routes();
        let current = routes.modules.get(&id.name).map(|route| &route.template.version.id);
        let runs = current == Some(&id);
        if runs {
            report.alive = true;
            report
                .reasons
                .push(format!("it is what runs (revision {})", routes.revision));
        }
        for pool in core.services.old_pools() {
            if pool.template.version.id == id {
                report.alive = true;
                report.calls.extend(pool.each_running(|running| RunningCall {
                    age_ms: Some(coarse_ms().saturating_sub(running.since_ms)),
                    from: came_from(running.caller.as_deref()),
                }));
            }
        }
        // Calls elsewhere whose stamp is that of a revision with this version may still call it (R20).
        if !runs {
            report.calls.extend(may_call(&routes, &id));
        }
        if !report.calls.is_empty() {
            report.reasons.push(match report.calls.len() {
                1 => "a call that began before the switch has not ended".to_string(),
                several => format!("{several} calls that began before the switch have not ended"),
            });
        }
        let saved = self.saved_by().await?;
        if let Some(states) = saved.get(&id.digest) {
            report.reasons.push(match states {
                1 => "a saved state was written by it".to_string(),
                several => format!("{several} saved states were written by it, or for it"),
            });
        }
        let revisions: Vec<_> = self.records().await?.into_values().collect();
        let named: Vec<_> = revisions
            .iter()
            .filter(|record| record.modules.iter().any(|module| module.id == id))
            .map(|record| record.revision.to_string())
            .collect();
        if !named.is_empty() {
            report
                .reasons
                .push(format!("it is part of revision {}", named.join(", ")));
        }
        Ok(report)
    }

    /// Drops and applies wait from now on, over a restart too.
    ///
    /// # Errors
    /// It cannot be written down.
    pub async fn hold(&self, request: HoldRequest) -> Result<Held, Failure> {
        let reason = if request.reason.is_empty() {
            "held".to_string()
        } else {
            request.reason
        };
        self.set_held(Some(reason)).await
    }

    /// They wait no longer.
    ///
    /// # Errors
    /// As [`Host::hold`].
    pub async fn release_hold(&self) -> Result<Held, Failure> {
        self.set_held(None).await
    }

    async fn set_held(&self, held: Option<String>) -> Result<Held, Failure> {
        let core = &self.inner.core;
        // A switch in between would write another meta record over this one.
        let _lock = core.upgrading.lock().await;
        let mut meta = core.meta();
        meta.held.clone_from(&held);
        let (catalog, written) = (Arc::clone(&core.catalog), meta.clone());
        blocking(move || catalog.set_meta(&written).map_err(|error| of_store(&error))).await?;
        *core.meta.lock().expect("no panic under this lock") = meta;
        let message = match &held {
            Some(reason) => format!("drops and applies wait: {reason}; `wasmhot release-hold` lets them go on"),
            None => "drops and applies wait no longer".to_string(),
        };
        core.events.publish(Happening::new(EventKind::Held, message));
        core.held.send_replace(held.clone());
        self.inner.changed.notify_one();
        Ok(Held { held })
    }

    /// The versions that wrote, or are to read, a saved state, and how many.
    pub(super) async fn saved_by(&self) -> Result<BTreeMap<Digest, u64>, Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || {
            let mut found = BTreeMap::new();
            for tag in catalog.all_states().map_err(|error| of_store(&error))? {
                *found.entry(tag.version.digest).or_default() += 1;
                if let Some(written) = tag
                    .written_for
                    .filter(|written| written.to.digest != tag.version.digest)
                {
                    *found.entry(written.to.digest).or_default() += 1;
                }
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn records(&self) -> Result<BTreeMap<u64, RevisionRecord>, Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || records_of(&catalog)).await
    }

    pub(super) async fn attempts(&self) -> Result<Vec<Attempt>, Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || catalog.attempts().map_err(|error| of_store(&error))).await
    }
}

/// The modules of which a state is saved.
async fn modules_with_states(core: &Core) -> Result<BTreeSet<ModuleName>, Failure> {
    let catalog = Arc::clone(&core.catalog);
    blocking(move || catalog.modules_with_states().map_err(|error| of_store(&error))).await
}

pub(super) fn records_of(catalog: &Catalog) -> Result<BTreeMap<u64, RevisionRecord>, Failure> {
    let mut records = BTreeMap::new();
    for revision in catalog.revisions().map_err(|error| of_store(&error))? {
        if let Some(record) = catalog.revision(revision).map_err(|error| of_store(&error))? {
            records.insert(revision, record);
        }
    }
    Ok(records)
}

fn short(id: &ModuleVersion) -> String {
    format!("{}@{}", id.name, id.version)
}

pub(super) fn no_such_revision<'a>(revision: u64, known: impl Iterator<Item = &'a u64>) -> Failure {
    let known: Vec<_> = known.map(ToString::to_string).collect();
    let message = format!("there is no revision {revision}; there are: {}", known.join(", "));
    Failure::new("no-such-revision", Exit::Refused, message)
}

/// The one version that `name@version` means; several builds of one are told apart by the digest: `name@version:sha`.
fn find_version(known: &[ModuleVersion], typed: &str) -> Result<ModuleVersion, Failure> {
    let refused = |code: &str, message: String| Failure::new(code, Exit::Refused, message);
    let parts = typed.split_once('@').map(|(name, rest)| match rest.split_once(':') {
        Some((version, digest)) => (name, version, digest),
        None => (name, rest, ""),
    });
    let parsed = parts.and_then(|(name, version, digest)| Some((name, Semver::parse(version).ok()?, digest)));
    let Some((name, version, digest)) = parsed else {
        let message = format!("{typed:?} is no version: write it as `counter@1.2.0`");
        return Err(refused("bad-version", message));
    };
    let is = |id: &&ModuleVersion| {
        id.name.as_ref() == name && id.version == version && id.digest.to_string().starts_with(digest)
    };
    let found: Vec<_> = known.iter().filter(is).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let of_module: Vec<_> = known.iter().filter(|id| id.name.as_ref() == name).map(short).collect();
            let known = if of_module.is_empty() {
                "none of this module".to_string()
            } else {
                of_module.join(", ")
            };
            Err(refused(
                "no-such-version",
                format!("no version {typed} is known; there are: {known}"),
            ))
        }
        several => {
            let builds: Vec<_> = several
                .iter()
                .map(|id| format!("{}:{:.12}", short(id), id.digest.to_string()))
                .collect();
            let message = format!("{typed} has several builds; say which: {}", builds.join(", "));
            Err(refused("several-builds", message))
        }
    }
}

fn came_from(caller: Option<&Frame>) -> String {
    let Some(caller) = caller else {
        return "a call from outside".to_string();
    };
    let mut names: Vec<_> = caller.with_callers().map(Frame::name).collect();
    names.reverse();
    names.join(" → ")
}

/// Running calls, of whatever module, whose stamp has this version.
fn may_call(routes: &crate::call::routes::Routes, id: &ModuleVersion) -> Vec<RunningCall> {
    let lanes = routes.modules.values().flat_map(|route| match &route.target {
        Target::Single(lane) => vec![Arc::clone(lane)],
        Target::Keyed(keyed) => keyed.lanes(),
        Target::Pool(_) => Vec::new(),
    });
    let holders = lanes.flat_map(|lane| lane.holders());
    let stamped = holders.filter(|frame| {
        let route = frame.stamp.modules.get(&id.name);
        route.is_some_and(|route| route.template.version.id == *id)
    });
    let of = |frame: Arc<Frame>| RunningCall {
        age_ms: None,
        from: came_from(Some(&*frame)),
    };
    stamped.map(of).collect()
}

fn entry(attempt: Attempt) -> HistoryEntry {
    let (result, why, report, revision) = match attempt.ending {
        None => ("running", None, None, None),
        Some(Ending::Switched { report }) => ("switched", None, report, Some(attempt.revision)),
        Some(Ending::CalledOff { failure }) => ("called-off", Some(failure.message), None, None),
        Some(Ending::Interrupted) => ("interrupted", None, None, None),
        Some(Ending::WentBack { why }) => ("went-back", Some(why), None, Some(attempt.revision)),
    };
    let moves = attempt.moves.iter().map(|one| HistoryMove {
        module: one.module.to_string(),
        action: one.action.clone(),
        from: one.from.as_ref().map(|id| id.version.to_string()),
        from_digest: one.from.as_ref().map(|id| id.digest.to_string()),
        to: one.to.as_ref().map(|id| id.version.to_string()),
        to_digest: one.to.as_ref().map(|id| id.digest.to_string()),
        state_digest: one.state.map(|digest| digest.to_string()),
    });
    HistoryEntry {
        attempt: attempt.number,
        time_ms: attempt.began_ms,
        ended_ms: attempt.ended_ms,
        by: attempt.by,
        origin: word(&attempt.asked),
        result: result.to_string(),
        why,
        revision,
        from_release: attempt.from_release,
        to_release: attempt.to_release,
        modules: moves.collect(),
        steps: attempt.steps.iter().map(step).collect(),
        report: report.map(|report| *report),
    }
}

fn step(step: &Step) -> HistoryStep {
    let state = match step {
        Step { undone_ms: Some(_), .. } => "undone",
        Step { failed: Some(_), .. } => "failed",
        Step { ended_ms: Some(_), .. } => "done",
        Step { began_ms: Some(_), .. } => "begun",
        Step { .. } => "waiting",
    };
    HistoryStep {
        call: step.shown(),
        when: word(&step.when),
        state: state.to_string(),
        why: step.failed.clone(),
    }
}

fn differ(name: &ModuleName, before: Option<&ModuleRecord>, after: Option<&ModuleRecord>) -> Option<ModuleDiff> {
    let mut diff = ModuleDiff {
        module: name.to_string(),
        from: before.map(|module| module.id.version.to_string()),
        to: after.map(|module| module.id.version.to_string()),
        ..ModuleDiff::default()
    };
    let (Some(one), Some(other)) = (before, after) else {
        diff.change = if before.is_some() { "removed" } else { "added" }.to_string();
        return Some(diff);
    };
    let mut note = |what: &str, from: String, to: String| {
        if from != to {
            diff.details.push(format!("{what}: {from} -> {to}"));
        }
    };
    note("sha256", one.id.digest.to_string(), other.id.digest.to_string());
    note("kind", one.kind.to_string(), other.kind.to_string());
    note("limits", json(&one.spec.limits), json(&other.spec.limits));
    note("grants", json(&one.spec.grants), json(&other.spec.grants));
    note("links", json(&one.spec.links), json(&other.spec.links));
    note("config", json(&one.spec.config), json(&other.spec.config));
    note("every", json(&one.spec.every), json(&other.spec.every));
    note("routes", json(&one.spec.routes), json(&other.spec.routes));
    note("http_calls", json(&one.spec.http_calls), json(&other.spec.http_calls));
    if diff.details.is_empty() && one.id == other.id {
        return None;
    }
    let changed = one.id != other.id;
    diff.change = if changed { "changed" } else { "configured" }.to_string();
    Some(diff)
}

/// Settings as JSON without what is not set: what people wrote.
fn json(settings: &impl serde::Serialize) -> String {
    fn strip(value: &mut serde_json::Value) {
        if let serde_json::Value::Object(fields) = value {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip);
        }
    }
    let mut value = serde_json::to_value(settings).unwrap_or_default();
    strip(&mut value);
    value.to_string()
}
