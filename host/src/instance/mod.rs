//! A running version: one Wasmtime store with its own memory, and one owner.
//!
//! Invariants:
//! - An [`Instance`] is owned by exactly one lane, pool or upgrade at a time, never by a client's future (R10).
//! - Once a call has trapped or its future was dropped the instance is not [`usable`](Instance::is_usable) any more: the store is
//!   poisoned, its memory lost (R14).

pub(crate) mod capability;
pub(crate) mod concurrent;
pub(crate) mod guest;
mod http;
pub(crate) mod incremental;
pub(crate) mod lifecycle;
mod output;
pub(crate) mod outside;
pub(crate) mod template;

use crate::call::crowd::Place;
use crate::call::frame::Frame;
use crate::call::invocation::{Called, Input};
use crate::call::lane::CallResult;
use crate::error::{CallError, CallErrorCode};
use crate::value::{Function, PreparedFunction, Value};
use crate::version::{EngineKind, Export};
use guest::Guest;
pub(crate) use lifecycle::{Change, Direction};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use template::{ModuleConfig, Template};
use wasmhot_appup::interface::FunctionName;
use wasmtime::Store;
use wasmtime_wasi::I32Exit;

/// A running version of a module.
pub(crate) struct Instance {
    /// Unique in this process.
    pub(crate) id: u64,
    /// What it was made from.
    pub(crate) template: Arc<Template>,
    /// The revision in which it was made (R20).
    pub(crate) revision: u64,
    store: Store<Guest>,
    instance: wasmtime::component::Instance,
    /// By the slots of its version.
    functions: Vec<Option<Function>>,
    concurrent_functions: Arc<concurrent::ConcurrentFunctions>,
    usable: bool,
    /// Guest tasks may still run in it, of calls that have answered (WASI 0.3).
    pub(crate) has_tasks: bool,
    falls_asleep: Option<Moment>,
    /// What brought its state, if anything did.
    brought_by: Option<Change>,
    went_live: bool,
    /// How long its last `migrate` took, or to accept all chunks.
    pub(crate) migrated_in: Duration,
    /// How much of that cannot be done while the old version serves.
    pub(crate) finished_in: Duration,
    /// Its place among the live instances of its module, where those are counted.
    pub(crate) place: Option<Place>,
}

/// An instance between two of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    instance: u64,
    calls: u64,
}

impl Instance {
    fn new(
        id: u64,
        template: Arc<Template>,
        revision: u64,
        store: Store<Guest>,
        instance: wasmtime::component::Instance,
    ) -> Self {
        Self {
            id,
            template,
            revision,
            store,
            instance,
            functions: Vec::new(),
            concurrent_functions: Arc::default(),
            usable: true,
            has_tasks: false,
            falls_asleep: None,
            brought_by: None,
            went_live: false,
            migrated_in: Duration::ZERO,
            finished_in: Duration::ZERO,
            place: None,
        }
    }

    /// False once the store is poisoned.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Where it is the same as before, the state is the same: nothing was called, but what runs beside other calls.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            instance: self.id,
            calls: self.store.data().calls_begun,
        }
    }

    /// Its state is on its way into the store: it goes when that is written, unless it is called before.
    pub(crate) fn begin_to_fall_asleep(&mut self) -> Moment {
        let now = self.moment();
        self.falls_asleep = Some(now);
        now
    }

    pub(crate) fn stop_falling_asleep(&mut self) {
        self.falls_asleep = None;
    }

    pub(crate) fn falls_asleep(&self) -> bool {
        self.falls_asleep == Some(self.moment())
    }

    /// True if calls can run beside each other in it (WASI 0.3).
    pub(crate) fn is_concurrent(&self) -> bool {
        self.template.version.engine == EngineKind::Concurrent
    }

    /// Bytes of linear memory in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().memory_bytes()
    }

    /// Runs one call. The future must be polled to its end unless the instance is given up.
    pub(crate) async fn run(&mut self, input: Input, frame: &Arc<Frame>) -> CallResult {
        match (input, &frame.called) {
            (Input::Args(args), Called::Function(export)) => {
                // Pinned here and below: what is some kilobytes large is made where it stays.
                let call = pin!(self.call(export, &args, frame));
                call.await
            }
            // Boxed: a call of a function has not to carry its size.
            (Input::Exchange(exchange), _) => Box::pin(self.exchange(*exchange, Arc::clone(frame))).await,
            (Input::Args(_), called) => {
                let message = format!("`{called}` takes no arguments");
                Err(Box::new(CallError::not_executed(CallErrorCode::Internal, message)))
            }
        }
    }

    pub(crate) async fn call(&mut self, called: &Arc<Export>, args: &[Value], frame: &Arc<Frame>) -> CallResult {
        let slot = self.slot_of(called)?;
        let Some(function) = self.functions.get(slot).and_then(Option::as_ref) else {
            let error = wasmtime::format_err!("it was not found");
            return Err(Box::new(self.template.no_such_function(&called.name, &error)));
        };
        let name = &called.name;
        enter(&mut self.store, &mut self.usable, Arc::clone(frame));
        // What comes here was checked against the type that is called (R25).
        let answer = {
            let call = pin!(function.call_checked(&mut self.store, args));
            call.await
        };
        self.leave();
        match answer {
            Ok(answer) => {
                self.usable = true;
                Ok(answer)
            }
            Err(error) => {
                self.usable = self.survives(&error);
                match exit_status(called, &error) {
                    // A stateful module that leaves has lost its state, as by a trap.
                    Some(status) if self.template.version.places.lifecycle.is_none() => Ok(Some(status)),
                    _ => Err(Box::new(self.template.failed(name, &error))),
                }
            }
        }
    }

    /// The slot of a function, which is looked up at its first call.
    fn slot_of(&mut self, called: &Arc<Export>) -> Result<usize, CallError> {
        let version = &self.template.version;
        let Some(slot) = version.places.exports.like(called).map(|export| export.slot) else {
            let error = wasmtime::format_err!("it is gone");
            return Err(self.template.no_such_function(&called.name, &error));
        };
        if let Some(Some(_)) = self.functions.get(slot) {
            return Ok(slot);
        }
        let function = PreparedFunction::new(&version.component, &called.name)
            .and_then(|prepared| prepared.bind(&mut self.store, &self.instance))
            .map_err(|error| self.template.no_such_function(&called.name, &error))?;
        self.functions.resize(version.places.exports.len(), None);
        if let Some(place) = self.functions.get_mut(slot) {
            *place = Some(function);
        }
        Ok(slot)
    }

    /// A call has ended, however it did.
    fn leave(&mut self) {
        let is_concurrent = self.is_concurrent();
        let guest = self.store.data_mut();
        if guest.reach().take_denied()
            && let Some(frame) = &guest.frame
        {
            frame.tree.note_denied();
        }
        if is_concurrent {
            // Its tasks may run on, and call other modules.
            self.has_tasks = true;
        } else {
            guest.frame = None;
        }
    }

    /// Whether the instance can be used after this error. Where calls run beside each other none leaves it whole.
    fn survives(&self, error: &wasmtime::Error) -> bool {
        !self.is_concurrent() && !ends_the_store(error)
    }
}

impl Template {
    fn no_such_function(&self, name: &FunctionName, error: &wasmtime::Error) -> CallError {
        CallError::not_executed(CallErrorCode::NoSuchFunction, format!("{name}: {error}")).in_version(&self.version.id)
    }

    /// What became of a call that trapped.
    pub(crate) fn failed(&self, called: &dyn std::fmt::Display, error: &wasmtime::Error) -> CallError {
        let (message, backtrace) = describe(error);
        let failed = CallError::unknown(CallErrorCode::Trapped, format!("`{called}` {message}"));
        CallError {
            backtrace,
            ..failed.in_version(&self.version.id)
        }
    }
}

/// A call computes for so many epochs, the one in which it begins among them, before it lets others have their turn. With one, any call
/// that a tick falls into or that comes first after it, however short, would have to become a task.
const EPOCHS_BEFORE_OTHERS: u64 = 2;

/// A call begins: it sees the values of now, and the instance is not usable until it has ended well.
fn enter(store: &mut Store<Guest>, usable: &mut bool, frame: Arc<Frame>) {
    store.set_epoch_deadline(EPOCHS_BEFORE_OTHERS);
    let guest = store.data_mut();
    guest.frame = Some(frame);
    guest.calls_begun += 1;
    guest.take_values();
    *usable = false;
}

/// The `result` that a program's `main` would have returned, where it left by `wasi:cli/exit` instead.
fn exit_status(called: &Export, error: &wasmtime::Error) -> Option<Value> {
    let exit = error.downcast_ref::<I32Exit>().filter(|_| called.is_main)?;
    Some(Value::Result(if exit.0 == 0 { Ok(None) } else { Err(None) }))
}

/// A trap, or an error of a host function, ends the store. A result that cannot be read does not (on the plain engine).
pub(crate) fn ends_the_store(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<wasmtime::Trap>().is_some() || error.downcast_ref::<wasmtime::WasmBacktrace>().is_some()
}

/// The root cause in a few words, and the Wasm backtrace if there is one.
pub(crate) fn describe(error: &wasmtime::Error) -> (String, Option<String>) {
    let backtrace = error
        .downcast_ref::<wasmtime::WasmBacktrace>()
        .map(|backtrace| format!("{backtrace}").trim_end().to_string());
    let message = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => format!("trapped: {trap}"),
        None => format!("failed: {}", error.root_cause()),
    };
    (message, backtrace)
}

/// What is asked of the old version.
const OF_THE_OLD: [&str; 6] = ["save", "begin", "next", "pending", "rest", "cancel"];

/// Why an instance did not start, or did not do what the contract asks.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    /// The guest trapped.
    #[error("{phase} {message}")]
    Trap {
        /// The function of the contract, or `start`.
        phase: &'static str,
        /// The trap in words.
        message: String,
        /// The Wasm backtrace.
        backtrace: Option<String>,
    },
    /// The time limit passed.
    #[error("{phase} did not end within {limit:?} ({})", limit_of(phase))]
    Timeout {
        /// `start`, `health`, `save` or `migrate`.
        phase: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The guest answered `err`.
    #[error("{phase} said: {said}")]
    Said {
        /// `health`, `save` or `migrate`.
        phase: &'static str,
        /// The guest's words.
        said: String,
    },
    /// The saved state is larger than allowed.
    #[error("the state has {bytes} bytes, more than state_max = {limit}")]
    StateTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It sleeps: there is nothing to save.
    #[error("no instance is live; the newest state is already saved")]
    Asleep,
    /// A grant of the release cannot be given.
    #[error("{0}")]
    Grant(String),
    /// The module does not export the lifecycle interface.
    #[error("the module has no lifecycle interface")]
    Stateless,
    /// An export is not what the contract says.
    #[error("{0}")]
    Contract(String),
    /// A state changes too fast to be handed over in chunks.
    #[error("{0}")]
    TooFast(String),
    /// No version that is known can read the state.
    #[error("{0}")]
    Unreadable(String),
}

/// The limit of a step of the contract, by its name.
fn limit_of(phase: &str) -> String {
    match phase {
        "accept" | "finish" => "migrate_timeout".to_string(),
        "begin" | "next" | "pending" | "cancel" => "stuck_timeout".to_string(),
        "rest" => "save_timeout".to_string(),
        phase => format!("{phase}_timeout"),
    }
}

impl InstanceError {
    pub(crate) fn trap(phase: &'static str, error: &wasmtime::Error) -> Self {
        let (message, backtrace) = describe(error);
        InstanceError::Trap {
            phase,
            message,
            backtrace,
        }
    }

    /// What a version did not do with a state that it had taken.
    pub(crate) fn of_migrate(self) -> Self {
        match self {
            InstanceError::Said { said, .. } => InstanceError::Said { phase: "migrate", said },
            InstanceError::Trap { message, backtrace, .. } => InstanceError::Trap {
                phase: "migrate",
                message,
                backtrace,
            },
            other => other,
        }
    }

    /// The same, with more to say where a guest has spoken.
    pub(crate) fn and_also(&self, more: &str) -> Self {
        match self {
            InstanceError::Said { phase, said } => InstanceError::Said {
                phase,
                said: format!("{said}; {more}"),
            },
            other => other.clone(),
        }
    }

    /// Whether the content of the new version is at fault, so that trying the same bytes again is of no use (R36). What `save` does
    /// is the old version's affair.
    #[must_use]
    pub(crate) fn is_fault_of_content(&self) -> bool {
        match self {
            InstanceError::Trap { phase, .. } | InstanceError::Said { phase, .. } => !OF_THE_OLD.contains(phase),
            InstanceError::Stateless | InstanceError::Contract(_) => true,
            InstanceError::Timeout { .. }
            | InstanceError::StateTooLarge { .. }
            | InstanceError::Asleep
            | InstanceError::Grant(_)
            | InstanceError::TooFast(_)
            | InstanceError::Unreadable(_) => false,
        }
    }
}
