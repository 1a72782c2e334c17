//! How a call begins: on its caller's thread, where most calls end at once, or as a task of the guest runtime. And how long it may take.
//!
//! Here every copy counts: the future of a call is some kilobytes large, most of it Wasmtime's own.

use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// What has become of work that its caller's thread has begun.
pub(crate) enum Begun<T> {
    /// It is done.
    Done(T),
    /// It goes on as a task of the guest runtime.
    Running(oneshot::Receiver<T>),
}

/// Polls work once here, with the guest runtime's timers at hand; what is not finished then goes on as a task of that runtime. No
/// client's future owns it (R10).
pub(crate) fn begin_here<F>(guests: &Handle, work: impl FnOnce() -> F) -> Begun<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    // Made where it stays.
    let place = Box::<F>::new_uninit();
    let mut work = Box::into_pin(Box::write(place, work()));
    let _inside = guests.enter();
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Begun::Done(done),
        Poll::Pending => begin_there(guests, work),
    }
}

/// As [`begin_here`], on a thread of the guests from its beginning.
pub(crate) fn begin_there<F>(guests: &Handle, work: F) -> Begun<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    guests.spawn(async move {
        let _ = reply.send(work.await);
    });
    Begun::Running(answer)
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
