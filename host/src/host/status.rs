//! What runs, for people and programs.

use super::Host;
use super::load::{blocking, of_store};
use crate::call::routes::{Route, Target};
use crate::control::protocol::{CodeStatus, Failure, ModuleStatus, Status, VersionStatus};
use crate::error::CallErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Host {
    /// What runs now.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let core = &inner.core;
        let routes = core.router.routes();
        Status {
            wasmhot: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            release: format!("{} {}", routes.release, routes.release_version),
            revision: routes.revision,
            uptime_ms: millis(inner.started.elapsed()),
            directory: inner.directory.clone(),
            state: inner.state.clone(),
            busy: core.busy.borrow().clone(),
            probation: core.probation.borrow().as_ref().map(|probation| {
                let left = probation.ends.saturating_duration_since(std::time::Instant::now());
                let attempt = &probation.attempt;
                format!(
                    "revision {} ({}) for another {left:.0?}",
                    attempt.revision, attempt.to_release
                )
            }),
            held: core.held.borrow().clone(),
            http: self.http_status(&routes),
            modules: routes.modules.values().map(|route| self.module_status(route)).collect(),
            pending: inner.drops.lock().expect("no panic under this lock").pending_status(),
            last_called_off: core.last_called_off.lock().expect("no panic under this lock").clone(),
            calls: core.services.calls.load(Ordering::Relaxed),
            code: {
                let (compiled, from_cache) = core.versions.engines.counts();
                CodeStatus { compiled, from_cache }
            },
        }
    }

    fn module_status(&self, route: &Route) -> ModuleStatus {
        let id = &route.template.version.id;
        let mut status = ModuleStatus {
            module: id.name.to_string(),
            version: id.version.to_string(),
            digest: id.digest.to_string(),
            kind: route.template.config.kind.to_string(),
            condition: "running".to_string(),
            schedules: self.inner.schedules_of(&id.name),
            ..ModuleStatus::default()
        };
        match &route.target {
            Target::Pool(pool) => {
                let (idle, memory) = pool.idle();
                status.since_revision = pool.revision;
                status.running = pool.running() as u64;
                status.waiting = u64::from(pool.waiting());
                status.instances = idle as u64 + status.running;
                status.memory_bytes = memory;
            }
            Target::Single(lane) => {
                let figures = lane.figures();
                status.since_revision = lane.live.load().revision;
                status.running = u64::from(figures.busy);
                status.waiting = figures.waiting as u64;
                status.instances = u64::from(figures.is_live);
                status.memory_bytes = figures.instance.map_or(0, |(_, _, memory)| memory);
                status.unsaved_calls = Some(figures.unsaved_calls);
                status.saved_ms_ago = figures.saved_at.map(|at| millis(at.elapsed()));
                status.restored = figures.restored;
                if let Some(failed) = figures.failed {
                    status.condition = condition(failed.code).to_string();
                }
            }
            Target::Keyed(keyed) => {
                status.since_revision = keyed.live.load().revision;
                let lanes = keyed.lanes();
                status.unsaved_calls = Some(0);
                status.keys = Some(keyed.crowd.keys());
                status.failed_keys = Some(self.inner.core.services.failed_keys(&id.name));
                for figures in lanes.iter().map(|lane| lane.figures()) {
                    status.running += u64::from(figures.busy);
                    status.waiting += figures.waiting as u64;
                    status.instances += u64::from(figures.is_live);
                    status.memory_bytes += figures.instance.map_or(0, |(_, _, memory)| memory);
                    status.unsaved_calls = status.unsaved_calls.map(|calls| calls + figures.unsaved_calls);
                }
            }
        }
        status.save_skipped = self
            .inner
            .save_skipped
            .lock()
            .expect("no panic under this lock")
            .get(&id.name)
            .cloned();
        status
    }

    /// The versions that this host knows, of one module or of all.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn versions(&self, module: Option<&str>) -> Result<Vec<VersionStatus>, Failure> {
        let core = &self.inner.core;
        let routes = core.router.routes();
        let mut known = core.versions.known();
        known.retain(|id| module.is_none_or(|module| id.name.as_ref() == module));
        known.sort_by(|one, other| {
            (&one.name, &one.version, &one.digest).cmp(&(&other.name, &other.version, &other.digest))
        });
        let catalog = Arc::clone(&core.catalog);
        let draining = core.services.draining();
        blocking(move || {
            let of = |id: wasmhot_appup::ModuleVersion| -> Result<VersionStatus, Failure> {
                let barred = catalog
                    .file(&id.digest)
                    .map_err(|error| of_store(&error))?
                    .and_then(|file| file.barred);
                let current = routes
                    .modules
                    .get(&id.name)
                    .is_some_and(|route| route.template.version.id == id);
                let running = draining
                    .iter()
                    .find(|(other, _)| *other == id)
                    .map(|(_, running)| *running);
                let status = match (current, running, &barred) {
                    (true, ..) => "current",
                    (false, Some(_), _) => "draining",
                    (false, None, Some(_)) => "barred",
                    (false, None, None) => "old",
                };
                Ok(VersionStatus {
                    module: id.name.to_string(),
                    version: id.version.to_string(),
                    digest: id.digest.to_string(),
                    status: status.to_string(),
                    running: running.unwrap_or(0),
                    barred,
                })
            };
            known.into_iter().map(of).collect()
        })
        .await
    }
}

fn condition(code: CallErrorCode) -> &'static str {
    match code {
        CallErrorCode::StateUnreadable => "failed (state unreadable)",
        CallErrorCode::StateLost => "failed (state lost)",
        _ => "failed",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
