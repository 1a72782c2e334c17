//! One connection: HTTP/1.1 or HTTP/2, its requests, and when it ends.
//!
//! It ends when its client ends it, when no request has been under way for `idle_timeout`, or when the host stops: then after the
//! requests that are under way. A request is under way until its response is written.

use super::problem::Problem;
use super::stall::Stalling;
use super::{calls, request};
use crate::call::invocation::Body;
use crate::guarded::Guarded;
use crate::host::Host;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;
use wasmhot_appup::HttpSettings;

/// The least that hyper can do with.
const HEAD_MIN: u64 = 8 << 10;
/// Requests at once on a connection of HTTP/2.
const STREAMS_MAX: u32 = 128;
/// How long a client may take to be told that there are too many.
const TURNED_AWAY: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Serving {
    pub(super) host: Host,
    pub(super) settings: HttpSettings,
    http: Builder<TokioExecutor>,
}

impl Serving {
    pub(super) fn new(host: Host) -> Self {
        let settings = host.http_settings().clone();
        let head_max = settings.header_max().max(HEAD_MIN);
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.idle_timeout())
            .max_buf_size(usize::try_from(head_max).unwrap_or(usize::MAX));
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(head_max).unwrap_or(u32::MAX));
        Self { host, settings, http }
    }

    /// Serves a connection to its end.
    pub(super) async fn connection(self: Arc<Self>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
        let underway = Arc::new(Underway::default());
        let service = service_fn(|request| {
            let (serving, guard) = (Arc::clone(&self), Underway::enter(&underway));
            async move {
                let response = serving
                    .answer(request)
                    .await
                    .unwrap_or_else(|problem| problem.response());
                Ok::<_, Infallible>(response.map(|body| Guarded::new(body, guard)))
            }
        });
        let stream = Stalling::new(stream, self.settings.send_timeout());
        let mut served = pin!(self.http.serve_connection(stream, service));
        let mut ends = false;
        loop {
            tokio::select! {
                // An error here is the client's affair: it went, or what it sent was no HTTP.
                _ = served.as_mut() => return,
                _ = stopping.wait_for(|stopping| *stopping), if !ends => {}
                () = underway.idle_for(self.settings.idle_timeout()), if !ends => {}
            }
            ends = true;
            served.as_mut().graceful_shutdown();
        }
    }

    /// Answers the first request of a connection that there is no place for.
    pub(super) async fn turn_away(self: Arc<Self>, stream: TcpStream) {
        let max = self.settings.connections_max();
        let service = service_fn(|_: Request<Incoming>| async move {
            Ok::<_, Infallible>(Problem::TooManyConnections { max }.response())
        });
        let stream = Stalling::new(stream, TURNED_AWAY);
        let _ = tokio::time::timeout(TURNED_AWAY, self.http.serve_connection(stream, service)).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        if calls::is_reserved(request.uri().path()) {
            return calls::answer(&self.host, &self.settings, request).await;
        }
        request::answer(&self.host, &self.settings, request).await
    }
}

/// The requests of a connection that are under way, and since when there is none.
struct Underway(Mutex<Requests>);

#[derive(Clone, Copy)]
struct Requests {
    count: usize,
    none_since: Instant,
}

impl Default for Underway {
    fn default() -> Self {
        Self(Mutex::new(Requests {
            count: 0,
            none_since: Instant::now(),
        }))
    }
}

/// One of them.
struct Guard(Arc<Underway>);

impl Underway {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().expect("no panic under this lock")
    }

    fn enter(this: &Arc<Self>) -> Guard {
        this.lock().count += 1;
        Guard(Arc::clone(this))
    }

    /// Returns when there has been none for so long.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let Requests { count, none_since } = *self.lock();
            let left = match count {
                0 => limit.saturating_sub(none_since.elapsed()),
                _ => limit,
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut underway = self.0.lock();
        underway.count -= 1;
        underway.none_since = Instant::now();
    }
}
