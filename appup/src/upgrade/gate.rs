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
//!
//! Old code is not only that of the release that runs: calls may still be open in older ones (R7). So what is walked are pairs of a
//! release and a module in it, *frames*. A frame calls a stateless module in its own release, and a stateful one where it lives:
//! in any release from the frame's own on, and from that on in which its version came (its instance may have been made in each). Calls
//! on keys that started before a switch go on in old code too.

use super::{Action, Transition};
use crate::graph::{Graph, Link, Node, Wiring};
use crate::interface::{FunctionName, FunctionType};
use crate::name::ModuleName;
use crate::refusal::{Warning, WarningCode};
use crate::settings::Kind;
use std::collections::BTreeSet;

/// The gated set of a transition whose old graph is wired like `wiring`, and what is to be said of edges of older releases.
pub(super) fn gated(transition: &Transition, wiring: &Wiring) -> (BTreeSet<ModuleName>, Vec<Warning>) {
    let walk = Walk::new(transition, wiring);
    let mut gated: BTreeSet<ModuleName> = handing_over(transition).cloned().collect();
    let mut warnings = Vec::new();
    let mut ends = Vec::new();
    for edge in walk.broken_edges() {
        gated.insert(edge.link.callee.clone());
        ends.push((edge.release, edge.caller));
        warnings.extend(walk.warning(&edge));
    }
    gated.extend(walk.reaching(ends).into_iter().cloned());
    (gated, warnings)
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

/// A release, by its place among those that run old code, and a module in it.
type Frame<'t> = (usize, &'t ModuleName);

/// An import of a frame.
struct Edge<'t> {
    release: usize,
    caller: &'t ModuleName,
    imported: &'t FunctionName,
    link: &'t Link,
}

/// The frames that can be on old code.
struct Walk<'t> {
    transition: &'t Transition,
    /// Oldest first; the last is the one that runs.
    releases: Vec<(&'t Graph, &'t Wiring)>,
}

impl<'t> Walk<'t> {
    fn new(transition: &'t Transition, wiring: &'t Wiring) -> Self {
        let open = transition.known.open.iter().map(|open| (&open.graph, &open.wiring));
        let releases = open.chain([(&transition.old, wiring)]).collect();
        Self { transition, releases }
    }

    fn node(&self, release: usize, module: &ModuleName) -> Option<&'t Node> {
        self.releases.get(release)?.0.nodes.get(module)
    }

    fn keeps_state(&self, release: usize, module: &ModuleName) -> bool {
        self.node(release, module).is_some_and(Node::keeps_state)
    }

    /// True if a call can still begin in this frame: its module is stateless, or its version has stayed the live one since.
    fn lives(&self, release: usize, module: &ModuleName) -> bool {
        let Some(node) = self.node(release, module) else {
            return false;
        };
        let same = |later: usize| {
            let later = self.node(later, module);
            later.is_some_and(|later| !later.differs_from(node))
        };
        !node.keeps_state() || (release + 1..self.releases.len()).all(same)
    }

    /// True if code of this frame can run. Calls that have started on a key go on where they are, whatever moved since: nobody waits for
    /// them before a switch that breaks no edge.
    fn runs(&self, release: usize, module: &ModuleName) -> bool {
        let is_keyed = self.node(release, module).is_some_and(|node| node.kind == Kind::Keyed);
        is_keyed || self.lives(release, module)
    }

    fn edges_of(&self, release: usize) -> impl Iterator<Item = Edge<'t>> {
        let wiring = self.releases.get(release).map(|(_, wiring)| *wiring);
        let edges = wiring.into_iter().flat_map(Wiring::edges);
        edges.map(move |(caller, imported, link)| Edge {
            release,
            caller,
            imported,
            link,
        })
    }

    fn edges(&self) -> impl Iterator<Item = Edge<'t>> {
        let all = (0..self.releases.len()).flat_map(|release| self.edges_of(release));
        all.filter(|edge| self.runs(edge.release, edge.caller))
    }

    /// True if the callee is stateful for this edge, so that it is not the version of the caller's release.
    fn meets_live(&self, edge: &Edge<'_>) -> bool {
        self.keeps_state(edge.release, &edge.link.callee)
    }

    /// The type that the caller imports, and the one that its callee has in a graph.
    fn types(&self, edge: &Edge<'_>, graph: &'t Graph) -> (Option<&'t FunctionType>, Option<&'t FunctionType>) {
        let wanted = self
            .node(edge.release, edge.caller)
            .and_then(|node| node.interface.imports.get(edge.imported));
        let callee = graph.nodes.get(&edge.link.callee);
        let offered = callee.and_then(|node| node.export_for(edge.imported));
        (wanted, offered.map(|(_, offered)| offered))
    }

    /// Edges into stateful modules that move and no longer offer what the caller imports. One that does not even fit what runs is
    /// none: the upgrade that broke it has waited for the calls that could reach it.
    fn broken_edges(&self) -> Vec<Edge<'t>> {
        let broken = |edge: &Edge<'_>| {
            let fits = |graph| fits(self.types(edge, graph));
            self.meets_live(edge)
                && self.transition.hands_over(&edge.link.callee)
                && fits(&self.transition.old)
                && !fits(&self.transition.new)
        };
        self.edges().filter(broken).collect()
    }

    /// True if a call along this edge, made before or after the switch, goes on in the frame on old code.
    fn leads_to(&self, edge: &Edge<'_>, (release, module): Frame<'_>) -> bool {
        if edge.link.callee != *module {
            return false;
        }
        if self.meets_live(edge) {
            release >= edge.release && self.keeps_state(release, module) && self.lives(release, module)
        } else {
            release == edge.release
        }
    }

    /// The modules of these frames, and of all from which one of them can be reached on old code.
    fn reaching(&self, ends: Vec<Frame<'t>>) -> BTreeSet<&'t ModuleName> {
        let edges: Vec<Edge<'t>> = self.edges().collect();
        let mut found: BTreeSet<Frame<'t>> = ends.iter().copied().collect();
        let mut waiting = ends;
        while let Some(frame) = waiting.pop() {
            let (release, module) = frame;
            if self.keeps_state(release, module) && self.transition.hands_over(module) {
                continue;
            }
            for edge in edges.iter().filter(|edge| self.leads_to(edge, frame)) {
                let before = (edge.release, edge.caller);
                if found.insert(before) {
                    waiting.push(before);
                }
            }
        }
        found.into_iter().map(|(_, module)| module).collect()
    }

    /// What is to be said of a broken edge of an older release: the upgrade waits for calls that nobody sees in what runs.
    fn warning(&self, edge: &Edge<'_>) -> Option<Warning> {
        let is_older = edge.release + 1 < self.releases.len();
        let node = self.node(edge.release, edge.caller).filter(|_| is_older)?;
        let (caller, callee, imported) = (edge.caller, &edge.link.callee, edge.imported);
        let (wanted, offered) = self.types(edge, &self.transition.new);
        let wanted = wanted?;
        let becomes = match (self.transition.new.nodes.get(callee), offered) {
            (Some(new), Some(offered)) => format!("`{callee}` {} exports it as `{offered}`", new.version.version),
            (Some(new), None) => format!("`{callee}` {} does not export it", new.version.version),
            (None, _) => format!("`{callee}` goes"),
        };
        let message = format!(
            "Calls that began in `{caller}` {} may still be open and import `{imported}` as `{wanted}`, but {becomes}: the upgrade waits for them.",
            node.version.version
        );
        Some(Warning::new(WarningCode::OpenCalls, &[caller, callee], message))
    }
}

fn fits((wanted, offered): (Option<&FunctionType>, Option<&FunctionType>)) -> bool {
    wanted
        .zip(offered)
        .is_some_and(|(wanted, offered)| wanted.same_as(offered))
}

impl Transition {
    /// True if the module keeps state and has another instance, or none, after the switch.
    fn hands_over(&self, module: &ModuleName) -> bool {
        let moves = self
            .moves
            .iter()
            .any(|one| one.module == *module && one.action != Action::Add);
        moves && self.old.nodes.get(module).is_some_and(Node::keeps_state)
    }
}
