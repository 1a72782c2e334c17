//! Finds the candidates that have to move along with others. A candidate is what a module shall be, or nothing where it goes.
//!
//! A fault that a set of candidates leaves can only be mended by a further candidate that is concerned in it: each such is
//! tried. Where types alone decide, there is one at most, and the search is a straight line.

use crate::graph::{Graph, Node, Wiring};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, BTreeSet};

type Names<'c> = BTreeSet<&'c ModuleName>;

/// How many sets one completion may look at, besides two per candidate: beyond that a candidate is pending, which is safe.
const SETS_MAX: usize = 64;

pub(crate) struct Search<'c> {
    current: &'c Graph,
    previous: &'c Wiring,
    candidates: &'c BTreeMap<&'c ModuleName, Option<&'c Node>>,
    /// What does not fit already: no candidate is to blame for it.
    already: Vec<Refusal>,
    /// Candidates that move together, whether their types ask for it or not.
    ties: &'c [BTreeSet<ModuleName>],
}

impl<'c> Search<'c> {
    pub(crate) fn new(
        current: &'c Graph,
        previous: &'c Wiring,
        candidates: &'c BTreeMap<&'c ModuleName, Option<&'c Node>>,
    ) -> Self {
        let already = current.resolve_from(previous).1;
        Self {
            current,
            previous,
            candidates,
            already,
            ties: &[],
        }
    }

    /// The same search, where the members of each of these sets move together.
    pub(crate) fn tied(self, ties: &'c [BTreeSet<ModuleName>]) -> Self {
        Self { ties, ..self }
    }

    /// The running graph with these candidates put into it.
    pub(crate) fn graph(&self, moving: &Names<'c>) -> Graph {
        let mut graph = self.current.clone();
        for name in moving {
            match self.candidates.get(name) {
                Some(Some(node)) => drop(graph.nodes.insert((*name).clone(), (*node).clone())),
                Some(None) => drop(graph.nodes.remove(*name)),
                None => {}
            }
        }
        graph
    }

    /// The set with all that is tied to its members.
    pub(crate) fn with_ties(&self, mut set: Names<'c>) -> Names<'c> {
        let tied = |set: &Names<'c>| {
            let touched = self.ties.iter().filter(|tie| tie.iter().any(|name| set.contains(name)));
            let members = touched.flatten().filter_map(|name| self.candidates.get_key_value(name));
            let wanted: Names<'c> = members.map(|(name, _)| *name).collect();
            (!wanted.is_subset(set)).then_some(wanted)
        };
        while let Some(wanted) = tied(&set) {
            set.extend(wanted);
        }
        set
    }

    /// What would not fit if these moved.
    pub(crate) fn faults(&self, moving: &Names<'c>) -> Vec<Refusal> {
        let (_, mut refusals, _) = self.graph(moving).resolve_from(self.previous);
        refusals.retain(|refusal| !self.already.contains(refusal));
        refusals
    }

    /// A set that contains `wanted`, takes the rest from `allowed`, and fits; as small as a straight search finds it.
    pub(crate) fn complete(&self, wanted: Names<'c>, allowed: &Names<'c>) -> Option<Names<'c>> {
        let mut seen: BTreeSet<Names<'c>> = BTreeSet::new();
        let mut waiting = vec![self.with_ties(wanted)];
        while let Some(set) = waiting.pop() {
            if seen.len() > SETS_MAX + 2 * self.candidates.len() {
                return None;
            }
            if !seen.insert(set.clone()) {
                continue;
            }
            let faults = self.faults(&set);
            if faults.is_empty() {
                return Some(set);
            }
            let ways = faults.iter().map(|fault| self.menders(fault, &set, allowed));
            // The fault with the fewest ways out: one with none ends this branch at once.
            let ways = ways.min_by_key(BTreeSet::len).unwrap_or_default();
            waiting.extend(ways.into_iter().rev().map(|mender| {
                let mut larger = set.clone();
                larger.insert(mender);
                self.with_ties(larger)
            }));
        }
        None
    }

    /// The candidates outside of `set` that could mend a fault: those it names, and those that export what is missing.
    fn menders(&self, fault: &Refusal, set: &Names<'c>, allowed: &Names<'c>) -> Names<'c> {
        let caller = fault.modules.first();
        let importing = caller.and_then(|caller| match self.candidates.get(caller) {
            Some(node) if set.contains(caller) => *node,
            _ => self.current.nodes.get(caller),
        });
        let looks_for_provider = matches!(fault.code, RefusalCode::MissingProvider | RefusalCode::BadLink);
        let provides = |name: &&ModuleName| {
            let exports = self.candidates.get(*name).copied().flatten().zip(importing);
            looks_for_provider
                && exports.is_some_and(|(candidate, importing)| {
                    importing
                        .interface
                        .imports
                        .keys()
                        .any(|wanted| candidate.export_for(wanted).is_some())
                })
        };
        let outside = allowed.difference(set).copied();
        outside
            .filter(|name| fault.modules.contains(name) || provides(name))
            .collect()
    }
}
