//! A release as it lies on a disk, or as it runs.

use super::paths::{io, settled, tidy};
use super::read::{OnDisk, all_of, parse_appup, read_bare, read_file, read_module};
use crate::control::protocol::{Exit, Failure, RunningModule, RunningRelease};
use crate::host::start::default_path;
use crate::intake::{is_wasm, printable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmhot_appup::{
    Known, LimitsSpec, ModuleName, ModuleSpec, ModuleVersion, Node, PlanModule, PlanRelease, Release, Version, Wiring,
};

/// A release, and what else was found with it.
#[derive(Clone, Debug)]
pub(crate) struct ReadRelease {
    /// The release. All paths in it are absolute.
    pub(crate) release: PlanRelease,
    /// Its files, where it was read from some.
    pub(crate) files: BTreeMap<ModuleName, OnDisk>,
    /// The release.toml.
    pub(crate) file: Option<PathBuf>,
    /// Other versions of its modules, in the same folders.
    pub(crate) others: Vec<OnDisk>,
    /// Files that were passed over, and why.
    pub(crate) passed_over: Vec<String>,
    /// How it is wired, where that is known; else it resolves by itself.
    pub(crate) wiring: Wiring,
    /// What else is known: of a release that runs, the calls still open in older ones.
    pub(crate) known: Known,
    /// The versions that its host has, where it runs.
    pub(crate) at_host: Option<Vec<ModuleVersion>>,
}

impl ReadRelease {
    /// Reads a release.toml, a directory with one, or a directory of modules: of several versions the highest counts (R34).
    ///
    /// # Errors
    /// All faults of the files, in a host's words.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let found = path.metadata().map_err(|error| io(path, &error))?;
        if !found.is_dir() {
            return Self::of_file(path);
        }
        let file = path.join("release.toml");
        if file.is_file() {
            return Self::of_file(&file);
        }
        Self::of_directory(path)
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        if is_wasm(path) {
            let message = format!(
                "{}: this is a module; name the directory in which it lies, or a release.toml",
                path.display()
            );
            return Err(Failure::new("not-a-release", Exit::Refused, message));
        }
        let text = std::fs::read_to_string(path).map_err(|error| io(path, &error))?;
        let release = Release::parse(&path.display().to_string(), &text)
            .map_err(|faults| Failure::new("bad-release", Exit::Refused, faults.to_string()).in_phase("check"))?;
        let folder = settled(path.parent().unwrap_or(Path::new(".")))?;
        let mut files = BTreeMap::new();
        let mut failures = Vec::new();
        for spec in release.modules {
            let name = spec.name.clone();
            match read_module(&folder, &absolute(spec, &folder)) {
                Ok(module) => drop(files.insert(name, module)),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(all_of(failures));
        }
        let mut read = Self::of(release.name, release.version, release.limits, files);
        read.file = Some(path.to_path_buf());
        read.find_others()?;
        Ok(read)
    }

    fn of_directory(path: &Path) -> Result<Self, Failure> {
        let folder = settled(path)?;
        let name = folder.file_name().map_or("root".into(), |name| name.to_string_lossy());
        let (mut found, passed_over) = modules_in(&folder)?;
        if found.is_empty() {
            let mut message = format!(
                "{}: neither a release.toml nor a module lies there; put a .wasm file into it",
                path.display()
            );
            passed_over.iter().for_each(|why| message += &format!("\n{why}"));
            return Err(Failure::new("no-modules", Exit::Refused, message));
        }
        found.sort_by(|one, other| one.id().version.cmp(&other.id().version));
        let mut files = BTreeMap::new();
        let mut others = Vec::new();
        for module in found {
            others.extend(files.insert(module.id().name.clone(), module));
        }
        let mut read = Self::of(name.into_owned(), Version::new(0, 0, 0), LimitsSpec::default(), files);
        read.others = others;
        read.passed_over = passed_over;
        Ok(read)
    }

    fn of(name: String, version: Version, limits: LimitsSpec, files: BTreeMap<ModuleName, OnDisk>) -> Self {
        let modules = files
            .iter()
            .map(|(name, file)| (name.clone(), file.module.clone()))
            .collect();
        Self {
            release: PlanRelease {
                name,
                version,
                limits,
                modules,
            },
            files,
            file: None,
            others: Vec::new(),
            passed_over: Vec::new(),
            wiring: Wiring::default(),
            known: Known::default(),
            at_host: None,
        }
    }

    /// Looks for other versions of its modules, where its own lie.
    fn find_others(&mut self) -> Result<(), Failure> {
        let folders: BTreeSet<_> = self.files.values().filter_map(|file| file.path.parent()).collect();
        for folder in folders {
            let (found, passed_over) = modules_in(folder)?;
            let is_other = |found: &OnDisk| {
                let own = self.files.get(&found.id().name);
                own.is_some_and(|own| own.id().digest != found.id().digest)
            };
            self.others.extend(found.into_iter().filter(is_other));
            self.passed_over.extend(passed_over);
        }
        Ok(())
    }
}

impl OnDisk {
    /// Name, version and digest.
    pub(crate) fn id(&self) -> &ModuleVersion {
        &self.module.node.version
    }
}

/// Paths and directories of a spec are relative to its release.
pub(super) fn absolute(mut spec: ModuleSpec, folder: &Path) -> ModuleSpec {
    if spec.path.is_none() {
        spec.path = Some(default_path(&spec.name, spec.version.as_ref()));
    }
    spec.resolve_paths(|path| tidy(&folder.join(path)).display().to_string());
    spec
}

/// All modules in a folder, and what was passed over, each in a sentence.
///
/// # Errors
/// The folder or an appup in it cannot be read.
pub(crate) fn modules_of(folder: &Path) -> Result<(Vec<OnDisk>, Vec<String>), Failure> {
    modules_in(&settled(folder)?)
}

/// All modules in a folder, and what was passed over.
fn modules_in(folder: &Path) -> Result<(Vec<OnDisk>, Vec<String>), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| io(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| io(folder, &error))?.path();
        if is_wasm(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut found, mut passed_over) = (Vec::new(), Vec::new());
    for path in paths {
        let (facts, bytes) = match read_file(&path) {
            Ok(read) => read,
            Err(failure) => {
                passed_over.push(format!("passed over {}", failure.message));
                continue;
            }
        };
        let is_known = |known: &OnDisk| *known.id() == facts.id;
        if found.iter().any(is_known) {
            passed_over.push(format!("passed over {}: a copy of another file", printable(&path)));
            continue;
        }
        found.push(read_bare(&path, facts, bytes)?);
    }
    Ok((found, passed_over))
}

/// The release that runs, as its host tells it.
///
/// # Errors
/// An appup that it carries cannot be read.
pub(crate) fn running(told: RunningRelease) -> Result<ReadRelease, Failure> {
    let mut read = ReadRelease::of(told.name, told.version, told.limits, BTreeMap::new());
    for module in told.modules {
        let module = running_module(module)?;
        read.release.modules.insert(module.node.version.name.clone(), module);
    }
    read.wiring = told.wiring;
    read.known.open = told.open;
    read.known.saved = told.saved;
    read.known.states = told.described;
    read.known.had = told.known.iter().cloned().collect();
    read.at_host = Some(told.known);
    Ok(read)
}

fn running_module(told: RunningModule) -> Result<PlanModule, Failure> {
    let RunningModule {
        version,
        kind,
        mut spec,
        interface,
        state,
        appup,
    } = told;
    spec.resolve_paths(|path| tidy(Path::new(path)).display().to_string());
    let parse = |text: String| parse_appup(&format!("the appup of {version}, which runs"), &text);
    let appup = appup.map(parse).transpose()?;
    let node = Node {
        version,
        kind,
        interface: Arc::new(interface),
        links: spec.links.clone(),
        routes: spec.routes.clone(),
    };
    Ok(PlanModule {
        appup,
        state,
        ..PlanModule::new(node, spec)
    })
}
