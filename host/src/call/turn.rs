//! A call's turn on an instance: it begins on its caller's thread, where most calls end at once, and goes on as a task of the guest
//! runtime if it has to wait. And how long it may take.
//!
//! Here every copy counts: the future of a call is some kilobytes large, most of it Wasmtime's own. To make one in a box of its own,
//! and to move it there, would cost as much as the call. So each thread keeps [`Carrier`]s: futures that carry out one turn after
//! another, and in which each call's future is made where it stays.

use super::frame::{Frame, Tree};
use super::invocation::Input;
use super::lane::CallResult;
use super::pool::Pool;
use crate::instance::Instance;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{EnterGuard, Handle};

/// As many carriers are kept on a thread: one for each module in a chain of calls, up to a depth that is common.
const CARRIERS_MAX: usize = 8;

/// An instance, and what it is to run.
pub(super) struct Turn {
    pub(super) instance: Box<Instance>,
    pub(super) frame: Arc<Frame>,
    pub(super) input: Input,
    pub(super) limit: Limit,
}

/// How long a turn may take.
pub(super) enum Limit {
    /// So long, from when it has to wait.
    Stuck(Duration),
    /// Until the deadline of its tree, or until this pool is retired.
    Tree(Option<Arc<Pool>>),
}

/// A turn has ended.
pub(super) struct Ended {
    pub(super) instance: Box<Instance>,
    pub(super) frame: Arc<Frame>,
    pub(super) answer: Result<CallResult, Cut>,
}

impl Ended {
    /// Whether the instance can go on.
    pub(super) fn is_whole(&self) -> bool {
        self.answer.is_ok() && self.instance.is_usable()
    }
}

/// Why a turn was cut short: its instance is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Stuck,
    Deadline,
    Retired,
}

impl Turn {
    /// Carries it out on a thread of the guests.
    pub(super) async fn carry_out(self) -> Ended {
        let Turn {
            mut instance,
            frame,
            input,
            limit,
        } = self;
        let answer = {
            // Pinned here: it is some kilobytes large, and is not to be moved.
            let call = pin!(instance.run(input, &frame));
            let limited = pin!(Limited {
                work: call,
                limit: Some(limit),
                frame: &frame,
                cut: None,
            });
            limited.await
        };
        Ended {
            instance,
            frame,
            answer,
        }
    }

    /// Polls it once here, with the guest runtime's timers at hand. No client's future owns what is not finished then (R10): the
    /// carrier is to be given to a task of that runtime.
    pub(super) fn take_here(self, guests: &Handle) -> Result<Ended, Carrier> {
        let mut carrier = Carrier::kept().unwrap_or_else(Carrier::new);
        let _inside = Inside::enter(guests);
        TURN.set(Some(self));
        match carrier.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => {
                carrier.keep();
                Ok(ended)
            }
            Poll::Pending => Err(carrier),
        }
    }
}

/// The guest runtime's timers are at hand.
struct Inside<'a>(Option<EnterGuard<'a>>);

impl<'a> Inside<'a> {
    fn enter(guests: &'a Handle) -> Self {
        // A thread calls the modules of one host inside of each other.
        let was_inside = INSIDE.replace(true);
        Self((!was_inside).then(|| guests.enter()))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.is_some() {
            INSIDE.set(false);
        }
    }
}

/// Tells this thread that it is one of the guest runtime.
pub(crate) fn is_guest_thread() {
    INSIDE.set(true);
}

/// Polls work once here, with the guest runtime's timers at hand; gives it back if it has to wait.
pub(super) fn poll_here<F: Future>(guests: &Handle, mut work: Pin<Box<F>>) -> Result<F::Output, Pin<Box<F>>> {
    let _inside = Inside::enter(guests);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Err(work),
    }
}

/// Carries out one turn after another.
pub(super) struct Carrier(Pin<Box<dyn Future<Output = ()> + Send>>);

thread_local! {
    /// Whether the guest runtime's timers are at hand already.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static CARRIERS: RefCell<Vec<Carrier>> = const { RefCell::new(Vec::new()) };
    /// What the carrier that is about to be polled here takes.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
    /// What the carrier that has just been polled here has left.
    static ENDED: Cell<Option<Ended>> = const { Cell::new(None) };
}

impl Carrier {
    fn new() -> Self {
        let carrying = async move {
            loop {
                let turn = poll_fn(|_| TURN.take().map_or(Poll::Pending, Poll::Ready)).await;
                let ended = {
                    let turn = pin!(turn.carry_out());
                    turn.await
                };
                ENDED.set(Some(ended));
            }
        };
        Self(Box::pin(carrying))
    }

    /// One that this thread has used before.
    fn kept() -> Option<Self> {
        CARRIERS.with_borrow_mut(Vec::pop)
    }

    /// For the next turn. One that has panicked never comes here.
    fn keep(self) {
        CARRIERS.with_borrow_mut(|kept| {
            if kept.len() < CARRIERS_MAX {
                kept.push(self);
            }
        });
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        // It never ends: when its turn has ended it waits for the next.
        let _ = self.0.as_mut().poll(context);
        ENDED.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Goes on until its turn has ended.
    pub(super) async fn ended(mut self) -> Ended {
        poll_fn(|context| self.poll(context)).await
    }
}

pin_project! {
    /// Work with an end.
    struct Limited<'a, F> {
        #[pin]
        work: F,
        frame: &'a Frame,
        limit: Option<Limit>,
        // Made only if the work has to wait: most calls never do.
        cut: Option<Pin<Box<dyn Future<Output = Cut> + Send>>>,
    }
}

impl<F: Future> Future for Limited<'_, F> {
    type Output = Result<F::Output, Cut>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(done) = this.work.poll(context) {
            return Poll::Ready(Ok(done));
        }
        if let Some(limit) = this.limit.take() {
            *this.cut = Some(Box::pin(limit.reached(Arc::clone(&this.frame.tree))));
        }
        match this.cut {
            Some(cut) => cut.as_mut().poll(context).map(Err),
            None => Poll::Pending,
        }
    }
}

impl Limit {
    async fn reached(self, tree: Arc<Tree>) -> Cut {
        let deadline = || tokio::time::sleep_until(tree.deadline().into());
        match self {
            Limit::Stuck(limit) => {
                tokio::time::sleep(limit).await;
                Cut::Stuck
            }
            Limit::Tree(None) => {
                deadline().await;
                Cut::Deadline
            }
            Limit::Tree(Some(pool)) => {
                tokio::select! {
                    biased;
                    () = pool.interrupted() => Cut::Retired,
                    () = deadline() => Cut::Deadline,
                }
            }
        }
    }
}
