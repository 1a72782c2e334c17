//! The compiler, and a bound on how long it may keep others waiting.

use super::cache::Code;
use super::cache::for_another_engine;
use super::prepare::{Labelled, prepare, prepare_known};
use super::{EngineKind, Engines, Places, Version, VersionError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmhot_appup::{Digest, ModuleName};

const MIB: u64 = 1 << 20;

/// Compiles a file. Blocks for as long as Cranelift takes: ten seconds and more for an interpreter of 20 MB.
pub fn compile(engines: &Engines, file_stem: &str, bytes: &[u8]) -> Result<Version, VersionError> {
    let digest = Digest::of(bytes);
    match load_known(engines, file_stem, bytes, digest)? {
        Some(version) => Ok(version),
        None => compile_anew(engines, file_stem, bytes, digest),
    }
}

fn compile_anew(engines: &Engines, file_stem: &str, bytes: &[u8], digest: Digest) -> Result<Version, VersionError> {
    let prepared = prepare_known(file_stem, bytes, digest)?;
    let (kind, interface) = (prepared.engine, prepared.contract.interface);
    let code = engines.compiled(kind, (&digest, bytes), &prepared.component, interface);
    let code = code.map_err(|error| VersionError::invalid(format!("{error:#}")))?;
    Ok(version(prepared.labelled, code, bytes))
}

/// None where the code of these bytes is not kept. Bytes of which it is have this digest.
pub(crate) fn load_known(
    engines: &Engines,
    file_stem: &str,
    bytes: &[u8],
    digest: Digest,
) -> Result<Option<Version>, VersionError> {
    let Some(code) = engines.kept(&digest, bytes) else {
        return Ok(None);
    };
    let labelled = Labelled::read(file_stem, bytes, digest)?;
    Ok(Some(version(labelled, code, bytes)))
}

fn version(labelled: Labelled, code: Code, bytes: &[u8]) -> Version {
    Version {
        id: labelled.id,
        kind_hint: labelled.identity.kind_hint,
        name_source: labelled.identity.source,
        state: labelled.state,
        appup: labelled.appup,
        size: bytes.len() as u64,
        engine: code.kind,
        places: Places::of(&code.component, &code.interface),
        interface: Arc::new(code.interface),
        component: code.component,
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
        Some(Self {
            places: Places::of(&component, &self.interface),
            component,
            ..self.renamed(self.id.clone())
        })
    }
}

/// What a file calls itself. None if it is refused.
#[must_use]
pub fn name_of(file_stem: &str, bytes: &[u8]) -> Option<ModuleName> {
    Some(prepare(file_stem, bytes).ok()?.labelled.id.name)
}

/// How long a file of this size may take: 10 s and 5 s for each MiB, at most 180 s.
#[must_use]
pub fn time_by_size(size: u64) -> Duration {
    let seconds = 10 + size.saturating_mul(5).div_ceil(MIB);
    Duration::from_secs(seconds.min(180))
}

/// Loads the code of a file that was compiled before; else compiles it on a thread of its own. Either for at most `limit` (or
/// [`time_by_size`]). `digest` is that of the bytes: who has read them knows it.
///
/// At most two files are compiled at a time; waiting for a place does not count. Nothing can stop Cranelift: after
/// [`VersionError::CompileTimeout`] the thread runs on to its end and its result is thrown away. Up to two such threads give their place to
/// the next file; with more of them, the next file waits for one to end. So a host with a watched directory trusts its files not to be
/// compile bombs, up to there.
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
    compile_anew_within(engines, file_stem, bytes, digest, limit).await
}

/// As [`compile_within`], where the code is not kept.
pub(crate) async fn compile_anew_within(
    engines: Arc<Engines>,
    file_stem: &str,
    bytes: Arc<[u8]>,
    digest: Digest,
    limit: Duration,
) -> Result<Version, VersionError> {
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
