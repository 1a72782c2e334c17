//! One file of a module, with all that stands beside it.
//!
//! An appup is looked for as `<stem>.appup.toml` beside the file (it belongs to that file), then as `<module>.appup.toml` (to each
//! version of the module in the folder, or to the one that it names), then in the file, as the custom section `wasmhot:appup`.

use super::paths::io;
use crate::control::protocol::{Exit, Failure};
use crate::host::load::{FILE_MAX, identified, of_version, path_of};
use crate::intake::{printable, take};
use crate::version::{APPUP, Facts, facts};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmhot_appup::{Appup, Kind, ModuleSpec, ModuleVersion, Node, PlanModule, VersionRange};

/// A version in its file.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    /// All that a plan wants to know. Its path is absolute, and so are its directories.
    pub(crate) module: PlanModule,
    /// Where the file lies.
    pub(crate) path: PathBuf,
    /// The bytes.
    pub(crate) bytes: Arc<[u8]>,
    /// The file of its appup, if that is one of its own.
    pub(crate) appup_file: Option<PathBuf>,
}

/// All failures as one: the first says what kind it is.
pub(crate) fn all_of(failures: Vec<Failure>) -> Failure {
    let message = failures
        .iter()
        .map(|failure| failure.message.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    let refusals = failures.iter().flat_map(|failure| failure.refusals.clone()).collect();
    let first = failures.into_iter().next();
    let mut failure = first.unwrap_or_else(|| Failure::new("internal", Exit::Bug, "nothing failed"));
    failure.message = message;
    failure.refusals = refusals;
    failure
}

/// What a file says, in a host's words where it is refused.
pub(super) fn read_file(path: &Path) -> Result<(Facts, Arc<[u8]>), Failure> {
    let refused = |failure: Failure| Failure {
        message: format!("{}: {}", printable(path), failure.message),
        ..failure
    };
    let taken = take(path, FILE_MAX)
        .map_err(|error| refused(Failure::new(error.code(), Exit::Refused, error.to_string()).in_phase("take")))?;
    let facts = facts(&taken.stem, &taken.bytes).map_err(|error| refused(of_version(&error)))?;
    Ok((facts, taken.bytes))
}

/// The file that a spec names, if it is what the spec says. Paths in the spec are relative to `folder`, which is absolute.
pub(crate) fn read_module(folder: &Path, spec: &ModuleSpec) -> Result<OnDisk, Failure> {
    let path = path_of(folder, spec)?;
    let (facts, bytes) = read_file(&path)?;
    let id = identified(spec, &path, &facts.id, facts.is_named_by_file)?;
    with_appup(path, facts, bytes, id, spec.clone())
}

/// A file of which nothing is said.
pub(super) fn read_bare(path: &Path, facts: Facts, bytes: Arc<[u8]>) -> Result<OnDisk, Failure> {
    let id = facts.id.clone();
    let spec = ModuleSpec::new(id.name.clone());
    with_appup(path.to_path_buf(), facts, bytes, id, spec)
}

fn with_appup(
    path: PathBuf,
    facts: Facts,
    bytes: Arc<[u8]>,
    id: ModuleVersion,
    mut spec: ModuleSpec,
) -> Result<OnDisk, Failure> {
    let (appup, appup_file) = appup_of(&path, &id, facts.appup.as_deref())?;
    spec.path = Some(path.display().to_string());
    let kind = spec.kind.or(facts.kind_hint);
    let node = Node {
        version: id,
        kind: kind.unwrap_or_else(|| Kind::default_for(facts.interface.stateful)),
        interface: facts.interface,
        links: spec.links.clone(),
        routes: spec.routes.clone(),
    };
    let module = PlanModule {
        appup,
        state: facts.state,
        ..PlanModule::new(node, spec)
    };
    Ok(OnDisk {
        module,
        path,
        bytes,
        appup_file,
    })
}

type Found = (Option<Appup>, Option<PathBuf>);

fn appup_of(path: &Path, id: &ModuleVersion, section: Option<&str>) -> Result<Found, Failure> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let own = path.with_file_name(format!("{stem}.appup.toml"));
    if let Some(appup) = read_appup(&own)? {
        return Ok((Some(appup), Some(own)));
    }
    let shared = path.with_file_name(format!("{}.appup.toml", id.name));
    let belongs = |appup: &Appup| {
        let version = appup.version.as_ref();
        version.is_none_or(|version| VersionRange::Exact(version.clone()).holds(&id.version))
    };
    if let Some(appup) = read_appup(&shared)?.filter(belongs) {
        return Ok((Some(appup), Some(shared)));
    }
    let name = || format!("{} ({APPUP})", path.display());
    let inside = section.map(|text| parse_appup(&name(), text)).transpose()?;
    Ok((inside, None))
}

fn read_appup(path: &Path) -> Result<Option<Appup>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse_appup(&path.display().to_string(), &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path, &error)),
    }
}

/// Reads an appup.
pub(super) fn parse_appup(name: &str, text: &str) -> Result<Appup, Failure> {
    Appup::parse(name, text)
        .map_err(|faults| Failure::new("bad-appup", Exit::Refused, faults.to_string()).in_phase("check"))
}
