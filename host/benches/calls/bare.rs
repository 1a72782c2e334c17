//! The same functions without a host: an instance in Wasmtime, called with types that are known when this is compiled.

use super::guest;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmhot::version::{EngineKind, EngineSettings, Engines};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, ResourceTable, TypedFunc};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What a store carries.
pub(crate) struct Data {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: Default::default(),
        }
    }
}

/// An instance in a store.
pub(crate) struct Bare {
    pub(crate) store: Store<Data>,
    instance: Instance,
    _engines: Engines,
}

impl Bare {
    fn parts(kind: EngineKind, bytes: &[u8]) -> wasmtime::Result<(Engines, Component, Store<Data>)> {
        // The host's own engine, so that epochs and stacks are the same.
        let engines = Engines::new(&EngineSettings::default())?;
        let engine = engines.get(kind);
        let component = Component::from_binary(engine, bytes)?;
        let store = Store::new(engine, Data::new());
        Ok((engines, component, store))
    }

    /// For `call`.
    pub(crate) fn sync(file: &str) -> wasmtime::Result<Self> {
        Self::sync_of_bytes(&std::fs::read(guest(file))?)
    }

    /// As [`Bare::sync`], of a component that stands nowhere.
    pub(crate) fn sync_of_bytes(bytes: &[u8]) -> wasmtime::Result<Self> {
        let (engines, component, mut store) = Self::parts(EngineKind::Plain, bytes)?;
        let mut linker = Linker::new(component.engine());
        // Nothing that is called here needs what it imports. WASI for `call` would only be compiled for minutes.
        linker.define_unknown_imports_as_traps(&component)?;
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
        Self::of_bytes(&std::fs::read(guest(file))?).await
    }

    /// As [`Bare::asynchronous`], of a component that stands nowhere.
    pub(crate) async fn of_bytes(bytes: &[u8]) -> wasmtime::Result<Self> {
        Self::importing(bytes, |_| Ok(())).await
    }

    /// As [`Bare::of_bytes`], of a component that imports more than WASI.
    pub(crate) async fn importing(
        bytes: &[u8],
        imports: impl FnOnce(&mut Linker<Data>) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<Self> {
        Self::instantiated(EngineKind::Plain, bytes, imports).await
    }

    /// As [`Bare::asynchronous`], on the engine whose calls run beside each other (WASI 0.3).
    pub(crate) async fn concurrent(file: &str) -> wasmtime::Result<Self> {
        Self::instantiated(EngineKind::Concurrent, &std::fs::read(guest(file))?, |_| Ok(())).await
    }

    async fn instantiated(
        kind: EngineKind,
        bytes: &[u8],
        imports: impl FnOnce(&mut Linker<Data>) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<Self> {
        let (engines, component, mut store) = Self::parts(kind, bytes)?;
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        if component.engine().get_concurrency_support() {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        }
        imports(&mut linker)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self {
            store,
            instance,
            _engines: engines,
        })
    }

    /// A function of an interface, or without one where that is empty.
    pub(crate) fn function<P, R>(&mut self, interface: &str, name: &str) -> TypedFunc<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let interface = self.instance.get_export_index(&mut self.store, None, interface);
        let index = self
            .instance
            .get_export_index(&mut self.store, interface.as_ref(), name)
            .expect("is exported");
        self.instance
            .get_typed_func(&mut self.store, index)
            .expect("has this type")
    }

    /// So many calls of a function that gives the number that it is given, and how long they took.
    pub(crate) async fn run(&mut self, function: &str, n: i32, calls: u64) -> Duration {
        let function = self.function::<(i32,), (i32,)>("", function);
        let begin = Instant::now();
        for _ in 0..calls {
            let answer = function.call_async(&mut self.store, (n,)).await.expect("answers");
            assert_eq!(answer, (n,));
        }
        begin.elapsed()
    }

    /// So many calls of the lounge's `come`, or of its async `meet(1)`, which waits for nobody; and how long they took.
    pub(crate) async fn lounge(&mut self, is_async: bool, calls: u64) -> Duration {
        let lounge = "demo:lounge/lounge@1.0.0";
        let begin = Instant::now();
        if is_async {
            let function = self.function::<(u32,), (u32,)>(lounge, "meet");
            for _ in 0..calls {
                black_box(function.call_async(&mut self.store, (1,)).await.expect("answers"));
            }
        } else {
            let function = self.function::<(), (u32,)>(lounge, "come");
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
                let function = self.function::<$types, ($result,)>("", $name);
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
                let function = self.function::<$types, ($result,)>("", $name);
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

/// How long it takes, so often, to make an instance of `rooms` and call it.
pub(crate) async fn fresh_calls(bytes: &[u8], calls: usize) -> wasmtime::Result<Vec<f64>> {
    let (_engines, component, _) = Bare::parts(EngineKind::Plain, bytes)?;
    let mut linker = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let pre = linker.instantiate_pre(&component)?;
    let mut times = Vec::new();
    for _ in 0..calls {
        let begin = Instant::now();
        let mut store = Store::new(component.engine(), Data::new());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = pre.instantiate_async(&mut store).await?;
        let total = instance.get_typed_func::<(&str,), (u64,)>(&mut store, "total")?;
        black_box(total.call_async(&mut store, ("kitchen",)).await?);
        times.push(begin.elapsed().as_nanos() as f64);
    }
    Ok(times)
}
