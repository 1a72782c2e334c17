//! Periodic saves (R14): a stateful module that was called is saved every `save_interval`, so that a trap or a crash costs little.

use super::Inner;
use crate::call::chunks::{self, Session};
use crate::call::keyed::Keyed;
use crate::call::lane::{Errand, Fresh, Lane};
use crate::call::routes::Target;
use crate::clock::coarse_ms;
use crate::event::{EventKind, Happening};
use crate::instance::InstanceError;
use crate::store::SaveReason;
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmhot_appup::{Limits, ModuleName};

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often what was written without waiting is brought to the disk.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Keys that are saved at the same time.
const KEYS_AT_ONCE: usize = 16;
/// States on their way to the disk at once.
const BATCH: usize = 256;

/// Looks after saves until the host ends.
pub(super) fn start(inner: &Arc<Inner>) {
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flushed = Instant::now();
        loop {
            look.tick().await;
            let Some(inner) = weak.upgrade() else { return };
            if inner.stopping.load(std::sync::atomic::Ordering::Acquire) {
                return;
            }
            save_due(&inner).await;
            if flushed.elapsed() >= FLUSH_EVERY {
                flush(&inner).await;
                flushed = Instant::now();
            }
        }
    });
}

/// Makes durable what was written without waiting for the disk: keys that were put to sleep or handed over.
pub(super) async fn flush(inner: &Inner) {
    let catalog = Arc::clone(&inner.core.catalog);
    // What could not be written has been told.
    let _ = inner.core.services.states.settled().await;
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || catalog.flush()).await {
        let alarm = Happening::new(EventKind::Alarm, format!("saved states could not be written: {error}"));
        inner.core.events.publish(alarm);
    }
}

async fn save_due(inner: &Arc<Inner>) {
    let routes = inner.core.router.routes();
    for (name, route) in &routes.modules {
        let limits = &route.template.config.limits;
        let lanes = match &route.target {
            Target::Pool(_) => continue,
            Target::Single(lane) => vec![Arc::clone(lane)],
            Target::Keyed(keyed) => {
                expire(inner, keyed, limits);
                keyed.lanes()
            }
        };
        let due: Vec<_> = lanes
            .into_iter()
            .filter(|lane| lane.has_unsaved_calls() && is_due(inner, name, lane, limits))
            .collect();
        let (in_chunks, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|lane| Session::is_possible(lane));
        for lane in in_chunks {
            save_in_chunks(inner, lane);
        }
        if !due.is_empty() {
            let (_, not_saved) = save_all(inner, due, SaveReason::Periodic).await;
            if let Some((lane, why)) = not_saved.into_iter().next() {
                skipped(inner, name, format!("{lane} was not saved: {why}"));
            }
        }
    }
}

fn skipped(inner: &Inner, name: &ModuleName, why: String) {
    let mut skipped = inner.save_skipped.lock().expect("no panic under this lock");
    skipped.insert(name.clone(), why);
}

/// Takes its time, and nobody waits for it.
fn save_in_chunks(inner: &Arc<Inner>, lane: Arc<Lane>) {
    // Until its first step has its turn it is not due again.
    lane.note_save_tried();
    let inner = Arc::clone(inner);
    let guests = inner.core.services.guests.clone();
    guests.spawn(async move {
        if let Some(Err(error)) = chunks::save(&lane).await {
            let why = format!("{} was not saved: {error}", lane.name());
            skipped(&inner, &lane.module, why.clone());
            let told = Happening::new(EventKind::SaveSkipped, why).module(&lane.module);
            inner.core.events.publish(told);
        }
    });
}

fn is_due(inner: &Inner, name: &ModuleName, lane: &Lane, limits: &Limits) -> bool {
    let figures = lane.figures();
    // A module that cannot save is not asked again and again: trying costs its calls as much time as saving.
    let last = figures.saved_at.max(figures.save_tried_at).unwrap_or(inner.started);
    let old_enough = last.elapsed() >= limits.save_interval;
    if figures.unsaved_calls == 0 || !figures.is_live || !old_enough {
        return false;
    }
    // A save that pauses calls longer than they may wait is skipped, and said so.
    let skip = figures.last_save_took > limits.max_pause;
    let mut skipped = inner.save_skipped.lock().expect("no panic under this lock");
    if skip && !skipped.contains_key(name) {
        let why = format!(
            "the last save took {:?}, longer than max_pause ({:?}): periodic saves are skipped; raise max_pause, or let the module be incremental",
            figures.last_save_took, limits.max_pause
        );
        skipped.insert(name.clone(), why.clone());
        drop(skipped);
        inner
            .core
            .events
            .publish(Happening::new(EventKind::SaveSkipped, why).module(name));
    } else if !skip {
        skipped.remove(name);
    }
    !skip
}

/// R9: keys that nobody has called for `expire` go. Those without a lane go by the time of their last save.
fn expire(inner: &Arc<Inner>, keyed: &Arc<Keyed>, limits: &Limits) {
    let Some(after) = limits.expire else { return };
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let now_ms = coarse_ms();
    let is_old = |lane: &Arc<Lane>| now_ms.saturating_sub(lane.last_used_ms()) >= after_ms;
    for lane in keyed.lanes().into_iter().filter(is_old) {
        lane.send(Errand::Expire(after_ms));
    }
    if !keyed.crowd.is_time_to_look(now_ms, after_ms) {
        return;
    }
    let (catalog, keyed) = (Arc::clone(&inner.core.catalog), Arc::clone(keyed));
    tokio::task::spawn_blocking(move || {
        let oldest = crate::event::now_ms().saturating_sub(after_ms);
        let tags = catalog.states_of(&keyed.module).unwrap_or_default();
        for key in tags
            .into_iter()
            .filter(|tag| tag.time_ms < oldest)
            .filter_map(|tag| tag.key)
        {
            // A key that lives has a lane, and goes by that.
            if keyed.existing(&key).is_none() && catalog.delete_state(&keyed.module, Some(&key)).unwrap_or(false) {
                keyed.crowd.remove_key();
            }
        }
    });
}

/// Saves these lanes, each in its turn, and writes the states. Returns how many were saved, and which were not and why.
pub(super) async fn save_all(inner: &Inner, lanes: Vec<Arc<Lane>>, reason: SaveReason) -> (u64, Vec<(String, String)>) {
    let saves = stream::iter(lanes)
        .map(|lane| save_one(lane, reason))
        .buffer_unordered(KEYS_AT_ONCE)
        .chunks(BATCH);
    let mut saves = std::pin::pin!(saves);
    let (mut saved, mut not_saved) = (0, Vec::new());
    while let Some(batch) = saves.next().await {
        for (lane, result) in batch {
            let fresh = match result {
                Ok(Some(fresh)) => fresh,
                Ok(None) => continue,
                Err(why) => {
                    not_saved.push((lane.name(), why));
                    continue;
                }
            };
            match fresh.kept.written().await {
                Ok(()) => {
                    saved += 1;
                    lane.note_stored(fresh.calls);
                }
                Err(error) => {
                    let message = format!("the state of {} could not be written: {error}", lane.name());
                    inner.core.events.publish(Happening::new(EventKind::Alarm, message));
                    not_saved.push((lane.name(), error.to_string()));
                }
            }
        }
    }
    if reason == SaveReason::Periodic {
        for (name, why) in &not_saved {
            inner.core.events.publish(Happening::new(
                EventKind::SaveSkipped,
                format!("{name} was not saved: {why}"),
            ));
        }
    }
    (saved, not_saved)
}

/// None: it has gone to sleep meanwhile, and what it had is saved.
async fn save_one(lane: Arc<Lane>, reason: SaveReason) -> (Arc<Lane>, Result<Option<Fresh>, String>) {
    let (reply, answer) = oneshot::channel();
    lane.send(Errand::Save {
        reason,
        durable: true,
        reply,
    });
    let result = match answer.await {
        Ok(Ok(fresh)) => Ok(Some(fresh)),
        Ok(Err(InstanceError::Asleep)) if lane.key.is_some() => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the module was removed or has failed".to_string()),
    };
    (lane, result)
}
