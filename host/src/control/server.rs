//! Serves the control protocol on a Unix socket.
//!
//! Invariants:
//! - Guest code runs on the host's own runtime, never on the threads that serve (R17).
//! - A call goes when its client goes (R10); everything else that was asked for is done.
//! - Memory, connections and time that a client can take are bounded.

use super::answer::{self, Answer, Body};
use super::operation::{Backend, Operation, bad_request, body_max};
use super::protocol::{Exit, Failure};
use super::slots::{Slot, Slots};
use super::socket::{BoundSocket, own_uid};
use super::stream;
use super::target::Target;
use crate::accept::Refusals;
use crate::guarded::Guarded;
use crate::host::Host;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at once.
    pub(super) connections: usize,
    /// How long the head of a request, and each part of its body, may take to come.
    pub(super) idle: Duration,
    /// How long open answers may take when the server ends.
    pub(super) goodbye: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            idle: Duration::from_secs(10),
            goodbye: Duration::from_secs(2),
        }
    }
}

/// What is read of a request head, at most.
const HEAD_MAX: usize = 64 << 10;

/// Serves `host` until `shutdown` returns, then finishes the answers that are being written (for up to 2 s) and removes the socket.
/// Runs on the runtime it is called on; needs only a thread or two.
pub async fn serve(socket: BoundSocket, host: Host, shutdown: impl Future<Output = ()>) {
    serve_within(Bounds::default(), socket, host, shutdown).await;
}

pub(super) async fn serve_within<B: Backend>(
    bounds: Bounds,
    socket: BoundSocket,
    backend: B,
    shutdown: impl Future<Output = ()>,
) {
    let listener = match socket.listener() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("{}: cannot be served: {error}", socket.path().display());
            return shutdown.await;
        }
    };
    let (stop, stopping) = watch::channel(false);
    let slots = Slots::new(bounds.connections);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let stream = accept(&listener).await;
            (stream, slots.take().await)
        };
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(bounds, stream, slot, backend.clone(), stopping.clone()));
    }
    // Nobody connects any more; who is connected gets what he waits for.
    drop((listener, socket));
    let _ = stop.send(true);
    let _ = tokio::time::timeout(bounds.goodbye, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    connections.shutdown().await;
}

/// The next connection of somebody who may ask.
async fn accept(listener: &tokio::net::UnixListener) -> UnixStream {
    let mut refusals = Refusals::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(peer) if [own_uid(), 0].contains(&peer.uid()) => return stream,
                Ok(peer) => tracing::warn!(uid = peer.uid(), "control socket: another user is turned away"),
                // He has gone already.
                Err(_) => {}
            },
            Err(error) => refusals.pause("control socket", &error).await,
        }
    }
}

async fn connection<B: Backend>(
    bounds: Bounds,
    stream: UnixStream,
    slot: Slot,
    backend: B,
    mut stopping: watch::Receiver<bool>,
) {
    let streams_end = stopping.clone();
    let service = service_fn(|request| {
        let busy = slot.busy();
        let answer = answer(bounds, backend.clone(), streams_end.clone(), request);
        async move {
            let response = answer.await.unwrap_or_else(|failure| answer::failed(&failure));
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, busy)))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.idle)
        .max_buf_size(HEAD_MAX);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut stops = false;
    loop {
        tokio::select! {
            // An error here is the client's affair: it went, or what it sent was no HTTP.
            _ = served.as_mut() => return,
            () = slot.evicted() => return,
            _ = stopping.wait_for(|stopping| *stopping), if !stops => {
                stops = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer<B: Backend>(
    bounds: Bounds,
    backend: B,
    stopping: watch::Receiver<bool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    let target = Target::parse(head.uri.path(), head.uri.query()).map_err(bad_request)?;
    let body = read(body, body_max(&target), bounds.idle).await?;
    let operation = Operation::parse(&head.method, target, body)?;
    match operation {
        Operation::Events { since, follow } => {
            Ok(answer::lines(stream::lines(backend.events(), since, follow, stopping)))
        }
        // Runs no guest: answered even while guests have every thread of theirs busy.
        Operation::Status => backend.run(operation).await.map(Answer::into_response),
        operation => on_guests(backend, operation).await.map(Answer::into_response),
    }
}

/// The whole body. An error where it is larger than `max`, breaks off, or has a part that does not come within `idle`.
async fn read(mut body: Incoming, max: u64, idle: Duration) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let message = format!("the body may have {max} bytes");
        Failure::new("too-large", Exit::Usage, message)
    };
    if body.size_hint().lower() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| {
            let message = format!("the body did not come within {} s", idle.as_secs_f32());
            Failure::new("request-timed-out", Exit::Usage, message)
        })?;
        match frame {
            None => return Ok(bytes),
            Some(Err(error)) => return Err(bad_request(format!("the body cannot be read: {error}"))),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if (bytes.len() + data.len()) as u64 > max {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
        }
    }
}

/// A task that ends when this is dropped.
struct AbortOnDrop(JoinHandle<Result<Answer, Failure>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs it where guests run. If this is dropped because the client has gone, a call is dropped too; anything else goes on.
async fn on_guests<B: Backend>(backend: B, operation: Operation) -> Result<Answer, Failure> {
    let ends_with_client = operation.ends_with_client();
    let task = backend.guests().spawn(async move { backend.run(operation).await });
    let joined = match ends_with_client {
        true => {
            let mut task = AbortOnDrop(task);
            (&mut task.0).await
        }
        false => task.await,
    };
    joined.unwrap_or_else(|error| {
        let why = if error.is_panic() {
            "a fault of wasmhot ended this request; its log says more"
        } else {
            "the host ends"
        };
        Err(Failure::new("internal", Exit::Bug, why))
    })
}
