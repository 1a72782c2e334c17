//! How a call begins: on its caller's thread, where most calls end at once, or as a task of the guest runtime. And how long it may take.
//!
//! Here every copy counts: the future of a call is some kilobytes large, most of it Wasmtime's own. To make one in a box of its own,
//! and to move it there, would cost as much as the call. So each thread keeps [`Carrier`]s: futures that carry out one work after
//! another, and in which each call's future is made where it stays.

use super::invocation::Invocation;
use super::lane::CallResult;
use super::pool::PoolCall;
use super::runner::Runner;
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// As many carriers are kept on a thread: one for each module in a chain of calls, up to a depth that is common.
const CARRIERS_MAX: usize = 8;

/// What can be begun.
pub(super) enum Carried {
    /// A call that has the instance of an idle lane.
    First(Runner, Invocation),
    /// What waits in a lane. It answers by the channels of those who wait.
    Waiting(Runner),
    /// A call that has a place in a pool.
    InPool(PoolCall),
}

impl Carried {
    async fn carry_out(self) -> CallResult {
        match self {
            Carried::First(runner, invocation) => {
                let call = pin!(runner.first(invocation));
                call.await
            }
            Carried::Waiting(runner) => {
                let run = pin!(runner.run());
                run.await;
                Ok(None)
            }
            Carried::InPool(call) => {
                let call = pin!(call.run());
                call.await
            }
        }
    }
}

/// What has become of work that has begun.
pub(super) enum Begun {
    /// It is done.
    Done(CallResult),
    /// It goes on as a task of the guest runtime.
    Running(oneshot::Receiver<CallResult>),
}

/// Polls work once here, with the guest runtime's timers at hand; what is not finished then goes on as a task of that runtime. No
/// client's future owns it (R10).
pub(super) fn begin_here(guests: &Handle, work: Carried) -> Begun {
    let mut carrier = Carrier::kept().unwrap_or_else(Carrier::new);
    carrier.desk.work.put(work);
    let _inside = guests.enter();
    match carrier.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => {
            carrier.keep();
            Begun::Done(answer)
        }
        Poll::Pending => spawned(guests, poll_fn(move |context| carrier.poll(context))),
    }
}

/// As [`begin_here`], on a thread of the guests from its beginning.
pub(super) fn begin_there(guests: &Handle, work: Carried) -> Begun {
    spawned(guests, work.carry_out())
}

fn spawned(guests: &Handle, work: impl Future<Output = CallResult> + Send + 'static) -> Begun {
    let (reply, answer) = oneshot::channel();
    guests.spawn(async move {
        let _ = reply.send(work.await);
    });
    Begun::Running(answer)
}

/// Carries out one work after another.
struct Carrier {
    carrying: Pin<Box<dyn Future<Output = ()> + Send>>,
    desk: Arc<Desk>,
}

/// Where a carrier finds its work and leaves the answer.
#[derive(Default)]
struct Desk {
    work: Tray<Carried>,
    answer: Tray<CallResult>,
}

struct Tray<T>(Mutex<Option<T>>);

thread_local! {
    static CARRIERS: RefCell<Vec<Carrier>> = const { RefCell::new(Vec::new()) };
}

impl Carrier {
    fn new() -> Self {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        let carrying = async move {
            loop {
                let work = poll_fn(|_| own.work.take()).await;
                let answer = {
                    let work = pin!(work.carry_out());
                    work.await
                };
                own.answer.put(answer);
            }
        };
        Self {
            carrying: Box::pin(carrying),
            desk,
        }
    }

    /// One that this thread has used before. None while the thread ends.
    fn kept() -> Option<Self> {
        CARRIERS.try_with(|kept| kept.borrow_mut().pop()).ok().flatten()
    }

    /// For the next work. One that has panicked never comes here.
    fn keep(self) {
        let _ = CARRIERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < CARRIERS_MAX {
                kept.push(self);
            }
        });
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CallResult> {
        // It never ends: when its work is done it waits for the next.
        let _ = self.carrying.as_mut().poll(context);
        self.desk.answer.take()
    }
}

impl<T> Default for Tray<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Tray<T> {
    fn put(&self, what: T) {
        *self.0.lock().expect("no panic under this lock") = Some(what);
    }

    fn take(&self) -> Poll<T> {
        let taken = self.0.lock().expect("no panic under this lock").take();
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

/// `None` when `limit` has passed first; the work is dropped then, and the store with it is lost. It counts from when the work has to
/// wait.
pub(crate) fn within<F: Future>(limit: Duration, work: F) -> Limited<F> {
    Limited {
        work,
        limit: Limit::Of(limit),
        timer: None,
    }
}

/// As [`within`], with the moment at which the work ends.
pub(crate) fn until<F: Future>(deadline: Instant, work: F) -> Limited<F> {
    Limited {
        work,
        limit: Limit::At(deadline),
        timer: None,
    }
}

enum Limit {
    Of(Duration),
    At(Instant),
}

pin_project! {
    /// Work with an end.
    pub(crate) struct Limited<F> {
        #[pin]
        work: F,
        limit: Limit,
        // Made only if the work has to wait: most calls never do.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(done) = this.work.poll(context) {
            return Poll::Ready(Some(done));
        }
        let timer = this.timer.get_or_insert_with(|| {
            Box::pin(match this.limit {
                Limit::Of(limit) => tokio::time::sleep(*limit),
                Limit::At(deadline) => tokio::time::sleep_until((*deadline).into()),
            })
        });
        ready!(timer.as_mut().poll(context));
        Poll::Ready(None)
    }
}
