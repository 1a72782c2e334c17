//! Calls by the clock (R18): the host makes them as a client would. They wait at gates and in queues like any other, so they survive
//! upgrades; what the release that runs says of them counts from its switch on.
//!
//! Invariants:
//! - A schedule has at most one call under way: times that pass meanwhile are made up for by one call behind it.
//! - None begins once the host stops.

use super::calls::read_call;
use super::{Host, Inner};
use crate::control::protocol::{CallRequest, ScheduleStatus};
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::value::{Value, wave};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use wasmhot_appup::{Every, ModuleName};

/// A schedule that goes on failing is told of so often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// As much of a result as `status` shows.
const RESULT_MAX: usize = 200;

/// Whose call, and which.
type Key = (ModuleName, String);

/// The schedules of the release that runs.
#[derive(Default)]
pub(super) struct Schedules {
    runs: Mutex<BTreeMap<Key, Run>>,
    ended: Notify,
}

/// One schedule, and what became of its calls.
struct Run {
    every: Duration,
    due: Instant,
    is_running: bool,
    calls: u64,
    failures: u64,
    /// Times that passed without a call of their own.
    merged: u64,
    last: Option<Last>,
    /// When a failure was last told, unless a call has succeeded since.
    told: Option<Instant>,
}

struct Last {
    began: Instant,
    took: Duration,
    outcome: Result<String, String>,
}

/// Makes the calls until the host ends.
pub(super) fn start(inner: &Arc<Inner>) {
    let mut switches = inner.core.router.switches();
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        loop {
            let Some(inner) = weak.upgrade() else { return };
            if inner.stopping.load(Ordering::Acquire) {
                return;
            }
            let next = begin_due(&inner, Instant::now());
            let schedules = Arc::clone(&inner.schedules);
            drop(inner);
            tokio::select! {
                switched = switches.changed() => if switched.is_err() { return },
                () = schedules.ended.notified() => {}
                () = until(next) => {}
            }
        }
    });
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// Begins what is due by now; says when to look again.
fn begin_due(inner: &Arc<Inner>, now: Instant) -> Option<Instant> {
    let mut runs = inner.schedules.runs.lock().expect("no panic under this lock");
    adopt(&mut runs, inner, now);
    for (key, run) in runs.iter_mut() {
        if !run.is_running && run.due <= now {
            let passed = run.pass(now);
            run.merged += passed - 1;
            run.is_running = true;
            inner
                .core
                .services
                .guests
                .spawn(call(Arc::downgrade(inner), key.clone()));
        }
    }
    runs.values().filter(|run| !run.is_running).map(|run| run.due).min()
}

impl Run {
    fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            due: now + every,
            is_running: false,
            calls: 0,
            failures: 0,
            merged: 0,
            last: None,
            told: None,
        }
    }

    /// How many times have come by now; the next one is behind it.
    fn pass(&mut self, now: Instant) -> u64 {
        let late = now.saturating_duration_since(self.due).as_nanos() / self.every.as_nanos().max(1);
        let passed = u64::try_from(late).unwrap_or(u64::MAX).saturating_add(1);
        let steps = u32::try_from(passed).unwrap_or(u32::MAX);
        self.due = self
            .every
            .checked_mul(steps)
            .and_then(|step| self.due.checked_add(step))
            .unwrap_or(now + self.every);
        passed
    }
}

/// The schedules are those of the release that runs. One that stays goes on in its rhythm.
fn adopt(runs: &mut BTreeMap<Key, Run>, inner: &Inner, now: Instant) {
    let routes = inner.core.router.routes();
    let wanted: BTreeMap<Key, Duration> = routes
        .modules
        .iter()
        .flat_map(|(name, route)| {
            let every = route.template.config.spec.every.iter();
            every.filter_map(|schedule| match schedule.every {
                Every::Each(every) => Some(((name.clone(), schedule.call.clone()), every)),
                Every::Never => None,
            })
        })
        .collect();
    runs.retain(|key, _| wanted.contains_key(key));
    for (key, every) in wanted {
        let run = runs.entry(key).or_insert_with(|| Run::new(every, now));
        if run.every != every {
            run.every = every;
            run.due = now + every;
        }
    }
}

/// One call, to its end.
async fn call(weak: Weak<Inner>, key: Key) {
    let Some(inner) = weak.upgrade() else { return };
    let began = Instant::now();
    let outcome = answer(
        &Host {
            inner: Arc::clone(&inner),
        },
        &key,
    )
    .await;
    note(&inner, &key, began, outcome);
    inner.schedules.ended.notify_one();
}

/// What the call gives, as `status` shows it. A function that says `err` has failed.
async fn answer(host: &Host, (module, text): &Key) -> Result<String, CallError> {
    let request = CallRequest {
        module: module.to_string(),
        call: Some(text.clone()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    let mut answered = None;
    let answer = host.begin(module.as_ref(), None, |routes, _| {
        let route = routes.module(module.as_ref())?;
        let named = read_call(&route.template.version, &request)?;
        answered = Some(Arc::clone(&named.0.ty));
        Ok((route, named))
    });
    let answer = answer.answer().await.map_err(|error| *error)?;
    let shown = answer.as_ref().zip(answered.as_ref().and_then(|ty| ty.result.as_ref()));
    let mut shown = shown.map(|(value, of)| wave::to_string(value, of)).unwrap_or_default();
    if matches!(answer, Some(Value::Result(Err(_)))) {
        return Err(CallError::unknown(CallErrorCode::Internal, format!("it gave {shown}")).in_module(module));
    }
    shown.truncate(shown.floor_char_boundary(RESULT_MAX));
    Ok(shown)
}

fn note(inner: &Inner, key: &Key, began: Instant, outcome: Result<String, CallError>) {
    let mut runs = inner.schedules.runs.lock().expect("no panic under this lock");
    // A switch may have ended the schedule meanwhile.
    let Some(run) = runs.get_mut(key) else { return };
    run.is_running = false;
    if outcome
        .as_ref()
        .is_err_and(|error| error.code == CallErrorCode::Stopping)
    {
        return;
    }
    run.calls += 1;
    run.last = Some(Last {
        began,
        took: began.elapsed(),
        outcome: outcome.clone().map_err(|error| error.message),
    });
    let Err(error) = outcome else {
        run.told = None;
        return;
    };
    run.failures += 1;
    if run.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
        return;
    }
    run.told = Some(Instant::now());
    let (module, text) = key;
    let message = format!(
        "`{text}` of {module}, called every {:?}, failed: {}",
        run.every, error.message
    );
    let details = serde_json::json!({ "call": text, "calls": run.calls, "failures": run.failures });
    let told = Happening::new(EventKind::ScheduleFailed, message)
        .module(module)
        .details(details);
    inner.core.events.publish(told);
}

impl Inner {
    /// The schedules of a module, for `status`.
    pub(super) fn schedules_of(&self, module: &ModuleName) -> Vec<ScheduleStatus> {
        let now = Instant::now();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut runs = self.schedules.runs.lock().expect("no panic under this lock");
        adopt(&mut runs, self, now);
        let own = runs.iter().filter(|((of, _), _)| of == module);
        let shown = own.map(|((_, call), run)| ScheduleStatus {
            call: call.clone(),
            every_ms: millis(run.every),
            next_ms: (!run.is_running).then(|| millis(run.due.saturating_duration_since(now))),
            calls: run.calls,
            failures: run.failures,
            merged: run.merged,
            last_ms_ago: run
                .last
                .as_ref()
                .map(|last| millis(now.saturating_duration_since(last.began))),
            last_took_us: run
                .last
                .as_ref()
                .map(|last| u64::try_from(last.took.as_micros()).unwrap_or(u64::MAX)),
            last_result: run.last.as_ref().and_then(|last| last.outcome.clone().ok()),
            last_error: run.last.as_ref().and_then(|last| last.outcome.clone().err()),
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_times_that_have_passed_are_made_up_for_by_one_call() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut run = Run::new(Duration::from_millis(100), began);
        assert_eq!((run.pass(at(100)), run.due), (1, at(200)));
        assert_eq!((run.pass(at(250)), run.due), (1, at(300)));
        // In the rhythm of before, however late it is.
        assert_eq!((run.pass(at(1050)), run.due), (8, at(1100)));
        assert_eq!((run.pass(at(1_000_000)), run.due), (9990, at(1_000_100)));
    }
}
