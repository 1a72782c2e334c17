//! Which modules have to move together, and a plan as the smallest parts that can be applied one after another.
//!
//! A part is a set that fits what then runs, and of which no smaller part would: without any one of its members `check` fails (R22).
//! Modules of which one takes the other's state (R31), or which are fed by the same one, move together whatever their types say.

use super::release::{Inputs, PlanRelease};
use super::{Plan, plan};
use crate::drops::search::Search;
use crate::graph::{Graph, Node, Wiring};
use crate::name::{ModuleName, Version};
use crate::refusal::Refusal;
use crate::upgrade::Move;
use std::collections::{BTreeMap, BTreeSet};

type Names<'c> = BTreeSet<&'c ModuleName>;

/// Divides a plan into parts that can be applied in this order, each a plan of its own. A plan that cannot be divided is the one part.
///
/// # Errors
/// What refuses a part: what refuses the whole refuses a part, and little else.
pub fn split(whole: &Plan) -> Result<Vec<Plan>, Vec<Refusal>> {
    let parts = joint_sets(whole);
    let [first, rest @ ..] = &parts[..] else {
        return Ok(vec![whole.clone()]);
    };
    if rest.is_empty() {
        return Ok(vec![whole.clone()]);
    }
    let inputs = &whole.inputs;
    let mut current = inputs.old.clone();
    let mut wiring = inputs.wiring.clone();
    let mut plans = Vec::new();
    for (place, part) in std::iter::once(first).chain(rest).enumerate() {
        let is_last = place == rest.len();
        let next = moved(&current, &inputs.new, part, is_last, place);
        let planned = plan(&Inputs {
            old: current,
            new: next.clone(),
            wiring,
            ..inputs.clone()
        })?;
        wiring = planned.up.checked.wiring.clone();
        current = next;
        plans.push(planned);
    }
    Ok(plans)
}

/// The release with one part moved. The last part brings what else is new: the name and the version.
fn moved(
    current: &PlanRelease,
    new: &PlanRelease,
    part: &BTreeSet<ModuleName>,
    is_last: bool,
    place: usize,
) -> PlanRelease {
    if is_last {
        return new.clone();
    }
    let mut next = current.clone();
    next.version = numbered(&current.version, place + 1);
    for name in part {
        match new.modules.get(name) {
            Some(module) => drop(next.modules.insert(name.clone(), module.clone())),
            None => drop(next.modules.remove(name)),
        }
    }
    next
}

/// `1.0.0+part.1`: between two releases.
fn numbered(version: &Version, part: usize) -> Version {
    let build = semver::BuildMetadata::new(&format!("part.{part}")).unwrap_or_default();
    Version {
        build,
        ..version.clone()
    }
}

/// The sets of modules that move together, in an order in which they can. Where several modules could serve an import, and moving part
/// by part would link it elsewhere than the plan does, all is one part.
#[must_use]
pub fn joint_sets(whole: &Plan) -> Vec<BTreeSet<ModuleName>> {
    let transition = &whole.up.transition;
    let moves = &transition.moves;
    let all: BTreeSet<ModuleName> = moves.iter().map(|one| one.module.clone()).collect();
    let ties = ties(moves);
    // Limits of the release as a whole come with the last part, to all modules that are in it then.
    let release_changes = whole.inputs.old.limits != whole.inputs.new.limits;
    if all.is_empty() || release_changes {
        return Vec::from_iter((!all.is_empty()).then_some(all));
    }
    let (mut graph, mut wiring) = (transition.old.clone(), whole.inputs.old_wiring());
    let mut left = all.clone();
    let mut parts = Vec::new();
    while !left.is_empty() {
        wiring = graph.resolve_from(&wiring).0;
        let Some((part, next)) = smallest((&graph, &wiring), &transition.new, &left, &ties) else {
            return vec![all];
        };
        left.retain(|name| !part.contains(name));
        graph = next;
        parts.push(part);
    }
    // Where several could serve an import, the way may decide who does: then there is but one way.
    if graph.resolve_from(&wiring).0 == whole.up.checked.wiring {
        parts
    } else {
        vec![all]
    }
}

/// Who shares a state moves together.
fn ties(moves: &[Move]) -> Vec<BTreeSet<ModuleName>> {
    let mut fed: BTreeMap<&ModuleName, BTreeSet<ModuleName>> = BTreeMap::new();
    for one in moves {
        for source in &one.state_from {
            let tie = fed.entry(source).or_insert_with(|| BTreeSet::from([source.clone()]));
            tie.insert(one.module.clone());
        }
    }
    fed.into_values().filter(|tie| tie.len() > 1).collect()
}

/// The smallest part of `left` that can move now, and the graph after it.
fn smallest(
    (graph, wiring): (&Graph, &Wiring),
    new: &Graph,
    left: &BTreeSet<ModuleName>,
    ties: &[BTreeSet<ModuleName>],
) -> Option<(BTreeSet<ModuleName>, Graph)> {
    let candidates: BTreeMap<&ModuleName, Option<&Node>> =
        left.iter().map(|name| (name, new.nodes.get(name))).collect();
    let search = Search::new(graph, wiring, &candidates).tied(ties);
    let all: Names<'_> = left.iter().collect();
    let found = left
        .iter()
        .filter_map(|name| search.complete(BTreeSet::from([name]), &all));
    let found = found.min_by(|one, other| (one.len(), one).cmp(&(other.len(), other)))?;
    let next = search.graph(&found);
    Some((found.into_iter().cloned().collect(), next))
}
