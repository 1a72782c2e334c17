//! Probation (R37 to R40): a new release that is not yet what the host boots, and that the host takes back by itself when too many
//! calls fail.
//!
//! | while a release is on probation | then |
//! |---|---|
//! | too many of its calls fail | undo, with the live state (R39) |
//! | that undo fails | it stays, no longer on probation, and somebody has to look: an alarm |
//! | its time is up | it is permanent: what the host boots |
//! | somebody else changes something in that moment | it is looked at again, [`LOOK_EVERY`] later |
//! | somebody calls `permanent` or `undo`, or the host stops | it is not looked at any more |
//! | the host crashes | the next start boots the release before (R40): `recover.rs` |

use super::apply::carry_out;
use super::load::{blocking, of_store};
use super::lock::back_lock;
use super::plans::Wanted;
use super::{Host, Inner};
use crate::call::rates::Counts;
use crate::call::routes::{Route, Routes, Target};
use crate::clock::coarse_ms;
use crate::control::protocol::{Exit, Failure, PermanentReport, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::fault::may_be_killed_here;
use crate::upgrade::Probation;
use crate::upgrade::journal::{Attempt, Ending, Phase};
use crate::upgrade::plan::{Asked, Options};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
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
            if let Watched::HostEnded = try_out(&weak, &probation, &baseline).await {
                return;
            }
        }
    });
}

/// How calls failed before: to be looked at in the moment of the switch.
struct Baseline {
    modules: BTreeMap<ModuleName, Before>,
}

/// Of one module.
#[derive(Clone, Copy, Default)]
struct Before {
    total: Counts,
    /// So many of a hundred calls of the last five minutes failed.
    percent: f64,
}

/// More of a module's calls fail than may.
#[derive(Debug, PartialEq)]
struct TooMany {
    since: Counts,
    before_percent: f64,
    bound_percent: f64,
}

/// Whether that is so, `allowed_percent` more than before being allowed (R39).
fn too_many(before: Before, now: Counts, allowed_percent: f64) -> Option<TooMany> {
    let since = now.since(before.total);
    let bound_percent = before.percent + allowed_percent;
    (since.calls >= CALLS_MIN && since.percent() > bound_percent).then_some(TooMany {
        since,
        before_percent: before.percent,
        bound_percent,
    })
}

impl TooMany {
    fn told_of(&self, module: &ModuleName) -> String {
        let (errors, calls, percent) = (self.since.errors, self.since.calls, self.since.percent());
        format!(
            "{errors} of {calls} calls of {module} failed since the switch ({percent:.1} %), more than {:.1} % ({:.1} % of the five minutes \
             before, and max_error_rate)",
            self.bound_percent, self.before_percent
        )
    }
}

impl Baseline {
    fn of(inner: &Inner) -> Self {
        let routes = inner.core.router.routes();
        let now_ms = coarse_ms();
        let of = |route: &Route| Before {
            total: route.rates.total(),
            percent: route.rates.recent(now_ms).percent(),
        };
        let modules = routes.modules.iter();
        Self {
            modules: modules.map(|(name, route)| (name.clone(), of(route))).collect(),
        }
    }

    /// Why the release is to be taken back, if it is.
    fn worse(&self, inner: &Inner, probation: &Probation) -> Option<String> {
        let routes = inner.core.router.routes();
        routes.modules.iter().find_map(|(name, route)| {
            let before = self.modules.get(name).copied().unwrap_or_default();
            let too_many = too_many(before, route.rates.total(), probation.trial.max_error_rate)?;
            Some(too_many.told_of(name))
        })
    }
}

/// How a probation is no longer looked after.
enum Watched {
    Ended,
    /// With the host.
    HostEnded,
}

/// One probation, to its end.
async fn try_out(weak: &Weak<Inner>, probation: &Probation, baseline: &Baseline) -> Watched {
    let revision = probation.attempt.revision;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let Some(inner) = weak.upgrade() else {
            return Watched::HostEnded;
        };
        let still = inner.core.probation.borrow().as_ref().map(|now| now.attempt.revision);
        if still != Some(revision) {
            return Watched::Ended;
        }
        if inner.stopping.load(Ordering::Acquire) {
            return Watched::HostEnded;
        }
        let settled = match baseline.worse(&inner, probation) {
            // Not permanent while it should be taken back, whatever the time.
            Some(why) => take_back(&inner, probation, &why).await,
            None if Instant::now() >= probation.ends => time_is_up(&inner, revision).await,
            None => Settled::NotYet,
        };
        if matches!(settled, Settled::Done) {
            return Watched::Ended;
        }
    }
}

/// Whether a probation has come to its end.
enum Settled {
    Done,
    /// It is looked at again.
    NotYet,
}

/// Nothing spoke against it for so long.
async fn time_is_up(inner: &Arc<Inner>, revision: u64) -> Settled {
    match make_permanent(inner).await {
        Ok(_) => Settled::Done,
        Err(failure) if failure.exit == Exit::Busy => Settled::NotYet,
        Err(failure) => {
            let message = format!("revision {revision} could not be made permanent: {}", failure.message);
            inner.core.events.publish(Happening::new(EventKind::Alarm, message));
            inner.core.probation.send_replace(None);
            Settled::Done
        }
    }
}

/// What instances that trapped have lost: it does not go back with the rest.
fn restored_only(routes: &Routes) -> String {
    let restored = routes.modules.iter().filter_map(|(name, route)| match &route.target {
        Target::Single(lane) => Some(format!("{name}: {}", lane.figures().restored?)),
        _ => None,
    });
    let lost: Vec<_> = restored.collect();
    match lost.is_empty() {
        true => String::new(),
        false => {
            let lost = lost.join("; ");
            format!("; of instances that trapped only what was restored goes back: {lost}")
        }
    }
}

/// R39: back, with the live state. Where that fails the new release stays, and somebody has to look.
async fn take_back(inner: &Arc<Inner>, probation: &Probation, why: &str) -> Settled {
    let revision = probation.attempt.revision;
    let lost = restored_only(&inner.core.router.routes());
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
            Settled::Done
        }
        // Somebody else changes something in this moment.
        Err(failure) if failure.exit == Exit::Busy => Settled::NotYet,
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
            Settled::Done
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(calls: u64, errors: u64) -> Counts {
        Counts { calls, errors }
    }

    #[test]
    fn r39_forty_nine_calls_say_nothing_and_the_bound_itself_is_allowed() {
        let before = Before {
            total: counts(1000, 100),
            percent: 10.0,
        };
        let found = |calls: u64, errors: u64| too_many(before, counts(1000 + calls, 100 + errors), 5.0).is_some();
        assert!(!found(49, 49));
        assert!(found(50, 50));
        assert!(!found(100, 15), "10 % of before and 5 %");
        assert!(found(100, 16));
    }

    #[test]
    fn r39_a_module_that_is_new_may_fail_as_often_as_is_allowed() {
        let found = too_many(Before::default(), counts(60, 30), 5.0).expect("too many");
        let module = ModuleName::parse("shop").expect("is a name");
        let wanted = "30 of 60 calls of shop failed since the switch (50.0 %), more than 5.0 % (0.0 % of the five minutes before, and \
                      max_error_rate)";
        assert_eq!(found.told_of(&module), wanted);
    }
}
