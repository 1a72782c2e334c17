//! A lane: the queue of a `single` module or of one key of a `keyed` one, and the seat of the instance that serves it.
//!
//! Invariants:
//! - Calls start in the order of the queue (R16), one at a time; where the module has async functions (WASI 0.3), beside each other.
//!   A [`Runner`] owns the instance while they run.
//! - A call that finds the lane idle does not queue ([`Lane::call_at_once`]): nobody is there whom it could overtake.
//! - While a gate is closed only calls that it lets pass start (R21); all others keep their place.
//! - A lane is *busy* from the moment a runner has taken the instance until it has put it back.

mod at_once;
mod figures;
mod upgrade;

pub(super) use at_once::{AtOnce, Expected};

use super::chunks::Step;
use super::crowd::Crowd;
use super::frame::{Frame, Origin};
use super::gate::Gate;
use super::invocation::{Called, Invocation};
use super::routes::Routes;
use super::runner::Runner;
use super::services::Services;
use super::ticket::Ticket;
use super::turn::poll_here;
use crate::clock::coarse_ms;
use crate::error::{CallError, CallErrorCode};
use crate::instance::{Change, Instance, InstanceError, Moment, Template};
use crate::state::Kept;
use crate::store::{SaveReason, SavedState};
use crate::value::Value;
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use wasmhot_appup::{Digest, Limits, ModuleName, ModuleVersion, Tasks};

/// What a call gives.
pub(crate) type CallResult = Result<Option<Value>, Box<CallError>>;

/// What a stateful module runs now; all keys of a keyed module share one.
#[derive(Debug)]
pub(crate) struct Live {
    /// Version and configuration.
    pub(crate) template: Arc<Template>,
    /// The revision that brought it.
    pub(crate) revision: u64,
    /// Given to `save` and `migrate` of the keys that are still to be handed over.
    pub(crate) extra: serde_json::Value,
    /// The versions that the upgrade names for states to go through, each with its `extra` (R28).
    pub(crate) via: Vec<(ModuleVersion, serde_json::Value)>,
    /// For bringing states to it: the module's own, as the upgrade that brought it has changed them.
    pub(crate) limits: Limits,
}

/// A call that waits or runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) invocation: Invocation,
    pub(crate) origin: Origin,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) reply: oneshot::Sender<CallResult>,
}

/// Something that a lane does for the host, in its turn.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Save the state (periodic, `state export`, stop).
    Save {
        reason: SaveReason,
        /// What is not, is on the disk a second later.
        durable: bool,
        reply: oneshot::Sender<Result<Fresh, InstanceError>>,
    },
    /// Bring a key that is awake to the live version: it serves from now on, in a call of this release. Nothing if it sleeps.
    HandOver {
        routes: Arc<Routes>,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    /// The instance serves from now on: tell it, in a call of this release.
    GoLive(Arc<Routes>),
    /// A step of taking the state out in chunks.
    Chunks(Step),
    /// Save a key, and free its instance when that is written.
    Hibernate,
    /// The state of that moment is written, or could not be: free the instance, if it is still as it was.
    FallAsleep { moment: Moment, is_written: bool },
    /// Forget a key that nobody has called for so many milliseconds, with its saved state (R9).
    Expire(u64),
    /// An upgrade has found the instance dead: do what `on_trap` says (R14, R26).
    Recover(CallError),
}

/// A state that a lane has just saved, and that is on its way into the catalog. Whoever waits for that says so by
/// [`Lane::note_stored`]: until then its calls count as unsaved.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) state: SavedState,
    /// So many calls it has, of all: they are unsaved until it is written.
    pub(crate) calls: u64,
    /// Given to the keeper in the lane's turn: so nothing that this lane saves later is written before it.
    pub(crate) kept: Kept,
}

#[derive(Debug)]
pub(crate) enum Work {
    Call(Job),
    Errand(Errand),
}

/// What a runner does next.
#[derive(Debug)]
pub(super) enum Next {
    Work(Work),
    /// Nothing but the guest tasks of calls that have answered.
    Tasks,
    /// Nothing: the lane is idle, and has the instance.
    Done,
}

/// Where the instance is.
pub(crate) enum Seat {
    /// Here, idle.
    Here(Box<Instance>),
    /// A runner or an upgrade has it.
    Away,
    /// None is live; the next call makes one, from the saved state if there is one.
    Asleep,
    /// The state is gone or unreadable: calls are refused with this (R14, R29).
    Failed(CallError),
}

/// The queue and seat of one owner of state.
pub(crate) struct Lane {
    /// The module.
    pub(crate) module: ModuleName,
    /// The key, in a keyed module.
    pub(crate) key: Option<Arc<str>>,
    /// What it should run now.
    pub(crate) live: Arc<ArcSwap<Live>>,
    pub(crate) services: Arc<Services>,
    /// What all keys of the module share.
    pub(crate) crowd: Option<Arc<Crowd>>,
    /// When the module came to be here.
    pub(super) made_at: Instant,
    /// When it was called last, by [`coarse_ms`], for choosing whom to put to sleep.
    last_used_ms: AtomicU64,
    /// Something has changed for a runner whose calls run beside each other.
    changed: Notify,
    /// Held by whoever takes the state out in chunks.
    pub(super) chunked: Arc<tokio::sync::Mutex<()>>,
    /// Digest of the state that the store was given last, or has given: see [`Lane::kept`].
    pub(super) last_kept: Mutex<Option<(Digest, Kept)>>,
    state: Mutex<LaneState>,
}

/// Who runs what is to be run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunBy {
    /// Nobody: the lane is idle.
    Nobody,
    /// A caller whose thread will serve some of those who wait.
    Caller,
    /// A runner, or a caller who leaves the rest to one.
    Runner,
}

struct LaneState {
    passing: VecDeque<Work>,
    queue: VecDeque<Work>,
    seat: Seat,
    run_by: RunBy,
    /// The calls that run.
    holders: Vec<Arc<Frame>>,
    /// How long it is to be remembered that calls took long which were served by other callers, in calls.
    slow: u32,
    gate: Option<Arc<Gate>>,
    /// The host stops: what new calls are told.
    refuses: Option<CallError>,
    /// Calls answered since the last save; 0 = nothing to save.
    unsaved_calls: u64,
    /// All answered before these: they are saved, or lost.
    settled_calls: u64,
    last_save_took: Duration,
    saved_at: Option<Instant>,
    save_tried_at: Option<Instant>,
    /// What became of the state when the instance trapped last (R14).
    restored: Option<String>,
}

impl LaneState {
    fn is_busy(&self) -> bool {
        self.run_by != RunBy::Nobody
    }
}

impl Lane {
    pub(crate) fn new(
        module: ModuleName,
        key: Option<Arc<str>>,
        live: Arc<ArcSwap<Live>>,
        services: Arc<Services>,
        crowd: Option<Arc<Crowd>>,
        seat: Seat,
        gate: Option<Arc<Gate>>,
    ) -> Arc<Self> {
        let state = LaneState {
            passing: VecDeque::new(),
            queue: VecDeque::new(),
            seat,
            run_by: RunBy::Nobody,
            holders: Vec::new(),
            slow: 0,
            gate,
            refuses: None,
            unsaved_calls: 0,
            settled_calls: 0,
            last_save_took: Duration::ZERO,
            saved_at: None,
            save_tried_at: None,
            restored: None,
        };
        let lane = Self {
            module,
            key,
            live,
            services,
            crowd,
            made_at: Instant::now(),
            last_used_ms: AtomicU64::new(0),
            changed: Notify::new(),
            chunked: Arc::default(),
            last_kept: Mutex::default(),
            state: Mutex::new(state),
        };
        lane.used_at(coarse_ms());
        Arc::new(lane)
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().expect("no panic under this lock")
    }

    /// `counter`, or `rooms "kitchen"`.
    pub(crate) fn name(&self) -> String {
        match &self.key {
            Some(key) => format!("{} {key:?}", self.module),
            None => self.module.to_string(),
        }
    }

    /// Puts a call into the queue and, where the lane is idle, begins it on this thread.
    pub(in crate::call) fn submit(self: &Arc<Self>, job: Job) -> Result<Expected, CallError> {
        self.used_at(job.origin.tree.began_ms);
        let can_begin_here = job.origin.can_begin_here();
        let (runner, expected) = {
            let mut state = self.lock();
            if let Seat::Failed(error) = &state.seat {
                return Err(error.clone());
            }
            if let Some(error) = &state.refuses {
                return Err(error.clone());
            }
            let expected = Self::expected(&state, &job);
            self.enqueue(&mut state, job)?;
            (self.runner_if_idle(&mut state), expected)
        };
        if let Some(runner) = runner {
            let guests = &self.services.guests;
            if !can_begin_here {
                guests.spawn(runner.run());
            } else if let Err(run) = poll_here(guests, Box::pin(runner.run())) {
                guests.spawn(run);
            }
        }
        Ok(expected)
    }

    fn enqueue(&self, state: &mut LaneState, job: Job) -> Result<(), CallError> {
        let live = self.live.load();
        let limits = &live.template.config.limits;
        if let Some(gate) = &state.gate {
            if self.passes(gate, &job) {
                state.passing.push_back(Work::Call(job));
                return Ok(());
            }
            gate.note_waiting();
            let bound = gate.bound(limits);
            gate.note_queue(state.queue.len() + 1, bound);
            if state.queue.len() >= bound && !job.origin.is_nested() {
                return Err(self.overloaded(bound));
            }
        } else if state.queue.len() >= limits.queue_max as usize && !job.origin.is_nested() {
            // Calls whose client left do not count against those who are here (R10).
            state
                .queue
                .retain(|work| !matches!(work, Work::Call(job) if job.ticket.is_abandoned()));
            if state.queue.len() >= limits.queue_max as usize {
                return Err(self.overloaded(limits.queue_max as usize));
            }
        }
        // Nested calls are waited out up to the tree's deadline (R13): their number is bounded by that of the trees.
        state.queue.push_back(Work::Call(job));
        Ok(())
    }

    fn overloaded(&self, bound: usize) -> CallError {
        let message = format!("the queue of {} is full ({bound} calls wait)", self.name());
        CallError::not_executed(CallErrorCode::Overloaded, message).in_version(&self.live.load().template.version.id)
    }

    /// Puts an errand into the queue, behind the calls that wait.
    pub(crate) fn send(self: &Arc<Self>, errand: Errand) {
        let runner = {
            let mut state = self.lock();
            // Nobody would ever come to it: whoever waits for an answer is told by the end of his channel.
            if matches!(state.seat, Seat::Failed(_)) {
                return;
            }
            state.queue.push_back(Work::Errand(errand));
            self.runner_if_idle(&mut state)
        };
        if let Some(runner) = runner {
            self.services.guests.spawn(runner.run());
        }
    }

    /// Puts an errand before everything that waits, but for calls that may pass a gate. It begins when the gate opens.
    pub(crate) fn send_first(self: &Arc<Self>, errand: Errand) {
        self.lock().queue.push_front(Work::Errand(errand));
    }

    /// Begins what waits, if nothing runs.
    pub(crate) fn wake_up(self: &Arc<Self>) {
        let runner = self.runner_if_idle(&mut self.lock());
        if let Some(runner) = runner {
            self.services.guests.spawn(runner.run());
        }
    }

    /// Takes the instance for a runner if the lane is idle and something may start.
    fn runner_if_idle(self: &Arc<Self>, state: &mut LaneState) -> Option<Runner> {
        if state.is_busy() {
            self.changed.notify_one();
            return None;
        }
        if !Self::may_start(state) {
            return None;
        }
        let instance = match std::mem::replace(&mut state.seat, Seat::Away) {
            Seat::Here(instance) => Some(instance),
            Seat::Asleep => None,
            // An upgrade has the instance, or there is none to be had: what waits will be looked at when that ends.
            other @ (Seat::Away | Seat::Failed(_)) => {
                state.seat = other;
                return None;
            }
        };
        state.run_by = RunBy::Runner;
        if let Some(gate) = &state.gate {
            gate.enter();
        }
        Some(Runner::new(Arc::clone(self), instance))
    }

    /// The runner's next work; with nothing left to start it gives the instance back and the lane is idle, unless guest tasks run in
    /// it.
    pub(super) fn next(&self, instance: &mut Option<Box<Instance>>) -> Next {
        let mut state = self.lock();
        state.holders.clear();
        if let Some(work) = Self::pop(&mut state) {
            return Next::Work(work);
        }
        if instance.as_ref().is_some_and(|instance| instance.has_tasks) && !self.drops_tasks(&state) {
            return Next::Tasks;
        }
        self.put_back(&mut state, instance.take());
        Next::Done
    }

    /// As [`Lane::next`], for a runner whose calls go on meanwhile.
    pub(super) fn next_beside(&self) -> Option<Work> {
        Self::pop(&mut self.lock())
    }

    /// Whether guest tasks that nobody waits for are given up now: the host stops, or an upgrade waits and the module says so.
    pub(super) fn gives_up_tasks(&self) -> bool {
        self.drops_tasks(&self.lock())
    }

    fn drops_tasks(&self, state: &LaneState) -> bool {
        let Some(gate) = &state.gate else { return false };
        gate.is_of_stop() || self.live.load().template.config.limits.tasks == Tasks::Drop
    }

    /// Returns when there may be something to start, or the gate has changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether something waits that no gate holds back.
    fn may_start(state: &LaneState) -> bool {
        !state.passing.is_empty() || (state.gate.is_none() && !state.queue.is_empty())
    }

    fn pop(state: &mut LaneState) -> Option<Work> {
        Self::pop_if(state, |_| true)
    }

    /// The next work that may start, if it is such.
    fn pop_if(state: &mut LaneState, is_wanted: impl Fn(&Work) -> bool) -> Option<Work> {
        loop {
            let line = match state.passing.is_empty() {
                false => &mut state.passing,
                true if state.gate.is_none() => &mut state.queue,
                true => return None,
            };
            match line.pop_front_if(|work| is_wanted(work)) {
                Some(Work::Call(job)) if !job.ticket.start() => {}
                Some(Work::Call(job)) => {
                    if job.origin.is_nested() {
                        job.origin.tree.set_waits_for(None);
                    }
                    return Some(Work::Call(job));
                }
                Some(errand @ Work::Errand(_)) => return Some(errand),
                None => return None,
            }
        }
    }

    fn put_back(&self, state: &mut LaneState, instance: Option<Box<Instance>>) {
        if matches!(state.seat, Seat::Away) {
            state.seat = instance.map_or(Seat::Asleep, Seat::Here);
        }
        state.run_by = RunBy::Nobody;
        state.holders.clear();
        if let Some(gate) = &state.gate {
            gate.leave();
        }
    }

    /// Somebody waits for a place: a key that has nothing to do gives up its own.
    pub(super) fn give_way(self: &Arc<Self>) {
        if self.crowd.as_ref().is_some_and(|crowd| crowd.is_full()) && self.is_wide_awake() {
            self.send(Errand::Hibernate);
        }
    }

    /// Whether its instance is here, and not about to go.
    fn is_wide_awake(&self) -> bool {
        let state = self.lock();
        matches!(&state.seat, Seat::Here(instance) if !instance.falls_asleep())
    }

    /// A runner ended without giving the instance back.
    pub(super) fn runner_gone(&self) {
        let mut state = self.lock();
        self.put_back(&mut state, None);
    }

    /// What is to run a call: the newer of what the lane says and what the caller's stamp says. A call stamped after the switch is never
    /// run by the old version, however close behind the switch it comes (R33).
    pub(super) fn live_for(&self, job: &Job) -> Arc<Live> {
        let live = self.live.load_full();
        match job.origin.stamp.live_of(&self.module) {
            Some(stamped) if stamped.revision > live.revision => stamped,
            _ => live,
        }
    }

    /// A call runs in this instance from now on.
    pub(super) fn begin_call(&self, origin: Origin, called: Called, instance: &Instance) -> Arc<Frame> {
        let template = Arc::clone(&instance.template);
        let frame = Frame::new(origin, called, template, self.key.clone(), instance.revision);
        self.add_holder(&frame);
        frame
    }

    /// A call runs from now on.
    pub(super) fn add_holder(&self, frame: &Arc<Frame>) {
        self.lock().holders.push(Arc::clone(frame));
    }

    /// The call for which the others have to wait.
    pub(crate) fn holder(&self) -> Option<Arc<Frame>> {
        let state = self.lock();
        state.holders.iter().find(|frame| frame.holds()).cloned()
    }

    /// All calls that run here.
    pub(crate) fn holders(&self) -> Vec<Arc<Frame>> {
        self.lock().holders.clone()
    }

    /// The state is lost for good: what waits is told, and later calls are refused (R14, R29).
    pub(crate) fn fail(&self, error: &CallError) {
        self.lock().seat = Seat::Failed(error.clone());
        self.refuse_waiting(error);
    }

    /// No call starts any more; errands do.
    pub(crate) fn stop_calls(&self, error: &CallError) {
        self.lock().refuses = Some(error.clone());
        self.refuse_waiting(error);
    }

    /// Everything that waits is answered with this.
    fn refuse_waiting(&self, error: &CallError) {
        let waiting: Vec<Work> = {
            let mut state = self.lock();
            let passing = std::mem::take(&mut state.passing);
            passing.into_iter().chain(std::mem::take(&mut state.queue)).collect()
        };
        for work in waiting {
            if let Work::Call(job) = work
                && job.ticket.start()
            {
                job.origin.tree.set_waits_for(None);
                let _ = job.reply.send(Err(Box::new(error.clone())));
            }
        }
    }

    fn passes(&self, gate: &Gate, job: &Job) -> bool {
        gate.passes(&job.origin, &self.module, &job.invocation)
    }

    /// True if nothing waits here.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.passing.is_empty()
    }

    /// When it was called last, by [`coarse_ms`].
    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    fn used_at(&self, at_ms: u64) {
        self.last_used_ms.store(at_ms, Ordering::Relaxed);
    }

    /// What `save` is told when the live version saves for itself.
    pub(crate) fn change_for_self(template: &Template) -> Change {
        Change::restore(&template.version.id.version)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Lane({})", self.name())
    }
}
