//! The compiler, and a bound on how long it may keep others waiting.

use super::cache::for_another_engine;
use super::contract::{HEALTH, INCREMENTAL, LIFECYCLE, LIVE};
use super::prepare::{Prepared, prepare, prepare_known};
use super::{EngineKind, Engines, Exports, HttpHandler, Incremental, Lifecycle, Version, VersionError, digest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmhot_appup::interface::{FunctionName, ModuleInterface};
use wasmhot_appup::{Digest, ModuleName};
use wasmtime::component::{Component, ComponentExportIndex};

const MIB: u64 = 1 << 20;

/// Compiles a file. Blocks for as long as Cranelift takes: ten seconds and more for an interpreter of 20 MB.
pub fn compile(engines: &Engines, file_stem: &str, bytes: &[u8]) -> Result<Version, VersionError> {
    let digest = digest(bytes);
    match load_known(engines, file_stem, bytes, digest)? {
        Some(version) => Ok(version),
        None => compile_anew(engines, file_stem, bytes, digest),
    }
}

fn compile_anew(engines: &Engines, file_stem: &str, bytes: &[u8], digest: Digest) -> Result<Version, VersionError> {
    let prepared = prepare_known(file_stem, bytes, digest)?;
    let component = engines
        .compiled(prepared.engine, (&digest, bytes), &prepared.component)
        .map_err(|error| VersionError::invalid(format!("{error:#}")))?;
    Ok(version(prepared, component, bytes))
}

/// None where the code of these bytes is not kept.
fn load_known(
    engines: &Engines,
    file_stem: &str,
    bytes: &[u8],
    digest: Digest,
) -> Result<Option<Version>, VersionError> {
    let prepared = prepare_known(file_stem, bytes, digest)?;
    let component = engines.kept(prepared.engine, (&digest, bytes), &prepared.component);
    Ok(component.map(|component| version(prepared, component, bytes)))
}

fn version(prepared: Prepared<'_>, component: Component, bytes: &[u8]) -> Version {
    let interface = Arc::new(prepared.contract.interface);
    let places = Places::of(&component, &interface);
    Version {
        id: prepared.id,
        kind_hint: prepared.identity.kind_hint,
        name_source: prepared.identity.source,
        state: prepared.state,
        appup: prepared.appup,
        size: bytes.len() as u64,
        engine: prepared.engine,
        exports: places.exports,
        lifecycle: places.lifecycle,
        health: places.health,
        live: places.live,
        incremental: places.incremental,
        http: places.http,
        interface,
        component,
    }
}

/// Where the functions of a component are: they are places in this one, and in no other that was made of the same bytes.
struct Places {
    exports: Exports,
    lifecycle: Option<Lifecycle>,
    health: Option<ComponentExportIndex>,
    live: Option<ComponentExportIndex>,
    incremental: Option<Incremental>,
    http: Option<HttpHandler>,
}

impl Places {
    fn of(component: &Component, interface: &ModuleInterface) -> Self {
        let place = |name: &FunctionName| index_of(component, name.interface.as_deref(), &name.name);
        let ours = |interface, function| index_of(component, Some(interface), function);
        let lifecycle = match (ours(LIFECYCLE, "save"), ours(LIFECYCLE, "migrate")) {
            (Some(save), Some(migrate)) => Some(Lifecycle { save, migrate }),
            _ => None,
        };
        Self {
            exports: Exports::new(interface, place),
            lifecycle,
            health: ours(HEALTH, "check"),
            live: ours(LIVE, "live"),
            incremental: incremental_of(component),
            http: handler_of(component, interface),
        }
    }
}

impl Version {
    /// The same version for instances that live for a moment only, on the engine for these. None where there is no such engine, or where
    /// it has no room for such a component.
    pub(crate) fn short_lived(&self, engines: &Engines) -> Option<Self> {
        if self.engine != EngineKind::Plain {
            return None;
        }
        let component = for_another_engine(engines.short_lived()?, &self.component);
        let component = component
            .inspect_err(|error| tracing::debug!("instances of {} are made one by one: {error:#}", self.id))
            .ok()?;
        let places = Places::of(&component, &self.interface);
        Some(Self {
            component,
            exports: places.exports,
            lifecycle: places.lifecycle,
            health: places.health,
            live: places.live,
            incremental: places.incremental,
            http: places.http,
            ..self.renamed(self.id.clone())
        })
    }
}

/// What a file calls itself. None if it is refused.
#[must_use]
pub fn name_of(file_stem: &str, bytes: &[u8]) -> Option<ModuleName> {
    Some(prepare(file_stem, bytes).ok()?.id.name)
}

fn incremental_of(component: &Component) -> Option<Incremental> {
    let place = |function| index_of(component, Some(INCREMENTAL), function);
    Some(Incremental {
        begin: place("begin")?,
        next: place("next")?,
        pending: place("pending")?,
        rest: place("rest")?,
        cancel: place("cancel")?,
        accept: place("accept")?,
        finish: place("finish")?,
    })
}

fn handler_of(component: &Component, interface: &ModuleInterface) -> Option<HttpHandler> {
    let name = interface.http_handler()?;
    let interface = name.interface.as_deref()?;
    let place = index_of(component, Some(interface), &name.name)?;
    Some(match interface.starts_with("wasi:http/incoming-handler@") {
        true => HttpHandler::Incoming(place),
        false => HttpHandler::Handler(place),
    })
}

fn index_of(component: &Component, interface: Option<&str>, function: &str) -> Option<ComponentExportIndex> {
    let Some(interface) = interface else {
        return component.get_export_index(None, function);
    };
    let instance = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&instance), function)
}

/// How long a file of this size may take: 10 s and 5 s for each MiB, at most 180 s.
#[must_use]
pub fn time_by_size(size: u64) -> Duration {
    let seconds = 10 + size.saturating_mul(5).div_ceil(MIB);
    Duration::from_secs(seconds.min(180))
}

/// Loads the code of a file that was compiled before; else compiles it on a thread of its own, for at most `limit` (or [`time_by_size`]). At most two files are compiled at a time;
/// waiting for a place does not count. `digest` is that of the bytes: who has read them knows it.
///
/// Nothing can stop Cranelift: after [`VersionError::CompileTimeout`] the thread runs on to its end and its result is thrown
/// away. Up to two such threads give their place to the next file; with more of them, the next file waits for one to end. So a
/// host with a watched directory trusts its files not to be compile bombs, up to there.
pub async fn compile_within(
    engines: Arc<Engines>,
    file_stem: &str,
    bytes: Arc<[u8]>,
    digest: Digest,
    limit: Option<Duration>,
) -> Result<Version, VersionError> {
    let limit = limit.unwrap_or_else(|| time_by_size(bytes.len() as u64));
    if engines.keeps_code() {
        let (engines, stem, bytes) = (Arc::clone(&engines), file_stem.to_owned(), Arc::clone(&bytes));
        let load = move || load_known(&engines, &stem, &bytes, digest);
        let loaded = tokio::time::timeout(limit, tokio::task::spawn_blocking(load)).await;
        let loaded = loaded.map_err(|_| VersionError::CompileTimeout { limit })?;
        if let Some(version) = loaded.map_err(|_| VersionError::CompilerStopped)?? {
            return Ok(version);
        }
    }
    // The semaphore is never closed.
    let place = engines
        .compiling
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| VersionError::CompilerStopped)?;
    let place = Place(Arc::new(Mutex::new(Some(place))));
    let abandoned = engines.abandoned.clone();
    let (done, result) = oneshot::channel();
    let (stem, held) = (file_stem.to_owned(), place.clone());
    // A plain thread, not one of the runtime's: the end of the runtime must not wait for a bomb.
    let work = move || {
        let compiled = compile_anew(&engines, &stem, &bytes, digest);
        held.leave();
        // Nobody listens any more: the caller has gone, or the time was up.
        let _ = done.send(compiled);
        drop(engines);
    };
    std::thread::Builder::new()
        .name("wasmhot-compile".to_owned())
        .spawn(work)
        .map_err(VersionError::NoThread)?;
    match tokio::time::timeout(limit, result).await {
        Ok(compiled) => compiled.unwrap_or(Err(VersionError::CompilerStopped)),
        Err(_) => {
            if let Ok(elsewhere) = abandoned.try_acquire_owned() {
                place.move_to(elsewhere);
            }
            Err(VersionError::CompileTimeout { limit })
        }
    }
}

/// The permit of a running compilation: among those that are waited for, or among the abandoned.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn leave(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Exchanges the permit, unless the compilation has ended meanwhile.
    fn move_to(&self, elsewhere: OwnedSemaphorePermit) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            *held = Some(elsewhere);
        }
    }
}
