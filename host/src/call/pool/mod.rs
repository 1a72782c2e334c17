//! A pool serves a stateless module: many calls at once, each on an instance of its own for its time.
//!
//! Invariants: at most `instances_max` calls from outside run at once; a call from a module never waits for one of those places for
//! ever (it may go beyond, up to four times as many), so that a pool cannot be the missing piece of a circle.

mod place;

use crate::call::frame::{Frame, Origin};
use crate::call::gate::Gate;
use crate::call::invocation::Invocation;
use crate::call::lane::CallResult;
use crate::call::router::{Given, Sent};
use crate::call::services::Services;
use crate::call::turn::{Cut, Ended, Limit, Turn, poll_here};
use crate::clock::coarse_ms;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, Template};
use place::{Idle, Place, PlaceHere, Waits};
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use wasmhot_appup::Instances;

/// Calls of modules may take this many times `instances_max` places.
const NESTED_FACTOR: usize = 4;

/// The instances of a stateless version.
pub(crate) struct Pool {
    pub(crate) template: Arc<Template>,
    /// The revision that brought it.
    pub(crate) revision: u64,
    services: Arc<Services>,
    places: Semaphore,
    nested_places: Semaphore,
    waiting: AtomicU32,
    door: Mutex<Door>,
    retired: watch::Sender<bool>,
}

/// What calls pass when they start and when they end.
#[derive(Default)]
struct Door {
    gate: Option<Arc<Gate>>,
    // Boxed as everywhere else: an instance is moved around, and large.
    #[allow(clippy::vec_box, reason = "instances are handed around as boxes")]
    idle: Vec<Box<Instance>>,
    /// The calls that run, in places that are used again.
    running: Vec<Option<Running>>,
    free: Vec<usize>,
    outside_running: usize,
    nested_running: usize,
}

/// A call that runs.
pub(crate) struct Running {
    /// By [`coarse_ms`].
    pub(crate) since_ms: u64,
    /// Who called, if a module did.
    pub(crate) caller: Option<Arc<Frame>>,
}

impl Door {
    fn enter(&mut self, origin: &Origin) -> usize {
        let running = Some(Running {
            since_ms: match origin.is_nested() {
                true => coarse_ms(),
                false => origin.tree.began_ms,
            },
            caller: origin.parent.clone(),
        });
        match self.free.pop() {
            Some(seat) => {
                self.running[seat] = running;
                seat
            }
            None => {
                self.running.push(running);
                self.running.len() - 1
            }
        }
    }

    fn leave(&mut self, seat: usize) {
        self.running[seat] = None;
        self.free.push(seat);
    }

    fn count_of(&mut self, nested: bool) -> &mut usize {
        match nested {
            true => &mut self.nested_running,
            false => &mut self.outside_running,
        }
    }

    fn all_running(&self) -> usize {
        self.outside_running + self.nested_running
    }
}

/// A call that was given a place.
enum Begun {
    /// It has ended.
    Done(CallResult),
    /// It goes on as a task of the guest runtime.
    Running(oneshot::Receiver<CallResult>),
}

impl Pool {
    /// A pool that starts with `first`, an instance that has shown that it can start.
    pub(crate) fn new(
        template: Arc<Template>,
        revision: u64,
        services: Arc<Services>,
        first: Option<Box<Instance>>,
    ) -> Arc<Self> {
        let limits = &template.config.limits;
        let places = (limits.instances_max as usize).clamp(1, 100_000);
        let idle = first
            .filter(|_| limits.instances == Instances::Kept)
            .into_iter()
            .collect();
        Arc::new(Self {
            template,
            revision,
            services,
            places: Semaphore::new(places),
            nested_places: Semaphore::new(places * NESTED_FACTOR),
            waiting: AtomicU32::new(0),
            door: Mutex::new(Door {
                idle,
                ..Door::default()
            }),
            retired: watch::channel(false).0,
        })
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().expect("no panic under this lock")
    }

    /// Runs one call. The client may leave at any time: a started call runs to its end without it.
    pub(super) fn call(self: &Arc<Self>, invocation: Invocation, origin: Origin) -> Sent {
        match self.place_now(&origin, &invocation) {
            Some((place, idle)) => match self.begin(place, idle, invocation, origin) {
                Begun::Done(answer) => Sent::Done(answer),
                Begun::Running(answer) => {
                    let pool = Arc::clone(self);
                    Sent::Waits(Box::pin(async move { pool.answered(answer).await }))
                }
            },
            None => {
                let pool = Arc::clone(self);
                Sent::Waits(Box::pin(async move { pool.wait_in_line(invocation, origin).await }))
            }
        }
    }

    async fn wait_in_line(self: &Arc<Self>, invocation: Invocation, origin: Origin) -> Given {
        let (place, idle) = match self.place(&origin, &invocation).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Given::Replaced(invocation, origin),
            Err(error) => return Given::Done(Err(Box::new(error))),
        };
        match self.begin(place, idle, invocation, origin) {
            Begun::Done(answer) => Given::Done(answer),
            Begun::Running(answer) => self.answered(answer).await,
        }
    }

    fn begin(self: &Arc<Self>, place: PlaceHere<'_>, mut idle: Idle, invocation: Invocation, origin: Origin) -> Begun {
        let can_begin_here = origin.can_begin_here();
        let guests = &self.services.guests;
        if let Some(instance) = idle.take_if(|_| can_begin_here) {
            return match self.turn(instance, invocation, origin).take_here(guests) {
                Ok(ended) => Begun::Done(self.ended(ended, place, false)),
                Err(carrier) => {
                    let (pool, place) = (Arc::clone(self), place.own(self));
                    self.spawned(async move {
                        let ended = carrier.ended().await;
                        pool.ended(ended, place, false)
                    })
                }
            };
        }
        let call = PoolCall {
            pool: Arc::clone(self),
            place: place.own(self),
            invocation,
            origin,
        };
        let run = Box::pin(call.run(idle));
        if !can_begin_here {
            return self.spawned(run);
        }
        match poll_here(guests, run) {
            Ok(answer) => Begun::Done(answer),
            Err(run) => self.spawned(run),
        }
    }

    fn spawned(&self, call: impl Future<Output = CallResult> + Send + 'static) -> Begun {
        let (reply, answer) = oneshot::channel();
        self.services.guests.spawn(async move {
            let _ = reply.send(call.await);
        });
        Begun::Running(answer)
    }

    fn turn(self: &Arc<Self>, instance: Box<Instance>, invocation: Invocation, origin: Origin) -> Turn {
        // R11, R23: only calls from outside are interrupted when the pool has been replaced.
        let retired = (!origin.is_nested()).then(|| Arc::clone(self));
        let limit = Limit::Tree(retired);
        let (called, input) = invocation.split();
        let frame = Frame::new(origin, called, Arc::clone(&self.template), None, self.revision);
        Turn {
            instance,
            frame,
            input,
            limit,
        }
    }

    /// A turn has ended: the answer, and what becomes of the instance, which runs no other call if it was made for this `once`.
    fn ended<P: Deref<Target = Pool>>(self: &Arc<Self>, ended: Ended, place: Place<P>, once: bool) -> CallResult {
        let Ended {
            instance,
            frame,
            answer,
        } = ended;
        let answer = match answer {
            Ok(answer) => answer,
            // The instance goes with it (R11).
            Err(cut) => return Err(Box::new(self.cut_short(cut, &frame))),
        };
        if !instance.is_usable()
            && let Err(error) = &answer
            && error.code == CallErrorCode::Trapped
        {
            let details = serde_json::json!({ "backtrace": error.backtrace });
            self.services.events.publish(
                Happening::new(EventKind::Trapped, error.message.clone())
                    .version(self.id())
                    .details(details),
            );
        }
        if instance.has_tasks {
            self.settle(instance, place.own(self), once);
        } else if !once {
            place.leave(instance);
        }
        answer
    }

    /// The place is taken until the guest tasks of the call have ended (WASI 0.3). The caller has its answer before.
    fn settle(&self, mut instance: Box<Instance>, place: Place<Arc<Pool>>, once: bool) {
        let stuck = self.template.config.limits.stuck_timeout;
        self.services.guests.spawn(async move {
            instance.settle(stuck).await;
            if !once {
                place.leave(instance);
            }
        });
    }

    #[cold]
    fn cut_short(&self, cut: Cut, frame: &Frame) -> CallError {
        let called = &frame.called;
        let (code, message) = match cut {
            Cut::Retired => (
                CallErrorCode::Retired,
                format!("`{called}` still ran on an old version when drain_timeout passed"),
            ),
            Cut::Stuck | Cut::Deadline => (
                CallErrorCode::TimedOut,
                format!("`{called}` was interrupted at its deadline"),
            ),
        };
        CallError::unknown(code, message).in_version(self.id())
    }

    async fn answered(&self, answer: oneshot::Receiver<CallResult>) -> Given {
        Given::Done(answer.await.unwrap_or_else(|_| {
            Err(Box::new(
                CallError::unknown(
                    CallErrorCode::Internal,
                    "the task that ran the call ended before its time",
                )
                .in_version(self.id()),
            ))
        }))
    }

    fn id(&self) -> &wasmhot_appup::ModuleVersion {
        &self.template.version.id
    }

    fn places_for(&self, nested: bool) -> &Semaphore {
        match nested {
            true => &self.nested_places,
            false => &self.places,
        }
    }

    /// A place, where there is one and no closed gate is before it.
    fn place_now(self: &Arc<Self>, origin: &Origin, invocation: &Invocation) -> Option<(PlaceHere<'_>, Idle)> {
        let permit = self.places_for(origin.is_nested()).try_acquire().ok()?;
        self.take_place(permit, origin, invocation).ok()
    }

    /// Waits for the gate and for a place. `None`: the pool was replaced while a call from outside waited.
    async fn place(
        self: &Arc<Self>,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<Option<(PlaceHere<'_>, Idle)>, CallError> {
        let by = tokio::time::Instant::from_std(origin.tree.deadline());
        let timed_out = || {
            let message = format!("`{}` waited for a place until its deadline", invocation.called());
            CallError::not_executed(CallErrorCode::TimedOut, message).in_version(self.id())
        };
        let nested = origin.is_nested();
        let places = self.places_for(nested);
        let permit = match places.try_acquire() {
            Ok(permit) => permit,
            Err(_) if places.is_closed() => return Ok(None),
            Err(_) => {
                let bound = self.template.config.limits.queue_max;
                let _waits = Waits::new(&self.waiting);
                if !nested && self.waiting.load(Ordering::Relaxed) > bound {
                    let message = format!("the queue of {} is full ({bound} calls wait)", self.id().name);
                    return Err(CallError::not_executed(CallErrorCode::Overloaded, message).in_version(self.id()));
                }
                match tokio::time::timeout_at(by, places.acquire()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_closed)) => return Ok(None),
                    Err(_) => return Err(timed_out()),
                }
            }
        };
        match self.take_place(permit, origin, invocation) {
            Ok(taken) => Ok(Some(taken)),
            Err(gate) => {
                gate.note_waiting();
                let bound = gate.bound(&self.template.config.limits);
                let _waits = Waits::new(&self.waiting);
                let waiting = self.waiting.load(Ordering::Relaxed) as usize;
                // The upgrade gives way before a call is refused.
                gate.note_queue(waiting, bound);
                if !nested && waiting > bound {
                    let message = format!("the queue of {} is full ({bound} calls wait)", self.id().name);
                    return Err(CallError::not_executed(CallErrorCode::Overloaded, message).in_version(self.id()));
                }
                tokio::time::timeout_at(by, gate.opened())
                    .await
                    .map_err(|_| timed_out())?;
                // The release may have changed meanwhile: the caller looks again.
                Ok(None)
            }
        }
    }

    /// The gate, if a closed one does not let the call pass. It is asked and told under one lock: a gate that has been found quiet
    /// stays so, and one that closes now counts the call either itself or through us, never both.
    fn take_place(
        self: &Arc<Self>,
        permit: SemaphorePermit<'_>,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<(PlaceHere<'_>, Idle), Arc<Gate>> {
        let nested = origin.is_nested();
        let mut door = self.door();
        if let Some(gate) = door.gate.as_ref() {
            if !gate.passes(origin, &self.id().name, invocation) {
                return Err(Arc::clone(gate));
            }
            gate.enter();
        }
        *door.count_of(nested) += 1;
        let seat = door.enter(origin);
        let idle = if self.runs_once(invocation) {
            None
        } else {
            door.idle.pop()
        };
        drop(door);
        permit.forget();
        let place = Place {
            pool: &**self,
            nested,
            seat: Some(seat),
            back: None,
        };
        Ok((place, idle))
    }

    /// Whether the call has an instance of its own. A program has: libc and language runtimes do not start twice in one memory.
    fn runs_once(&self, invocation: &Invocation) -> bool {
        let is_program = matches!(invocation, Invocation::Function { export, .. } if export.is_main);
        is_program || self.template.config.limits.instances == Instances::Fresh
    }

    /// Closes the gate of a joint move (R22). Running calls are counted into it.
    pub(crate) fn close(&self, gate: &Arc<Gate>) {
        let mut door = self.door();
        for _ in 0..door.all_running() {
            gate.enter();
        }
        door.gate = Some(Arc::clone(gate));
    }

    /// Opens it again; the gate itself wakes who waits.
    pub(crate) fn open(&self) {
        self.door().gate = None;
    }

    /// The pool was replaced: calls from outside that have not started go to the new one.
    pub(crate) fn replaced(&self) {
        self.places.close();
    }

    /// Nothing from outside starts here any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// R23: interrupts the calls from outside that still run here; says how many there were.
    pub(crate) fn interrupt_outside(&self) -> usize {
        self.retired.send_replace(true);
        self.door().outside_running
    }

    /// Returns when calls from outside are interrupted. Asked only by calls that have to wait.
    pub(super) async fn interrupted(&self) {
        let mut retired = self.retired.subscribe();
        let _ = retired.wait_for(|retired| *retired).await;
    }

    /// Calls that run now.
    pub(crate) fn running(&self) -> usize {
        self.door().all_running()
    }

    /// Each call that runs, as `of` sees it.
    pub(crate) fn each_running<T>(&self, of: impl FnMut(&Running) -> T) -> Vec<T> {
        self.door().running.iter().flatten().map(of).collect()
    }

    /// Calls that wait for a place.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Idle instances and their memory.
    pub(crate) fn idle(&self) -> (usize, u64) {
        let door = self.door();
        let memory = door.idle.iter().map(|instance| instance.memory_bytes()).sum();
        (door.idle.len(), memory)
    }
}

/// A call that has a place and waits for an instance: owned by itself, not by its client.
struct PoolCall {
    pool: Arc<Pool>,
    place: Place<Arc<Pool>>,
    invocation: Invocation,
    origin: Origin,
}

impl PoolCall {
    async fn run(self, idle: Idle) -> CallResult {
        let Self {
            pool,
            place,
            invocation,
            origin,
        } = self;
        let once = pool.runs_once(&invocation);
        let instance = match idle {
            Some(instance) => instance,
            None => pool.template.start(pool.revision).await.map_err(|error| {
                CallError::not_executed(CallErrorCode::NoCapacity, format!("no instance could be made: {error}"))
                    .in_version(pool.id())
            })?,
        };
        let ended = pool.turn(instance, invocation, origin).carry_out().await;
        pool.ended(ended, place, once)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let id = self.id();
        self.services.events.publish(
            Happening::new(
                EventKind::Retired,
                format!("{id} is retired: no call can need it any more"),
            )
            .version(id)
            .revision(self.revision),
        );
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Pool({})", self.id())
    }
}
