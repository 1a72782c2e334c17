//! The host: what programs embed, and what the control socket and the CLI talk to.
//!
//! Each verb is a method that returns its report or a [`Failure`]; what changes the release runs on a task of its own, so that a
//! client that leaves does not leave half an upgrade behind.

mod apply;
mod attempts;
mod backup;
mod boot;
mod calls;
mod drops;
mod gc;
mod http;
mod installed;
pub(crate) mod load;
mod lock;
mod plans;
mod probation;
mod recover;
mod releases;
mod saver;
mod schedules;
pub(crate) mod start;
mod state;
mod status;
mod stop;

use crate::control::protocol::{ApplyRequest, Exit, Failure, RemoveRequest, StopReport, UndoRequest, UpgradeReport};
use crate::event::Events;
use crate::store::StateLock;
use crate::upgrade::Core;
use crate::upgrade::plan::{Asked, Options};
use attempts::Attempt;
pub use calls::ModuleFunction;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use wasmhot_appup::{HostSettings, HttpSettings, LimitsSpec, ModuleName};

/// A running host. Clones are the same host; it ends when it is stopped or the last clone is dropped.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    /// The watched directory.
    directory: Option<PathBuf>,
    /// Where state is kept, if that outlives the host.
    state: Option<PathBuf>,
    started: Instant,
    /// Calls are refused from now on.
    stopping: AtomicBool,
    stops: watch::Sender<bool>,
    /// What that came to.
    stopped: watch::Sender<Option<StopReport>>,
    http: HttpSettings,
    /// Where HTTP is served.
    listening: Mutex<Option<SocketAddr>>,
    /// Connections of HTTP, for `status`.
    connections: AtomicU64,
    attempts: attempts::Attempts,
    drops: Mutex<drops::Drops>,
    schedules: Arc<schedules::Schedules>,
    /// Another release runs than before: what is pending may fit now.
    changed: Arc<tokio::sync::Notify>,
    save_skipped: Mutex<std::collections::BTreeMap<ModuleName, String>>,
    guests: Option<tokio::runtime::Runtime>,
    /// Given up when the host has stopped.
    lock: Mutex<Option<StateLock>>,
    _temporary: Option<start::TemporaryState>,
}

/// What a host is started with.
#[derive(Clone, Debug, Default)]
pub struct HostBuilder {
    source: Option<PathBuf>,
    state: Option<PathBuf>,
    limits: LimitsSpec,
    settings: HostSettings,
    events: Option<Arc<Events>>,
    restore: Option<PathBuf>,
}

impl HostBuilder {
    /// A directory to watch, or a `release.toml` (`wasmhot run DIR|release.toml`). Without one the host starts empty.
    #[must_use]
    pub fn source(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(path.into());
        self
    }

    /// Where state, catalog and bytes are kept over restarts. Without it they go when the host ends.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Starts with what [`Host::backup`] has copied there. There must be no state yet.
    #[must_use]
    pub fn restore(mut self, backup: impl Into<PathBuf>) -> Self {
        self.restore = Some(backup.into());
        self
    }

    /// Limits and timeouts of all modules, over whatever a release says, and over those given here before.
    #[must_use]
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits.or(self.limits);
        self
    }

    /// Settings of the host, over those of the release.
    #[must_use]
    pub fn settings(mut self, settings: HostSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Publishes there what happens: who subscribes before the start hears of the start too.
    #[must_use]
    pub fn events(mut self, events: Arc<Events>) -> Self {
        self.events = Some(events);
        self
    }

    /// Starts it: when this returns, the modules take calls.
    ///
    /// # Errors
    /// The state directory is in use or damaged, the release cannot be read, or its first version does not start.
    pub async fn start(self) -> Result<Host, Failure> {
        start::start(self).await
    }
}

impl Host {
    /// What to start a host with.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Applies a relup or a module file: one upgrade, one switch. It ends whether or not somebody waits for it.
    ///
    /// # Errors
    /// Refused, called off or busy: nothing has changed then. Or `timeout_ms` passed ([`Exit::TimedOut`]): it goes on, and the
    /// failure names it.
    pub async fn apply(&self, request: ApplyRequest) -> Result<UpgradeReport, Failure> {
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let id = request.id.clone().unwrap_or_else(|| self.inner.attempts.new_id());
        let result = match self.inner.attempts.begin(&id) {
            Attempt::Known(result) => result,
            Attempt::New(attempt, result) => {
                let host = self.clone();
                self.guests().spawn(async move {
                    let done = apply::apply(&host.inner, request).await;
                    host.tell_drops(&done);
                    host.inner.attempts.end(&attempt, &done);
                });
                result
            }
        };
        let Some(limit) = timeout else {
            return result.get().await;
        };
        tokio::time::timeout(limit, result.get()).await.unwrap_or_else(|_| {
            let message = format!("no result within {limit:?}; it goes on in the host as {id}");
            let mut failure = Failure::new("timed-out", Exit::TimedOut, message);
            failure.id = Some(id);
            Err(failure)
        })
    }

    /// Goes one revision back, with the live state (R38). That is a new revision.
    ///
    /// # Errors
    /// As [`Host::apply`].
    pub async fn undo(&self, request: UndoRequest) -> Result<UpgradeReport, Failure> {
        let host = self.clone();
        let options = Options {
            allow_lossy: request.allow_lossy,
            state: request.state,
            by: request.by,
            ..Options::default()
        };
        self.on_its_own(async move { apply::undo(&host.inner, Asked::Undo, request.to, options).await })
            .await
    }

    /// Takes a module out of the release. Its last state is saved and kept, unless `purge`.
    ///
    /// # Errors
    /// As [`Host::apply`]; also where another module still calls it.
    pub async fn remove(&self, request: RemoveRequest) -> Result<UpgradeReport, Failure> {
        let host = self.clone();
        self.on_its_own(async move { apply::remove(&host.inner, &request).await })
            .await
    }

    async fn on_its_own<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let host = self.clone();
        let work = async move {
            let done = work.await;
            host.tell_drops(&done);
            done
        };
        match self.guests().spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(Failure::new(
                "internal",
                Exit::Bug,
                format!("the task ended before its time: {error}"),
            )),
        }
    }

    /// After a change drops that wait are looked at again, whether or not somebody waited for its end.
    fn tell_drops<T>(&self, done: &Result<T, Failure>) {
        if done.is_ok() {
            self.inner.changed.notify_one();
        }
    }

    /// What happened and happens.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.inner.core.events
    }

    /// The runtime on which guests run: whoever serves sockets makes its calls there, never on its own threads (R17).
    #[must_use]
    pub fn guests(&self) -> tokio::runtime::Handle {
        self.inner.core.services.guests.clone()
    }

    /// Returns when the host has been stopped: what that came to, whoever asked for it.
    pub async fn stopped(&self) -> StopReport {
        let mut stopped = self.inner.stopped.subscribe();
        // The sender lives in the host that is asked.
        let report = stopped.wait_for(Option::is_some).await;
        report.ok().and_then(|report| report.clone()).unwrap_or_default()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another: what still runs is abandoned, as in a crash.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Host({:?})", self.inner.core.router.routes().release)
    }
}
