//! The compiler and its clock: one Wasmtime engine per kind of component, and the thread that ticks their epochs.

use super::cache::{CodeCache, Counts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::{Config, Engine};

/// Length of an epoch: the grain of every deadline that interrupts guest code.
pub const EPOCH: Duration = Duration::from_millis(10);

/// Host frames need room on the stack of a call too.
const HOST_STACK: usize = 512 << 10;

/// Compilations that may run at once; more would only take the processors from the guests.
const COMPILES_AT_ONCE: usize = 2;

/// Which engine a component needs. Compiled code is not exchangeable between the two, and the concurrent one costs a guest
/// its instance for a wrong argument, so it is for those that ask for it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// One call at a time per instance: WASI 0.2, and all plain core modules.
    Plain,
    /// Calls overlap inside one instance: WASI 0.3.
    Concurrent,
}

/// What an engine is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Stack of a guest, in bytes. A call gets 512 KiB more, for the host's own frames.
    pub max_wasm_stack: usize,
}

/// All engines of a host. Dropping it stops the tick; compiled versions stay usable, but no deadline would fire any more.
pub struct Engines {
    plain: Engine,
    concurrent: Engine,
    pub(super) cache: Option<CodeCache>,
    pub(super) counts: Counts,
    /// Places for running compilations.
    pub(super) compiling: Arc<Semaphore>,
    /// Places for compilations that nobody waits for any more.
    pub(super) abandoned: Arc<Semaphore>,
    _ticker: Ticker,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            max_wasm_stack: 512 << 10,
        }
    }
}

impl Engines {
    /// Makes the engines and starts the tick.
    pub fn new(settings: &EngineSettings) -> wasmtime::Result<Self> {
        let plain = Engine::new(&config(settings, EngineKind::Plain))?;
        let concurrent = Engine::new(&config(settings, EngineKind::Concurrent))?;
        Ok(Engines {
            _ticker: Ticker::start(vec![plain.clone(), concurrent.clone()])?,
            plain,
            concurrent,
            cache: None,
            counts: Counts::default(),
            compiling: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
            abandoned: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
        })
    }

    /// The engine for components of this kind.
    #[must_use]
    pub fn get(&self, kind: EngineKind) -> &Engine {
        match kind {
            EngineKind::Plain => &self.plain,
            EngineKind::Concurrent => &self.concurrent,
        }
    }
}

fn config(settings: &EngineSettings, kind: EngineKind) -> Config {
    let mut config = Config::new();
    let is_concurrent = kind == EngineKind::Concurrent;
    config
        .concurrency_support(is_concurrent)
        .wasm_component_model_async(is_concurrent)
        .wasm_component_model_async_stackful(is_concurrent)
        .wasm_component_model_more_async_builtins(is_concurrent)
        .epoch_interruption(true)
        .max_wasm_stack(settings.max_wasm_stack)
        .async_stack_size(settings.max_wasm_stack + HOST_STACK)
        .wasm_memory64(false);
    // Threads, GC and exceptions are not compiled into this build of Wasmtime at all; backtraces are on by default.
    config
}

/// The thread that advances the epoch. It sleeps on a channel, so that dropping the sender ends it at once.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let tick = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EPOCH) {
                engines.iter().for_each(Engine::increment_epoch);
            }
        };
        let thread = std::thread::Builder::new()
            .name("wasmhot-epoch".to_owned())
            .spawn(tick)?;
        Ok(Ticker {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It cannot panic; if it did, there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Instance, Module, Store};

    #[test]
    fn epochs_interrupt_an_endless_loop_and_dropping_the_engines_ends_the_thread() {
        let engines = Engines::new(&EngineSettings::default()).expect("engines");
        let engine = engines.get(EngineKind::Plain);
        let wasm = wat::parse_str(r#"(module (func (export "spin") (loop (br 0))))"#).expect("wat");
        let module = Module::from_binary(engine, &wasm).expect("compiles");
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(2);
        let instance = Instance::new(&mut store, &module, &[]).expect("instantiates");
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").expect("exported");
        assert!(spin.call(&mut store, ()).is_err());
        // Joins the thread: would hang if it did not end.
        drop(engines);
    }
}
