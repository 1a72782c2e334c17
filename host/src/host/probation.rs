//! Probation (R37 to R40): a new release that is not yet what the host boots, and that the host takes back by itself when too many
//! calls fail.

use super::apply::{back_lock, carry_out};
use super::load::{blocking, of_store};
use super::plans::Wanted;
use super::{Host, Inner};
use crate::call::rates::Counts;
use crate::clock::coarse_ms;
use crate::control::protocol::{Exit, Failure, PermanentReport, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::fault::may_be_killed_here;
use crate::upgrade::Probation;
use crate::upgrade::journal::{Attempt, Ending, Phase};
use crate::upgrade::plan::{Asked, Options};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmhot_appup::ModuleName;

/// Fewer calls say nothing about a rate (R39).
const CALLS_MIN: u64 = 50;
/// How often the rates are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks after probations until the host ends.
pub(super) fn watch(inner: &Arc<Inner>) {
    let mut begun = inner.core.probation.subscribe();
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        loop {
            let Ok(probation) = begun.wait_for(Option::is_some).await.map(|found| found.clone()) else {
                return;
            };
            let (Some(probation), Some(inner)) = (probation, weak.upgrade()) else {
                return;
            };
            let baseline = Baseline::of(&inner);
            drop(inner);
            if !try_out(&weak, &probation, &baseline).await {
                return;
            }
        }
    });
}

/// How calls failed before: to be looked at in the moment of the switch.
struct Baseline {
    modules: BTreeMap<ModuleName, (Counts, f64)>,
}

impl Baseline {
    fn of(inner: &Inner) -> Self {
        let routes = inner.core.router.routes();
        let now_ms = coarse_ms();
        let of = |rates: &crate::call::rates::Rates| (rates.total(), rates.recent(now_ms).percent());
        let modules = routes.modules.iter();
        Self {
            modules: modules.map(|(name, route)| (name.clone(), of(&route.rates))).collect(),
        }
    }

    /// Why the release is to be taken back, if it is.
    fn worse(&self, inner: &Inner, probation: &Probation) -> Option<String> {
        let routes = inner.core.router.routes();
        routes.modules.iter().find_map(|(name, route)| {
            let (before, rate) = self.modules.get(name).copied().unwrap_or_default();
            let since = route.rates.total().since(before);
            let bound = rate + probation.trial.max_error_rate;
            (since.calls >= CALLS_MIN && since.percent() > bound).then(|| {
                format!(
                    "{} of {} calls of {name} failed since the switch ({:.1} %), more than {bound:.1} % ({rate:.1} % of the five \
                     minutes before, and max_error_rate)",
                    since.errors,
                    since.calls,
                    since.percent()
                )
            })
        })
    }
}

/// One probation, to its end. False when the host has ended.
async fn try_out(weak: &std::sync::Weak<Inner>, probation: &Probation, baseline: &Baseline) -> bool {
    let revision = probation.attempt.revision;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let Some(inner) = weak.upgrade() else { return false };
        let still = inner.core.probation.borrow().as_ref().map(|now| now.attempt.revision);
        if still != Some(revision) {
            return true;
        }
        if inner.stopping.load(std::sync::atomic::Ordering::Acquire) {
            return false;
        }
        if let Some(why) = baseline.worse(&inner, probation)
            && take_back(&inner, probation, &why).await
        {
            return true;
        }
        if Instant::now() >= probation.ends {
            if let Err(failure) = make_permanent(&inner).await {
                let message = format!("revision {revision} could not be made permanent: {}", failure.message);
                inner.core.events.publish(Happening::new(EventKind::Alarm, message));
                inner.core.probation.send_replace(None);
            }
            return true;
        }
    }
}

/// R39: back, with the live state. Where that fails the new release stays, and somebody has to look. False where somebody else changes
/// something at this moment.
async fn take_back(inner: &Arc<Inner>, probation: &Probation, why: &str) -> bool {
    let revision = probation.attempt.revision;
    let routes = inner.core.router.routes();
    let restored = routes.modules.iter().filter_map(|(name, route)| match &route.target {
        crate::call::routes::Target::Single(lane) => Some(format!("{name}: {}", lane.figures().restored?)),
        _ => None,
    });
    let lost: Vec<_> = restored.collect();
    let lost = if lost.is_empty() {
        String::new()
    } else {
        format!(
            "; of instances that trapped only what was restored goes back: {}",
            lost.join("; ")
        )
    };
    let wanted = Wanted::Undo {
        asked: Asked::Probation,
        to: None,
        options: Options::default(),
    };
    match carry_out(inner, wanted).await {
        Ok(report) => {
            let message = format!(
                "revision {revision} is taken back, revision {} runs: {why}{lost}",
                report.revision.unwrap_or(0)
            );
            let told = Happening::new(EventKind::WentBack, message.clone()).revision(revision);
            inner.core.events.publish(told);
            let mut attempt = probation.attempt.clone();
            inner
                .core
                .journal
                .end(&mut attempt, Ending::WentBack { why: message })
                .await;
            inner.changed.notify_one();
            true
        }
        Err(failure) if failure.exit == Exit::Busy => false,
        Err(failure) => {
            let message = format!(
                "revision {revision} should be taken back ({why}), but cannot: {}; it stays",
                failure.message
            );
            inner
                .core
                .events
                .publish(Happening::new(EventKind::Alarm, message).revision(revision));
            inner.core.probation.send_replace(None);
            true
        }
    }
}

impl Host {
    /// What runs is what the host boots from now on: the probation ends.
    ///
    /// # Errors
    /// An upgrade is running, or it cannot be written down.
    pub async fn permanent(&self) -> Result<PermanentReport, Failure> {
        let host = self.clone();
        self.on_its_own(async move { make_permanent(&host.inner).await }).await
    }
}

async fn make_permanent(inner: &Arc<Inner>) -> Result<PermanentReport, Failure> {
    let _lock = back_lock(inner).await?;
    let core = &inner.core;
    let revision = core.router.routes().revision;
    let was_on_probation = core.probation.borrow().clone();
    let attempt = was_on_probation.map(|probation| Attempt {
        phase: Phase::Permanent,
        ..probation.attempt
    });
    let mut meta = core.meta();
    let already = meta.permanent == Some(revision) && attempt.is_none();
    let mut report = PermanentReport {
        revision,
        already,
        degraded: None,
    };
    if already {
        return Ok(report);
    }
    meta.permanent = Some(revision);
    let (catalog, written, noted) = (Arc::clone(&core.catalog), meta.clone(), attempt.clone());
    blocking(move || {
        let noted = noted.as_ref().map(|attempt| (attempt.number, attempt));
        catalog
            .make_permanent(&written, noted)
            .map_err(|error| of_store(&error))
    })
    .await?;
    may_be_killed_here("permanent");
    *core.meta.lock().expect("no panic under this lock") = meta;
    if let Some(mut attempt) = attempt {
        let mut finished = UpgradeReport::default();
        core.finish_steps(&mut attempt, &mut finished).await;
        report.degraded = finished.degraded;
    }
    core.probation.send_replace(None);
    let message = format!("revision {revision} is permanent: it is what the host boots");
    core.events
        .publish(Happening::new(EventKind::Permanent, message).revision(revision));
    inner.changed.notify_one();
    Ok(report)
}
