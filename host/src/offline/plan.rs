//! A plan between two releases, and its relup as it is written beside the files.

use super::check::{grant, of_host};
use super::paths::{relative, settled, tidy};
use super::read::OnDisk;
use super::release::ReadRelease;
use crate::control::protocol::Failure;
use crate::upgrade::journal::Step;
use crate::upgrade::{check_first, refused};
use std::collections::BTreeMap;
use std::path::Path;
use wasmhot_appup::explain::Direction;
use wasmhot_appup::{CheckOptions, Inputs, ModuleName, Plan, PlanModule, PlanRelease, Relup, plan};

/// Plans the way from one release to another, and back. With it come warnings that no check makes.
///
/// # Errors
/// All refusals, of both ways.
pub(crate) fn plan_releases(
    old: &ReadRelease,
    new: &ReadRelease,
    options: CheckOptions,
) -> Result<(Plan, Vec<String>), Failure> {
    let mut known = old.known.clone();
    grant(&mut known, &new.release.modules);
    let inputs = Inputs {
        middle: middle(old, new),
        wiring: old.wiring.clone(),
        known,
        options,
        ..Inputs::new(old.release.clone(), new.release.clone())
    };
    let planned = plan(&inputs).map_err(refused)?;
    for (direction, instructions) in [
        (Direction::Up, &planned.relup.up),
        (Direction::Down, &planned.relup.down),
    ] {
        let steps: Vec<_> = instructions.iter().filter_map(Step::of).collect();
        check_first(&planned.way(direction).transition, &steps, |_| false)?;
    }
    let mut notes = not_taken_away(&old.release, &new.release);
    let modules = &old.release.modules;
    notes.extend(new.release.modules.values().flat_map(|module| of_host(module, modules)));
    Ok((planned, notes))
}

/// The versions that lie between the old one and the new one of a module, of each the first that was found.
fn middle(old: &ReadRelease, new: &ReadRelease) -> Vec<PlanModule> {
    let mut middle = BTreeMap::new();
    let mut offer = |module: &PlanModule| {
        let id = &module.node.version;
        let ends = old.release.modules.get(&id.name).zip(new.release.modules.get(&id.name));
        let Some((one, other)) = ends else { return };
        let (one, other) = (&one.node.version.version, &other.node.version.version);
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        if id.version > *low && id.version < *high {
            middle
                .entry((id.name.clone(), id.version.clone()))
                .or_insert_with(|| module.clone());
        }
    };
    let others = old.others.iter().chain(&new.others);
    others.map(|other: &OnDisk| &other.module).for_each(&mut offer);
    middle.into_values().collect()
}

/// What a release says no more, and a relup has no words for: what is not said again is not dropped.
fn not_taken_away(old: &PlanRelease, new: &PlanRelease) -> Vec<String> {
    let kept = |name: &ModuleName, module: &PlanModule| {
        let before = old.modules.get(name)?;
        let merged = module.spec.over(&before.spec);
        let spec = &module.spec;
        let what = [
            ("grants", merged.grants != spec.grants),
            ("links", merged.links != spec.links),
            ("config", merged.config != spec.config),
            ("limits", merged.limits != spec.limits),
            ("routes", merged.routes != spec.routes),
            ("http_calls", merged.http_calls != spec.http_calls),
        ];
        let what: Vec<_> = what.iter().filter(|(_, kept)| *kept).map(|(what, _)| *what).collect();
        let is_less = !what.is_empty();
        is_less.then(|| {
            format!(
                "`{name}` had {} in {} that {} does not name any more: a relup takes nothing away, so it keeps them.",
                what.join(" and "),
                old.version,
                new.version
            )
        })
    };
    new.modules
        .iter()
        .filter_map(|(name, module)| kept(name, module))
        .collect()
}

/// The relup with its paths relative to the folder in which it will lie.
///
/// # Errors
/// There is no such folder.
pub(crate) fn relative_relup(relup: &Relup, folder: &Path) -> Result<Relup, Failure> {
    let folder = settled(folder)?;
    let from_there = |path: &mut String| *path = relative(&folder, Path::new(path.as_str())).display().to_string();
    let mut relup = relup.clone();
    for module in &mut relup.modules {
        module.path.iter_mut().for_each(from_there);
        module.resolve_paths(|path| {
            let mut path = tidy(Path::new(path)).display().to_string();
            from_there(&mut path);
            path
        });
    }
    relup
        .middle
        .iter_mut()
        .flat_map(|middle| &mut middle.path)
        .for_each(from_there);
    Ok(relup)
}
