//! After the switch: old pools end their calls (R23), keys are handed over by a sweep (R33).

use super::Core;
use crate::call::keyed::Keyed;
use crate::call::lane::{Errand, Lane};
use crate::call::pool::Pool;
use crate::call::routes::Routes;
use crate::event::{EventKind, Happening};
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Keys that a sweep hands over at the same time.
const SWEPT_AT_ONCE: usize = 16;

/// Interrupts the calls from outside that are still on `pool` when `drain_timeout` has passed. Calls of modules never are.
pub(super) fn drain(core: &Arc<Core>, pool: &Arc<Pool>, drain_timeout: Duration) {
    let events = Arc::clone(&core.events);
    let id = pool.template.version.id.clone();
    // Weak: waiting for the end of the old version must not be what keeps it alive.
    let pool: Weak<Pool> = Arc::downgrade(pool);
    core.services.guests.spawn(async move {
        tokio::time::sleep(drain_timeout).await;
        let Some(pool) = pool.upgrade() else { return };
        let interrupted = pool.interrupt_outside();
        if interrupted > 0 {
            let message = format!("{interrupted} calls from outside still ran on {id} {drain_timeout:?} after the switch and were interrupted");
            events.publish(Happening::new(EventKind::ForcedRetire, message).version(&id).details(serde_json::json!({ "calls": interrupted })));
        }
    });
}

/// Hands every key over that still lives in, or was saved by, another version. A newer switch takes the rest upon itself.
pub(super) fn sweep(core: &Arc<Core>, keyed: Arc<Keyed>, revision: u64) {
    let core = Arc::clone(core);
    let guests = core.services.guests.clone();
    guests.spawn(async move {
        let routes = core.router.routes();
        let awake = keyed.lanes().into_iter().filter(|lane| lane.figures().is_live);
        sweep_lanes(&keyed, awake, &routes, revision, false).await;
        if keyed.live.load().revision == revision {
            let sleeping = sleeping_elsewhere(&core, &keyed).await;
            sweep_lanes(&keyed, sleeping.into_iter(), &routes, revision, true).await;
        }
        keyed.forget_sleeping();
        if keyed.live.load().revision == revision {
            swept(&core, &keyed, revision).await;
        }
    });
}

async fn sweep_lanes(
    keyed: &Keyed,
    lanes: impl Iterator<Item = Arc<Lane>>,
    routes: &Arc<Routes>,
    revision: u64,
    back_to_sleep: bool,
) {
    stream::iter(lanes)
        .take_while(|_| std::future::ready(keyed.live.load().revision == revision))
        .for_each_concurrent(SWEPT_AT_ONCE, |lane| async move {
            let (reply, done) = oneshot::channel();
            let routes = Arc::clone(routes);
            lane.send(Errand::HandOver { routes, reply });
            let _ = done.await;
            if back_to_sleep {
                lane.send(Errand::Hibernate);
            }
        })
        .await;
}

/// The lanes of keys whose saved state was written by another version and that do not live.
async fn sleeping_elsewhere(core: &Core, keyed: &Keyed) -> Vec<Arc<Lane>> {
    let catalog = Arc::clone(&core.catalog);
    let module = keyed.module.clone();
    let Ok(Ok(tags)) = tokio::task::spawn_blocking(move || catalog.states_of(&module)).await else {
        return Vec::new();
    };
    let live = keyed.live.load_full();
    let elsewhere = tags.into_iter().filter(|tag| {
        let holder = tag.written_for.as_ref().map_or(&tag.version, |written| &written.to);
        holder.digest != live.template.version.id.digest
    });
    elsewhere
        .filter_map(|tag| keyed.lane(tag.key.as_deref()?).ok())
        .filter(|lane| !lane.figures().is_live)
        .collect()
}

async fn swept(core: &Arc<Core>, keyed: &Keyed, revision: u64) {
    let failed = core.services.failed_keys(&keyed.module);
    let live = keyed.live.load_full();
    let message = format!(
        "all keys of {} have been looked at: {failed} could not be handed over",
        live.template.version.id
    );
    let details = serde_json::json!({ "failed_keys": failed });
    core.events.publish(
        Happening::new(EventKind::SweepDone, message)
            .version(&live.template.version.id)
            .revision(revision)
            .details(details),
    );
    if failed > live.limits.max_failed_keys {
        // Nobody listens any more only when the host ends.
        let _ = core.too_many_failed_keys.send(revision);
    }
}
