//! A host starts: the state directory is locked, the catalog boots, the release or the directory is applied, drops are watched.

use super::boot::boot;
use super::load::{blocking, desired, kept_code, load_spec, of_store};
use super::releases::records_of;
use super::{
    Host, HostBuilder, Inner, apply, attempts, backup, drops, lock, plans, probation, recover, saver, schedules,
};
use crate::call::lane::Errand;
use crate::call::router::Router;
use crate::call::routes::{Routes, Target};
use crate::call::services::Services;
use crate::call::turn::is_guest_thread;
use crate::control::protocol::{Exit, Failure};
use crate::event::{EventKind, Events, Happening};
use crate::instance::outside::Outside;
use crate::intake::Watcher;
use crate::state::States;
use crate::store::{Catalog, KeyValue, Meta, Objects, StateLock};
use crate::upgrade::Core;
use crate::upgrade::journal::{Attempt, Journal};
use crate::upgrade::plan::{Asked, Options, RevisionRecord};
use crate::version::{EngineSettings, Engines};
use crate::versions::Versions;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use wasmhot_appup::{
    Digest, HostSettings, HttpSettings, LimitsSpec, ModuleName, Release, Version as Semver, default_moves,
};

/// What the host was told to run.
struct Source {
    name: String,
    /// The directory that is watched: of the modules, or of the release.toml.
    directory: Option<PathBuf>,
    release: Option<(Release, Digest)>,
}

/// A state directory that goes with the host.
pub(super) struct TemporaryState(PathBuf);

impl Drop for TemporaryState {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} could not be removed: {error}", self.0.display());
        }
    }
}

fn temporary() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    std::env::temp_dir().join(format!(
        "wasmhot-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ))
}

pub(super) async fn start(builder: HostBuilder) -> Result<Host, Failure> {
    let source = blocking({
        let path = builder.source.clone();
        move || read_source(path.as_deref())
    })
    .await?;
    let of_release = source.release.as_ref().map(|(release, _)| release.host.clone());
    // Flags over the release's own.
    let settings = builder.settings.or(of_release.unwrap_or_default());
    let (state, kept) = match builder.state {
        Some(state) => (state, true),
        None => (temporary(), false),
    };
    let (too_many_failed_keys, failed_keys) = mpsc::unbounded_channel();
    let events = builder.events.unwrap_or_default();
    let (watched, http) = (settings.watch(), settings.http.clone());
    let inner = open(
        &source,
        (watched, http),
        (state, kept),
        builder.restore,
        builder.limits,
        events,
        too_many_failed_keys,
    )
    .await?;
    let host = Host { inner: Arc::new(inner) };
    run_source(&host.inner, &source, &settings).await?;
    if let Some(directory) = host.inner.directory.clone() {
        let (watcher, files) = Watcher::start(&directory, settings.settle(), settings.file_max())
            .map_err(|error| Failure::new("watch", Exit::Failed, error.to_string()))?;
        drops::watch(&host.inner, watcher, files, &settings);
    }
    go_live(&host.inner);
    schedules::start(&host.inner);
    saver::start(&host.inner);
    probation::watch(&host.inner);
    host.inner.sweep_at_start();
    apply::undo_on_failed_keys(&host.inner, failed_keys);
    let routes = host.inner.core.router.routes();
    let (compiled, from_cache) = host.inner.core.versions.engines.counts();
    let message = format!(
        "release {} {} (revision {}), {}",
        routes.release,
        routes.release_version,
        routes.revision,
        count(routes.modules.len(), "module")
    );
    host.inner.core.events.publish(
        Happening::new(EventKind::Ready, message)
            .revision(routes.revision)
            .details(serde_json::json!({ "compiled": compiled, "from_cache": from_cache })),
    );
    Ok(host)
}

/// Modules that came back with the catalog are told that they serve; those that an upgrade brought have been told.
fn go_live(inner: &Inner) {
    let routes = inner.core.router.routes();
    for route in routes.modules.values() {
        if let Target::Single(lane) = &route.target
            && route.template.version.places.live.is_some()
        {
            lane.send_first(Errand::GoLive(Arc::clone(&routes)));
            lane.wake_up();
        }
    }
}

/// `1 module`, `2 modules`.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn read_source(path: Option<&Path>) -> Result<Source, Failure> {
    let Some(path) = path else {
        return Ok(Source {
            name: "empty".to_string(),
            directory: None,
            release: None,
        });
    };
    let given = path.display();
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message =
                format!("{given}: there is no such file or directory; run a directory of modules, or a release.toml");
            Failure::new("no-such-file", Exit::Refused, message)
        }
        _ => Failure::new("io", Exit::Refused, format!("{given}: {error}")),
    };
    let path = path.canonicalize().map_err(wrong)?;
    if path.is_dir() && !path.join("release.toml").is_file() {
        let name = path
            .file_name()
            .map_or_else(|| "root".to_string(), |name| name.to_string_lossy().into_owned());
        return Ok(Source {
            name,
            directory: Some(path),
            release: None,
        });
    }
    let file = if path.is_dir() { path.join("release.toml") } else { path };
    if crate::intake::is_wasm(&file) {
        let message = format!("{given}: this is a module; run the directory in which it lies, or a release.toml");
        return Err(Failure::new("not-a-release", Exit::Refused, message));
    }
    let text = std::fs::read_to_string(&file).map_err(wrong)?;
    let release = Release::parse(&file.display().to_string(), &text)
        .map_err(|error| Failure::new("bad-release", Exit::Refused, error.to_string()).in_phase("check"))?;
    let directory = file.parent().map(Path::to_path_buf);
    Ok(Source {
        name: release.name.clone(),
        directory,
        release: Some((release, Digest::of(text.as_bytes()))),
    })
}

struct Store {
    catalog: Arc<Catalog>,
    objects: Arc<Objects>,
    record: Option<RevisionRecord>,
    /// Every version that any revision names, or a saved state has to go through.
    known: Vec<wasmhot_appup::ModuleVersion>,
    meta: Meta,
    /// The record that boots instead of the one that ran: the host ended in probation (R40).
    went_back: bool,
    attempts: Vec<Attempt>,
    lock: StateLock,
}

fn open_store(state: &Path, restore: Option<&Path>) -> Result<Store, Failure> {
    let lock = StateLock::take(state).map_err(|error| of_store(&error))?;
    if let Some(restore) = restore {
        backup::restore(restore, state)?;
    }
    let catalog = Catalog::open(state).map_err(|error| of_store(&error))?;
    let objects = Objects::open(state).map_err(|error| of_store(&error))?;
    let meta = catalog.meta().map_err(|error| of_store(&error))?;
    let attempts = catalog.attempts().map_err(|error| of_store(&error))?;
    let mut known = meta.middle.clone();
    let mut record = None;
    let records = records_of(&catalog)?;
    let newest = records.keys().last().copied().unwrap_or(0);
    for (revision, found) in records {
        known.extend(found.modules.iter().map(|module| module.id.clone()));
        known.extend(found.middle.iter().cloned());
        if Some(revision) == meta.permanent {
            record = Some(found);
        }
    }
    let went_back = meta.current != meta.permanent;
    if let Some(record) = record.as_mut().filter(|_| went_back) {
        // Going back is a revision of its own (R38).
        record.revision = newest + 1;
        record.asked = Asked::CrashInProbation;
        record.time_ms = crate::event::now_ms();
    }
    Ok(Store {
        catalog: Arc::new(catalog),
        objects: Arc::new(objects),
        record,
        known,
        meta,
        went_back,
        attempts,
        lock,
    })
}

async fn open(
    source: &Source,
    (watched, http): (bool, HttpSettings),
    (state, kept): (PathBuf, bool),
    restore: Option<PathBuf>,
    flags: LimitsSpec,
    events: Arc<Events>,
    too_many_failed_keys: UnboundedSender<u64>,
) -> Result<Inner, Failure> {
    let temporary = (!kept).then(|| TemporaryState(state.clone()));
    let store = blocking({
        let state = state.clone();
        move || open_store(&state, restore.as_deref())
    })
    .await?;
    let internal = |error: &dyn std::fmt::Display| Failure::new("internal", Exit::Bug, error.to_string());
    let stack = flags.stack_max.unwrap_or(wasmhot_appup::Limits::default().stack_max);
    let engines = Engines::new(&EngineSettings {
        max_wasm_stack: usize::try_from(stack).unwrap_or(512 << 10),
    })
    .map_err(|error| internal(&error))?;
    let (cache, untouchable) = kept_code(kept.then_some(state.as_path()), &events).await?;
    let engines = engines.with_cache(cache);
    let keyvalue = Arc::new(KeyValue::new(Some(&state)));
    let outside = Outside::new(Arc::clone(&events), Arc::clone(&keyvalue), untouchable);
    let versions = Versions::new(Arc::new(engines), Arc::clone(&store.objects), outside);
    let versions = Arc::new(versions.map_err(|error| internal(&error))?);
    for id in &store.known {
        versions.know(id);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("wasmhot-guest")
        .on_thread_start(is_guest_thread)
        .enable_all()
        .build()
        .map_err(|error| internal(&error))?;
    let guests = runtime.handle().clone();
    let states = States::new(Arc::clone(&store.catalog), Arc::clone(&versions), guests.clone());
    let empty = Routes::new(
        0,
        source.name.clone(),
        Semver::new(0, 0, 0),
        BTreeMap::new(),
        wasmhot_appup::Wiring::default(),
    );
    let journal = Journal::open(&store.catalog).map_err(|error| of_store(&error))?;
    let core = Arc::new(Core {
        router: Router::new(empty),
        services: Services::new(guests, Arc::clone(&events), states),
        events,
        catalog: store.catalog,
        objects: store.objects,
        keyvalue,
        versions,
        flags,
        held: watch::channel(store.meta.held.clone()).0,
        meta: Mutex::new(store.meta),
        journal,
        probation: watch::channel(None).0,
        upgrading: tokio::sync::Mutex::new(()),
        busy: watch::channel(None).0,
        last_called_off: Mutex::new(None),
        too_many_failed_keys,
    });
    if let Some(record) = &store.record {
        let routes = boot(&core, record).await?;
        core.router.switch(routes);
        if store.went_back {
            recover::went_back(&core, record, &store.attempts).await?;
        }
    }
    recover::finish(&core, store.attempts).await;
    Ok(Inner {
        core,
        directory: source.directory.clone().filter(|_| watched),
        state: kept.then_some(state),
        started: Instant::now(),
        stopping: AtomicBool::new(false),
        stops: watch::channel(false).0,
        stopped: watch::channel(None).0,
        http,
        listening: Mutex::default(),
        connections: AtomicU64::new(0),
        attempts: attempts::Attempts::default(),
        drops: Mutex::default(),
        schedules: Arc::default(),
        changed: Arc::default(),
        save_skipped: Mutex::default(),
        guests: Some(runtime),
        lock: Mutex::new(Some(store.lock)),
        _temporary: temporary,
    })
}

/// The release.toml is applied if it is not the one that the catalog came from; a directory's files are all drops at once.
async fn run_source(inner: &Arc<Inner>, source: &Source, settings: &HostSettings) -> Result<(), Failure> {
    let booted = inner.core.router.routes().revision > 0;
    match &source.release {
        Some((release, file)) => {
            let same = inner.core.meta().release_file == Some(*file);
            if booted && same {
                return Ok(());
            }
            let folder = source.directory.clone().unwrap_or_default();
            if !booted && settings.watch() {
                drops::pass_over_at_start(inner, &folder, settings).await;
            }
            let applied = apply_release(inner, release, *file, &folder).await;
            match applied {
                // What ran before goes on. With nothing to run there is nothing to go on.
                Err(failure) if booted => {
                    let message = format!("release.toml has changed, but cannot be applied: {failure}");
                    *inner.core.last_called_off.lock().expect("no panic under this lock") = Some(message.clone());
                    let details = serde_json::json!({ "code": failure.code, "phase": failure.phase });
                    inner
                        .core
                        .events
                        .publish(Happening::new(EventKind::Alarm, message).details(details));
                    Ok(())
                }
                other => other,
            }
        }
        None => {
            if let Some(directory) = &source.directory {
                drops::take_at_start(inner, directory, settings).await;
            }
            Ok(())
        }
    }
}

async fn apply_release(inner: &Arc<Inner>, release: &Release, file: Digest, folder: &Path) -> Result<(), Failure> {
    let mut all = BTreeMap::new();
    for spec in &release.modules {
        let mut spec = spec.clone();
        if spec.path.is_none() {
            spec.path = Some(default_path(&spec.name, spec.version.as_ref()));
        }
        // Relative to the release, not to wherever the host was started.
        spec.resolve_paths(|path| folder.join(path).display().to_string());
        let name = spec.name.clone();
        let module = load_spec(inner, folder, spec, &release.limits, None).await?;
        all.insert(
            name,
            desired(&inner.core, module.version, module.config.spec, &release.limits),
        );
    }
    let old = inner.core.router.routes();
    let mut plan = plans::plan_from(inner, Asked::Start, all, release.limits.clone(), Options::default());
    plan.moves = plans::with_new_settings(inner, &plan.desired, default_moves(&old.graph(), &plan.graph()));
    plan.release.clone_from(&release.name);
    plan.release_version = release.version.clone();
    plan.release_file = Some(file);
    // Nobody else can ask for an upgrade before the host has started, so the plan cannot be outdated.
    inner.core.upgrade(plan, lock::lock(inner)).await.map(drop)
}

/// The file of a module of which the release does not say it.
pub(crate) fn default_path(name: &ModuleName, version: Option<&Semver>) -> String {
    match version {
        Some(version) => format!("{name}-{version}.wasm"),
        None => format!("{name}.wasm"),
    }
}
