//! The same functions without a host: an instance in Wasmtime, called with types that are known when this is compiled.

use super::guest;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmhot::version::{EngineKind, EngineSettings, Engines};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) struct Data {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// An instance in a store.
pub(crate) struct Bare {
    store: Store<Data>,
    instance: Instance,
    _engines: Engines,
}

impl Bare {
    fn parts(file: &str) -> wasmtime::Result<(Engines, Component, Store<Data>)> {
        Self::parts_on(EngineKind::Plain, &std::fs::read(guest(file))?)
    }

    fn parts_on(kind: EngineKind, bytes: &[u8]) -> wasmtime::Result<(Engines, Component, Store<Data>)> {
        // The host's own engine, so that epochs and stacks are the same.
        let engines = Engines::new(&EngineSettings::default())?;
        let engine = engines.get(kind);
        let component = Component::from_binary(engine, bytes)?;
        let data = Data {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        };
        let store = Store::new(engine, data);
        Ok((engines, component, store))
    }

    /// For `call`.
    pub(crate) fn sync(file: &str) -> wasmtime::Result<Self> {
        let (engines, component, mut store) = Self::parts(file)?;
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate(&mut store, &component)?;
        Ok(Self {
            store,
            instance,
            _engines: engines,
        })
    }

    /// For `call_async`, with epochs as in the host.
    pub(crate) async fn asynchronous(file: &str) -> wasmtime::Result<Self> {
        let (engines, component, store) = Self::parts(file)?;
        Self::instantiated(engines, component, store).await
    }

    /// As [`Bare::asynchronous`], of a component that stands nowhere.
    pub(crate) async fn of_bytes(bytes: &[u8]) -> wasmtime::Result<Self> {
        let (engines, component, store) = Self::parts_on(EngineKind::Plain, bytes)?;
        Self::instantiated(engines, component, store).await
    }

    /// As [`Bare::asynchronous`], on the engine whose calls run beside each other (WASI 0.3).
    pub(crate) async fn concurrent(file: &str) -> wasmtime::Result<Self> {
        let (engines, component, store) = Self::parts_on(EngineKind::Concurrent, &std::fs::read(guest(file))?)?;
        Self::instantiated(engines, component, store).await
    }

    async fn instantiated(engines: Engines, component: Component, mut store: Store<Data>) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        if component.engine().get_concurrency_support() {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self {
            store,
            instance,
            _engines: engines,
        })
    }

    /// So many calls of `run(n)`, and how long they took.
    pub(crate) async fn run(&mut self, n: i32, calls: u64) -> Duration {
        let function = self.instance.get_typed_func::<(i32,), (i32,)>(&mut self.store, "run");
        let function = function.expect("is exported");
        let begin = Instant::now();
        for _ in 0..calls {
            let answer = function.call_async(&mut self.store, (n,)).await.expect("answers");
            assert_eq!(answer, (n,));
        }
        begin.elapsed()
    }

    /// So many calls of the lounge's `come`, or of its async `meet(1)`, which waits for nobody; and how long they took.
    pub(crate) async fn lounge(&mut self, is_async: bool, calls: u64) -> Duration {
        let lounge = self
            .instance
            .get_export_index(&mut self.store, None, "demo:lounge/lounge@1.0.0");
        let name = if is_async { "meet" } else { "come" };
        let index = self.instance.get_export_index(&mut self.store, lounge.as_ref(), name);
        let index = index.expect("is exported");
        let begin = Instant::now();
        if is_async {
            let function = self.instance.get_typed_func::<(u32,), (u32,)>(&mut self.store, index);
            let function = function.expect("is exported");
            for _ in 0..calls {
                black_box(function.call_async(&mut self.store, (1,)).await.expect("answers"));
            }
        } else {
            let function = self.instance.get_typed_func::<(), (u32,)>(&mut self.store, index);
            let function = function.expect("is exported");
            for _ in 0..calls {
                black_box(function.call_async(&mut self.store, ()).await.expect("answers"));
            }
        }
        begin.elapsed()
    }

    /// So many calls, and how long they took.
    pub(crate) fn calls(&mut self, module: &str, calls: u64) -> Duration {
        macro_rules! calls {
            ($name:literal, $args:expr, $types:ty, $result:ty) => {{
                let function = self
                    .instance
                    .get_typed_func::<$types, ($result,)>(&mut self.store, $name)
                    .expect("is exported");
                let begin = Instant::now();
                for _ in 0..calls {
                    black_box(function.call(&mut self.store, $args).expect("answers"));
                }
                begin.elapsed()
            }};
        }
        match module {
            "counter" => calls!("increment", (1,), (i64,), i64),
            "tally" => calls!("add", (40, 2), (i64, i64), i64),
            _ => calls!("total", ("kitchen",), (&str,), u64),
        }
    }

    /// As [`Bare::calls`], by `call_async`.
    pub(crate) async fn calls_async(&mut self, module: &str, calls: u64) -> Duration {
        macro_rules! calls {
            ($name:literal, $args:expr, $types:ty, $result:ty) => {{
                let function = self
                    .instance
                    .get_typed_func::<$types, ($result,)>(&mut self.store, $name)
                    .expect("is exported");
                let begin = Instant::now();
                for _ in 0..calls {
                    black_box(
                        function
                            .call_async(&mut self.store, $args)
                            .await
                            .expect("answers"),
                    );
                }
                begin.elapsed()
            }};
        }
        match module {
            "counter" => calls!("increment", (1,), (i64,), i64),
            "tally" => calls!("add", (40, 2), (i64, i64), i64),
            _ => calls!("total", ("kitchen",), (&str,), u64),
        }
    }
}
