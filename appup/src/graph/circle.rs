//! Import circles: one with a `single` module in it can wait for itself, and is refused (R15). Circles of pools are bounded
//! by the call tree's deadline, circles over keys are found out when they close.

use super::resolve::Findings;
use super::{Graph, Wiring};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use crate::settings::Kind;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Refuses each circle through a `single` module, once.
pub(super) fn check(graph: &Graph, findings: &mut Findings) {
    let mut named: BTreeSet<BTreeSet<&ModuleName>> = BTreeSet::new();
    let mut refusals = Vec::new();
    let singles = graph.nodes.iter().filter(|(_, node)| node.kind == Kind::Single);
    for (name, _) in singles {
        let Some(circle) = shortest_circle(&findings.wiring, name) else {
            continue;
        };
        if named.insert(circle.iter().copied().collect()) {
            refusals.push(refuse(name, &circle));
        }
    }
    findings.refusals.extend(refusals);
}

/// The shortest way from a module along its imports back to itself, beginning with it.
fn shortest_circle<'w>(wiring: &'w Wiring, start: &'w ModuleName) -> Option<Vec<&'w ModuleName>> {
    let mut reached_from: BTreeMap<&ModuleName, &ModuleName> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(caller) = waiting.pop_front() {
        let links = wiring.links.get(caller).into_iter().flat_map(BTreeMap::values);
        for callee in links.map(|link| &link.callee) {
            if callee == start {
                let back = std::iter::successors(Some(caller), |at| reached_from.get(at).copied());
                let mut circle: Vec<&ModuleName> = back.collect();
                circle.reverse();
                return Some(circle);
            }
            if !reached_from.contains_key(callee) {
                reached_from.insert(callee, caller);
                waiting.push_back(callee);
            }
        }
    }
    None
}

fn refuse(single: &ModuleName, circle: &[&ModuleName]) -> Refusal {
    let mut way: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
    way.push(single.as_str());
    let message = format!(
        "The imports form a circle, {}, and `{single}` is single: a call could wait for itself.",
        way.join(" → ")
    );
    let remedy = "break the circle: put what both sides need into a module of its own".to_owned();
    Refusal::new(RefusalCode::ImportCycle, circle, message, remedy)
}
