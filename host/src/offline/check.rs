//! Whether a relup may be applied to a release, without a host: the refusals of `apply`, both ways, and more warnings than it has time for.

use super::paths::tidy;
use super::read::{OnDisk, all_of, read_module};
use super::release::ReadRelease;
use crate::control::protocol::{Exit, Failure};
use crate::upgrade::journal::Step;
use crate::upgrade::{check_first, refused, schedules};
use std::collections::BTreeMap;
use std::path::Path;
use wasmhot_appup::capability::not_granted;
use wasmhot_appup::{
    Action, CheckOptions, Checked, Graph, Instruction, Known, Limits, LimitsSpec, MiddleSpec, ModuleName, ModuleSpec,
    Move, PlanModule, Relup, Transition, Wiring, check, plan_moves, undo_moves,
};

/// A relup that may be applied.
#[derive(Clone, Debug)]
pub(crate) struct CheckedRelup {
    /// The way there.
    pub(crate) up: Checked,
    /// What may surprise, on both ways.
    pub(crate) warnings: Vec<String>,
}

/// What a relup makes of a release.
struct After {
    modules: BTreeMap<ModuleName, PlanModule>,
    middle: Vec<PlanModule>,
    warnings: Vec<String>,
}

/// Checks a relup that lies at `path` against the release to which it is to be applied.
///
/// # Errors
/// What `apply` would refuse, all of it; and what would be refused on the way back.
pub(crate) fn check_relup(
    relup: &Relup,
    path: &Path,
    old: &ReadRelease,
    options: CheckOptions,
) -> Result<CheckedRelup, Failure> {
    let release = &old.release;
    if let Some(from) = &relup.release.from
        && from.cmp_precedence(&release.version).is_ne()
    {
        let message = format!(
            "{} goes from release {from} to {}, but release {} runs",
            path.display(),
            relup.release.to,
            release.version
        );
        return Err(Failure::new("wrong-from", Exit::Refused, message).in_phase("check"));
    }
    let After {
        modules,
        middle,
        mut warnings,
    } = after(relup, path, old)?;
    let specs = modules
        .values()
        .map(|module| (&module.node.version, &*module.node.interface, &module.spec));
    schedules::check(specs)?;
    let known = known(old, &modules, &middle);
    let (before, after) = (graph(&release.modules), graph(&modules));
    let previous = before.resolve_from(&old.wiring).0;

    let up = plan_moves(&relup.up, &before, &after).map_err(refused)?;
    let up = with_new_settings(up, &release.modules, &modules, &release.limits);
    let up = Transition::new(before.clone(), after.clone(), up).knowing(known.clone());
    let checked = one_way(&up, &relup.up, &previous, options)?;

    // On the way back other states are saved, and other calls open. What is lost there is for `undo --allow-lossy` to allow.
    let down = undo_moves(&after, &before, &relup.down).map_err(|refusals| on_the_way_back(refused(refusals)))?;
    let down = with_new_settings(down, &modules, &release.modules, &release.limits);
    let down = Transition::new(after, before, down).knowing(Known {
        saved: Vec::new(),
        open: Vec::new(),
        granted: BTreeMap::new(),
        ..known
    });
    let back = way_back(&checked.wiring, previous);
    let lossy = CheckOptions { allow_lossy: true };
    let down = one_way(&down, &relup.down, &back, lossy).map_err(on_the_way_back)?;

    let told = checked.warnings.iter().map(ToString::to_string);
    warnings.splice(0..0, told);
    let lost = down.lossy.iter().map(|lost| format!("On the way back: {lost}"));
    warnings.extend(lost);
    Ok(CheckedRelup { up: checked, warnings })
}

/// The moves, and those of modules that keep their bytes and get other limits or grants: these need a new instance.
fn with_new_settings(
    mut moves: Vec<Move>,
    old: &BTreeMap<ModuleName, PlanModule>,
    new: &BTreeMap<ModuleName, PlanModule>,
    release: &LimitsSpec,
) -> Vec<Move> {
    for (name, after) in new {
        let Some(before) = old.get(name) else { continue };
        let limits = |module: &PlanModule| Limits::resolve(module.node.kind, &module.spec.limits, release);
        let is_other = limits(before) != limits(after) || before.spec.grants != after.spec.grants;
        if is_other && moves.iter().all(|step| step.module != *name) {
            let keeps_state = before.node.keeps_state() && after.node.keeps_state();
            let action = if keeps_state { Action::Update } else { Action::Load };
            moves.push(Move::new(name.clone(), action));
        }
    }
    moves
}

fn one_way(
    transition: &Transition,
    instructions: &[Instruction],
    previous: &Wiring,
    options: CheckOptions,
) -> Result<Checked, Failure> {
    let steps: Vec<_> = instructions.iter().filter_map(Step::of).collect();
    check_first(transition, &steps, |_| false)?;
    check(transition, previous, &options).map_err(refused)
}

fn on_the_way_back(mut failure: Failure) -> Failure {
    failure.message = format!("On the way back: {}", failure.message);
    for refusal in &mut failure.refusals {
        refusal.message = format!("On the way back: {}", refusal.message);
    }
    failure
}

/// How what will run is wired, and where the old release comes back how that was (R7).
fn way_back(new: &Wiring, old: Wiring) -> Wiring {
    let mut back = new.clone();
    for (caller, links) in old.links {
        back.links.entry(caller).or_default().extend(links);
    }
    back
}

pub(super) fn graph(modules: &BTreeMap<ModuleName, PlanModule>) -> Graph {
    Graph::new(modules.values().map(|module| module.node.clone()))
}

fn after(relup: &Relup, path: &Path, old: &ReadRelease) -> Result<After, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut modules = old.release.modules.clone();
    let mut failures = Vec::new();
    for spec in &relup.modules {
        let mut spec = spec.clone();
        // Relative to the relup, as its files are.
        spec.resolve_paths(|path| tidy(&folder.join(path)).display().to_string());
        let had = old.release.modules.get(&spec.name);
        let merged = had.map(|had| spec.over(&had.spec));
        if let Some((had, merged)) = had
            .zip(merged.clone())
            .filter(|(had, _)| is_configured_only(&spec, had))
        {
            modules.insert(spec.name, configured(had, merged));
            continue;
        }
        let spec = merged.unwrap_or(spec);
        match read_module(folder, &spec) {
            Ok(found) => drop(modules.insert(spec.name, found.module)),
            Err(failure) => failures.push(failure),
        }
    }
    for instruction in &relup.up {
        if let Instruction::DeleteModule { module, .. } = instruction {
            modules.remove(module);
        }
    }
    let mut middle = Vec::new();
    let mut warnings = Vec::new();
    for spec in &relup.middle {
        match read_middle(folder, spec, old) {
            Ok(Middle::Found(found)) => middle.push(found.module),
            Ok(Middle::AtHost) => {}
            Ok(Middle::Unknown(why)) => warnings.push(why),
            Err(failure) => failures.push(failure),
        }
    }
    if !failures.is_empty() {
        return Err(all_of(failures));
    }
    warnings.extend(
        modules
            .values()
            .flat_map(|module| of_host(module, &old.release.modules)),
    );
    Ok(After {
        modules,
        middle,
        warnings,
    })
}

/// The relup names no other code for the module, only other settings.
fn is_configured_only(spec: &ModuleSpec, running: &PlanModule) -> bool {
    let id = &running.node.version;
    let same = spec.version.as_ref().is_none_or(|version| *version == id.version);
    spec.path.is_none() && same && spec.sha256.is_none_or(|digest| digest == id.digest)
}

/// The same version with other settings.
fn configured(running: &PlanModule, spec: ModuleSpec) -> PlanModule {
    let mut module = running.clone();
    module.node.kind = spec.kind.unwrap_or(module.node.kind);
    module.node.links.clone_from(&spec.links);
    module.node.routes.clone_from(&spec.routes);
    module.spec = spec;
    module
}

/// What can be known of a version through which a state goes.
enum Middle {
    Found(Box<OnDisk>),
    AtHost,
    Unknown(String),
}

fn read_middle(folder: &Path, spec: &MiddleSpec, old: &ReadRelease) -> Result<Middle, Failure> {
    if spec.path.is_some() {
        return read_module(folder, &middle_spec(spec)).map(|found| Middle::Found(Box::new(found)));
    }
    let is = |id: &wasmhot_appup::ModuleVersion| {
        let digest = spec.sha256.is_none_or(|digest| digest == id.digest);
        id.name == spec.name && id.version == spec.version && digest
    };
    if let Some(found) = old.others.iter().find(|other| is(other.id())) {
        return Ok(Middle::Found(Box::new(found.clone())));
    }
    let named = format!("{}@{}", spec.name, spec.version);
    match &old.at_host {
        Some(known) if known.iter().any(is) => Ok(Middle::AtHost),
        Some(_) => {
            let message = format!(
                "the host does not have {named}, through which a state shall go: say its `path` in `[[middle]]`"
            );
            Err(Failure::new("no-middle-version", Exit::Refused, message).in_phase("take"))
        }
        None => Ok(Middle::Unknown(format!(
            "The host has to have {named}, through which a state shall go; with its `path` in `[[middle]]` it need not."
        ))),
    }
}

/// A version through which a state goes, as a module of which no more is said.
pub(super) fn middle_spec(middle: &MiddleSpec) -> ModuleSpec {
    ModuleSpec {
        version: Some(middle.version.clone()),
        path: middle.path.clone(),
        sha256: middle.sha256,
        ..ModuleSpec::new(middle.name.clone())
    }
}

/// What is known beside the two graphs.
fn known(old: &ReadRelease, new: &BTreeMap<ModuleName, PlanModule>, middle: &[PlanModule]) -> Known {
    let mut known = old.known.clone();
    for module in old.release.modules.values().chain(new.values()).chain(middle) {
        if let Some(state) = &module.state {
            known.states.insert(module.node.version.digest, state.clone());
        }
    }
    known
        .middle
        .extend(middle.iter().map(|module| module.node.version.clone()));
    grant(&mut known, new);
    known
}

/// What modules may use of the host.
pub(super) fn grant(known: &mut Known, modules: &BTreeMap<ModuleName, PlanModule>) {
    for (name, module) in modules {
        known.grant(name, &module.spec.grants);
    }
}

/// Warnings about what a module wants of the host and is not refused for; what the version before imported too is not told again.
pub(super) fn of_host(module: &PlanModule, before: &BTreeMap<ModuleName, PlanModule>) -> Vec<String> {
    let id = &module.node.version;
    let grants = &module.spec.grants;
    let had = before.get(&id.name);
    if had.is_some_and(|had| had.node.version == id.clone() && had.spec.grants == *grants) {
        return Vec::new();
    }
    let interface_before = had.map(|had| &*had.node.interface);
    let mut warnings = not_granted(id, &module.node.interface, grants, interface_before);
    for dir in &grants.dirs {
        if !Path::new(&dir.host).is_dir() {
            warnings.push(format!(
                "`{}` is granted the directory {}, which is not there now: it will not start without it.",
                id.name, dir.host
            ));
        }
    }
    warnings
}
