//! The host: what programs embed, and what the control socket and the CLI talk to.
//!
//! Each verb is a method that returns its report or a [`Failure`]; what changes the release runs on a task of its own, so that a
//! client that leaves does not leave half an upgrade behind.

mod apply;
mod attempts;
mod backup;
mod boot;
mod drops;
mod gc;
mod http;
mod installed;
pub(crate) mod load;
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

use crate::call::lane::CallResult;
use crate::call::named::{read_call, wrong_argument};
use crate::call::router::{Outside, Prepare, Router};
use crate::call::routes::Found;
use crate::control::protocol::{
    ApplyRequest, CallReply, CallRequest, Exit, Failure, RemoveRequest, UndoRequest, UpgradeReport,
};
use crate::error::{CallError, CallErrorCode};
use crate::event::Events;
use crate::store::StateLock;
use crate::upgrade::Core;
use crate::upgrade::plan::{Asked, Options};
use crate::value::{FromValue, IntoValues, Value, check_args, json, wave};
use attempts::Attempt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    stopped: watch::Sender<bool>,
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

    /// A typed call: `let total: u64 = host.call("counter", "increment", (5i64,)).await?`. The function is named as in
    /// [`Host::call_values`]. Needs a Tokio runtime with timers. Whoever calls one function often asks for it once, by
    /// [`Host::function`].
    ///
    /// # Errors
    /// The call failed; [`CallError::executed`] says whether it was executed. A result of another type than `R` is an error too,
    /// after the call.
    pub async fn call<A: IntoValues, R: FromValue>(
        &self,
        module: &str,
        function: &str,
        args: A,
    ) -> Result<R, CallError> {
        let found = Found::default();
        let answer = match self.called(module, function, &found, args.into_values(), None) {
            Outside::Answered(answer) => typed(answer, function),
            Outside::Waits(answer) => return typed(answer.await, function),
        };
        give_turn().await;
        answer
    }

    /// A call with values. `function` is `place`, `orders.place`, or with the interface in full. `deadline` defaults to the module's
    /// `call_deadline`.
    ///
    /// # Errors
    /// As [`Host::call`].
    pub async fn call_values(
        &self,
        module: &str,
        function: &str,
        args: Vec<Value>,
        deadline: Option<Duration>,
    ) -> Result<Option<Value>, CallError> {
        let found = Found::default();
        let answer = self.called(module, function, &found, args, deadline);
        answer.answer().await.map_err(|error| *error)
    }

    /// A function of a module, to be called often: it is looked up once in each revision.
    #[must_use]
    pub fn function(&self, module: &str, function: &str) -> ModuleFunction {
        ModuleFunction {
            host: self.clone(),
            module: module.into(),
            function: function.into(),
            found: Found::default(),
        }
    }

    fn called<'a>(
        &'a self,
        module: &'a str,
        function: &'a str,
        found: &'a Found,
        args: Vec<Value>,
        deadline: Option<Duration>,
    ) -> Outside<'a> {
        let mut given = Some(args);
        self.begin(module, deadline, move |routes, back| {
            let (route, export) = routes.function(module, function, found)?;
            let args = back.or_else(|| given.take()).unwrap_or_default();
            check_args(&export.ty, &args)
                .map_err(|error| wrong_argument(&route.template.version.id, &export.name, &export.ty, &error))?;
            Ok((route, (Arc::clone(export), args)))
        })
    }

    /// A call in WAVE or JSON, as the CLI and the control socket make it.
    ///
    /// # Errors
    /// As [`Host::call`].
    pub async fn call_text(&self, request: CallRequest) -> Result<CallReply, CallError> {
        let mut answered = None;
        let deadline = request.deadline_ms.map(Duration::from_millis);
        let answer = self.begin(&request.module, deadline, |routes, _| {
            let route = routes.module(&request.module)?;
            let (export, args) = read_call(&route.template.version, &request)?;
            answered = Some(Arc::clone(&export.ty));
            Ok((route, (export, args)))
        });
        let answer = answer.answer().await.map_err(|error| *error)?;
        let shown = answer.as_ref().zip(answered.as_ref().and_then(|ty| ty.result.as_ref()));
        Ok(CallReply {
            wave: shown.map(|(value, of)| wave::to_string(value, of)),
            value: shown.map(|(value, of)| json::to_json(value, of)).unwrap_or_default(),
        })
    }

    fn begin<'a>(&'a self, module: &str, deadline: Option<Duration>, prepare: impl Prepare + 'a) -> Outside<'a> {
        if let Err(error) = self.refuse_if_stopping() {
            return Outside::Answered(Err(Box::new(match ModuleName::parse(module) {
                Ok(module) => error.in_module(&module),
                Err(_) => error,
            })));
        }
        self.count_call();
        self.router().begin(deadline, prepare)
    }

    pub(crate) fn refuse_if_stopping(&self) -> Result<(), CallError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(CallError::not_executed(CallErrorCode::Stopping, "the host is stopping"));
        }
        Ok(())
    }

    pub(crate) fn count_call(&self) {
        self.inner.core.services.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn router(&self) -> &Router {
        &self.inner.core.router
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

    /// Returns when the host has been stopped.
    pub async fn stopped(&self) {
        let mut stopped = self.inner.stopped.subscribe();
        // The sender lives in the host that is asked.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// A function of a module, by its name. Made by [`Host::function`]; shared by reference. It follows the module through its versions:
/// whether there is such a function is seen by each call.
#[derive(Debug)]
pub struct ModuleFunction {
    host: Host,
    module: Box<str>,
    function: Box<str>,
    found: Found,
}

impl ModuleFunction {
    /// A typed call, as [`Host::call`].
    ///
    /// # Errors
    /// As [`Host::call`].
    pub async fn call<A: IntoValues, R: FromValue>(&self, args: A) -> Result<R, CallError> {
        let args = args.into_values();
        let answer = match self.host.called(&self.module, &self.function, &self.found, args, None) {
            Outside::Answered(answer) => typed(answer, &self.function),
            Outside::Waits(answer) => return typed(answer.await, &self.function),
        };
        give_turn().await;
        answer
    }

    /// A call with values, as [`Host::call_values`].
    ///
    /// # Errors
    /// As [`Host::call`].
    pub async fn call_values(&self, args: Vec<Value>, deadline: Option<Duration>) -> Result<Option<Value>, CallError> {
        let answer = self
            .host
            .called(&self.module, &self.function, &self.found, args, deadline);
        answer.answer().await.map_err(|error| *error)
    }
}

/// Most calls end at once: whoever makes one after the other lets other tasks have their turn, as at any other await of Tokio's.
async fn give_turn() {
    tokio::task::coop::consume_budget().await;
}

fn typed<R: FromValue>(answer: CallResult, function: &str) -> Result<R, CallError> {
    let answer = answer.map_err(|error| *error)?;
    R::from_answer(answer).map_err(|error| {
        let message = format!("the result of `{function}`: {error}");
        CallError::unknown(CallErrorCode::WrongArgument, message)
    })
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
