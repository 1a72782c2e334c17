//! Calls that run beside each other in one stateful instance (WASI 0.3): the runner begins each as it comes, in the order of the queue.
//!
//! What needs the instance for itself (a save, another version) waits until the calls that run have answered, and the later calls
//! wait behind it. The instance is at rest when no call runs and no guest task does.

use super::frame::Frame;
use super::invocation::Invocation;
use super::lane::{CallResult, Errand, Job, Lane, Work};
use super::runner::{Runner, still_fits, stuck_error};
use crate::error::{CallError, CallErrorCode};
use crate::instance::InstanceError;
use crate::instance::concurrent::Calls;
use crate::store::SaveReason;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// After this many calls begun in a row other tasks get their turn.
const BEGUN_IN_A_ROW: u64 = 64;

/// A call that runs.
struct Running {
    number: u64,
    since: Instant,
    frame: Arc<Frame>,
    reply: oneshot::Sender<CallResult>,
}

/// The calls that run, oldest first. Their callers are told from here, also when the instance is lost.
#[derive(Default)]
struct Ledger {
    running: Mutex<Vec<Running>>,
}

impl Ledger {
    fn begin(&self, call: Running) {
        self.running.lock().expect("no panic under this lock").push(call);
    }

    fn take(&self, number: u64) -> Option<Running> {
        let mut running = self.running.lock().expect("no panic under this lock");
        let place = running.iter().position(|call| call.number == number)?;
        Some(running.remove(place))
    }

    fn take_all(&self) -> Vec<Running> {
        std::mem::take(&mut *self.running.lock().expect("no panic under this lock"))
    }

    /// Returns the number of the first call that has run for longer than `stuck`.
    async fn stuck(&self, stuck: Duration) -> u64 {
        loop {
            let oldest = {
                let running = self.running.lock().expect("no panic under this lock");
                running.first().map(|call| (call.number, call.since + stuck))
            };
            match oldest {
                Some((number, until)) if until <= Instant::now() => return number,
                Some((_, until)) => tokio::time::sleep_until(until).await,
                // A call that begins meanwhile is looked at in time.
                None => tokio::time::sleep(stuck).await,
            }
        }
    }
}

/// How a run ended.
enum Ended {
    /// No call and no guest task runs any more; this is to be done alone.
    AtRest(Option<Work>),
    /// No call runs any more, and nobody waits for the guest tasks that may be left; this is to be done alone.
    TasksLeft(Option<Work>),
    /// This call trapped.
    Trapped(u64, wasmtime::Error),
    /// This call has run for too long.
    Stuck(u64),
}

type EndOf<'a> = Pin<Box<dyn Future<Output = (u64, wasmtime::Result<CallResult>)> + Send + 'a>>;

impl Runner {
    /// Runs `first` and whatever may begin beside it, until the instance is at rest or something has to be done alone: that is given
    /// back.
    pub(super) async fn beside(&mut self, first: Option<Job>) -> Option<Work> {
        let Some(mut instance) = self.instance.take() else {
            return first.map(Work::Call);
        };
        let template = Arc::clone(&instance.template);
        let stuck = template.config.limits.stuck_timeout;
        let (ledger, revision) = (Ledger::default(), instance.revision);
        let ended = {
            let (lane, ledger) = (&*self.lane, &ledger);
            let run =
                instance.run_concurrent(async |calls| Beside::new(lane, calls, ledger, revision).run(first).await);
            tokio::select! {
                biased;
                ran = run => ran,
                number = ledger.stuck(stuck) => Ok(Ended::Stuck(number)),
            }
        };
        let (number, error) = match ended {
            Ok(Ended::AtRest(alone)) => {
                instance.has_tasks = false;
                self.instance = Some(instance);
                return alone;
            }
            Ok(Ended::TasksLeft(alone)) => {
                instance.has_tasks = true;
                self.instance = Some(instance);
                return alone;
            }
            Ok(Ended::Trapped(number, error)) => (Some(number), Some(error)),
            Ok(Ended::Stuck(number)) => (Some(number), None),
            // In a guest task, or in a call that Wasmtime does not name.
            Err(error) => (None, Some(error)),
        };
        instance.give_up();
        self.instance = Some(instance);
        let mut lost = ledger.take_all();
        let at_fault = number.and_then(|number| lost.iter().position(|call| call.number == number));
        let only = (lost.len() == 1).then_some(0);
        let at_fault = at_fault.or(only).map(|place| lost.remove(place));
        let error = match (&at_fault, error) {
            (Some(call), Some(error)) => template.failed(&call.frame.called, &error),
            (Some(call), None) => stuck_error(&call.frame.called, stuck).in_version(&template.version.id),
            (None, error) => {
                let message = error.map_or_else(|| "was lost".to_string(), |error| crate::instance::describe(&error).0);
                let message = format!("a guest task, or one of several calls, {message}");
                CallError::unknown(CallErrorCode::Trapped, message).in_version(&template.version.id)
            }
        };
        let error = self.lost(error).await;
        for call in lost {
            let message = format!(
                "`{}` ran beside a call that was lost: {}",
                call.frame.called, error.message
            );
            let beside = CallError {
                message,
                ..error.clone()
            };
            let _ = call.reply.send(Err(Box::new(beside)));
        }
        if let Some(call) = at_fault {
            let _ = call.reply.send(Err(Box::new(error)));
        }
        None
    }
}

/// One run of an instance.
struct Beside<'a> {
    lane: &'a Lane,
    calls: &'a Calls<'a>,
    ledger: &'a Ledger,
    /// In which the instance was made.
    revision: u64,
    ends: FuturesUnordered<EndOf<'a>>,
    begun: u64,
}

impl<'a> Beside<'a> {
    fn new(lane: &'a Lane, calls: &'a Calls<'a>, ledger: &'a Ledger, revision: u64) -> Self {
        Self {
            lane,
            calls,
            ledger,
            revision,
            ends: FuturesUnordered::new(),
            begun: 0,
        }
    }

    async fn run(mut self, first: Option<Job>) -> Ended {
        let lane = self.lane;
        let mut alone = first.and_then(|job| self.begin(job));
        let mut alone_since = Instant::now();
        loop {
            while alone.is_none() {
                let Some(work) = lane.next_beside() else { break };
                alone = match work {
                    Work::Call(job) => self.begin(job),
                    errand @ Work::Errand(_) => Some(errand),
                };
                alone_since = Instant::now();
                // The first one may have come on its caller's thread, who has his answer now.
                if self.begun == 2 || self.begun % BEGUN_IN_A_ROW == BEGUN_IN_A_ROW - 1 {
                    tokio::task::yield_now().await;
                }
            }
            if self.ends.is_empty() && (alone.is_some() || lane.gives_up_tasks()) {
                return Ended::TasksLeft(alone);
            }
            let gives_way = gives_way(alone.as_ref(), self.calls.max_pause());
            tokio::select! {
                biased;
                Some((number, answer)) = self.ends.next() => match answer {
                    Ok(answer) => self.answer(number, answer),
                    Err(error) => return Ended::Trapped(number, error),
                },
                () = self.calls.quiet(), if self.ends.is_empty() => return Ended::AtRest(alone),
                () = lane.changed(), if alone.is_none() => {}
                limit = passes(alone_since, gives_way) => {
                    let error = InstanceError::Timeout { phase: "save", limit };
                    match alone.take() {
                        Some(Work::Errand(Errand::Save { reply, .. })) => drop(reply.send(Err(error))),
                        Some(Work::Errand(Errand::Chunks(step))) => step.give_up(error),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Begins a call; gives it back if another version has to run it.
    fn begin(&mut self, job: Job) -> Option<Work> {
        let template = self.calls.template();
        let live = self.lane.live_for(&job);
        if !(Arc::ptr_eq(template, &live.template) || self.revision > live.revision) {
            return Some(Work::Call(job));
        }
        if let Err(error) = still_fits(&template.version, &job) {
            let _ = job.reply.send(Err(Box::new(error)));
            return None;
        }
        if !job.invocation.runs_beside(&template.version) {
            return Some(Work::Call(job));
        }
        let holds = match &job.invocation {
            Invocation::Function { export, .. } => !export.ty.is_async,
            Invocation::Exchange(_) => false,
        };
        let (invocation, reply, lane) = (job.invocation, job.reply, self.lane);
        let called = invocation.called();
        let frame = Frame::new(
            job.origin,
            called,
            Arc::clone(template),
            lane.key.clone(),
            self.revision,
        );
        frame.set_holds(holds);
        match self.calls.begin(invocation, Arc::clone(&frame)) {
            Ok(end) => {
                let number = self.begun;
                self.begun += 1;
                lane.add_holder(&frame);
                self.ledger.begin(Running {
                    number,
                    since: Instant::now(),
                    frame,
                    reply,
                });
                self.ends.push(Box::pin(async move { (number, end.await) }));
            }
            Err(error) => {
                let _ = reply.send(Err(Box::new(error)));
            }
        }
        None
    }

    fn answer(&self, number: u64, answer: CallResult) {
        if let Some(call) = self.ledger.take(number) {
            if self.calls.take_denied() {
                call.frame.tree.note_denied();
            }
            self.lane.note_answered(&call.frame);
            let _ = call.reply.send(answer);
        }
    }
}

/// How long calls that have come later may wait behind a save that waits for those that run. Where the state is about to leave
/// (an upgrade, a stop) there are other limits.
fn gives_way(alone: Option<&Work>, max_pause: Duration) -> Option<Duration> {
    match alone {
        Some(Work::Errand(Errand::Save { reason, .. })) => match reason {
            SaveReason::Periodic | SaveReason::Export => Some(max_pause),
            SaveReason::HandedOver
            | SaveReason::Call
            | SaveReason::Stop
            | SaveReason::Removed
            | SaveReason::Hibernated => None,
        },
        Some(Work::Errand(Errand::Chunks(_))) => Some(max_pause),
        _ => None,
    }
}

/// Returns the limit when it has passed; never, where there is none.
async fn passes(since: Instant, limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep_until(since + limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}
