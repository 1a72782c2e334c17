//! In which order modules are named: a callee before its callers.

use crate::graph::{Graph, Wiring};
use crate::name::ModuleName;
use std::collections::{BTreeMap, BTreeSet};

/// The order of an upgrade from `old` to `new`, callee first. Modules that go come last, callers first: nobody is left without
/// whom it calls. The way back is this list, read backwards.
pub(super) fn upward(old: (&Graph, &Wiring), new: (&Graph, &Wiring)) -> Vec<ModuleName> {
    let goes = |name: &&ModuleName| !new.0.nodes.contains_key(*name);
    let gone: Vec<&ModuleName> = callee_first(old.0, old.1).into_iter().filter(goes).collect();
    let stays = callee_first(new.0, new.1).into_iter();
    stays.chain(gone.into_iter().rev()).cloned().collect()
}

/// All modules, each after those that it imports from. Those of a circle stand together, by name; where nothing else decides, the
/// names do.
pub(crate) fn callee_first<'g>(graph: &'g Graph, wiring: &'g Wiring) -> Vec<&'g ModuleName> {
    let reach: BTreeMap<&ModuleName, BTreeSet<&ModuleName>> =
        graph.nodes.keys().map(|name| (name, reached(wiring, name))).collect();
    let reaches = |from: &ModuleName, to: &ModuleName| reach.get(from).is_some_and(|reached| reached.contains(to));
    let mut ordered: Vec<&ModuleName> = Vec::new();
    let mut left: BTreeSet<&ModuleName> = graph.nodes.keys().collect();
    // A module is next if all that it reaches is done, or reaches it back.
    while let Some(next) = left.iter().copied().find(|name| {
        let waits_for = |other: &&&ModuleName| reaches(name, other) && !reaches(other, name);
        !left.iter().any(|other| waits_for(&other))
    }) {
        let circle = left
            .iter()
            .copied()
            .filter(|other| *other == next || (reaches(next, other) && reaches(other, next)));
        let circle: Vec<&ModuleName> = circle.collect();
        left.retain(|name| !circle.contains(name));
        ordered.extend(circle);
    }
    ordered
}

/// All that can be reached along imports.
fn reached<'g>(wiring: &'g Wiring, from: &'g ModuleName) -> BTreeSet<&'g ModuleName> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(caller) = waiting.pop() {
        let links = wiring.links.get(caller).into_iter().flat_map(BTreeMap::values);
        waiting.extend(links.map(|link| &link.callee).filter(|callee| found.insert(*callee)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::graph;

    fn ordered(text: &str) -> String {
        let graph = graph(text);
        let wiring = graph.resolve().0;
        let names = callee_first(&graph, &wiring).into_iter();
        names.map(ModuleName::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_callee_stands_before_its_callers_and_a_circle_by_its_names() {
        assert_eq!(
            ordered("foo pool 1.0.0 - b() z()\n baz pool 1.0.0 + z() - b()\n bar pool 1.0.0 + b()"),
            "bar baz foo"
        );
        assert_eq!(
            ordered("c pool 1.0.0 + c() - b()\n b pool 1.0.0 + b() - c() a()\n a pool 1.0.0 + a()\n d pool 1.0.0"),
            "a b c d"
        );
        assert_eq!(
            ordered("a pool 1.0.0 - b()\n b pool 1.0.0 + b() - c()\n c pool 1.0.0 + c()"),
            "c b a"
        );
    }
}
