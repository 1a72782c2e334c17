//! `apply`, `undo`, `remove`: each makes a plan and carries it out as one upgrade, under the upgrade lock where it has to be.

use super::Inner;
use super::load::blocking;
use super::lock::{busy_with, lock, not_held};
use super::plans::Wanted;
use crate::control::protocol::{ApplyRequest, Exit, Failure, RemoveRequest, StateSource, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::state::read_state_file;
use crate::upgrade::Outcome;
use crate::upgrade::plan::{Asked, Options, Plan, Trial};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use wasmhot_appup::ModuleName;

/// A plan is made so often for one request, where other upgrades switch while it is prepared, before it gives way to them.
const PLANNED_MAX: usize = 4;

/// Makes a plan for what runs and carries it out as one upgrade; makes it anew where another one has switched meanwhile. A plan that
/// changes nothing is done already.
pub(super) async fn carry_out(inner: &Arc<Inner>, wanted: Wanted) -> Result<UpgradeReport, Failure> {
    for _ in 0..PLANNED_MAX {
        drop(wanted.lock(inner).await?);
        let plan = wanted.plan(inner).await?;
        if wanted.changes_nothing(inner, &plan) {
            return Ok(nothing_to_do(&plan));
        }
        if let Outcome::Done(report) = inner.core.upgrade(plan, wanted.lock(inner)).await? {
            return Ok(*report);
        }
    }
    Err(busy_with(
        "other upgrades kept switching while this one was prepared: nothing was done; apply it again",
    ))
}

pub(super) fn nothing_to_do(plan: &Plan) -> UpgradeReport {
    UpgradeReport {
        release: format!("{} {}", plan.release, plan.release_version),
        warnings: vec!["nothing to do: this is what runs".to_string()],
        ..UpgradeReport::default()
    }
}

pub(super) async fn apply(inner: &Arc<Inner>, request: ApplyRequest) -> Result<UpgradeReport, Failure> {
    not_held(inner).await;
    // Said at once, not after the file has been compiled.
    drop(lock(inner).await?);
    let state_file = match &request.state {
        StateSource::File(path) => Some(read_state(path).await?),
        StateSource::Live | StateSource::LastSaved | StateSource::Empty => None,
    };
    let options = Options {
        dry_run: request.dry_run,
        allow_lossy: request.allow_lossy,
        deny: request.deny,
        state: request.state,
        state_file,
        limits: request.limits,
        by: request.by,
        probation: trial(request.probation_ms, request.max_error_rate)?,
    };
    let is_relup = request.path.extension().is_some_and(|extension| extension == "toml");
    if is_relup && !options.deny.is_empty() {
        let message =
            "`deny` is for a module's file; a relup says it under `[modules.grants]`: `denied = [\"sockets\"]`";
        return Err(Failure::new("bad-request", Exit::Usage, message));
    }
    let wanted = if let Some(text) = &request.relup {
        Wanted::relup_text(&request.path, text, options)?
    } else if is_relup {
        Wanted::relup(&request.path, options).await?
    } else {
        Wanted::file(inner, &request.path, options).await?
    };
    carry_out(inner, wanted).await
}

async fn read_state(path: &Path) -> Result<crate::store::SavedState, Failure> {
    let path = path.to_path_buf();
    blocking(move || {
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", path.display())))?;
        read_state_file(&bytes)
            .map_err(|error| Failure::new("not-a-state", Exit::Refused, format!("{}: {error}", path.display())))
    })
    .await
}

/// The default of `--max-error-rate`, in percent.
const MAX_ERROR_RATE: f64 = 1.0;

fn trial(time_ms: Option<u64>, max_error_rate: Option<f64>) -> Result<Option<Trial>, Failure> {
    let wrong = |what: &str| Err(Failure::new("bad-request", Exit::Usage, what));
    match (time_ms, max_error_rate) {
        (None, None) => Ok(None),
        (None, Some(_)) => wrong("an error rate is for a probation: say how long that is"),
        (_, Some(rate)) if !(0.0..=100.0).contains(&rate) => {
            wrong("an error rate is a number of percent, from 0 to 100")
        }
        (Some(time_ms), rate) => Ok(Some(Trial {
            time: Duration::from_millis(time_ms),
            max_error_rate: rate.unwrap_or(MAX_ERROR_RATE),
        })),
    }
}

/// One revision further back, or to that one, by the down path, configuration and grants included (R38).
pub(super) async fn undo(
    inner: &Arc<Inner>,
    asked: Asked,
    to: Option<u64>,
    mut options: Options,
) -> Result<UpgradeReport, Failure> {
    if let StateSource::File(path) = &options.state {
        options.state_file = Some(read_state(path).await?);
    }
    carry_out(inner, Wanted::Undo { asked, to, options }).await
}

pub(super) async fn remove(inner: &Arc<Inner>, request: &RemoveRequest) -> Result<UpgradeReport, Failure> {
    let name = ModuleName::parse(&request.module)
        .map_err(|error| Failure::new("bad-name", Exit::Refused, error.to_string()))?;
    let (purge, by) = (request.purge, request.by.clone());
    carry_out(inner, Wanted::Remove { name, purge, by }).await
}

/// R33: when a sweep finds more keys that cannot be handed over than `max_failed_keys` allows, the switch is undone.
pub(super) fn undo_on_failed_keys(inner: &Arc<Inner>, mut told: UnboundedReceiver<u64>) {
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        while let Some(revision) = told.recv().await {
            let Some(inner) = weak.upgrade() else { return };
            if inner.core.router.routes().revision != revision {
                continue;
            }
            if let Err(failure) = undo(&inner, Asked::FailedKeys, None, Options::default()).await {
                let message = format!(
                    "revision {revision} failed for too many keys and could not be undone: {}",
                    failure.message
                );
                inner
                    .core
                    .events
                    .publish(Happening::new(EventKind::Alarm, message).revision(revision));
            }
        }
    });
}
