//! The router: the table of the current revision, and the way of a call into it.

use super::begin::{Begun, Carried, begin_here};
use super::frame::Origin;
use super::invocation::{Called, Invocation};
use super::lane::{CallResult, Job, Lane};
use super::named::Named;
use super::rates::{self, millis_since};
use super::routes::{Route, Routes, Target};
use super::ticket::{AbandonOnDrop, Ticket};
use crate::error::{CallError, CallErrorCode};
use crate::value::Value;
use arc_swap::ArcSwap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use wasmhot_appup::{ModuleName, Open};

/// What became of a call that was given to a route.
pub(crate) enum Given {
    /// It was answered.
    Done(CallResult),
    /// It had not started when the route was replaced: give it to the new one.
    Replaced(Invocation, Origin),
}

/// A call that has been given to where its route leads.
pub(super) enum Sent<'r> {
    /// It was answered at once.
    Done(CallResult),
    /// It has to be waited for. Boxed: most calls need not carry its size.
    Waits(Pin<Box<dyn Future<Output = Given> + Send + 'r>>),
}

impl Sent<'_> {
    async fn given(self) -> Given {
        match self {
            Sent::Done(answer) => Given::Done(answer),
            Sent::Waits(waits) => waits.await,
        }
    }
}

/// Holds the current table.
#[derive(Debug)]
pub(crate) struct Router {
    routes: ArcSwap<Routes>,
    started: Instant,
    /// Tables that were replaced, oldest first, as long as a call holds them.
    before: Mutex<Vec<Weak<Routes>>>,
    /// The revision, for those who wait for the next one.
    switched: watch::Sender<u64>,
}

impl Router {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        Self {
            routes: ArcSwap::new(routes),
            started: Instant::now(),
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

    /// A call from outside. `prepare` reads function and arguments for the version that it is shown; it is asked again, with the
    /// arguments of before, where the release changed before the call could start.
    pub(crate) async fn call(
        &self,
        module: &str,
        deadline: Option<Duration>,
        mut prepare: impl FnMut(&Route, Option<Vec<Value>>) -> Result<Named, CallError>,
    ) -> CallResult {
        let began = Instant::now();
        let deadline = deadline.map(|limit| began + limit);
        let mut back = None;
        loop {
            let routes = self.routes.load();
            let Some(route) = routes.modules.get(module) else {
                let module = ModuleName::parse(module)
                    .map_err(|error| CallError::not_executed(CallErrorCode::NoSuchModule, error.to_string()))?;
                let known: Vec<_> = routes.modules.keys().map(ToString::to_string).collect();
                let known = if known.is_empty() {
                    "there are none".to_string()
                } else {
                    format!("there are: {}", known.join(", "))
                };
                return Err(Box::new(CallError::not_executed(
                    CallErrorCode::NoSuchModule,
                    format!("no module `{module}`; {known}"),
                )));
            };
            let (export, args) = prepare(route, back.take())?;
            let invocation = Invocation::Function { export, args };
            match self.give(&routes, route, invocation, began, deadline).await {
                Given::Done(answer) => return answer,
                Given::Replaced(Invocation::Function { args, .. }, _) => back = Some(args),
                Given::Replaced(Invocation::Exchange(_), _) => {}
            }
        }
    }

    /// Gives a call from outside to a route of `routes`. Without a deadline that of the module counts, from when it `began`.
    pub(crate) async fn give(
        &self,
        routes: &Arc<Routes>,
        route: &Route,
        invocation: Invocation,
        began: Instant,
        deadline: Option<Instant>,
    ) -> Given {
        let deadline = deadline.unwrap_or_else(|| began + route.template.config.limits.call_deadline);
        let origin = Origin::outside(Arc::clone(routes), began, deadline);
        let tree = Arc::clone(&origin.tree);
        let is_exchange = matches!(invocation, Invocation::Exchange(_));
        let answer = match send(route, invocation, origin).given().await {
            Given::Done(answer) => answer,
            // Closed and still current: nothing takes its place, the host stops.
            Given::Replaced(..) if route.target.is_closed() && Arc::ptr_eq(routes, &self.routes.load()) => {
                let id = &route.template.version.id;
                let error = CallError::not_executed(CallErrorCode::Stopping, "the host is stopping");
                return Given::Done(Err(Box::new(error.in_version(id))));
            }
            replaced @ Given::Replaced(..) => return replaced,
        };
        let is_error = match &answer {
            Err(error) => rates::is_error(error.code),
            Ok(Some(Value::U16(status))) => is_exchange && *status >= 500,
            Ok(_) => false,
        };
        let failed = is_error || tree.was_denied();
        route.rates.count(self.millis_at(began), failed);
        Given::Done(answer)
    }

    /// The clock of [`Rates`](super::rates::Rates).
    pub(crate) fn millis_at(&self, at: Instant) -> u64 {
        millis_since(self.started, at)
    }
}

/// Runs a call of a module where its route says.
pub(crate) async fn dispatch(route: &Route, mut invocation: Invocation, mut origin: Origin) -> CallResult {
    loop {
        match send(route, invocation, origin).given().await {
            Given::Done(answer) => return answer,
            // Only a gate has been opened: a module's call stays with the version of its stamp.
            Given::Replaced(back, from) => (invocation, origin) = (back, from),
        }
    }
}

/// Begins a call where its route says.
fn send(route: &Route, invocation: Invocation, origin: Origin) -> Sent<'_> {
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

fn call_lane<'r>(lane: &Arc<Lane>, invocation: Invocation, origin: Origin) -> Sent<'r> {
    let deadline = origin.tree.deadline;
    let called = invocation.called();
    let runner = match lane.begin_at_once(&invocation, origin) {
        Ok(runner) => runner,
        Err(origin) => {
            let lane = Arc::clone(lane);
            let waits = async move { Given::Done(wait_in_line(&lane, invocation, origin, called).await) };
            return Sent::Waits(Box::pin(waits));
        }
    };
    match begin_here(&lane.services.guests, Carried::First(runner, invocation)) {
        Begun::Done(answer) => Sent::Done(answer),
        Begun::Running(answer) => {
            let lane = Arc::clone(lane);
            let waits = async move { Given::Done(wait(answer, deadline, None, &lane, &called).await) };
            Sent::Waits(Box::pin(waits))
        }
    }
}

/// Puts a call into the queue of a lane.
async fn wait_in_line(lane: &Arc<Lane>, invocation: Invocation, origin: Origin, called: Called) -> CallResult {
    let deadline = origin.tree.deadline;
    if let Some(caller) = &origin.parent {
        lane.services.wait_for(caller, lane)?;
    }
    let tree = Arc::clone(&origin.tree);
    let ticket = Ticket::new();
    let gone = AbandonOnDrop(Arc::clone(&ticket));
    let (reply, answer) = oneshot::channel();
    let job = Job {
        invocation,
        called: called.clone(),
        origin,
        ticket: Arc::clone(&ticket),
        reply,
    };
    if let Err(error) = lane.submit(job) {
        tree.set_waits_for(None);
        return Err(Box::new(error));
    }
    let answer = wait(answer, deadline, Some(&ticket), lane, &called).await;
    tree.set_waits_for(None);
    drop(gone);
    answer
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
