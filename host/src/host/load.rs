//! From a file to a module that a release can have: read, compiled, kept in the object store, configured.

use super::Inner;
use super::plans::current_record;
use crate::control::protocol::{Exit, Failure};
use crate::event::Events;
use crate::instance::ModuleConfig;
use crate::intake::{printable, take};
use crate::store::{StoreError, Untouchable};
use crate::upgrade::Core;
use crate::upgrade::plan::{Desired, RevisionRecord};
use crate::version::{self, CodeCache, Version, VersionError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Digest, Kind, Limits, LimitsSpec, MiddleSpec, ModuleName, ModuleSpec, ModuleVersion, Relup};

/// The largest file that `apply` and a release may name: as large as a component of an interpreter may be.
pub(crate) const FILE_MAX: u64 = 256 << 20;

/// How long a file may be compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct CompileLimits {
    /// For any file: as the caller says, else as the command line of the host does.
    asked: Option<Duration>,
    /// As the release says of a module.
    modules: BTreeMap<ModuleName, Duration>,
    /// As the release says.
    release: Option<Duration>,
}

impl CompileLimits {
    /// Of the release that runs.
    pub(super) async fn of(inner: &Inner, asked: &LimitsSpec) -> Result<Self, Failure> {
        let current = current_record(inner).await?;
        let own = |record: &RevisionRecord| -> BTreeMap<_, _> {
            let own = record.modules.iter();
            own.filter_map(|module| Some((module.id.name.clone(), module.spec.limits.compile_timeout?)))
                .collect()
        };
        Ok(Self {
            asked: asked.compile_timeout.or(inner.core.flags.compile_timeout),
            modules: current.as_ref().map(own).unwrap_or_default(),
            release: current.and_then(|record| record.limits.compile_timeout),
        })
    }

    /// None: as its size says.
    fn get(&self, file_stem: &str, bytes: &[u8]) -> Option<Duration> {
        let own = || self.modules.get(&version::name_of(file_stem, bytes)?).copied();
        let own = || (!self.modules.is_empty()).then(own).flatten();
        self.asked.or_else(own).or(self.release)
    }
}

/// Reads and compiles a file, and keeps its bytes.
pub(super) async fn load_file(core: &Core, path: &Path, limits: &CompileLimits) -> Result<Arc<Version>, Failure> {
    let shown = printable(path);
    let owned = path.to_path_buf();
    let taken = blocking(move || {
        take(&owned, FILE_MAX)
            .map_err(|error| Failure::new(error.code(), Exit::Refused, error.to_string()).in_phase("take"))
    });
    let loaded = async {
        let taken = taken.await?;
        load_bytes(core, &taken.stem, taken.bytes, taken.digest, limits).await
    };
    loaded.await.map_err(|failure| Failure {
        message: format!("{shown}: {}", failure.message),
        ..failure
    })
}

/// Compiles bytes unless that was done before, and keeps them.
pub(super) async fn load_bytes(
    core: &Core,
    stem: &str,
    bytes: Arc<[u8]>,
    digest: Digest,
    limits: &CompileLimits,
) -> Result<Arc<Version>, Failure> {
    let version = match core.versions.compiled(&digest) {
        // The file's name may be part of the version's name (R5), so only a version with the same bytes *and* name is the same.
        Some(version) if !version.is_named_by_file() => version,
        _ => {
            let limit = limits.get(stem, &bytes);
            let compiled = version::compile_within(
                Arc::clone(&core.versions.engines),
                stem,
                Arc::clone(&bytes),
                digest,
                limit,
            )
            .await;
            Arc::new(compiled.map_err(|error| of_version(&error))?)
        }
    };
    let objects = Arc::clone(&core.objects);
    blocking(move || objects.put_known(&digest, &bytes).map_err(|error| of_store(&error))).await?;
    core.versions.keep(&version);
    Ok(version)
}

/// Where compiled code is kept, and what no guest may reach because of that. A state that goes with the host has nothing to remember.
pub(super) async fn kept_code(
    state: Option<&Path>,
    events: &Arc<Events>,
) -> Result<(Option<CodeCache>, Option<Untouchable>), Failure> {
    let Some(state) = state.map(Path::to_path_buf) else {
        return Ok((None, None));
    };
    let events = Arc::clone(events);
    blocking(move || {
        let untouchable = Untouchable::new(&state).map_err(|error| of_store(&StoreError::io(&state, error)))?;
        Ok((CodeCache::open(&state, &events), Some(untouchable)))
    })
    .await
}

/// Where the file of a module lies: relative to the release or relup that names it.
pub(crate) fn path_of(folder: &Path, spec: &ModuleSpec) -> Result<PathBuf, Failure> {
    let path = spec.path.as_ref().ok_or_else(|| {
        let message = format!(
            "module `{}` has no `path`: say which file it is, relative to the release or relup",
            spec.name
        );
        Failure::new("no-path", Exit::Refused, message).in_phase("take")
    })?;
    Ok(folder.join(path))
}

/// Who a file is that a spec names, or in what it is not what the spec says. `found` is what it says itself.
pub(crate) fn identified(
    spec: &ModuleSpec,
    path: &Path,
    found: &ModuleVersion,
    is_named_by_file: bool,
) -> Result<ModuleVersion, Failure> {
    let wrong = |code: &str, message: String| {
        let message = format!("{}: {message}", path.display());
        Err(Failure::new(code, Exit::Refused, message).in_phase("take"))
    };
    if let Some(sha256) = spec.sha256.filter(|sha256| *sha256 != found.digest) {
        return wrong("wrong-digest", format!("its sha256 is {}, not {sha256}", found.digest));
    }
    // A name in the file that is not the module's would make two modules of one.
    if found.name != spec.name && !is_named_by_file {
        return wrong(
            "wrong-name",
            format!("it calls itself `{}`, not `{}`", found.name, spec.name),
        );
    }
    let stated = spec.version.clone().unwrap_or_else(|| found.version.clone());
    if stated != found.version && !is_named_by_file {
        return wrong(
            "wrong-version",
            format!("it is version {}, not {stated}", found.version),
        );
    }
    Ok(ModuleVersion {
        name: spec.name.clone(),
        version: stated,
        digest: found.digest,
    })
}

/// Reads the file that a spec names and checks that it is what the spec says. It is compiled within `asked`, if that is given.
pub(super) async fn load_spec(
    inner: &Inner,
    folder: &Path,
    spec: ModuleSpec,
    limits: &LimitsSpec,
    asked: Option<Duration>,
) -> Result<Desired, Failure> {
    let path = path_of(folder, &spec)?;
    let compile = CompileLimits {
        asked: asked
            .or(inner.core.flags.compile_timeout)
            .or(spec.limits.compile_timeout),
        release: limits.compile_timeout,
        ..CompileLimits::default()
    };
    let version = load_file(&inner.core, &path, &compile).await?;
    let id = identified(&spec, &path, &version.id, version.is_named_by_file())?;
    let version = if id == version.id {
        version
    } else {
        Arc::new(version.renamed(id))
    };
    inner.core.versions.keep(&version);
    Ok(desired(&inner.core, version, spec, limits))
}

/// Reads a relup.
///
/// # Errors
/// Every fault of the text, with its place.
pub(crate) fn read_relup(path: &Path) -> Result<Relup, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", path.display())))?;
    parse_relup(path, &text)
}

/// Reads the text of one that lies, or would lie, there.
pub(super) fn parse_relup(path: &Path, text: &str) -> Result<Relup, Failure> {
    Relup::parse(&path.display().to_string(), text)
        .map_err(|faults| Failure::new("bad-relup", Exit::Refused, faults.to_string()).in_phase("check"))
}

/// A version that a relup names only to pass a state on: its file, or one that the host has.
pub(super) async fn load_middle(
    inner: &Inner,
    folder: &Path,
    middle: &MiddleSpec,
    limits: &LimitsSpec,
    asked: Option<Duration>,
) -> Result<Arc<Version>, Failure> {
    let named = format!("{}@{}", middle.name, middle.version);
    if middle.path.is_some() {
        let spec = ModuleSpec {
            version: Some(middle.version.clone()),
            path: middle.path.clone(),
            sha256: middle.sha256,
            ..ModuleSpec::new(middle.name.clone())
        };
        return Ok(load_spec(inner, folder, spec, limits, asked).await?.version);
    }
    let known = inner.core.versions.known();
    let is = |id: &&ModuleVersion| {
        let digest = middle.sha256.is_none_or(|digest| digest == id.digest);
        id.name == middle.name && id.version == middle.version && digest
    };
    let wrong = |why: String| Failure::new("no-middle-version", Exit::Refused, why).in_phase("take");
    let id = known.iter().find(is).ok_or_else(|| {
        wrong(format!(
            "the host does not have {named}, through which a state shall go: say its `path` in `[[middle]]`"
        ))
    })?;
    let version = inner.core.versions.get(id).await;
    version.map_err(|error| {
        wrong(format!(
            "{named}, through which a state is to go, cannot be loaded: {error}"
        ))
    })
}

pub(crate) fn of_version(error: &VersionError) -> Failure {
    let exit = if error.is_refusal() {
        Exit::Refused
    } else {
        Exit::Failed
    };
    let mut failure = Failure::new(error.code(), exit, error.to_string()).in_phase("take");
    failure.content_at_fault = error.is_permanent();
    failure
}

pub(super) fn of_store(error: &StoreError) -> Failure {
    let exit = if error.code() == "already-running" {
        Exit::Busy
    } else {
        Exit::Failed
    };
    Failure::new(error.code(), exit, error.to_string())
}

/// Runs what blocks on the disk off the guests' threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new("internal", Exit::Bug, error.to_string())),
    }
}

/// A version with its configuration: the flags over the module's own limits over those of the release.
pub(super) fn desired(core: &Core, version: Arc<Version>, spec: ModuleSpec, release: &LimitsSpec) -> Desired {
    let kind = spec
        .kind
        .or(version.kind_hint)
        .unwrap_or(Kind::default_for(version.interface.stateful));
    let mut limits = Limits::resolve(kind, &spec.limits, release);
    core.flags.apply_to(&mut limits);
    Desired {
        version,
        config: ModuleConfig { spec, kind, limits },
    }
}

impl Inner {
    /// What runs now, as the start of a plan.
    pub(super) fn running(&self) -> std::collections::BTreeMap<wasmhot_appup::ModuleName, Desired> {
        let routes = self.core.router.routes();
        let of = |route: &crate::call::routes::Route| Desired {
            version: Arc::clone(&route.template.version),
            config: route.template.config.clone(),
        };
        routes
            .modules
            .iter()
            .map(|(name, route)| (name.clone(), of(route)))
            .collect()
    }
}
