//! The host stops: new calls are refused, started ones end, everything is saved (R28).

use super::{Host, Inner, saver};
use crate::call::gate::Gate;
use crate::call::gates::ClosedGates;
use crate::call::lane::Lane;
use crate::call::routes::{Routes, Target};
use crate::control::protocol::StopReport;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::store::SaveReason;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Saving gets this long, even where `drain_timeout` is shorter: calls are given up sooner than what they have done.
const SAVING_MIN: Duration = Duration::from_secs(5);

impl Host {
    /// Refuses new calls, waits for the started ones up to `drain_timeout` (not for guest tasks that outlive them), saves every state,
    /// ends. A second call waits for the first, and gives the same. Afterwards the state directory is free for another host.
    pub async fn stop(&self) -> StopReport {
        if !self.inner.stopping.swap(true, Ordering::AcqRel) {
            let host = self.clone();
            let stopping = self.guests().spawn(async move { stop(&host.inner).await });
            let stopped = self.inner.stopped.clone();
            // It ends, and whoever waits for that is told, even if nobody waits here any more. By then no task has the host.
            self.guests().spawn(async move {
                let report = stopping.await.unwrap_or_else(|error| StopReport {
                    not_saved: BTreeMap::from([("host".to_string(), format!("a fault of wasmhot: {error}"))]),
                    ..StopReport::default()
                });
                stopped.send_replace(Some(report));
            });
        }
        self.stopped().await
    }
}

async fn stop(inner: &Arc<Inner>) -> StopReport {
    inner
        .core
        .events
        .publish(Happening::new(EventKind::Stopping, "no new calls are taken"));
    inner.stops.send_replace(true);
    // An upgrade that runs ends first: wholly before or wholly after its switch (P4).
    let _lock = inner.core.upgrading.lock().await;
    let routes = inner.core.router.routes();
    let limits = routes
        .modules
        .values()
        .map(|route| route.template.config.limits.drain_timeout);
    let limit = limits.max().unwrap_or(Duration::ZERO);
    let mut report = StopReport {
        interrupted: end_calls(&routes, limit).await,
        ..StopReport::default()
    };
    save_everything(inner, &routes, limit.max(SAVING_MIN), &mut report).await;
    let_go(inner).await;
    report
}

/// Waits for the started calls; from then on none starts any more. Gives how many had not ended.
async fn end_calls(routes: &Routes, limit: Duration) -> u64 {
    let gate = Gate::of_stop(routes.modules.keys().cloned().collect());
    let targets: Vec<_> = routes.modules.values().map(|route| route.target.clone()).collect();
    let closed = ClosedGates::close(Arc::clone(&gate), targets);
    let quiet = tokio::time::timeout(limit, gate.quiet()).await.is_ok();
    let interrupted = if quiet { 0 } else { gate.active() };
    // Before the gates open again for the saves: a call that slipped in behind its module's save would be answered and lost.
    stop_calls(routes);
    drop(closed);
    interrupted
}

async fn save_everything(inner: &Arc<Inner>, routes: &Routes, limit: Duration, report: &mut StopReport) {
    let saving = saver::save_all(inner, lanes_to_save(routes), SaveReason::Stop);
    match tokio::time::timeout(limit, saving).await {
        Ok((saved, not_saved)) => {
            report.saved = saved;
            report.not_saved = not_saved.into_iter().collect();
        }
        Err(_) => {
            let why = format!("saving did not end within {limit:?}");
            report.not_saved.insert("host".to_string(), why);
        }
    }
    saver::flush(inner).await;
}

/// The state directory is free.
async fn let_go(inner: &Arc<Inner>) {
    // Whoever waits for the end may start the next host on the same directory at once.
    let (catalog, keyvalue) = (Arc::clone(&inner.core.catalog), Arc::clone(&inner.core.keyvalue));
    let close = move || {
        keyvalue.close();
        catalog.close();
    };
    let _ = tokio::task::spawn_blocking(close).await;
    inner.lock.lock().expect("no panic under this lock").take();
}

fn stop_calls(routes: &Routes) {
    for route in routes.modules.values() {
        let refusal = CallError::not_executed(CallErrorCode::Stopping, "the host is stopping")
            .in_version(&route.template.version.id);
        match &route.target {
            Target::Pool(pool) => pool.replaced(),
            Target::Single(lane) => lane.stop_calls(&refusal),
            Target::Keyed(keyed) => keyed.stop_calls(&refusal),
        }
    }
}

/// Lanes whose state has changed since it was saved last.
pub(super) fn lanes_to_save(routes: &Routes) -> Vec<Arc<Lane>> {
    let lanes = routes.modules.values().flat_map(|route| match &route.target {
        Target::Pool(_) => Vec::new(),
        Target::Single(lane) => vec![Arc::clone(lane)],
        Target::Keyed(keyed) => keyed.lanes(),
    });
    lanes
        .filter(|lane| {
            let figures = lane.figures();
            figures.is_live && figures.failed.is_none() && (figures.unsaved_calls > 0 || lane.key.is_none())
        })
        .collect()
}
