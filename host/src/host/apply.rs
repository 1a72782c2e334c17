//! `apply`, `undo`, `remove`: each makes a plan and runs it as one upgrade. A drop makes its plan here too.

use super::Inner;
use super::load::{blocking, compile_limit, desired, load_file, load_spec, merge, of_store};
use crate::control::protocol::{ApplyRequest, Exit, Failure, RemoveRequest, StateSource, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::restore::read_state_file;
use crate::store::FileRecord;
use crate::upgrade::plan::{Asked, Desired, Options, Plan, RevisionRecord};
use crate::upgrade::refused;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use tokio::sync::mpsc::UnboundedReceiver;
use wasmhot_appup::{
    Action, Graph, Instruction, LimitsSpec, ModuleName, ModuleSpec, Move, Node, Relup, Version as Semver,
    default_moves, plan_moves, undo_moves,
};

/// The upgrade lock, or what runs under it (R37). Whoever only looks whether there is something to do is waited for.
pub(super) async fn lock(inner: &Inner) -> Result<MutexGuard<'_, ()>, Failure> {
    let mut busy = inner.core.busy.subscribe();
    tokio::select! {
        biased;
        lock = inner.core.upgrading.lock() => Ok(lock),
        what = busy.wait_for(Option::is_some) => {
            let what = what.ok().and_then(|what| what.clone()).unwrap_or_default();
            Err(Failure::new("busy", Exit::Busy, format!("an upgrade is running: {what}")))
        }
    }
}

pub(super) async fn apply(inner: &Arc<Inner>, request: ApplyRequest) -> Result<UpgradeReport, Failure> {
    let state_file = match &request.state {
        StateSource::File(path) => Some(read_state(path).await?),
        StateSource::Live | StateSource::LastSaved | StateSource::Empty => None,
    };
    let options = Options {
        dry_run: request.dry_run,
        allow_lossy: request.allow_lossy,
        state: request.state,
        state_file,
        limits: request.limits,
    };
    if request.path.extension().is_some_and(|extension| extension == "toml") {
        apply_relup(inner, &request.path, options).await
    } else {
        apply_file(inner, &request.path, options).await
    }
}

async fn read_state(path: &Path) -> Result<crate::store::SavedState, Failure> {
    let path = path.to_path_buf();
    blocking(move || {
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", path.display())))?;
        read_state_file(&bytes)
            .map_err(|error| Failure::new("not-a-state", Exit::Refused, format!("{}: {error}", path.display())))
    })
    .await
}

/// `wasmhot apply FILE.wasm`: this module, whatever bars it as a drop (R36).
async fn apply_file(inner: &Arc<Inner>, path: &Path, options: Options) -> Result<UpgradeReport, Failure> {
    let limit = compile_limit(inner, &options.limits).await?;
    let version = load_file(&inner.core, path, limit).await?;
    let digest = version.id.digest;
    let _lock = lock(inner).await?;
    let current = current_record(inner).await?;
    let limits = current.as_ref().map(|record| record.limits.clone()).unwrap_or_default();
    let mut all = inner.running();
    let name = version.id.name.clone();
    let spec = spec_for(&all, &name);
    all.insert(name, desired(&inner.core, version, spec, &limits));
    let plan = plan_from(inner, Asked::Apply, all, limits, options);
    let report = run(inner, plan).await?;
    if report.revision.is_some() {
        lift_bar(inner, &digest).await?;
    }
    Ok(report)
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
        release: old.release.clone(),
        release_version: nth(&old.release_version, old.revision + 1),
        release_limits: limits,
        desired: all,
        moves,
        down: Vec::new(),
        undo_to: (old.revision > 0).then_some(old.revision),
        release_file: None,
        options,
    }
}

/// `0.0.0+n` (section 6).
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
    }))
}

/// The moves, and those of modules that keep their bytes and get other limits or grants: these need a new instance (section 6).
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

/// Runs a plan that moves something; one that moves nothing is done already.
pub(super) async fn run(inner: &Arc<Inner>, plan: Plan) -> Result<UpgradeReport, Failure> {
    if plan.moves.is_empty() {
        let release = format!("{} {}", plan.release, plan.release_version);
        return Ok(UpgradeReport {
            release,
            warnings: vec!["nothing to do: this is what runs".to_string()],
            ..UpgradeReport::default()
        });
    }
    inner.core.upgrade(plan).await
}

async fn apply_relup(inner: &Arc<Inner>, path: &Path, options: Options) -> Result<UpgradeReport, Failure> {
    let relup = read_relup(path).await?;
    let _lock = lock(inner).await?;
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
    let limits = current.as_ref().map(|record| record.limits.clone()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
    let mut all = inner.running();
    let mut named = Vec::new();
    for spec in &relup.modules {
        let merged = merge(spec, &spec_for(&all, &spec.name));
        let asked = options.limits.compile_timeout;
        let module = load_spec(inner, &folder, merged, &limits, asked).await?;
        named.push(module.version.id.digest);
        all.insert(spec.name.clone(), module);
    }
    for instruction in &relup.up {
        if let Instruction::DeleteModule { module, .. } = instruction {
            all.remove(module);
        }
    }
    let moves = plan_moves(&relup.up, &old.graph(), &graph(&all)).map_err(refused)?;
    let mut plan = plan_from(inner, Asked::Apply, all, limits, options);
    plan.moves = moves;
    plan.down = relup.down;
    plan.release = relup.release.name;
    plan.release_version = relup.release.to;
    let report = run(inner, plan).await?;
    if report.revision.is_some() {
        for digest in &named {
            lift_bar(inner, digest).await?;
        }
    }
    Ok(report)
}

async fn read_relup(path: &Path) -> Result<Relup, Failure> {
    let path = path.to_path_buf();
    blocking(move || {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", path.display())))?;
        Relup::parse(&path.display().to_string(), &text)
            .map_err(|error| Failure::new("bad-relup", Exit::Refused, error.to_string()).in_phase("check"))
    })
    .await
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

/// One revision further back, by the down path, configuration and grants included (R38).
pub(super) async fn undo(inner: &Arc<Inner>, asked: Asked, mut options: Options) -> Result<UpgradeReport, Failure> {
    if let StateSource::File(path) = &options.state {
        options.state_file = Some(read_state(path).await?);
    }
    let _lock = lock(inner).await?;
    let nowhere = || Failure::new("nothing-to-undo", Exit::Refused, "there is no revision before this one");
    let current = current_record(inner).await?.ok_or_else(nowhere)?;
    let back_to = current.undo_to.ok_or_else(nowhere)?;
    let target = record(inner, back_to).await?.ok_or_else(nowhere)?;
    let mut all = BTreeMap::new();
    for module in &target.modules {
        let version = inner.core.versions.get(&module.id).await.map_err(|error| {
            Failure::new(
                "version-gone",
                Exit::Refused,
                format!("revision {back_to} needs {}: {error}", module.id),
            )
            .in_phase("prepare")
        })?;
        all.insert(
            module.id.name.clone(),
            desired(&inner.core, version, module.spec.clone(), &target.limits),
        );
    }
    let old = inner.core.router.routes().graph();
    let moves = undo_moves(&old, &graph(&all), &current.down).map_err(refused)?;
    let moves = with_new_settings(inner, &all, moves);
    let left: Vec<_> = left_behind(&old, &all);
    let mut plan = plan_from(inner, asked, all, target.limits, options);
    plan.moves = moves;
    plan.release = target.release;
    plan.release_version = target.version;
    plan.down = target.down;
    plan.undo_to = target.undo_to;
    // Also where nothing moves: a release may differ in its name only, and the next undo goes further back.
    let report = inner.core.upgrade(plan).await?;
    for (name, digest) in left {
        bar(inner, &name, digest, "it was undone").await?;
    }
    Ok(report)
}

/// The versions that an undo leaves: as drops they are barred from then on (R36).
fn left_behind(old: &Graph, new: &BTreeMap<ModuleName, Desired>) -> Vec<(String, wasmhot_appup::Digest)> {
    let stays = |node: &&Node| {
        let new = new.get(&node.version.name);
        new.is_some_and(|new| new.version.id.digest == node.version.digest)
    };
    let left = old.nodes.values().filter(|node| !stays(node));
    left.map(|node| (node.version.to_string(), node.version.digest))
        .collect()
}

pub(super) async fn bar(inner: &Inner, stem: &str, digest: wasmhot_appup::Digest, why: &str) -> Result<(), Failure> {
    let catalog = Arc::clone(&inner.core.catalog);
    let record = FileRecord {
        stem: stem.to_string(),
        barred: Some(why.to_string()),
        first_seen_ms: crate::event::now_ms(),
    };
    blocking(move || catalog.put_file(&digest, &record).map_err(|error| of_store(&error))).await
}

async fn lift_bar(inner: &Inner, digest: &wasmhot_appup::Digest) -> Result<(), Failure> {
    let (catalog, digest) = (Arc::clone(&inner.core.catalog), *digest);
    blocking(move || {
        let known = catalog.file(&digest).map_err(|error| of_store(&error))?;
        match known {
            Some(known) if known.barred.is_some() => catalog
                .put_file(&digest, &FileRecord { barred: None, ..known })
                .map_err(|error| of_store(&error)),
            _ => Ok(()),
        }
    })
    .await
}

pub(super) async fn remove(inner: &Arc<Inner>, request: &RemoveRequest) -> Result<UpgradeReport, Failure> {
    let name = ModuleName::parse(&request.module)
        .map_err(|error| Failure::new("bad-name", Exit::Refused, error.to_string()))?;
    let _lock = lock(inner).await?;
    let mut all = inner.running();
    if all.remove(&name).is_none() {
        let known: Vec<_> = all.keys().map(ToString::to_string).collect();
        return Err(Failure::new(
            "no-such-module",
            Exit::Refused,
            format!("no module `{name}`; there are: {}", known.join(", ")),
        ));
    }
    let limits = current_record(inner)
        .await?
        .map(|record| record.limits)
        .unwrap_or_default();
    // What is removed on request is not lost by accident: its state is kept, or purged as asked.
    let options = Options {
        allow_lossy: true,
        ..Options::default()
    };
    let mut plan = plan_from(inner, Asked::Remove, all, limits, options);
    for step in &mut plan.moves {
        step.purge = request.purge;
    }
    run(inner, plan).await
}

/// R33: when a sweep finds more keys that cannot be handed over than `max_failed_keys` allows, the switch is undone.
pub(super) fn undo_on_failed_keys(inner: &Arc<Inner>, mut told: UnboundedReceiver<u64>) {
    let weak = Arc::downgrade(inner);
    inner.core.services.guests.spawn(async move {
        while let Some(revision) = told.recv().await {
            let Some(inner) = weak.upgrade() else { return };
            if inner.core.router.routes().revision != revision {
                continue;
            }
            if let Err(failure) = undo(&inner, Asked::FailedKeys, Options::default()).await {
                let message = format!(
                    "revision {revision} failed for too many keys and could not be undone: {}",
                    failure.message
                );
                inner
                    .core
                    .events
                    .publish(Happening::new(EventKind::Alarm, message).revision(revision));
            }
        }
    });
}
