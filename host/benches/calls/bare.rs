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
        // The host's own engine, so that epochs and stacks are the same.
        let engines = Engines::new(&EngineSettings::default())?;
        let engine = engines.get(EngineKind::Plain);
        let component = Component::from_file(engine, guest(file))?;
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
        let (engines, component, mut store) = Self::parts(file)?;
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self {
            store,
            instance,
            _engines: engines,
        })
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
