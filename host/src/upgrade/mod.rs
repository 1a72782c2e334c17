//! One upgrade, one switch: check, prepare, rehearse, gate, save and migrate, commit, switch, drain, retire.
//!
//! | up to here | the file | what a failure, and what a crash leaves |
//! |---|---|---|
//! | it may go this way | `check.rs`, `kept.rs` | nothing was begun |
//! | the new versions have started | `prepare.rs` | nothing: they are dropped |
//! | the state was tried on | `prepare.rs`, `../state/rehearse.rs` | the same |
//! | `begun`: the attempt is in the journal | `journal.rs` | the release as it was; `host/recover.rs` notes that the attempt was cut short |
//! | `call` steps before the switch | `steps.rs` | as before, and what they did is undone, by recovery too (R32) |
//! | `sent`: most of a large state is there | `ahead.rs` | as before; the old version has served all the time |
//! | `gated`: calls wait; `quiet`: none runs | `gated.rs` | the gate opens, the old version serves on |
//! | `migrated`: the new version has the state | `transfer.rs`, `keys.rs` | the same (but R26) |
//! | `committed`: the new revision is on the disk | `switch.rs` | nothing can fail any more; a crash boots the new revision, on probation the old one with the new state (R40) |
//! | `switched`: calls go to it, gates are open | `switch.rs` | |
//! | the old versions end | `retire.rs`, `sweep.rs` | |
//! | `finished`: `call` steps after the switch | `steps.rs` | the new revision runs, degraded; recovery goes on with them |
//!
//! The words in code are those of `may_be_killed_here`, where `tests/it/releases/kills.rs` kills the host.
//!
//! Invariants:
//! - Upgrades switch one at a time, under [`Core::upgrading`]; checking, preparing and rehearsing hold no lock (R37). A plan that was
//!   made for another revision than the one that runs when the lock is had is outdated and not carried out.
//! - Whatever fails before the switch leaves code, routing and state as they were (P3); everything that could fail is done before it.

mod ahead;
mod check;
mod gated;
pub(crate) mod journal;
mod kept;
mod keys;
mod old;
pub(crate) mod plan;
mod prepare;
mod retire;
pub(crate) mod schedules;
pub(crate) mod steps;
mod sweep;
mod switch;
mod transfer;

use crate::call::router::Router;
use crate::call::routes::Routes;
use crate::call::services::Services;
use crate::control::protocol::{Exit, Failure, UpgradeReport, word};
use crate::event::{EventKind, Events, Happening};
use crate::fault::may_be_killed_here;
use crate::instance::InstanceError;
use crate::store::{Catalog, KeyValue, Meta, Objects};
use crate::versions::Versions;
#[cfg(feature = "cli")]
pub(crate) use check::check_first;
use check::not_granted;
pub(crate) use check::refused;
use journal::{Attempt, Ending, Journal, Phase};
use plan::{Plan, RevisionRecord, Trial};
use prepare::Prepared;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use steps::NewVersions;
use tokio::sync::watch;
use wasmhot_appup::{Checked, LimitsSpec, ModuleName, ModuleVersion, When, Wiring};

/// What upgrades work on: the host without its doors.
pub(crate) struct Core {
    pub(crate) router: Router,
    pub(crate) services: Arc<Services>,
    pub(crate) events: Arc<Events>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) keyvalue: Arc<KeyValue>,
    pub(crate) versions: Arc<Versions>,
    /// Limits given on the command line: over everything that a release says.
    pub(crate) flags: LimitsSpec,
    /// What the catalog says of the host as a whole.
    pub(crate) meta: Mutex<Meta>,
    pub(crate) journal: Journal,
    /// The upgrade that is on probation, if one is.
    pub(crate) probation: watch::Sender<Option<Probation>>,
    /// Why drops and applies wait, if somebody holds them.
    pub(crate) held: watch::Sender<Option<String>>,
    /// Held by the one upgrade that runs (R37).
    pub(crate) upgrading: tokio::sync::Mutex<()>,
    /// What it is, for those who find it busy.
    pub(crate) busy: watch::Sender<Option<String>>,
    pub(crate) last_called_off: Mutex<Option<String>>,
    /// Where a sweep says that more keys failed than may (R33). The host goes back then.
    pub(crate) too_many_failed_keys: tokio::sync::mpsc::UnboundedSender<u64>,
}

/// A release that may still revert by itself.
#[derive(Clone, Debug)]
pub(crate) struct Probation {
    pub(crate) attempt: Attempt,
    pub(crate) trial: Trial,
    pub(crate) ends: Instant,
}

impl Core {
    pub(crate) fn meta(&self) -> Meta {
        self.meta.lock().expect("no panic under this lock").clone()
    }
}

/// A step of an upgrade failed in a guest.
fn failed(module: &ModuleName, phase: &str, exit: Exit, error: &InstanceError) -> Failure {
    let code = match error {
        InstanceError::Trap { .. } => "trapped",
        InstanceError::Timeout { .. } => "timed-out",
        InstanceError::Said { .. } => "said-no",
        InstanceError::StateTooLarge { .. } => "state-too-large",
        InstanceError::Grant(_) => "grant",
        InstanceError::Stateless | InstanceError::Contract(_) => "contract",
        InstanceError::TooFast(_) => "too-much-traffic",
        InstanceError::Unreadable(_) | InstanceError::Asleep => "state-unreadable",
    };
    let backtrace = match error {
        InstanceError::Trap {
            backtrace: Some(backtrace),
            ..
        } => format!("\n{backtrace}"),
        _ => String::new(),
    };
    let mut failure = Failure::new(code, exit, format!("{module}: {error}{backtrace}")).in_phase(phase);
    failure.module = Some(module.to_string());
    failure.content_at_fault = error.is_fault_of_content();
    failure
}

/// What can be said of an upgrade that has been checked.
fn report_of(plan: &Plan, old: &Routes, checked: &Checked) -> UpgradeReport {
    let warnings = checked.warnings.iter().map(ToString::to_string);
    UpgradeReport {
        release: format!("{} {}", plan.release, plan.release_version),
        origin: word(&plan.asked),
        warnings: warnings.chain(not_granted(plan, old)).collect(),
        lossy: checked.lossy.clone(),
        ..UpgradeReport::default()
    }
}

/// Who holds it is the one upgrade that may switch.
pub(crate) type UpgradeLock<'a> = tokio::sync::MutexGuard<'a, ()>;

/// What became of a plan.
pub(crate) enum Outcome {
    /// It was carried out, or was a dry run.
    Done(Box<UpgradeReport>),
    /// Another upgrade has switched since the plan was made: nothing was done.
    Outdated,
}

impl Core {
    /// Runs one upgrade. `lock` is waited for when everything is ready that needs no lock.
    pub(crate) async fn upgrade<'a>(
        self: &Arc<Self>,
        plan: Plan,
        lock: impl Future<Output = Result<UpgradeLock<'a>, Failure>>,
    ) -> Result<Outcome, Failure> {
        let what = describe(&plan);
        let result = self.journalled(plan, &what, lock).await;
        if let Err(failure) = &result {
            let phase = failure.phase.as_deref().unwrap_or("check");
            let message = format!("{what}: called off in {phase}: {}", failure.message);
            *self.last_called_off.lock().expect("no panic under this lock") = Some(message.clone());
            let details = serde_json::json!({ "code": failure.code, "phase": phase, "exit": u8::from(failure.exit) });
            self.events
                .publish(Happening::new(EventKind::CalledOff, message).details(details));
        }
        result
    }

    /// The same; how it has ended is written down.
    async fn journalled<'a>(
        self: &Arc<Self>,
        plan: Plan,
        what: &str,
        lock: impl Future<Output = Result<UpgradeLock<'a>, Failure>>,
    ) -> Result<Outcome, Failure> {
        let old = self.router.routes();
        if old.revision != plan.base {
            return Ok(Outcome::Outdated);
        }
        let revision = old.revision + 1;
        self.events
            .publish(Happening::new(EventKind::UpgradeBegun, what).revision(revision));
        let mut attempt = self.journal.next_attempt(&plan, &old, revision);
        let done = self.carry_through(&plan, &old, what, &mut attempt, lock).await;
        match &done {
            _ if plan.options.dry_run => {}
            Ok(Outcome::Done(report)) => {
                let report = Some(report.clone());
                self.journal.end(&mut attempt, Ending::Switched { report }).await;
            }
            Ok(Outcome::Outdated) => {}
            Err(failure) if failure.exit == Exit::Busy => {}
            Err(failure) => {
                let failure = Box::new(failure.clone());
                self.journal.end(&mut attempt, Ending::CalledOff { failure }).await;
            }
        }
        done
    }

    /// From the check to the end of its steps.
    async fn carry_through<'a>(
        self: &Arc<Self>,
        plan: &Plan,
        old: &Arc<Routes>,
        what: &str,
        attempt: &mut Attempt,
        lock: impl Future<Output = Result<UpgradeLock<'a>, Failure>>,
    ) -> Result<Outcome, Failure> {
        let revision = attempt.revision;
        let checked = self.check(plan, old, self.kept_by(plan, old).await?)?;
        let values = prepare::values_of_staying(plan, old)?;
        let mut prepared = prepare::prepare(self, plan, old, &checked, revision).await?;
        let mut report = report_of(plan, old, &checked);
        prepare::rehearse(self, plan, old, &mut prepared, &mut report).await?;
        let modules = |prepared: &[Prepared]| prepared.iter().map(|item| item.report.clone()).collect();
        if plan.options.dry_run {
            report.modules = modules(&prepared);
            return Ok(Outcome::Done(Box::new(report)));
        }
        self.sync_ahead().await;
        let _lock = lock.await?;
        if self.router.routes().revision != plan.base {
            return Ok(Outcome::Outdated);
        }
        self.has_bytes_of(plan).await?;
        let announced = Announced::new(&self.busy, what);
        self.write_down(plan, attempt, &checked.wiring).await?;
        may_be_killed_here("begun");
        let new = NewVersions::of(&prepared, &checked.wiring);
        let switched = async {
            steps::run(self, attempt, When::Before, &new).await?;
            ahead::send(self, plan, old, &mut prepared).await?;
            may_be_killed_here("sent");
            self.gated_part(plan, old, checked, (&mut prepared, &values), attempt, &mut report)
                .await
        };
        let taken = match switched.await {
            Ok(taken) => taken,
            Err(failure) => {
                steps::undo(self, attempt, &new).await;
                return Err(failure);
            }
        };
        may_be_killed_here("switched");
        report.revision = Some(revision);
        report.modules = modules(&prepared);
        // Whoever hears of it may ask for the next one.
        drop(announced);
        self.tell_switched(&report, revision);
        retire::retire_old(self, old, revision, &prepared, taken);
        self.finish_steps(attempt, &mut report).await;
        // Still under the lock: nobody is to switch before it is known that this is on probation.
        self.begin_probation(plan, attempt, &report);
        may_be_killed_here("finished");
        Ok(Outcome::Done(Box::new(report)))
    }

    /// The attempt, and what it is to lead to where somebody would have to go on with it after a crash.
    async fn write_down(&self, plan: &Plan, attempt: &mut Attempt, wiring: &Wiring) -> Result<(), Failure> {
        if !plan.steps.is_empty() {
            attempt.wanted = Some(RevisionRecord::of(plan, attempt.revision, wiring));
        }
        let written = self.journal.write(attempt).await;
        written.map_err(|error| {
            let message = format!("the attempt could not be written down: {error}");
            Failure::new(error.code(), Exit::Failed, message).in_phase("prepare")
        })
    }

    /// What others have written goes to the disk now: else the journal and the commit would wait for it, and keys that go to sleep for them.
    async fn sync_ahead(&self) {
        let catalog = Arc::clone(&self.catalog);
        if let Ok(Err(error)) = self.services.guests.spawn_blocking(move || catalog.sync_ahead()).await {
            // The commit tells it again, if it is still so.
            tracing::error!("saved states could not be written: {error}");
        }
    }

    /// `gc` has the lock too, and does not know what is being prepared: a revision without its bytes could never be booted.
    async fn has_bytes_of(&self, plan: &Plan) -> Result<(), Failure> {
        let desired = plan.desired.values().map(|desired| &desired.version);
        let ids: Vec<ModuleVersion> = desired.chain(&plan.middle).map(|version| version.id.clone()).collect();
        let objects = Arc::clone(&self.objects);
        let gone = move || ids.into_iter().find(|id| !objects.path(&id.digest).is_file());
        match self.services.guests.spawn_blocking(gone).await {
            Ok(None) => Ok(()),
            Ok(Some(id)) => {
                let message = format!("`gc` deleted the bytes of {id} while the upgrade was prepared: apply it again");
                Err(Failure::new("bytes-gone", Exit::Busy, message).in_phase("prepare"))
            }
            Err(error) => Err(Failure::new("internal", Exit::Bug, error.to_string()).in_phase("prepare")),
        }
    }

    /// What remains to be called after the switch. It has happened: a step that fails makes it incomplete, not undone.
    pub(crate) async fn finish_steps(&self, attempt: &mut Attempt, report: &mut UpgradeReport) {
        let due: &[When] = match attempt.phase {
            Phase::Permanent => &[When::After, When::Permanent],
            Phase::Begun | Phase::Committed => &[When::After],
        };
        for when in due {
            if let Err(failure) = steps::run(self, attempt, *when, &NewVersions::default()).await {
                let message = format!(
                    "revision {} runs, but is not complete: {}",
                    attempt.revision, failure.message
                );
                self.events
                    .publish(Happening::new(EventKind::Alarm, message.clone()).revision(attempt.revision));
                report.degraded = Some(message);
                return;
            }
        }
    }

    fn begin_probation(&self, plan: &Plan, attempt: &Attempt, report: &UpgradeReport) {
        let probation = plan.options.probation.map(|trial| Probation {
            ends: Instant::now() + trial.time,
            trial,
            attempt: Attempt {
                ended_ms: Some(crate::event::now_ms()),
                ending: Some(Ending::Switched {
                    report: Some(Box::new(report.clone())),
                }),
                ..attempt.clone()
            },
        });
        if let Some(probation) = &probation {
            let message = format!(
                "revision {} is on probation for {:?}: `wasmhot permanent` or `wasmhot undo` ends it earlier",
                probation.attempt.revision, probation.trial.time
            );
            let begun = Happening::new(EventKind::Probation, message).revision(probation.attempt.revision);
            self.events.publish(begun);
        }
        self.probation.send_replace(probation);
    }

    fn tell_switched(&self, report: &UpgradeReport, revision: u64) {
        let moves: Vec<String> = report
            .modules
            .iter()
            .map(|module| {
                format!(
                    "{} {} -> {}",
                    module.module,
                    module.from.as_deref().unwrap_or("(none)"),
                    module.to.as_deref().unwrap_or("(gone)")
                )
            })
            .collect();
        let message = format!("revision {revision} ({}): {}", report.origin, moves.join(", "));
        let details = serde_json::to_value(report).unwrap_or_default();
        self.events.publish(
            Happening::new(EventKind::Switched, message)
                .revision(revision)
                .details(details),
        );
    }
}

/// Says what runs, to those who find the host busy, until it is dropped.
struct Announced<'a>(&'a watch::Sender<Option<String>>);

impl<'a> Announced<'a> {
    fn new(busy: &'a watch::Sender<Option<String>>, what: &str) -> Self {
        busy.send_replace(Some(what.to_string()));
        Self(busy)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

fn describe(plan: &Plan) -> String {
    let moves: Vec<String> = plan
        .moves
        .iter()
        .map(|step| match plan.desired.get(&step.module) {
            Some(desired) => format!("{} {}", step.action, desired.version.id),
            None => format!("{} {}", step.action, step.module),
        })
        .collect();
    let what: &dyn Display = if moves.is_empty() {
        &"nothing"
    } else {
        &moves.join(", ")
    };
    let dry = if plan.options.dry_run { " (dry run)" } else { "" };
    format!("{}{dry}: {what}", word(&plan.asked))
}
