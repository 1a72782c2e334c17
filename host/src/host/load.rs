//! From a file to a module that a release can have: read, compiled, kept in the object store, configured.

use super::Inner;
use crate::control::protocol::{Exit, Failure};
use crate::instance::ModuleConfig;
use crate::intake::{printable, take};
use crate::store::StoreError;
use crate::upgrade::Core;
use crate::upgrade::plan::Desired;
use crate::version::{self, Version, VersionError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Digest, Kind, Limits, LimitsSpec, ModuleSpec};

/// The largest file that `apply` and a release may name: as large as a component of an interpreter may be.
const FILE_MAX: u64 = 256 << 20;

/// Reads and compiles a file, and keeps its bytes. Compiling may take `limit`, or as long as its size says.
pub(super) async fn load_file(core: &Core, path: &Path, limit: Option<Duration>) -> Result<Arc<Version>, Failure> {
    let shown = printable(path);
    let owned = path.to_path_buf();
    let taken = blocking(move || {
        take(&owned, FILE_MAX)
            .map_err(|error| Failure::new(error.code(), Exit::Refused, error.to_string()).in_phase("take"))
    });
    let loaded = async {
        let taken = taken.await?;
        load_bytes(core, &taken.stem, taken.bytes, taken.digest, limit).await
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
    limit: Option<Duration>,
) -> Result<Arc<Version>, Failure> {
    let version = match core.versions.compiled(&digest) {
        // The file's name may be part of the version's name (R5), so only a version with the same bytes *and* name is the same.
        Some(version) if !version.is_named_by_file() => version,
        _ => {
            let compiled =
                version::compile_within(Arc::clone(&core.versions.engines), stem, Arc::clone(&bytes), limit).await;
            Arc::new(compiled.map_err(|error| of_version(&error))?)
        }
    };
    let objects = Arc::clone(&core.objects);
    blocking(move || objects.put(&bytes).map_err(|error| of_store(&error))).await?;
    core.versions.keep(&version);
    Ok(version)
}

fn of_version(error: &VersionError) -> Failure {
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
