//! Calls that run beside each other in one instance, and the guest tasks that they leave behind (WASI 0.3).
//!
//! A store runs only inside of [`Instance::run_concurrent`]. What is left when that ends stands still, and goes on at the next time.
//! Each of these futures may be dropped at any time; the instance must be given up then.

use super::guest::Guest;
use super::{Instance, Template};
use crate::call::frame::Frame;
use crate::call::invocation::Invocation;
use crate::call::lane::CallResult;
use crate::error::CallError;
use crate::value::{ConcurrentFunction, PreparedFunction};
use futures_util::future::Either;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmhot_appup::interface::FunctionName;
use wasmtime::component::Accessor;

/// Begins calls in an instance that runs.
pub(crate) struct Calls<'a> {
    pub(super) accessor: &'a Accessor<Guest>,
    pub(super) instance: wasmtime::component::Instance,
    template: Arc<Template>,
    functions: Arc<ConcurrentFunctions>,
}

/// Functions that were called before.
pub(super) type ConcurrentFunctions = Mutex<HashMap<FunctionName, ConcurrentFunction>>;

impl<'a> Calls<'a> {
    pub(crate) fn template(&self) -> &Arc<Template> {
        &self.template
    }

    pub(crate) fn max_pause(&self) -> Duration {
        self.template.config.limits.max_pause
    }

    /// Begins a call. In what its future gives the outer error is a trap, which has ended the store.
    ///
    /// # Errors
    /// Nothing was executed.
    pub(crate) fn begin(
        &self,
        invocation: Invocation,
        frame: Arc<Frame>,
    ) -> Result<impl Future<Output = wasmtime::Result<CallResult>> + Send + use<'a>, CallError> {
        Ok(match invocation {
            Invocation::Function { export, args } => {
                let no_such = |error: wasmtime::Error| self.template.no_such_function(&export.name, &error);
                let function = self.function(&export.name).map_err(no_such)?;
                let (task, end) = function.begin(self.accessor, args).map_err(no_such)?;
                self.accessor.with(|mut store| store.data_mut().begin_call(task, frame));
                Either::Left(async move { end.await.map(Ok) })
            }
            Invocation::Exchange(exchange) => Either::Right(self.begin_exchange(*exchange, frame, Arc::default())?),
        })
    }

    fn function(&self, name: &FunctionName) -> wasmtime::Result<ConcurrentFunction> {
        let mut functions = self.functions.lock().expect("no panic under this lock");
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let prepared = PreparedFunction::new(&self.template.version.component, name)?;
        let function = self
            .accessor
            .with(|store| prepared.bind_concurrent(store, &self.instance))?;
        functions.insert(name.clone(), function.clone());
        Ok(function)
    }

    /// Whether the guest was denied anything since it was asked last: by whichever call, where several run.
    pub(crate) fn take_denied(&self) -> bool {
        self.accessor.with(|mut store| store.data_mut().reach().take_denied())
    }

    /// Returns when no guest task runs any more.
    pub(crate) async fn quiet(&self) {
        poll_fn(|cx| self.accessor.poll_no_interesting_tasks(cx)).await;
        self.accessor.with(|mut store| store.data_mut().forget_frames());
    }
}

impl Instance {
    /// Runs the instance for as long as `work` takes.
    ///
    /// # Errors
    /// A trap, in whichever call or task: the instance is not usable any more.
    pub(crate) async fn run_concurrent<R>(&mut self, work: impl AsyncFnOnce(&Calls<'_>) -> R) -> wasmtime::Result<R> {
        let (instance, template) = (self.instance, Arc::clone(&self.template));
        let functions = Arc::clone(&self.concurrent_functions);
        self.usable = false;
        let ran = self.store.run_concurrent(async move |accessor| {
            let calls = Calls {
                accessor,
                instance,
                template,
                functions,
            };
            work(&calls).await
        });
        let ran = ran.await;
        self.usable = ran.is_ok();
        ran
    }

    /// The instance is of no use any more: a call in it trapped.
    pub(crate) fn give_up(&mut self) {
        self.usable = false;
    }

    /// Lets the guest tasks of calls that have answered run to their end, within `limit`. An instance that has not come to rest by
    /// then, or trapped on the way, is not usable any more.
    pub(crate) async fn settle(&mut self, limit: Duration) {
        if !self.has_tasks || !self.usable {
            return;
        }
        self.usable = false;
        let rest = self.run_concurrent(async |calls| calls.quiet().await);
        let rested = matches!(tokio::time::timeout(limit, rest).await, Ok(Ok(())));
        self.usable = rested;
        self.has_tasks = !rested;
        self.store.data_mut().frame = None;
    }
}
