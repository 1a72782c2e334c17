//! The least that has to be done with compiled components before they can be called: without a host.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wasmhot::version::{EngineKind, EngineSettings, Engines};
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

struct Data {
    wasi: WasiCtx,
    http: WasiHttpCtx,
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

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: wasmtime_wasi_http::default_hooks(),
        }
    }
}

/// Compiled components in files, on the host's own engine.
pub(crate) struct Bare {
    engines: Engines,
    linker: Linker<Data>,
    files: Vec<PathBuf>,
}

impl Bare {
    /// Compiles the first and writes as many files: the others differ in sections that are not compiled.
    pub(crate) fn new(folder: &Path, modules: &[Vec<u8>]) -> wasmtime::Result<Self> {
        std::fs::create_dir(folder)?;
        let engines = Engines::new(&EngineSettings::default())?;
        let engine = engines.get(EngineKind::Plain);
        let compiled = Component::from_binary(engine, &modules[0])?.serialize()?;
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let files = (0..modules.len()).map(|number| {
            let path = folder.join(format!("{number}.cwasm"));
            std::fs::write(&path, &compiled).map(|()| path)
        });
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            engines,
            linker,
        })
    }

    fn engine(&self) -> &Engine {
        self.engines.get(EngineKind::Plain)
    }

    fn loaded(&self) -> wasmtime::Result<Vec<InstancePre<Data>>> {
        let load = |path: &PathBuf| {
            #[allow(unsafe_code, reason = "this is the call that the host is held against")]
            // SAFETY: written by `Bare::new` from what Wasmtime gave, into a folder of our own.
            let component = unsafe { Component::deserialize_file(self.engine(), path) }?;
            self.linker.instantiate_pre(&component)
        };
        self.files.iter().map(load).collect()
    }

    /// Loads and links all.
    pub(crate) fn load(&self) -> wasmtime::Result<Duration> {
        let begin = Instant::now();
        let loaded = self.loaded()?;
        let took = begin.elapsed();
        drop(loaded);
        Ok(took)
    }

    /// The same, and an instance of each, as a host has it when it is ready.
    pub(crate) async fn load_and_instantiate(&self) -> wasmtime::Result<Duration> {
        let begin = Instant::now();
        let mut living = Vec::new();
        for loaded in self.loaded()? {
            let data = Data {
                wasi: WasiCtx::builder().build(),
                http: WasiHttpCtx::new(),
                table: ResourceTable::new(),
            };
            let mut store = Store::new(self.engine(), data);
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            let instance = loaded.instantiate_async(&mut store).await?;
            living.push((store, instance));
        }
        Ok(begin.elapsed())
    }
}
