//! One upgrade, one switch: check, prepare, rehearse, gate, save and migrate, commit, switch, drain, retire.
//!
//! Invariants:
//! - Upgrades switch one at a time, under [`Core::upgrading`]; checking, preparing and rehearsing hold no lock (R37). A plan that was
//!   made for another revision than the one that runs when the lock is had is outdated and not carried out.
//! - Whatever fails before the switch leaves code, routing and state as they were (P3); everything that could fail is done before it.

mod ahead;
pub(crate) mod journal;
mod kept;
mod keys;
pub(crate) mod plan;
mod prepare;
mod retire;
pub(crate) mod schedules;
pub(crate) mod steps;
mod sweep;
mod switch;
mod transfer;

use crate::call::gate::{Gate, Pressed};
use crate::call::gates::ClosedGates;
use crate::call::router::Router;
use crate::call::routes::{Routes, Target};
use crate::call::services::Services;
use crate::control::protocol::{Exit, Failure, StateSource, UpgradeReport, word};
use crate::event::{EventKind, Events, Happening};
use crate::fault::may_be_killed_here;
use crate::instance::InstanceError;
use crate::instance::capability::config::Values;
use crate::store::{Catalog, KeyValue, Meta, Objects};
use crate::version::{EngineKind, Version};
use crate::versions::Versions;
use journal::{Attempt, Ending, Journal, Phase, Step};
use kept::Kept;
use plan::{Plan, RevisionRecord, Trial};
use prepare::Prepared;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use steps::NewVersions;
use tokio::sync::watch;
use transfer::{Sources, Taken, Transferred};
use wasmhot_appup::{
    CheckOptions, Checked, Durability, Known, LimitsSpec, ModuleName, ModuleVersion, Move, Refusal, Transition, When,
    Wiring,
};

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

/// Validation refuses.
pub(crate) fn refused(refusals: Vec<Refusal>) -> Failure {
    let message = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let code = refusals
        .first()
        .map_or("refused".to_string(), |refusal| refusal.code.to_string());
    let mut failure = Failure::new(code, Exit::Refused, message).in_phase("check");
    failure.refusals = refusals;
    failure
}

/// What the host refuses beside what [`wasmhot_appup::check`] does, and before it. `takes_file` says whose state comes from a file.
pub(crate) fn check_first(
    transition: &Transition,
    steps: &[Step],
    takes_file: impl Fn(&Move) -> bool,
) -> Result<(), Failure> {
    if let Some(failure) = plan::refuses_keys(transition, takes_file) {
        return Err(failure);
    }
    steps::check(steps, transition)
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
        let result = self.run(plan, &what, lock).await;
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

    async fn run<'a>(
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
        let mut attempt = self.journal.attempt(&plan, &old, revision);
        let done = self.attempt(&plan, &old, what, &mut attempt, lock).await;
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

    async fn attempt<'a>(
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
        let mut report = UpgradeReport {
            release: format!("{} {}", plan.release, plan.release_version),
            origin: word(&plan.asked),
            warnings: checked.warnings.iter().map(ToString::to_string).collect(),
            lossy: checked.lossy.clone(),
            ..UpgradeReport::default()
        };
        report.warnings.extend(not_granted(plan, old));
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
        if !plan.steps.is_empty() {
            attempt.wanted = Some(RevisionRecord::of(plan, revision, &checked.wiring));
        }
        let written = self.journal.write(attempt).await;
        written.map_err(|error| {
            Failure::new(
                error.code(),
                Exit::Failed,
                format!("the attempt could not be written down: {error}"),
            )
            .in_phase("prepare")
        })?;
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

    /// What the check goes by beside the two graphs: descriptions of states, and releases in which calls are still open.
    fn known(&self, plan: &Plan, old: &Routes, kept: Kept) -> Known {
        let described = |version: &Version| Some((version.id.digest, version.state.clone()?));
        let before = old.modules.values().map(|route| &route.template.version);
        let after = plan.desired.values().map(|desired| &desired.version);
        let middle = plan.middle.iter();
        let described = before
            .chain(after)
            .chain(middle)
            .filter_map(|version| described(version));
        Known {
            // Whoever asks for another state than the live one does not ask who can read that (R27).
            states: match plan.options.state {
                StateSource::Live => kept.states.into_iter().chain(described).collect(),
                StateSource::LastSaved | StateSource::Empty | StateSource::File(_) => BTreeMap::new(),
            },
            middle: plan.middle.iter().map(|version| version.id.clone()).collect(),
            open: self.router.open_before(old.revision),
            saved: kept.saved,
            had: kept.had,
            ..Known::default()
        }
    }

    fn check(&self, plan: &Plan, old: &Routes, kept: Kept) -> Result<Checked, Failure> {
        let mut known = self.known(plan, old, kept);
        // Nobody is kept from going back.
        if !plan.asked.goes_back() {
            for (name, desired) in &plan.desired {
                known.grant(name, desired.config.grants());
            }
        }
        let transition = Transition::new(old.graph(), plan.graph(), plan.moves.clone()).knowing(known);
        let takes_file = |step: &Move| matches!(plan.state_of(step), plan::From::File(_));
        check_first(&transition, &plan.steps, takes_file)?;
        let modules = plan.desired.values();
        schedules::check(
            modules.map(|desired| (&desired.version.id, &*desired.version.interface, &desired.config.spec)),
        )?;
        refuse_not_durable(plan)?;
        let options = CheckOptions {
            allow_lossy: plan.options.allow_lossy,
        };
        let mut checked =
            wasmhot_appup::check(&transition, &plan.previous_wiring(&old.wiring), &options).map_err(refused)?;
        checked.gated.extend(plan.taken_as_a_whole(&transition.old));
        Ok(checked)
    }

    /// From the closing of the gates to their opening. Gives the old instances, which nobody needs any more; on a failure everything
    /// is as before.
    async fn gated_part(
        self: &Arc<Self>,
        plan: &Plan,
        old: &Arc<Routes>,
        checked: Checked,
        (prepared, values): (&mut [Prepared], &BTreeMap<ModuleName, Arc<Values>>),
        attempt: &mut Attempt,
        report: &mut UpgradeReport,
    ) -> Result<Taken, Failure> {
        let revision = attempt.revision;
        let gate = Gate::new(
            revision,
            checked.gated.clone(),
            next_interfaces(prepared),
            plan.options.limits.gate_queue_max,
        );
        let members: Vec<Target> = checked
            .gated
            .iter()
            .filter_map(|name| Some(old.modules.get(name)?.target.clone()))
            .collect();
        let closed = ClosedGates::close(Arc::clone(&gate), members);
        may_be_killed_here("gated");
        report.on_old = gate.active();
        if !closed.members.is_empty() {
            let gated: Vec<_> = checked.gated.iter().map(ToString::to_string).collect();
            self.events.publish(
                Happening::new(EventKind::Gated, format!("new calls wait: {}", gated.join(", "))).revision(revision),
            );
        }
        let outcome = self
            .hand_over(plan, old, &checked.wiring, &gate, prepared, attempt)
            .await;
        let outcome = outcome.map(|mut transferred| {
            let next = switch::next_routes(self, plan, old, revision, checked.wiring, prepared, values);
            report.on_old += switch::switch(self, old, &next, prepared, &mut transferred.old);
            transferred
        });
        let is_gated = !closed.members.is_empty();
        drop(closed);
        let (waited, closed_for) = gate.figures();
        report.waited = waited;
        report.gate_us = if is_gated { transfer::micros(closed_for) } else { 0 };
        Ok(outcome?.old)
    }

    /// Quiet, save, migrate, commit; called off when the calls that wait have waited long enough (R24).
    async fn hand_over(
        &self,
        plan: &Plan,
        old: &Routes,
        wiring: &Wiring,
        gate: &Gate,
        prepared: &mut [Prepared],
        attempt: &mut Attempt,
    ) -> Result<Transferred, Failure> {
        let quiesce_timeout = shortest(prepared, |item| item.limits.quiesce_timeout);
        let max_pause = shortest(prepared, |item| item.limits.max_pause);
        let sources = Sources::of(plan, old, prepared);
        let work = async {
            let taken = tokio::time::timeout(quiesce_timeout, transfer::take_old(gate, &sources))
                .await
                .map_err(|_| {
                    let message = format!(
                        "{} calls still ran when quiesce_timeout ({quiesce_timeout:?}) passed",
                        gate.active()
                    );
                    Failure::new("not-quiet", Exit::CalledOff, message).in_phase("quiesce")
                })?;
            may_be_killed_here("quiet");
            transfer::transfer(self, plan, prepared, taken).await
        };
        let mut transferred = tokio::select! {
            biased;
            done = work => done?,
            pressed = gate.pressed(max_pause) => {
                let (waited, closed) = gate.figures();
                let why = match pressed {
                    Pressed::Crowded => "the queue of a gated module was at 90 % of gate_queue_max".to_string(),
                    Pressed::Waited(limit) => format!("a call had waited for max_pause ({limit:?})"),
                };
                let message = format!(
                    "{why}: {waited} calls waited, {} still ran in gated modules, the gate was closed for {closed:.1?}",
                    gate.active()
                );
                return Err(Failure::new("too-much-traffic", Exit::CalledOff, message).in_phase("gate"));
            }
        };
        may_be_killed_here("migrated");
        // Not to be given up half way: a commit that has begun is waited for.
        switch::commit(self, plan, wiring, &mut transferred, attempt).await?;
        may_be_killed_here("committed");
        Ok(transferred)
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

/// Answers wait for the disk only where a call is answered when it has ended.
fn refuse_not_durable(plan: &Plan) -> Result<(), Failure> {
    for desired in plan.desired.values() {
        let (version, config) = (&desired.version, &desired.config);
        let name = &version.id.name;
        let why = match () {
            () if config.limits.durability == Durability::None || !config.kind.keeps_state() => continue,
            () if version.engine == EngineKind::Concurrent => "its calls run beside each other (WASI 0.3)",
            () if version.places.http.is_some() => {
                "it answers HTTP itself, and its responses leave before a call has ended"
            }
            () => continue,
        };
        let message = format!(
            "{name} cannot have `durability = \"call\"`: {why}; take it away, or let {name} be called by functions"
        );
        let mut failure = Failure::new("not-durable", Exit::Refused, message).in_phase("check");
        failure.module = Some(name.to_string());
        return Err(failure);
    }
    Ok(())
}

/// What modules that move newly want of the host and are not granted.
fn not_granted(plan: &Plan, old: &Routes) -> Vec<String> {
    let moving = plan.moves.iter().filter_map(|step| plan.desired.get(&step.module));
    let told = moving.flat_map(|desired| {
        let version = &desired.version;
        let before = old.modules.get(&version.id.name);
        let before = before.map(|route| &*route.template.version.interface);
        wasmhot_appup::capability::not_granted(&version.id, &version.interface, desired.config.grants(), before)
    });
    told.collect()
}

/// The shortest of a limit among the modules that move.
fn shortest(prepared: &[Prepared], of: fn(&Prepared) -> Duration) -> Duration {
    prepared.iter().map(of).min().unwrap_or(Duration::from_secs(5))
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

fn next_interfaces(prepared: &[Prepared]) -> BTreeMap<ModuleName, Arc<wasmhot_appup::ModuleInterface>> {
    prepared
        .iter()
        .filter_map(|item| {
            Some((
                item.step.module.clone(),
                Arc::clone(&item.template.as_ref()?.version.interface),
            ))
        })
        .collect()
}
