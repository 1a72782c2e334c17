//! From what somebody asks for to a plan for what runs now: `apply`, `undo`, `remove`; and what all plans are made from.

use super::Inner;
use super::load::{
    CompileLimits, blocking, desired, load_file, load_middle, load_spec, of_store, parse_relup, read_relup,
};
use super::lock::{back_lock, lock};
use super::releases::no_such_revision;
use crate::call::routes::Routes;
use crate::control::protocol::{Exit, Failure};
use crate::instance::capability::config::{Values, has_secrets};
use crate::upgrade::journal::Step;
use crate::upgrade::plan::{Asked, Desired, Options, Plan, RevisionRecord};
use crate::upgrade::{UpgradeLock, refused as refused_by_check};
use crate::version::Version;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmhot_appup::{
    Action, Graph, Instruction, LimitsSpec, ModuleName, ModuleSpec, ModuleVersion, Move, Node, Relup,
    Version as Semver, Wiring, default_moves, plan_moves, undo_moves,
};

/// What somebody asks for. Files are read; a plan of it is made for whatever runs, as often as that changes.
pub(super) enum Wanted {
    /// `apply FILE.wasm`: this module, whatever bars it as a drop (R36).
    File { version: Arc<Version>, options: Options },
    /// `apply relup.toml`. Its modules are relative to the folder that it lies in.
    Relup {
        relup: Box<Relup>,
        path: PathBuf,
        options: Options,
    },
    /// One revision further back, or to that one, by the down path, configuration and grants included (R38).
    Undo {
        asked: Asked,
        to: Option<u64>,
        options: Options,
    },
    /// `remove MODULE`.
    Remove {
        name: ModuleName,
        purge: bool,
        by: Option<String>,
    },
}

impl Wanted {
    pub(super) async fn file(inner: &Inner, path: &Path, options: Options) -> Result<Self, Failure> {
        let limits = CompileLimits::of(inner, &options.limits).await?;
        let version = load_file(&inner.core, path, &limits).await?;
        Ok(Wanted::File { version, options })
    }

    pub(super) async fn relup(path: &Path, options: Options) -> Result<Self, Failure> {
        let owned = path.to_path_buf();
        let relup = blocking(move || read_relup(&owned)).await?;
        Ok(Wanted::Relup {
            relup: Box::new(relup),
            path: path.to_path_buf(),
            options,
        })
    }

    /// A relup that lies nowhere: `path` is where it would.
    pub(super) fn relup_text(path: &Path, text: &str, options: Options) -> Result<Self, Failure> {
        Ok(Wanted::Relup {
            relup: Box::new(parse_relup(path, text)?),
            path: path.to_path_buf(),
            options,
        })
    }

    /// The plan for what runs now.
    pub(super) async fn plan(&self, inner: &Inner) -> Result<Plan, Failure> {
        match self {
            Wanted::File { version, options } => plan_of_file(inner, version, options.clone()).await,
            Wanted::Relup { relup, path, options } => plan_of_relup(inner, relup, path, options.clone()).await,
            Wanted::Undo { asked, to, options } => plan_of_undo(inner, *asked, *to, options.clone()).await,
            Wanted::Remove { name, purge, by } => plan_of_remove(inner, name, *purge, by.clone()).await,
        }
    }

    /// What the plan leads to is what runs. An undo always leads elsewhere: two revisions may differ in nothing but the next one to go
    /// back to. A relup may change nothing but the name of the release.
    pub(super) fn changes_nothing(&self, inner: &Inner, plan: &Plan) -> bool {
        let routes = inner.core.router.routes();
        let running = inner.running();
        let same_spec = |(name, desired): (&ModuleName, &Desired)| {
            let is_same = |running: &Desired| !running.config.spec.is_configured_otherwise(&desired.config.spec);
            running.get(name).is_some_and(is_same) && !has_other_secrets(&routes, name, &desired.config.spec)
        };
        let same_release = plan.release == routes.release && plan.release_version == routes.release_version;
        match self {
            Wanted::Undo { .. } => false,
            Wanted::Relup { .. } if !same_release => false,
            _ => plan.moves.is_empty() && plan.steps.is_empty() && plan.desired.iter().all(same_spec),
        }
    }

    /// The upgrade lock: going back may have it in probation too (R37).
    pub(super) async fn lock<'a>(&self, inner: &'a Inner) -> Result<UpgradeLock<'a>, Failure> {
        match self {
            Wanted::Undo { .. } => back_lock(inner).await,
            Wanted::File { .. } | Wanted::Relup { .. } | Wanted::Remove { .. } => lock(inner).await,
        }
    }
}

/// Whether a secret is another one than when it was last read. One that cannot be read is not.
fn has_other_secrets(routes: &Routes, name: &ModuleName, spec: &ModuleSpec) -> bool {
    let Some(route) = routes.modules.get(name).filter(|_| has_secrets(&spec.config)) else {
        return false;
    };
    let now = Values::read(&spec.config);
    now.faults().is_empty() && now != *route.template.values()
}

async fn plan_of_file(inner: &Inner, version: &Arc<Version>, options: Options) -> Result<Plan, Failure> {
    let current = current_record(inner).await?;
    let limits = current.map(|record| record.limits).unwrap_or_default();
    let mut all = inner.running();
    let name = version.id.name.clone();
    let mut spec = spec_for(&all, &name);
    options.deny.iter().for_each(|family| spec.grants.deny(*family));
    all.insert(name, desired(&inner.core, Arc::clone(version), spec, &limits));
    let mut plan = plan_from(inner, Asked::Apply, all, limits, options);
    plan.lifted = vec![version.id.digest];
    inner.core.find_ways(&mut plan).await?;
    Ok(plan)
}

async fn plan_of_relup(inner: &Inner, relup: &Relup, path: &Path, options: Options) -> Result<Plan, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let old = inner.core.router.routes();
    if let Some(from) = &relup.release.from
        && from.cmp_precedence(&old.release_version).is_ne()
    {
        let message = format!(
            "{} goes from release {from} to {}, but release {} runs",
            path.display(),
            relup.release.to,
            old.release_version
        );
        return Err(Failure::new("wrong-from", Exit::Refused, message).in_phase("check"));
    }
    let current = current_record(inner).await?;
    let limits = current.map(|record| record.limits).unwrap_or_default();
    let mut all = inner.running();
    let mut named = Vec::new();
    for spec in &relup.modules {
        let mut spec = spec.clone();
        // Relative to the relup, as its files are.
        spec.resolve_paths(|path| folder.join(path).display().to_string());
        let merged = spec.over(&spec_for(&all, &spec.name));
        let asked = options.limits.compile_timeout;
        let module = match all.get(&spec.name).filter(|running| is_configured_only(&spec, running)) {
            Some(running) => desired(&inner.core, Arc::clone(&running.version), merged, &limits),
            None => load_spec(inner, folder, merged, &limits, asked).await?,
        };
        named.push(module.version.id.digest);
        all.insert(spec.name.clone(), module);
    }
    for instruction in &relup.up {
        if let Instruction::DeleteModule { module, .. } = instruction {
            all.remove(module);
        }
    }
    let mut middle = Vec::new();
    for spec in &relup.middle {
        middle.push(load_middle(inner, folder, spec, &limits, options.limits.compile_timeout).await?);
    }
    let moves = plan_moves(&relup.up, &old.graph(), &graph(&all)).map_err(refused_by_check)?;
    let moves = with_new_settings(inner, &all, moves);
    let mut plan = plan_from(inner, Asked::Apply, all, limits, options);
    plan.base = old.revision;
    plan.moves = moves;
    plan.middle = middle;
    plan.steps = relup.up.iter().filter_map(Step::of).collect();
    plan.down = relup.down.clone();
    plan.release.clone_from(&relup.release.name);
    plan.release_version = relup.release.to.clone();
    plan.lifted = named;
    Ok(plan)
}

/// The relup names no other code for the module, only other settings.
fn is_configured_only(spec: &ModuleSpec, running: &Desired) -> bool {
    let id = &running.version.id;
    let same = spec.version.as_ref().is_none_or(|version| *version == id.version);
    spec.path.is_none() && same && spec.sha256.is_none_or(|digest| digest == id.digest)
}

async fn plan_of_undo(inner: &Inner, asked: Asked, to: Option<u64>, options: Options) -> Result<Plan, Failure> {
    let refused = |code: &str, message: String| Failure::new(code, Exit::Refused, message).in_phase("check");
    let nowhere = || refused("nothing-to-undo", "there is no revision before this one".to_string());
    let old = inner.core.router.routes();
    let current = record(inner, old.revision).await?.ok_or_else(nowhere)?;
    let back_to = match to {
        Some(to) if to == old.revision => {
            return Err(refused("nothing-to-undo", format!("revision {to} is what runs")));
        }
        Some(to) => to,
        None => current.undo_to.ok_or_else(nowhere)?,
    };
    let Some(target) = record(inner, back_to).await? else {
        let catalog = Arc::clone(&inner.core.catalog);
        let known = blocking(move || catalog.revisions().map_err(|error| of_store(&error))).await?;
        return Err(no_such_revision(back_to, known.iter()).in_phase("check"));
    };
    let mut all = BTreeMap::new();
    for module in &target.modules {
        let version = inner.core.versions.get(&module.id).await.map_err(|error| {
            let message = format!("revision {back_to} needs {}: {error}", module.id);
            Failure::new("version-gone", Exit::Refused, message).in_phase("prepare")
        })?;
        all.insert(
            module.id.name.clone(),
            desired(&inner.core, version, module.spec.clone(), &target.limits),
        );
    }
    // The way down that is written is that of one step; further back each module goes by itself.
    let down = if current.undo_to == Some(back_to) {
        current.down
    } else {
        Vec::new()
    };
    let moves = undo_moves(&old.graph(), &graph(&all), &down).map_err(refused_by_check)?;
    let moves = with_new_settings(inner, &all, moves);
    let left = left_behind(&old.graph(), &all);
    let mut plan = plan_from(inner, asked, all, target.limits, options);
    plan.base = old.revision;
    plan.moves = moves;
    plan.steps = down.iter().filter_map(Step::of).collect();
    plan.release = target.release;
    plan.release_version = target.version;
    plan.down = target.down;
    plan.links = target.wiring;
    plan.undo_to = target.undo_to;
    plan.barred = left;
    inner.core.find_ways(&mut plan).await?;
    Ok(plan)
}

/// The versions that an undo leaves: as drops they are barred from then on (R36).
fn left_behind(old: &Graph, new: &BTreeMap<ModuleName, Desired>) -> Vec<ModuleVersion> {
    let stays = |node: &&Node| {
        let new = new.get(&node.version.name);
        new.is_some_and(|new| new.version.id.digest == node.version.digest)
    };
    let left = old.nodes.values().filter(|node| !stays(node));
    left.map(|node| node.version.clone()).collect()
}

async fn plan_of_remove(inner: &Inner, name: &ModuleName, purge: bool, by: Option<String>) -> Result<Plan, Failure> {
    let mut all = inner.running();
    if all.remove(name).is_none() {
        let known: Vec<_> = all.keys().map(ToString::to_string).collect();
        let message = format!("no module `{name}`; there are: {}", known.join(", "));
        return Err(Failure::new("no-such-module", Exit::Refused, message));
    }
    let current = current_record(inner).await?;
    let limits = current.map(|record| record.limits).unwrap_or_default();
    // What is removed on request is not lost by accident: its state is kept, or purged as asked.
    let options = Options {
        allow_lossy: true,
        by,
        ..Options::default()
    };
    let mut plan = plan_from(inner, Asked::Remove, all, limits, options);
    for step in &mut plan.moves {
        step.purge = purge;
    }
    Ok(plan)
}

/// The configuration of a module that is there, or none.
pub(super) fn spec_for(all: &BTreeMap<ModuleName, Desired>, name: &ModuleName) -> ModuleSpec {
    all.get(name)
        .map_or_else(|| ModuleSpec::new(name.clone()), |running| running.config.spec.clone())
}

/// A plan with the default moves, and a release version that says how many switches it is away from the release.
pub(super) fn plan_from(
    inner: &Inner,
    asked: Asked,
    all: BTreeMap<ModuleName, Desired>,
    limits: LimitsSpec,
    options: Options,
) -> Plan {
    let old = inner.core.router.routes();
    let moves = default_moves(&old.graph(), &graph(&all));
    Plan {
        asked,
        base: old.revision,
        release: old.release.clone(),
        release_version: nth(&old.release_version, old.revision + 1),
        release_limits: limits,
        desired: all,
        moves,
        middle: Vec::new(),
        links: Wiring::default(),
        steps: Vec::new(),
        down: Vec::new(),
        undo_to: (old.revision > 0).then_some(old.revision),
        release_file: None,
        lifted: Vec::new(),
        barred: Vec::new(),
        options,
    }
}

/// `0.0.0+n`.
fn nth(version: &Semver, revision: u64) -> Semver {
    let mut version = version.clone();
    version.build = semver::BuildMetadata::new(&revision.to_string()).unwrap_or_default();
    version
}

fn graph(all: &BTreeMap<ModuleName, Desired>) -> Graph {
    Graph::new(all.values().map(|desired| Node {
        version: desired.version.id.clone(),
        kind: desired.config.kind,
        interface: Arc::clone(&desired.version.interface),
        links: desired.config.spec.links.clone(),
        routes: desired.config.spec.routes.clone(),
    }))
}

/// The moves, and those of modules that keep their bytes and get other limits or grants: these need a new instance.
pub(super) fn with_new_settings(inner: &Inner, all: &BTreeMap<ModuleName, Desired>, mut moves: Vec<Move>) -> Vec<Move> {
    let running = inner.running();
    for (name, desired) in all {
        let Some(before) = running.get(name) else { continue };
        let (old, new) = (&before.config, &desired.config);
        let is_other = old.limits != new.limits || old.spec.grants != new.spec.grants;
        if is_other && moves.iter().all(|step| step.module != *name) {
            let keeps_state = old.kind.keeps_state() && new.kind.keeps_state();
            let action = if keeps_state { Action::Update } else { Action::Load };
            moves.push(Move::new(name.clone(), action));
        }
    }
    moves
}

pub(super) async fn current_record(inner: &Inner) -> Result<Option<RevisionRecord>, Failure> {
    record(inner, inner.core.router.routes().revision).await
}

async fn record(inner: &Inner, revision: u64) -> Result<Option<RevisionRecord>, Failure> {
    let catalog = Arc::clone(&inner.core.catalog);
    blocking(move || {
        catalog
            .revision::<RevisionRecord>(revision)
            .map_err(|error| of_store(&error))
    })
    .await
}
