//! Calls that are run on the thread on which they find the lane, without a task: one that finds it idle, and then some of those who came
//! meanwhile, so that no other thread has to be woken up for them.
//!
//! All else goes through the queue and a [`Runner`].

use super::{CallResult, Job, Lane, LaneState, RunBy, Seat, Work};
use crate::call::frame::{Frame, Origin};
use crate::call::invocation::Invocation;
use crate::call::runner::Runner;
use crate::call::turn::{Carrier, Ended, Limit, Turn};
use crate::instance::Instance;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmhot_appup::Durability;

/// So many of those who wait are served on the thread of a caller who has its answer already.
const SERVED_MAX: u32 = 32;
/// A call that takes longer than this had better be run by a task: a caller who has its answer should not wait for it.
const QUICK: Duration = Duration::from_micros(50);
/// Who finds so few before him is answered in a moment.
const FEW_WAIT: usize = 2;
/// One that was not quick is forgotten after so many that were: its thread may have been held up. After a second one all is left to tasks,
/// [`SLOW_FOR`] times.
const FORGOTTEN_AFTER: u32 = 8;
const SLOW_FOR: u32 = 64;

/// What became of a call.
pub(in crate::call) enum AtOnce {
    Answered(CallResult),
    /// It could not end at once, and goes on without its caller.
    GoesOn(oneshot::Receiver<CallResult>, Arc<Frame>),
    /// It has not begun: something is in its way.
    Refused(Invocation, Origin),
}

/// When a call that was put into a queue can be expected to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call) enum Expected {
    /// In a moment, by a caller whose thread serves those who wait.
    AtOnce,
    /// Nobody knows.
    Later,
}

/// What is next for a thread that has the instance.
enum Next {
    Call(Turn, oneshot::Sender<CallResult>),
    /// Something that wants a runner.
    Other(Box<Instance>),
    /// Nothing: the lane is idle, and has the instance.
    Nothing,
}

/// What is left to do for a thread whose call has ended.
enum Rest {
    Nothing,
    /// Calls wait, or guest tasks run: some of it is done here.
    Serve(Box<Instance>),
    /// All of it is left to a runner.
    Leave(Box<Instance>),
}

impl LaneState {
    /// Whether several of those who were served by other callers took long, not many calls ago.
    fn is_slow(&self) -> bool {
        self.slow > FORGOTTEN_AFTER
    }
}

/// The instance is out of its seat: should this thread unwind, the lane fails instead of being busy for ever.
struct Out<'a>(&'a Arc<Lane>);

impl Drop for Out<'_> {
    fn drop(&mut self) {
        drop(Runner::new(Arc::clone(self.0), None));
    }
}

impl Lane {
    /// Runs a call that finds the lane idle and nothing in its way. Nobody is there whom it could overtake.
    pub(in crate::call) fn call_at_once(self: &Arc<Self>, invocation: Invocation, origin: Origin) -> AtOnce {
        if !origin.can_begin_here() {
            return AtOnce::Refused(invocation, origin);
        }
        self.used_at(origin.tree.began_ms);
        let is_nested = origin.is_nested();
        let turn = {
            let mut state = self.lock();
            let instance = match std::mem::replace(&mut state.seat, Seat::Away) {
                Seat::Here(instance) if self.may_begin(&state, &instance, &invocation, &origin) => instance,
                other => {
                    state.seat = other;
                    return AtOnce::Refused(invocation, origin);
                }
            };
            // A thread that is inside of another guest does not serve others meanwhile.
            state.run_by = if is_nested { RunBy::Runner } else { RunBy::Caller };
            self.turn(&mut state, instance, invocation, origin)
        };
        let frame = Arc::clone(&turn.frame);
        match self.take(turn) {
            Ok(ended) if ended.is_whole() => {
                let (answer, rest) = self.end_at_once(ended);
                match rest {
                    Rest::Serve(instance) => self.serve_some(instance),
                    Rest::Leave(instance) => self.leave_to_runner(instance),
                    Rest::Nothing => {}
                }
                AtOnce::Answered(answer)
            }
            Ok(ended) => AtOnce::GoesOn(self.go_on(std::future::ready(ended)), frame),
            Err(carrier) => AtOnce::GoesOn(self.go_on(carrier.ended()), frame),
        }
    }

    /// Whether nothing is in the way of a call to this instance, which is idle.
    fn may_begin(&self, state: &LaneState, instance: &Instance, invocation: &Invocation, origin: &Origin) -> bool {
        let is_in_the_way = state.is_busy() || state.gate.is_some() || state.refuses.is_some();
        let somebody_waits = !state.queue.is_empty() || !state.passing.is_empty();
        // A module whose queue has no room for anybody takes no call, idle or not.
        let has_room = instance.template.config.limits.queue_max > 0 || origin.is_nested();
        !is_in_the_way && !somebody_waits && has_room && self.can_run(instance, invocation, origin)
    }

    /// Whether this instance can run the call without anything else to be done before or after.
    fn can_run(&self, instance: &Instance, invocation: &Invocation, origin: &Origin) -> bool {
        let version = &instance.template.version;
        instance.template.config.limits.durability == Durability::None
            && self.is_live_for(instance, origin)
            && !invocation.runs_beside(version)
            && !instance.has_tasks
            && !instance.is_to_go_live()
            && invocation.misfit(version).is_none()
    }

    /// Whether the instance is what a call is to be run by, as [`Lane::live_for`] has it.
    fn is_live_for(&self, instance: &Instance, origin: &Origin) -> bool {
        let live = self.live.load();
        let stamp = &origin.stamp;
        let is_stamped_newer = || {
            let stamped = stamp.modules.get(&self.module).and_then(|route| route.live.as_ref());
            stamped.is_some_and(|stamped| stamped.revision > live.revision)
        };
        Arc::ptr_eq(&instance.template, &live.template) && (stamp.revision <= live.revision || !is_stamped_newer())
    }

    /// The turn of a call on this instance, which is out of its seat.
    fn turn(&self, state: &mut LaneState, instance: Box<Instance>, invocation: Invocation, origin: Origin) -> Turn {
        let template = Arc::clone(&instance.template);
        let limit = Limit::Stuck(template.config.limits.stuck_timeout);
        let (called, input) = invocation.split();
        let frame = Frame::new(origin, called, template, self.key.clone(), instance.revision);
        state.holders.push(Arc::clone(&frame));
        Turn {
            instance,
            frame,
            input,
            limit,
        }
    }

    fn take(self: &Arc<Self>, turn: Turn) -> Result<Ended, Carrier> {
        let out = Out(self);
        let taken = turn.take_here(&self.services.guests);
        std::mem::forget(out);
        taken
    }

    /// A turn has ended, and its instance is whole.
    fn end_at_once(self: &Arc<Self>, ended: Ended) -> (CallResult, Rest) {
        ended.frame.note_answered();
        let (answer, instance) = (ended.answer.unwrap_or(Ok(None)), ended.instance);
        let mut state = self.lock();
        state.unsaved_calls += 1;
        state.holders.clear();
        if instance.has_tasks || Self::may_start(&state) {
            let is_slow = state.is_slow();
            if is_slow {
                state.slow -= 1;
            }
            return match is_slow || state.run_by != RunBy::Caller {
                true => (answer, Rest::Leave(instance)),
                false => (answer, Rest::Serve(instance)),
            };
        }
        self.put_back(&mut state, Some(instance));
        drop(state);
        self.give_way();
        (answer, Rest::Nothing)
    }

    /// When a call that is about to be put into the queue can be expected to be answered.
    pub(super) fn expected(state: &LaneState, job: &Job) -> Expected {
        // Nobody serves others from inside of a guest, and nobody is to hold up a guest.
        let is_served = state.run_by == RunBy::Caller && !state.is_slow() && !job.origin.is_nested();
        match is_served && state.gate.is_none() && state.queue.len() < FEW_WAIT {
            true => Expected::AtOnce,
            false => Expected::Later,
        }
    }

    /// Serves some of those who wait, whose answers come by their channels.
    fn serve_some(self: &Arc<Self>, mut instance: Box<Instance>) {
        let mut began = Instant::now();
        for _ in 0..SERVED_MAX {
            let (turn, reply) = match self.next_at_once(instance) {
                Next::Call(turn, reply) => (turn, reply),
                Next::Other(instance) => return self.leave_to_runner(instance),
                Next::Nothing => return,
            };
            let answer = match self.take(turn) {
                Ok(ended) if ended.is_whole() => {
                    ended.frame.note_answered();
                    instance = ended.instance;
                    ended.answer.unwrap_or(Ok(None))
                }
                Ok(ended) => return self.go_on_and_tell(std::future::ready(ended), reply),
                Err(carrier) => return self.go_on_and_tell(carrier.ended(), reply),
            };
            // Before it is told: its tree no longer holds the lane.
            let ended = Instant::now();
            let is_slow = ended - began > QUICK;
            let mut state = self.lock();
            state.unsaved_calls += 1;
            state.holders.clear();
            state.slow = match (is_slow, state.slow) {
                (true, 0) => FORGOTTEN_AFTER,
                (true, _) => FORGOTTEN_AFTER + SLOW_FOR,
                (false, slow) => slow.saturating_sub(1),
            };
            drop(state);
            let _ = reply.send(answer);
            if is_slow {
                break;
            }
            began = ended;
        }
        self.leave_to_runner(instance);
    }

    /// The next call that can be run here, if it is its turn.
    fn next_at_once(self: &Arc<Self>, instance: Box<Instance>) -> Next {
        let mut state = self.lock();
        if !Self::may_start(&state) && !instance.has_tasks {
            self.put_back(&mut state, Some(instance));
            drop(state);
            self.give_way();
            return Next::Nothing;
        }
        let can_run = |work: &Work| match work {
            Work::Call(job) => self.can_run(&instance, &job.invocation, &job.origin),
            Work::Errand(_) => false,
        };
        match Self::pop_if(&mut state, can_run) {
            Some(Work::Call(job)) => {
                let Job {
                    invocation,
                    origin,
                    reply,
                    ..
                } = job;
                Next::Call(self.turn(&mut state, instance, invocation, origin), reply)
            }
            Some(Work::Errand(_)) | None => Next::Other(instance),
        }
    }

    /// Everything that is left to do here is done by a task.
    fn leave_to_runner(self: &Arc<Self>, instance: Box<Instance>) {
        self.lock().run_by = RunBy::Runner;
        let runner = Runner::new(Arc::clone(self), Some(instance));
        self.services.guests.spawn(runner.run());
    }

    /// A turn goes on as a task.
    fn go_on(self: &Arc<Self>, ended: impl Future<Output = Ended> + Send + 'static) -> oneshot::Receiver<CallResult> {
        let (reply, answer) = oneshot::channel();
        self.go_on_and_tell(ended, reply);
        answer
    }

    fn go_on_and_tell(
        self: &Arc<Self>,
        ended: impl Future<Output = Ended> + Send + 'static,
        reply: oneshot::Sender<CallResult>,
    ) {
        self.lock().run_by = RunBy::Runner;
        let runner = Runner::new(Arc::clone(self), None);
        self.services
            .guests
            .spawn(async move { runner.after(ended, reply).await });
    }
}
