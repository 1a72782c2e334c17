//! Calls from outside: with the types of Rust, with values, and as text.

use super::Host;
use crate::call::lane::CallResult;
use crate::call::named::{Named, find, wrong_argument};
use crate::call::router::{Outside, Prepare, Router};
use crate::call::routes::Found;
use crate::control::protocol::{CallReply, CallRequest};
use crate::error::{CallError, CallErrorCode};
use crate::value::{FromValue, IntoValues, Value, check_args, json, wave};
use crate::version::Version;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wasmhot_appup::ModuleName;

impl Host {
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

    pub(super) fn begin<'a>(
        &'a self,
        module: &str,
        deadline: Option<Duration>,
        prepare: impl Prepare + 'a,
    ) -> Outside<'a> {
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

/// Function and arguments of a call in text, read for this version.
pub(super) fn read_call(version: &Version, request: &CallRequest) -> Result<Named, CallError> {
    let id = &version.id;
    let wrong = |message: String| CallError::not_executed(CallErrorCode::WrongArgument, message).in_version(id);
    match (&request.call, &request.function) {
        (Some(text), None) => {
            let call = wave::CallText::split(text).map_err(|error| wrong(error.to_string()))?;
            let export = find(version, call.name())?;
            let args = call
                .args(&export.ty)
                .map_err(|error| wrong(format!("{error}\n`{}` is {}", export.name, export.ty)))?;
            Ok((Arc::clone(export), args))
        }
        (None, Some(function)) => {
            let export = find(version, function)?;
            let args = serde_json::Value::Array(request.args.clone().unwrap_or_default());
            let args = json::args_from_json(&args, &export.ty)
                .map_err(|error| wrong_argument(id, &export.name, &export.ty, &error))?;
            Ok((Arc::clone(export), args))
        }
        _ => Err(wrong(
            "a call is either `call` (WAVE text) or `function` with `args` (a JSON array)".to_string(),
        )),
    }
}
