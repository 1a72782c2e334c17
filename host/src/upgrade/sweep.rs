//! After the switch of a keyed module: every key is handed over that nobody calls (R33).
//!
//! Keys that are awake are handed over in their lanes, between their calls. Of those that sleep only the saved state is touched: it is read,
//! taken by a throw-away instance of the live version, saved by that, and exchanged for the old one. They need no lane for that: a key that
//! wakes up meanwhile does so from the old form or from the new one, which say the same; and what it saves is newer than both.
//!
//! Invariants:
//! - No call waits for the sweep: it has a task for each processor and one more, and each lets others come first after a few keys.
//! - Of one module only one sweep runs: a newer switch takes the rest upon itself, when the one before has noticed.
//! - A key that cannot be handed over keeps its state; no other key is touched by that.

use super::Core;
use crate::call::keyed::Keyed;
use crate::call::lane::{Errand, Lane, Live};
use crate::call::routes::Routes;
use crate::event::{EventKind, Happening};
use crate::instance::InstanceError;
use crate::state::Kept;
use crate::state::tagged;
use crate::store::{Asleep, Exchange, SavedState, Stretch};
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

/// Keys that are awake and handed over at the same time. With more of them, calls would wait behind the sweep.
const HANDED_OVER_AT_ONCE: usize = 2;
/// Keys that sleep: after so many in a row others come first. That is about as long as a call of a key that sleeps takes.
const KEYS_IN_A_ROW: usize = 4;
/// Keys that sleep: the states of so many are read at once, and written together. What others have to write waits that long.
const READ_AT_ONCE: usize = 256;

/// Hands every key over that still lives in, or was saved by, another version. A newer switch takes the rest upon itself.
pub(super) fn sweep(core: &Arc<Core>, keyed: Arc<Keyed>, revision: u64) {
    let core = Arc::clone(core);
    let guests = core.services.guests.clone();
    guests.spawn(async move {
        let _alone = keyed.sweeping.lock().await;
        let routes = core.router.routes();
        sweep_awake(&keyed, &routes, revision).await;
        // What was saved by the old version, before its keys went to sleep, may still be on its way.
        let _ = core.services.states.settled().await;
        sweep_asleep(&core, &keyed, revision).await;
        if keyed.live.load().revision == revision {
            swept(&core, &keyed, revision);
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

async fn sweep_asleep(core: &Arc<Core>, keyed: &Arc<Keyed>, revision: u64) {
    let live = keyed.live.load_full();
    let copy = match core.services.states.without_effects(&live) {
        Ok(copy) if live.revision == revision => copy,
        Ok(_) => return,
        // They are handed over when they are called, or not at all: that is told then.
        Err(error) => {
            tracing::error!("the sleeping keys of {} are not handed over: {error}", keyed.module);
            return;
        }
    };
    let sweep = Arc::new(Sweep {
        core: Arc::clone(core),
        keyed: Arc::clone(keyed),
        live,
        copy,
        place: Mutex::new(Place::Behind(None)),
    });
    // While some are read and written, others are handed over.
    let tasks = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 1;
    let mut sweeping = JoinSet::new();
    for _ in 0..tasks {
        sweeping.spawn_on(Arc::clone(&sweep).run(), &core.services.guests);
    }
    while sweeping.join_next().await.is_some() {}
}

/// The keys of a module that sleep, in the order of their names.
struct Sweep {
    core: Arc<Core>,
    keyed: Arc<Keyed>,
    live: Arc<Live>,
    /// Makes throw-away instances of the live version.
    copy: Live,
    place: Mutex<Place>,
}

/// How far a sweep has come.
enum Place {
    /// It goes on behind this key.
    Behind(Option<String>),
    End,
}

impl Sweep {
    async fn run(self: Arc<Self>) {
        let mut on_its_way: Option<Kept> = None;
        while let Some(keys) = self.next().await {
            let mut exchanges = Vec::with_capacity(keys.len());
            for (number, key) in keys.into_iter().enumerate() {
                exchanges.extend(self.hand_over(key).await);
                if number % KEYS_IN_A_ROW == KEYS_IN_A_ROW - 1 {
                    tokio::task::yield_now().await;
                }
            }
            let kept = self.core.services.states.exchange(exchanges);
            // One lot is written while the next one is made, and no more than one.
            if let Some(before) = on_its_way.replace(kept) {
                // What cannot be written has been told.
                let _ = before.written().await;
            }
        }
        if let Some(last) = on_its_way {
            let _ = last.written().await;
        }
    }

    fn is_outdated(&self) -> bool {
        self.keyed.live.load().revision != self.live.revision
    }

    /// The states of the next keys.
    async fn next(&self) -> Option<Vec<Asleep>> {
        let mut place = self.place.lock().await;
        // Until it is known how far it has come: where the store cannot be read, nobody goes on.
        while let Place::Behind(after) = std::mem::replace(&mut *place, Place::End) {
            if self.is_outdated() {
                return None;
            }
            let states = &self.core.services.states;
            let read = states.held_by_others(&self.keyed.module, after, &self.live, READ_AT_ONCE);
            let Stretch { states, next } = match read.await {
                Ok(read) => read,
                // They are handed over when they are called, or not at all: that is told then.
                Err(error) => {
                    tracing::error!("saved states of {} cannot be read: {error}", self.keyed.module);
                    return None;
                }
            };
            if next.is_some() {
                *place = Place::Behind(next);
            }
            if !states.is_empty() {
                return Some(states);
            }
        }
        None
    }

    /// The state of a key in the form of the live version. None where it stays as it is.
    async fn hand_over(&self, key: Asleep) -> Option<Exchange> {
        if self.is_outdated() {
            return None;
        }
        let name = key.state.tag.key.as_deref()?;
        let services = &self.core.services;
        match self.again(&key).await {
            Ok(again) => {
                services.note_moved_key(&self.keyed.module, Some(name));
                Some(key.exchange(again))
            }
            // It was called meanwhile: what became of that, its caller knows.
            Err(_) if self.keyed.existing(name).is_some_and(|lane| lane.figures().is_live) => None,
            Err(error) => {
                services.note_failed_key(&self.keyed.module, Some(name));
                let message = format!("{} {name:?} cannot be brought up: {error}", self.keyed.module);
                let told = Happening::new(EventKind::KeyNotMigrated, message);
                services.events.publish(told.version(&self.live.template.version.id));
                None
            }
        }
    }

    /// The state as the live version saves it.
    async fn again(&self, key: &Asleep) -> Result<SavedState, InstanceError> {
        let (live, limits) = (&self.copy, &self.live.limits);
        let mut instance = self.core.services.states.revive(live, &key.state, limits).await?;
        let change = Lane::change_for_self(&live.template);
        let saved = instance.save(&change, limits.save_timeout).await?;
        let name = key.state.tag.key.as_deref();
        Ok(tagged(&instance, name, key.state.tag.reason, saved.bytes))
    }
}

fn swept(core: &Arc<Core>, keyed: &Keyed, revision: u64) {
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
