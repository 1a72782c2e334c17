//! The compiler and its clock: one Wasmtime engine per kind of component, one for instances that live for a moment only, and the thread
//! that ticks their epochs.
//!
//! Invariant: what an engine is for may be made later than the host, but never without its tick.

use super::cache::{CodeCache, Counts};
use serde::{Deserialize, Serialize};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Length of an epoch: the grain of every deadline that interrupts guest code.
pub const EPOCH: Duration = Duration::from_millis(10);

/// Host frames need room on the stack of a call too.
const HOST_STACK: usize = 512 << 10;

/// Instances of a moment that live at the same time; those beyond are made as all others are. A sweep has one for each processor, a
/// rehearsal sixteen, a pool of fresh instances as many as it has calls: beyond this many the time of an instance is not what counts.
/// Each place costs 4 GiB of addresses, not of memory.
const PLACES: u32 = 64;

/// Core instances that a component is made of: its own module, and some adapters. Only counted, not reserved.
const CORE_INSTANCES_EACH: u32 = 32;

/// Tables of these. They are reserved, at 8 bytes an element.
const TABLES_EACH: u32 = 4;

/// As many elements as an instance may have ([`Guest`](crate::instance::guest)): a table is not to find its end earlier here.
const TABLE_ELEMENTS: usize = 1_000_000;

/// What a place keeps of the memory of an instance that has gone, for the next one. Guests of moderate size touch less; what is more
/// goes back to the system.
const KEPT_MEMORY: usize = 1 << 20;

/// The same of its tables. Stacks need not be cleared.
const KEPT_TABLES: usize = 64 << 10;

/// Records of an instance outside of its memory. They are not reserved: only very large components have more.
const INSTANCE_RECORDS: usize = 64 << 20;

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
    made: Arc<Made>,
    settings: EngineSettings,
    pub(super) cache: Option<CodeCache>,
    pub(super) counts: Counts,
    /// Places for running compilations.
    pub(super) compiling: Arc<Semaphore>,
    /// Places for compilations that nobody waits for any more.
    pub(super) abandoned: Arc<Semaphore>,
    _ticker: Ticker,
}

/// The engines that there are. All but the first are made when somebody asks for them: most hosts need no other.
struct Made {
    plain: Engine,
    concurrent: OnceLock<Engine>,
    short_lived: OnceLock<Option<Engine>>,
}

impl Made {
    fn tick(&self) {
        let short_lived = self.short_lived.get().and_then(Option::as_ref);
        let later = self.concurrent.get().into_iter().chain(short_lived);
        std::iter::once(&self.plain)
            .chain(later)
            .for_each(Engine::increment_epoch);
    }
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
        let made = Arc::new(Made {
            plain: Engine::new(&config(settings, EngineKind::Plain))?,
            concurrent: OnceLock::new(),
            short_lived: OnceLock::new(),
        });
        Ok(Engines {
            _ticker: Ticker::start(Arc::clone(&made))?,
            made,
            settings: *settings,
            cache: None,
            counts: Counts::default(),
            compiling: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
            abandoned: Arc::new(Semaphore::new(COMPILES_AT_ONCE)),
        })
    }

    /// The engine for components of this kind.
    #[must_use]
    pub fn get(&self, kind: EngineKind) -> &Engine {
        let make = || {
            let config = config(&self.settings, EngineKind::Concurrent);
            Engine::new(&config).expect("the same settings have made the plain one, and these features are compiled in")
        };
        match kind {
            EngineKind::Plain => &self.made.plain,
            EngineKind::Concurrent => self.made.concurrent.get_or_init(make),
        }
    }

    /// The engine for plain components whose instances live for a moment: a key on its way to the next version, a rehearsal, a single
    /// call. It has a few places that are used again and again, so that an instance costs no mapping and unmapping of memory. It loads what
    /// [`EngineKind::Plain`] has compiled.
    ///
    /// None where the system does not give so many addresses. There is none for WASI 0.3: an instance there takes a stack for each of
    /// its tasks, and would die of it where there is no further one.
    pub(crate) fn short_lived(&self) -> Option<&Engine> {
        let make = || {
            let mut config = config(&self.settings, EngineKind::Plain);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(places()));
            let made = Engine::new(&config);
            made.inspect_err(|error| tracing::warn!("instances are made one by one: {error:#}"))
                .ok()
        };
        self.made.short_lived.get_or_init(make).as_ref()
    }
}

/// The places for short-lived instances. Their limits are those of all others: nothing is to fail here that does not fail elsewhere.
fn places() -> PoolingAllocationConfig {
    let mut places = PoolingAllocationConfig::new();
    places
        .total_component_instances(PLACES)
        .total_stacks(PLACES)
        .total_memories(PLACES)
        .total_tables(PLACES * TABLES_EACH)
        .total_core_instances(PLACES * CORE_INSTANCES_EACH)
        .max_core_instance_size(INSTANCE_RECORDS)
        .max_component_instance_size(INSTANCE_RECORDS)
        .max_tables_per_module(TABLES_EACH)
        .table_elements(TABLE_ELEMENTS);
    // Without a map of the pages that were touched, to keep memory means to clear all of it each time: that costs more than it saves.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        places
            .pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(KEPT_MEMORY)
            .table_keep_resident(KEPT_TABLES);
    }
    places
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
    fn start(engines: Arc<Made>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let tick = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EPOCH) {
                engines.tick();
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
