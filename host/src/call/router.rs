//! The router: the table of the current revision, and the way of a call into it.

use super::frame::{Deadline, Origin, Tree};
use super::invocation::{Called, Exchange, Invocation};
use super::lane::{AtOnce, CallResult, Expected, Job, Lane};
use super::named::Named;
use super::rates;
use super::routes::{Route, Routes, Target};
use super::ticket::{AbandonOnDrop, Ticket};
use crate::error::{CallError, CallErrorCode};
use crate::value::Value;
use arc_swap::ArcSwap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use wasmhot_appup::Open;

/// So long a caller looks out for an answer that comes in a moment: what it costs to put a thread to sleep and to wake it up.
const SPIN_MAX: Duration = Duration::from_micros(5);
/// So often between two looks at the clock.
const SPINS_AT_ONCE: u32 = 16;

/// What became of a call that was given to a route.
pub(crate) enum Given {
    /// It was answered.
    Done(CallResult),
    /// It had not started when the route was replaced: give it to the new one.
    Replaced(Invocation, Origin),
}

/// A call that has been given to where its route leads.
pub(super) enum Sent {
    /// It was answered at once.
    Done(CallResult),
    /// It has to be waited for.
    Waits(Waits),
}

/// Waits for a call. Boxed: most calls need not carry its size.
pub(super) type Waits = Pin<Box<dyn Future<Output = Given> + Send>>;

/// Holds the current table.
#[derive(Debug)]
pub(crate) struct Router {
    routes: ArcSwap<Routes>,
    /// Tables that were replaced, oldest first, as long as a call holds them.
    before: Mutex<Vec<Weak<Routes>>>,
    /// The revision, for those who wait for the next one.
    switched: watch::Sender<u64>,
}

impl Router {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        Self {
            routes: ArcSwap::new(routes),
            before: Mutex::default(),
            switched: watch::channel(0).0,
        }
    }

    /// The table of now.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// The switch: one pointer store.
    pub(crate) fn switch(&self, next: Arc<Routes>) -> Arc<Routes> {
        self.routes.load().set_next(&next);
        let old = self.routes.swap(next);
        let mut before = self.before.lock().expect("no panic under this lock");
        before.retain(|table| table.strong_count() > 0);
        before.push(Arc::downgrade(&old));
        drop(before);
        self.switched.send_replace(self.routes.load().revision);
        old
    }

    /// Hears of each switch from now on.
    pub(crate) fn switches(&self) -> watch::Receiver<u64> {
        self.switched.subscribe()
    }

    /// Releases before `revision` in which calls are still open, oldest first, with all in between (R7).
    pub(crate) fn open_before(&self, revision: u64) -> Vec<Open> {
        let before = self.before.lock().expect("no panic under this lock");
        let tables = before.iter().filter_map(Weak::upgrade);
        let open = tables.filter(|table| table.revision < revision).map(|table| Open {
            graph: table.graph(),
            wiring: table.wiring.clone(),
        });
        open.collect()
    }

    /// Begins a call from outside, and mostly ends it. `prepare` finds function and arguments in the table that it is shown; it is asked
    /// again, with the arguments of before, where the release changed before the call could start.
    ///
    /// Not a future: each of those that lie one in another is as large as the largest way through it, and is moved when it is awaited.
    pub(crate) fn begin<'a, P: Prepare + 'a>(&'a self, deadline: Option<Duration>, mut prepare: P) -> Outside<'a> {
        let routes = self.routes.load();
        let deadline = deadline.map(|limit| Instant::now() + limit);
        let (route, (export, args)) = match prepare(&routes, None) {
            Ok(found) => found,
            Err(error) => return Outside::Answered(Err(Box::new(error))),
        };
        match give(&routes, route, Invocation::Function { export, args }, deadline) {
            (Sent::Done(answer), _) => Outside::Answered(answer),
            (Sent::Waits(waits), tree) => {
                let (routes, route) = (Arc::clone(&routes), route.clone());
                Outside::Waits(Box::pin(self.go_on(routes, route, waits, tree, prepare)))
            }
        }
    }

    /// Waits for a call from outside, however often the release changes before it can start.
    async fn go_on(
        &self,
        mut routes: Arc<Routes>,
        mut route: Route,
        mut waits: Waits,
        mut tree: Arc<Tree>,
        mut prepare: impl Prepare,
    ) -> CallResult {
        loop {
            let invocation = match self.given(&routes, &route, waits, &tree, false).await {
                Given::Done(answer) => return answer,
                Given::Replaced(invocation, _) => invocation,
            };
            let back = match invocation {
                Invocation::Function { args, .. } => Some(args),
                Invocation::Exchange(_) => None,
            };
            routes = self.routes();
            let (found, (export, args)) = prepare(&routes, back)?;
            route = found.clone();
            // Time waited at a gate counts (R11).
            let deadline = Some(tree.deadline());
            match give(&routes, &route, Invocation::Function { export, args }, deadline) {
                (Sent::Done(answer), _) => return answer,
                (Sent::Waits(again), of) => (waits, tree) = (again, of),
            }
        }
    }

    /// Gives a request from outside to a route of `routes`. Without a deadline that of the module counts.
    pub(crate) async fn give_request(
        &self,
        routes: &Arc<Routes>,
        route: &Route,
        exchange: Box<Exchange>,
        deadline: Option<Instant>,
    ) -> Given {
        match give(routes, route, Invocation::Exchange(exchange), deadline) {
            (Sent::Done(answer), _) => Given::Done(answer),
            (Sent::Waits(waits), tree) => self.given(routes, route, waits, &tree, true).await,
        }
    }

    /// Waits for a call from outside, and counts it.
    async fn given(&self, routes: &Arc<Routes>, route: &Route, waits: Waits, tree: &Tree, is_exchange: bool) -> Given {
        match waits.await {
            Given::Done(answer) => {
                count(route, tree, &answer, is_exchange);
                Given::Done(answer)
            }
            // Closed and still current: nothing takes its place, the host stops.
            Given::Replaced(..) if route.target.is_closed() && Arc::ptr_eq(routes, &self.routes.load()) => {
                let id = &route.template.version.id;
                let error = CallError::not_executed(CallErrorCode::Stopping, "the host is stopping");
                Given::Done(Err(Box::new(error.in_version(id))))
            }
            replaced @ Given::Replaced(..) => replaced,
        }
    }
}

/// Finds a function and its arguments.
pub(crate) trait Prepare:
    for<'r> FnMut(&'r Routes, Option<Vec<Value>>) -> Result<(&'r Route, Named), CallError> + Send
{
}

impl<P> Prepare for P where
    P: for<'r> FnMut(&'r Routes, Option<Vec<Value>>) -> Result<(&'r Route, Named), CallError> + Send
{
}

/// A call from outside that has begun.
pub(crate) enum Outside<'a> {
    /// It has been answered.
    Answered(CallResult),
    /// It has to be waited for. Boxed: most calls need not carry its size.
    Waits(Pin<Box<dyn Future<Output = CallResult> + Send + 'a>>),
}

impl Outside<'_> {
    pub(crate) async fn answer(self) -> CallResult {
        match self {
            Outside::Answered(answer) => answer,
            Outside::Waits(answer) => answer.await,
        }
    }
}

/// Begins a call from outside where its route says. One that ends at once has been counted.
fn give(routes: &Arc<Routes>, route: &Route, invocation: Invocation, deadline: Option<Instant>) -> (Sent, Arc<Tree>) {
    let deadline = match deadline {
        Some(at) => Deadline::at_moment(at),
        None => Deadline::after(route.template.config.limits.call_deadline),
    };
    let origin = Origin::outside(Arc::clone(routes), deadline);
    let tree = Arc::clone(&origin.tree);
    let is_exchange = matches!(invocation, Invocation::Exchange(_));
    let sent = send(route, invocation, origin);
    if let Sent::Done(answer) = &sent {
        count(route, &tree, answer, is_exchange);
    }
    (sent, tree)
}

/// Counts a call from outside, by how it has ended.
fn count(route: &Route, tree: &Tree, answer: &CallResult, is_exchange: bool) {
    let is_error = match answer {
        Err(error) => rates::is_error(error.code),
        Ok(Some(Value::U16(status))) => is_exchange && *status >= 500,
        Ok(_) => false,
    };
    route.rates.count(tree.began_ms, is_error || tree.was_denied());
}

/// Begins a call where its route says.
pub(super) fn send(route: &Route, invocation: Invocation, origin: Origin) -> Sent {
    match &route.target {
        Target::Single(lane) => call_lane(lane, invocation, origin),
        Target::Keyed(keyed) => {
            let key = invocation.key();
            let lane = key.map_err(|error| error.in_version(&route.template.version.id));
            match lane.and_then(|key| keyed.lane(key)) {
                Ok(lane) => call_lane(&lane, invocation, origin),
                Err(error) => Sent::Done(Err(Box::new(error))),
            }
        }
        Target::Pool(pool) => pool.call(invocation, origin),
    }
}

fn call_lane(lane: &Arc<Lane>, invocation: Invocation, origin: Origin) -> Sent {
    match lane.call_at_once(invocation, origin) {
        AtOnce::Answered(answer) => Sent::Done(answer),
        AtOnce::GoesOn(answer, frame) => {
            let lane = Arc::clone(lane);
            let waits = async move {
                let deadline = frame.tree.deadline();
                Given::Done(wait(answer, deadline, None, &lane, &frame.called).await)
            };
            Sent::Waits(Box::pin(waits))
        }
        AtOnce::Refused(invocation, origin) => {
            let lane = Arc::clone(lane);
            let waits = async move { Given::Done(wait_in_line(&lane, invocation, origin).await) };
            Sent::Waits(Box::pin(waits))
        }
    }
}

/// Puts a call into the queue of a lane.
async fn wait_in_line(lane: &Arc<Lane>, invocation: Invocation, origin: Origin) -> CallResult {
    let (called, deadline) = (invocation.called(), origin.tree.deadline());
    if let Some(caller) = &origin.parent {
        lane.services.wait_for(caller, lane)?;
    }
    let tree = Arc::clone(&origin.tree);
    let ticket = Ticket::new();
    let gone = AbandonOnDrop(Arc::clone(&ticket));
    let (reply, mut answer) = oneshot::channel();
    let job = Job {
        invocation,
        origin,
        ticket: Arc::clone(&ticket),
        reply,
    };
    let expected = lane.submit(job).inspect_err(|_| tree.set_waits_for(None))?;
    let soon = (expected == Expected::AtOnce).then(|| spin_for(&mut answer)).flatten();
    let answer = match soon {
        Some(answer) => answer,
        None => wait(answer, deadline, Some(&ticket), lane, &called).await,
    };
    tree.set_waits_for(None);
    drop(gone);
    answer
}

/// Looks out for an answer that comes in a moment from another thread: to sleep until then, and to be woken up, would cost both threads
/// more than the call.
fn spin_for(answer: &mut oneshot::Receiver<CallResult>) -> Option<CallResult> {
    let began = Instant::now();
    while began.elapsed() < SPIN_MAX {
        for _ in 0..SPINS_AT_ONCE {
            if let Ok(answer) = answer.try_recv() {
                return Some(answer);
            }
            std::hint::spin_loop();
        }
    }
    None
}

/// Waits for the answer until the deadline. The call itself is not interrupted by it (R11). Without a ticket it has begun.
async fn wait(
    mut answer: oneshot::Receiver<CallResult>,
    deadline: Instant,
    ticket: Option<&Ticket>,
    lane: &Lane,
    called: &Called,
) -> CallResult {
    // Most calls have ended by now, on this thread: no timer for them.
    if let Ok(answer) = answer.try_recv() {
        return answer;
    }
    let ended = || {
        CallError::unknown(
            CallErrorCode::Internal,
            "the task that ran the call ended before its time",
        )
        .in_module(&lane.module)
    };
    match tokio::time::timeout_at(tokio::time::Instant::from_std(deadline), &mut answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Box::new(ended())),
        Err(_) if ticket.is_some_and(Ticket::abandon) => {
            let message = format!("`{called}` waited until its deadline and did not start");
            Err(Box::new(
                CallError::not_executed(CallErrorCode::TimedOut, message).in_module(&lane.module),
            ))
        }
        // It may have been answered in this very moment.
        Err(_) => answer.try_recv().unwrap_or_else(|_| {
            let message = format!("`{called}` did not end before its deadline; it may still be executed");
            Err(Box::new(
                CallError::unknown(CallErrorCode::TimedOut, message).in_module(&lane.module),
            ))
        }),
    }
}
