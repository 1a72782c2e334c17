//! After the switch: old pools end their calls (R23), keys are handed over by a sweep (R33).

use super::Core;
use crate::call::keyed::Keyed;
use crate::call::lane::{Errand, ReadAhead};
use crate::call::pool::Pool;
use crate::call::routes::Routes;
use crate::event::{EventKind, Happening};
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Keys that are handed over at the same time. With more of them, calls would wait behind the sweep.
const HANDED_OVER_AT_ONCE: usize = 16;
/// Keys that sleep: the states of so many are read at once.
const READ_AT_ONCE: usize = 256;
/// While some are read and written, others are handed over.
const BATCHES_AT_ONCE: usize = 2;

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
        sweep_awake(&keyed, &routes, revision).await;
        if keyed.live.load().revision == revision {
            sweep_asleep(&core, &keyed, &routes, revision).await;
        }
        keyed.forget_sleeping();
        if keyed.live.load().revision == revision {
            swept(&core, &keyed, revision).await;
        }
    });
}

async fn sweep_awake(keyed: &Keyed, routes: &Arc<Routes>, revision: u64) {
    let awake = keyed.lanes().into_iter().filter(|lane| lane.figures().is_live);
    stream::iter(awake)
        .take_while(|_| std::future::ready(keyed.live.load().revision == revision))
        .for_each_concurrent(HANDED_OVER_AT_ONCE, |lane| async move {
            let (reply, done) = oneshot::channel();
            let routes = Arc::clone(routes);
            lane.send(Errand::HandOver { routes, reply });
            // What goes wrong is told by whom it went wrong for.
            let _ = done.await;
        })
        .await;
}

async fn sweep_asleep(core: &Core, keyed: &Keyed, routes: &Arc<Routes>, revision: u64) {
    let keys = sleeping_elsewhere(core, keyed).await;
    stream::iter(keys.chunks(READ_AT_ONCE))
        .take_while(|_| std::future::ready(keyed.live.load().revision == revision))
        .for_each_concurrent(BATCHES_AT_ONCE, |keys| async move {
            let lanes = keys.iter().filter_map(|key| keyed.lane(key).ok());
            // Before their states are read: one that has been woken up since has another state, and is of the new version.
            let lanes: Vec<_> = lanes.filter_map(|lane| Some((lane.asleep()?, lane))).collect();
            let keys = lanes.iter().filter_map(|(_, lane)| lane.key.clone()).collect();
            let states = match core.services.states.newest_of(&keyed.module, keys).await {
                Ok(states) => states,
                // They are handed over when they are called, or not at all: that is told then.
                Err(error) => {
                    tracing::error!("saved states of {} cannot be read: {error}", keyed.module);
                    return;
                }
            };
            let read = lanes.into_iter().zip(states);
            let read = read.filter_map(|((stirred, lane), state)| {
                let read = ReadAhead { state: state?, stirred };
                Some((lane, read))
            });
            let kept: Vec<_> = stream::iter(read)
                .map(|(lane, read)| async move {
                    let (reply, done) = oneshot::channel();
                    let routes = Arc::clone(routes);
                    lane.send(Errand::Resave { read, routes, reply });
                    done.await.ok()?.ok().flatten()
                })
                .buffer_unordered(HANDED_OVER_AT_ONCE)
                .filter_map(std::future::ready)
                .collect()
                .await;
            for kept in kept {
                // What cannot be written has been told.
                let _ = kept.written().await;
            }
        })
        .await;
}

/// The keys whose saved state was written by another version.
async fn sleeping_elsewhere(core: &Core, keyed: &Keyed) -> Vec<String> {
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
    elsewhere.filter_map(|tag| tag.key).collect()
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
