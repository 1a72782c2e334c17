//! Which modules' new calls wait (R21, R22).
//!
//! Three reasons, and no other, put a module into the set:
//! 1. it is `single` and moves: its state is taken when it is quiet;
//! 2. its state feeds another module;
//! 3. an edge into a stateful module that moves no longer fits: callee, caller, and every module whose calls could still reach
//!    that edge on old code.
//!
//! For the third: a call that started before the switch keeps its stamp, so it meets the old version of stateless modules
//! (R20), through any number of them and through stateful modules that stay. A stateful module that moves ends this: behind it
//! all code is new. So the walk back along the imports stops there, which is what makes the set minimal.

use super::{Action, Transition};
use crate::graph::Wiring;
use crate::interface::FunctionName;
use crate::name::ModuleName;
use crate::settings::Kind;
use std::collections::BTreeSet;

/// The gated set of a transition whose old graph is wired like `wiring`.
pub(super) fn gated(transition: &Transition, wiring: &Wiring) -> BTreeSet<ModuleName> {
    let mut gated: BTreeSet<ModuleName> = handing_over(transition).cloned().collect();
    for (caller, callee) in broken_edges(transition, wiring) {
        gated.insert(callee.clone());
        gated.extend(reaching(transition, wiring, caller).into_iter().cloned());
    }
    gated
}

/// Modules that get quiet for their own state's sake.
fn handing_over(transition: &Transition) -> impl Iterator<Item = &ModuleName> {
    let old_kind = |name: &ModuleName| transition.old.nodes.get(name).map(|node| node.kind);
    let new_kind = |name: &ModuleName| transition.new.nodes.get(name).map(|node| node.kind);
    let moved = transition
        .moves
        .iter()
        .filter(move |one| old_kind(&one.module) == Some(Kind::Single));
    let feeding = transition.moves.iter().flat_map(move |one| {
        // A keyed module that takes its own state as keyed again does so key by key.
        let key_by_key = old_kind(&one.module) == Some(Kind::Keyed) && new_kind(&one.module) == Some(Kind::Keyed);
        let feeds = move |from: &&ModuleName| {
            old_kind(from).is_some_and(Kind::keeps_state) && !(key_by_key && **from == one.module)
        };
        one.state_from.iter().filter(feeds)
    });
    moved.map(|one| &one.module).chain(feeding)
}

/// Edges of the old graph into stateful modules that move and no longer offer what the caller imports.
fn broken_edges<'t>(
    transition: &'t Transition,
    wiring: &'t Wiring,
) -> impl Iterator<Item = (&'t ModuleName, &'t ModuleName)> {
    let fits = |caller: &ModuleName, imported: &FunctionName, callee: &ModuleName| {
        let wanted = transition
            .old
            .nodes
            .get(caller)
            .and_then(|node| node.interface.imports.get(imported));
        let offered = transition
            .new
            .nodes
            .get(callee)
            .and_then(|node| node.export_for(imported));
        wanted
            .zip(offered)
            .is_some_and(|(wanted, (_, offered))| wanted.same_as(offered))
    };
    let broken = move |(caller, imported, callee): &(&ModuleName, &FunctionName, &ModuleName)| {
        transition.hands_over(callee) && !fits(caller, imported, callee)
    };
    let edges = wiring
        .edges()
        .map(|(caller, imported, link)| (caller, imported, &link.callee));
    edges.filter(broken).map(|(caller, _, callee)| (caller, callee))
}

/// The caller, and all from which it can be reached on old code.
fn reaching<'t>(transition: &'t Transition, wiring: &'t Wiring, caller: &'t ModuleName) -> BTreeSet<&'t ModuleName> {
    let mut found = BTreeSet::from([caller]);
    let mut waiting = vec![caller];
    while let Some(module) = waiting.pop() {
        if transition.hands_over(module) {
            continue;
        }
        for (from, _, link) in wiring.edges() {
            if link.callee == *module && found.insert(from) {
                waiting.push(from);
            }
        }
    }
    found
}

impl Transition {
    /// True if the module keeps state and has another instance, or none, after the switch.
    fn hands_over(&self, module: &ModuleName) -> bool {
        let moves = self
            .moves
            .iter()
            .any(|one| one.module == *module && one.action != Action::Add);
        moves && self.old.nodes.get(module).is_some_and(crate::Node::keeps_state)
    }
}
