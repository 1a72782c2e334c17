//! The runner serves a lane: it owns the instance, runs what waits one after another, and looks after the state when a guest traps.
//!
//! Invariants:
//! - No client owns a runner (R10): it is a task of the guest runtime, or becomes one if it has to wait.
//! - Every call it has taken is answered exactly once.

use super::crowd::Place;
use super::frame::{Deadline, Frame, Origin};
use super::invocation::{Called, Input};
use super::lane::{CallResult, Errand, Fresh, Job, Lane, Live, Next, Work};
use super::routes::Routes;
use super::turn::{Ended, Limit, Turn};
use crate::clock::coarse_ms;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, InstanceError};
use crate::state::tagged;
use crate::store::SaveReason;
use crate::version::Version;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// After this many calls in a row other tasks get their turn.
const CALLS_IN_A_ROW: u32 = 64;

/// Owns a lane's instance while it runs.
pub(crate) struct Runner {
    pub(super) lane: Arc<Lane>,
    pub(super) instance: Option<Box<Instance>>,
    /// The place of an instance that has died, for the one that comes after it.
    pub(super) place: Option<Place>,
    finished: bool,
}

impl Runner {
    pub(super) fn new(lane: Arc<Lane>, instance: Option<Box<Instance>>) -> Self {
        Self {
            lane,
            instance,
            place: None,
            finished: false,
        }
    }

    /// Takes over where a call has begun without a task and could not end at once. Then runs what waits.
    pub(super) async fn after(mut self, call: impl Future<Output = Ended>, reply: oneshot::Sender<CallResult>) {
        let ended = call.await;
        let frame = Arc::clone(&ended.frame);
        let (answer, is_whole) = self.ended(ended).await;
        if is_whole {
            self.lane.note_answered(&frame);
        } else {
            frame.note_answered();
        }
        let _ = reply.send(answer);
        self.run().await;
    }

    pub(crate) async fn run(mut self) {
        let mut served = 0_u32;
        // What has to be done alone in an instance whose calls run beside each other.
        let mut alone = None;
        loop {
            let next = match alone.take() {
                Some(work) => Next::Work(work),
                None => self.lane.next(&mut self.instance),
            };
            // After the first one the caller on whose thread this may run has its answer: the rest is for a task of its own.
            let rests = served == 1 || served % CALLS_IN_A_ROW == CALLS_IN_A_ROW - 1;
            if rests && !matches!(next, Next::Done) {
                tokio::task::yield_now().await;
            }
            served += 1;
            match next {
                Next::Work(Work::Call(job)) => alone = self.call(job).await,
                // Boxed: calls need not carry their size.
                Next::Work(Work::Errand(errand)) => Box::pin(self.errand(errand)).await,
                Next::Tasks => alone = Box::pin(self.beside(None)).await,
                Next::Done => break,
            }
        }
        self.finished = true;
        self.lane.give_way();
    }

    /// Runs a call. In an instance that runs calls beside each other it is the first of several: gives what has to be done alone.
    async fn call(&mut self, job: Job) -> Option<Work> {
        let live = self.lane.live_for(&job);
        if let Err(error) = Box::pin(self.bring_up(&live)).await {
            let _ = job.reply.send(Err(Box::new(error)));
            return None;
        }
        let failed = Box::pin(self.go_live(&job.origin.stamp)).await;
        if let Some(error) = failed.filter(|_| self.instance.is_none()) {
            let _ = job.reply.send(Err(Box::new(error)));
            return None;
        }
        let Some(instance) = self.instance.as_mut() else {
            let _ = job.reply.send(Err(Box::new(no_instance())));
            return None;
        };
        if job.invocation.runs_beside(&instance.template.version) {
            return Box::pin(self.beside(Some(job))).await;
        }
        let version = Arc::clone(&instance.template.version);
        if let Err(error) = still_fits(&version, &job) {
            let _ = job.reply.send(Err(Box::new(error)));
            return None;
        }
        let Job {
            invocation,
            origin,
            reply,
            ..
        } = job;
        let (called, input) = invocation.split();
        let frame = self.lane.begin_call(origin, called, instance);
        let (answer, is_whole) = self.carry_out(input, &frame).await;
        if is_whole {
            self.lane.note_answered(&frame);
        }
        if is_whole && self.is_durable() {
            Box::pin(self.answer_durably(answer, reply)).await;
        } else {
            let _ = reply.send(answer);
        }
        None
    }

    /// Runs a call on the instance that is here, and looks after the state if that is lost. Says whether it is whole.
    async fn carry_out(&mut self, input: Input, frame: &Arc<Frame>) -> (CallResult, bool) {
        let Some(instance) = self.instance.take() else {
            return (Err(Box::new(no_instance())), true);
        };
        let turn = Turn {
            limit: Limit::Stuck(instance.template.config.limits.stuck_timeout),
            frame: Arc::clone(frame),
            instance,
            input,
        };
        let ended = turn.carry_out().await;
        self.ended(ended).await
    }

    /// A turn has ended: the instance is here again, or its state is looked after.
    async fn ended(&mut self, ended: Ended) -> (CallResult, bool) {
        let is_whole = ended.is_whole();
        let Ended {
            instance,
            frame,
            answer,
        } = ended;
        let stuck = instance.template.config.limits.stuck_timeout;
        self.instance = Some(instance);
        let stuck_there = || stuck_error(&frame.called, stuck).in_version(&frame.template.version.id);
        let answer = answer.unwrap_or_else(|_cut| Err(Box::new(stuck_there())));
        let answer = match answer {
            Err(error) if !is_whole => Err(Box::new(Box::pin(self.lost(*error)).await)),
            other => other,
        };
        (answer, is_whole)
    }

    /// R33: this key goes from the version that holds it to the live one. A key that fails keeps its state.
    pub(super) async fn hand_over(&mut self, live: &Arc<Live>) -> Result<(), CallError> {
        let Some(mut old) = self.instance.take() else {
            return Ok(());
        };
        let moved = self
            .lane
            .services
            .states
            .move_over(&mut old, live, self.lane.key.as_deref())
            .await;
        match moved {
            Ok((mut new, saved)) => {
                new.place = old.place.take();
                self.instance = Some(new);
                self.lane.set_kept(None);
                let services = &self.lane.services;
                services.note_moved_key(&self.lane.module, self.lane.key.as_deref());
                // At once the last saved state (R28), but no call waits until it is written. Where it cannot be, the next periodic save tries
                // again.
                let calls = self.lane.note_save(saved.took);
                let (kept, lane) = (services.states.keep(vec![saved.state], false), Arc::clone(&self.lane));
                services.guests.spawn(async move {
                    if kept.written().await.is_ok() {
                        lane.note_stored(calls);
                    }
                });
                Ok(())
            }
            Err(error) => {
                let id = live.template.version.id.clone();
                let is_dead = !old.is_usable();
                self.instance = Some(old);
                let services = &self.lane.services;
                services.note_failed_key(&self.lane.module, self.lane.key.as_deref());
                let message = format!("{} was not handed over to {id}: {error}", self.lane.name());
                self.lane
                    .services
                    .events
                    .publish(Happening::new(EventKind::KeyNotMigrated, message.clone()).version(&id));
                let error = CallError::not_executed(CallErrorCode::KeyNotMigrated, message).in_version(&id);
                // It died in `save` (R26).
                Err(if is_dead { self.lost(error).await } else { error })
            }
        }
    }

    /// R33, of a key that is awake: it serves from now on.
    async fn hand_over_awake(&mut self, live: &Arc<Live>, routes: &Arc<Routes>) -> Result<(), CallError> {
        self.bring_up(live).await?;
        let _ = self.go_live(routes).await;
        Ok(())
    }

    async fn errand(&mut self, errand: Errand) {
        match errand {
            Errand::Save { reason, durable, reply } => {
                let answer = self.save(reason, durable).await;
                let _ = reply.send(answer);
            }
            Errand::HandOver { routes, reply } => {
                let live = self.lane.live.load_full();
                // One that sleeps meanwhile is handed over with its saved state.
                let answer = match self.instance.is_some() {
                    true => self.hand_over_awake(&live, &routes).await,
                    false => Ok(()),
                };
                let _ = reply.send(answer);
            }
            Errand::Recover(error) => self.recover(error).await,
            Errand::GoLive(routes) => {
                let live = self.lane.live.load_full();
                if self.bring_up(&live).await.is_ok() {
                    // Told by an event, and to nobody else: there is no caller.
                    let _ = self.go_live(&routes).await;
                }
            }
            Errand::Chunks(step) => self.chunk_step(step).await,
            Errand::Hibernate => self.hibernate().await,
            Errand::FallAsleep { moment, is_written } => self.asleep_since(moment, is_written),
            Errand::Expire(after_ms) => self.expire(after_ms).await,
        }
    }

    /// Tells the instance that it serves, before its first call. What goes wrong there is told, counts in a probation, and takes
    /// nothing back; one that dies of it is followed by one that is not told again. Gives what it died of.
    async fn go_live(&mut self, routes: &Arc<Routes>) -> Option<CallError> {
        let instance = self.instance.as_mut().filter(|instance| instance.is_to_go_live())?;
        let limit = instance.template.config.limits.stuck_timeout;
        let origin = Origin::outside(Arc::clone(routes), Deadline::after(limit));
        let tree = Arc::clone(&origin.tree);
        let frame = self.lane.begin_call(origin, Called::Live, instance);
        let answer = instance.go_live(Arc::clone(&frame), limit).await;
        let (id, is_dead) = (instance.template.version.id.clone(), !instance.is_usable());
        self.lane.note_answered(&frame);
        if let Some(route) = routes.modules.get(&self.lane.module) {
            let failed = answer.is_err() || tree.was_denied();
            route.rates.count(coarse_ms(), failed);
        }
        let error = answer.err()?;
        let message = format!(
            "{} ({id}) has begun to serve, but `live` failed: {error}",
            self.lane.name()
        );
        let told = Happening::new(EventKind::LiveFailed, message).version(&id);
        self.lane.services.events.publish(told);
        if !is_dead {
            return None;
        }
        let error = CallError::not_executed(CallErrorCode::Trapped, error.to_string()).in_version(&id);
        let error = self.lost(error).await;
        if let Some(next) = self.instance.as_mut() {
            next.skip_live();
        }
        Some(error)
    }

    /// Saves for the version's own later use.
    async fn save(&mut self, reason: SaveReason, durable: bool) -> Result<Fresh, InstanceError> {
        let Some(instance) = self.instance.as_mut() else {
            return Err(InstanceError::Asleep);
        };
        self.lane.note_save_tried();
        let change = Lane::change_for_self(&instance.template);
        let stuck = instance.template.config.limits.stuck_timeout;
        match instance.save(&change, stuck).await {
            Ok(saved) => {
                let state = tagged(instance, self.lane.key.as_deref(), reason, saved.bytes);
                self.lane.set_kept(None);
                Ok(Fresh {
                    calls: self.lane.note_save(saved.took),
                    kept: self.lane.services.states.keep(vec![state.clone()], durable),
                    state,
                })
            }
            Err(error) => {
                self.lost_if_dead(&error).await;
                Err(error)
            }
        }
    }
}

fn no_instance() -> CallError {
    CallError::not_executed(CallErrorCode::Internal, "no instance")
}

/// R25: checked again against the version that runs it.
pub(super) fn still_fits(version: &Version, job: &Job) -> Result<(), CallError> {
    match job.invocation.misfit(version) {
        None => Ok(()),
        Some(message) => Err(CallError::not_executed(CallErrorCode::InterfaceChanged, message).in_version(&version.id)),
    }
}

pub(super) fn stuck_error(called: &Called, stuck: Duration) -> CallError {
    let message = format!("`{called}` did not end within {stuck:?} (stuck_timeout) and was interrupted");
    CallError::unknown(CallErrorCode::Stuck, message)
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.finished {
            // The runtime ended or a bug unwound: the lane must not stay busy for ever.
            let message = "the task that served the module ended before its time";
            self.lane
                .fail(&CallError::not_executed(CallErrorCode::Internal, message).in_module(&self.lane.module));
            self.lane.runner_gone();
        }
    }
}
