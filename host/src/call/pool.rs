//! A pool serves a stateless module: many calls at once, each on an instance of its own for its time.
//!
//! Invariants: at most `instances_max` calls from outside run at once; a call from a module never waits for one of those places for
//! ever (it may go beyond, up to four times as many), so that a pool cannot be the missing piece of a circle.

use super::begin::{Begun, Carried, begin_here, begin_there, until};
use super::frame::{Frame, Origin};
use super::gate::Gate;
use super::invocation::Invocation;
use super::lane::CallResult;
use super::router::{Given, Sent};
use super::services::Services;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, Template, is_main};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use wasmhot_appup::Instances;

/// Calls of modules may take this many times `instances_max` places.
const NESTED_FACTOR: usize = 4;

/// The instances of a stateless version.
pub(crate) struct Pool {
    pub(crate) template: Arc<Template>,
    /// The revision that brought it.
    pub(crate) revision: u64,
    services: Arc<Services>,
    // Boxed as everywhere else: an instance is moved around, and large.
    #[allow(clippy::vec_box, reason = "instances are handed around as boxes")]
    idle: Mutex<Vec<Box<Instance>>>,
    places: Arc<Semaphore>,
    nested_places: Arc<Semaphore>,
    waiting: AtomicU32,
    outside_running: AtomicUsize,
    nested_running: AtomicUsize,
    door: Mutex<Door>,
    retired: watch::Sender<bool>,
}

/// What calls pass when they start and when they end.
#[derive(Default)]
struct Door {
    gate: Option<Arc<Gate>>,
    /// The calls that run, in places that are used again.
    running: Vec<Option<Running>>,
    free: Vec<usize>,
}

/// A call that runs.
pub(crate) struct Running {
    pub(crate) since: Instant,
    /// Who called, if a module did.
    pub(crate) caller: Option<Arc<Frame>>,
}

impl Door {
    fn enter(&mut self, origin: &Origin) -> usize {
        let running = Some(Running {
            since: match origin.is_nested() {
                true => Instant::now(),
                false => origin.tree.began,
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
            idle: Mutex::new(idle),
            places: Arc::new(Semaphore::new(places)),
            nested_places: Arc::new(Semaphore::new(places * NESTED_FACTOR)),
            waiting: AtomicU32::new(0),
            outside_running: AtomicUsize::new(0),
            nested_running: AtomicUsize::new(0),
            door: Mutex::default(),
            retired: watch::channel(false).0,
        })
    }

    /// Runs one call. The client may leave at any time: a started call runs to its end without it.
    pub(super) fn call(self: &Arc<Self>, invocation: Invocation, origin: Origin) -> Sent<'_> {
        match self.place_now(&origin, &invocation) {
            Some(place) => match self.begin(place, invocation, origin) {
                Begun::Done(answer) => Sent::Done(answer),
                Begun::Running(answer) => Sent::Waits(Box::pin(self.answered(answer))),
            },
            None => Sent::Waits(Box::pin(self.wait_in_line(invocation, origin))),
        }
    }

    async fn wait_in_line(self: &Arc<Self>, invocation: Invocation, origin: Origin) -> Given {
        let place = match self.place(&origin, &invocation).await {
            Ok(Some(place)) => place,
            Ok(None) => return Given::Replaced(invocation, origin),
            Err(error) => return Given::Done(Err(Box::new(error))),
        };
        match self.begin(place, invocation, origin) {
            Begun::Done(answer) => Given::Done(answer),
            Begun::Running(answer) => self.answered(answer).await,
        }
    }

    fn begin(self: &Arc<Self>, place: Place, invocation: Invocation, origin: Origin) -> Begun {
        let can_begin_here = origin.can_begin_here();
        let work = Carried::InPool(PoolCall {
            pool: Arc::clone(self),
            place,
            invocation,
            origin,
        });
        let guests = &self.services.guests;
        match can_begin_here {
            true => begin_here(guests, work),
            false => begin_there(guests, work),
        }
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

    fn places_for(&self, origin: &Origin) -> &Arc<Semaphore> {
        match origin.is_nested() {
            true => &self.nested_places,
            false => &self.places,
        }
    }

    /// A place, where there is one and no closed gate is before it.
    fn place_now(self: &Arc<Self>, origin: &Origin, invocation: &Invocation) -> Option<Place> {
        let permit = Arc::clone(self.places_for(origin)).try_acquire_owned().ok()?;
        Place::take(self, permit, origin, invocation).ok()
    }

    /// Waits for the gate and for a place. `None`: the pool was replaced while a call from outside waited.
    async fn place(self: &Arc<Self>, origin: &Origin, invocation: &Invocation) -> Result<Option<Place>, CallError> {
        let by = tokio::time::Instant::from_std(origin.tree.deadline);
        let timed_out = || {
            let message = format!("`{}` waited for a place until its deadline", invocation.called());
            CallError::not_executed(CallErrorCode::TimedOut, message).in_version(self.id())
        };
        let nested = origin.is_nested();
        let places = self.places_for(origin);
        let permit = match Arc::clone(places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if places.is_closed() => return Ok(None),
            Err(_) => {
                let bound = self.template.config.limits.queue_max;
                let _waits = Waits::new(&self.waiting);
                if !nested && self.waiting.load(Ordering::Relaxed) > bound {
                    let message = format!("the queue of {} is full ({bound} calls wait)", self.id().name);
                    return Err(CallError::not_executed(CallErrorCode::Overloaded, message).in_version(self.id()));
                }
                match tokio::time::timeout_at(by, Arc::clone(places).acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_closed)) => return Ok(None),
                    Err(_) => return Err(timed_out()),
                }
            }
        };
        match Place::take(self, permit, origin, invocation) {
            Ok(place) => Ok(Some(place)),
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

    fn take_idle(&self) -> Option<Box<Instance>> {
        self.idle.lock().expect("no panic under this lock").pop()
    }

    fn give_back(&self, instance: Box<Instance>) {
        if instance.is_usable() {
            self.idle.lock().expect("no panic under this lock").push(instance);
        }
    }

    /// Closes the gate of a joint move (R22). Running calls are counted into it.
    pub(crate) fn close(&self, gate: &Arc<Gate>) {
        let mut door = self.door.lock().expect("no panic under this lock");
        for _ in 0..self.running() {
            gate.enter();
        }
        door.gate = Some(Arc::clone(gate));
    }

    /// Opens it again; the gate itself wakes who waits.
    pub(crate) fn open(&self) {
        self.door.lock().expect("no panic under this lock").gate = None;
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
        self.outside_running.load(Ordering::Acquire)
    }

    /// Returns when calls from outside are interrupted. Asked only by calls that have to wait.
    async fn interrupted(&self) {
        let mut retired = self.retired.subscribe();
        let _ = retired.wait_for(|retired| *retired).await;
    }

    /// Calls that run now.
    pub(crate) fn running(&self) -> usize {
        self.outside_running.load(Ordering::Acquire) + self.nested_running.load(Ordering::Acquire)
    }

    /// Each call that runs, as `of` sees it.
    pub(crate) fn each_running<T>(&self, of: impl FnMut(&Running) -> T) -> Vec<T> {
        let door = self.door.lock().expect("no panic under this lock");
        door.running.iter().flatten().map(of).collect()
    }

    /// Calls that wait for a place.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Idle instances and their memory.
    pub(crate) fn idle(&self) -> (usize, u64) {
        let idle = self.idle.lock().expect("no panic under this lock");
        (idle.len(), idle.iter().map(|instance| instance.memory_bytes()).sum())
    }
}

/// A call that has a place: owned by itself, not by its client.
pub(super) struct PoolCall {
    pool: Arc<Pool>,
    place: Place,
    invocation: Invocation,
    origin: Origin,
}

impl PoolCall {
    pub(super) async fn run(self) -> CallResult {
        let Self {
            pool,
            place,
            invocation,
            origin,
        } = self;
        // A program runs once: libc and language runtimes do not start twice in one memory.
        let is_program = matches!(&invocation, Invocation::Function { export, .. } if is_main(&export.name));
        let once = is_program || pool.template.config.limits.instances == Instances::Fresh;
        let idle = if once { None } else { pool.take_idle() };
        let mut instance = match idle {
            Some(instance) => instance,
            // Boxed: calls of instances that are there need not carry its size.
            None => Box::pin(pool.template.start(pool.revision)).await.map_err(|error| {
                CallError::not_executed(CallErrorCode::NoCapacity, format!("no instance could be made: {error}"))
                    .in_version(pool.id())
            })?,
        };
        let from_outside = !origin.is_nested();
        let deadline = origin.tree.deadline;
        let frame = Frame::new(origin, Arc::clone(&pool.template), None, pool.revision);
        let called = invocation.called();
        let answer = {
            // Pinned here: it is some kilobytes large, and is not to be moved.
            let running = pin!(instance.run(invocation, frame));
            let call = until(deadline, running);
            if from_outside {
                tokio::select! {
                    biased;
                    answer = call => answer,
                    () = pool.interrupted() => {
                        let message = format!("`{called}` still ran on an old version when drain_timeout passed");
                        return Err(Box::new(CallError::unknown(CallErrorCode::Retired, message).in_version(pool.id())));
                    }
                }
            } else {
                call.await
            }
        };
        let answer = match answer {
            Some(answer) => answer,
            // R11: a deadline interrupts the call of a pool instance; the instance goes with it.
            None => {
                let message = format!("`{called}` was interrupted at its deadline");
                let error = CallError::unknown(CallErrorCode::TimedOut, message);
                Err(Box::new(error.in_version(pool.id())))
            }
        };
        if !instance.is_usable()
            && let Err(error) = &answer
            && error.code == CallErrorCode::Trapped
        {
            let details = serde_json::json!({ "backtrace": error.backtrace });
            pool.services.events.publish(
                Happening::new(EventKind::Trapped, error.message.clone())
                    .version(pool.id())
                    .details(details),
            );
        }
        if !instance.has_tasks {
            if !once {
                pool.give_back(instance);
            }
            return answer;
        }
        let guests = pool.services.guests.clone();
        // The place is taken until the guest tasks of the call have ended (WASI 0.3).
        let end = async move {
            instance.settle(pool.template.config.limits.stuck_timeout).await;
            if !once {
                pool.give_back(instance);
            }
            drop(place);
        };
        // The caller has its answer before.
        guests.spawn(end);
        answer
    }
}

/// A place in the pool, counted while it is held.
struct Place {
    pool: Arc<Pool>,
    nested: bool,
    seat: usize,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The gate, if a closed one does not let the call pass. It is asked and told under one lock: a gate that has been found quiet
    /// stays so, and one that closes now counts the call either itself or through us, never both.
    fn take(
        pool: &Arc<Pool>,
        permit: OwnedSemaphorePermit,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<Self, Arc<Gate>> {
        let nested = origin.is_nested();
        let running = if nested {
            &pool.nested_running
        } else {
            &pool.outside_running
        };
        let mut door = pool.door.lock().expect("no panic under this lock");
        if let Some(gate) = door.gate.as_ref() {
            if !gate.passes(origin, &pool.id().name, invocation) {
                return Err(Arc::clone(gate));
            }
            gate.enter();
        }
        running.fetch_add(1, Ordering::AcqRel);
        let seat = door.enter(origin);
        drop(door);
        Ok(Self {
            pool: Arc::clone(pool),
            nested,
            seat,
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let running = if self.nested {
            &self.pool.nested_running
        } else {
            &self.pool.outside_running
        };
        // Whichever gate is closed now has counted this call: at its start, or when it closed.
        let mut door = self.pool.door.lock().expect("no panic under this lock");
        running.fetch_sub(1, Ordering::AcqRel);
        door.leave(self.seat);
        if let Some(gate) = door.gate.as_ref() {
            gate.leave();
        }
    }
}

/// Counts a waiting call for its time.
struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
