//! What can move of what was dropped (R34, R35).
//!
//! Of the files of a module the highest version is its candidate. Of the candidates those move that fit together with what
//! runs and with each other; the rest is pending. With `C` the candidates and `fits(S)` true when the running release with `S`
//! put into it resolves:
//!
//! - what moves is a set `S ⊆ C` with `fits(S)`, and no larger one contains it: whoever can move, moves;
//! - a candidate that fits with what runs *and* with every other candidate is always in it;
//! - where two candidates fit what runs but not each other, the first by name moves: the same drops give the same outcome;
//! - `S` is divided into unconnected parts, each of which is one switch: two modules are in one part where the one cannot move
//!   without the other.

pub(crate) mod search;

use crate::graph::{Graph, Node, Wiring};
use crate::name::{Digest, ModuleName, Version};
use crate::refusal::Refusal;
use search::Search;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of the candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropOutcome {
    /// Parts that can move now, each as one switch, in this order.
    pub groups: Vec<BTreeSet<ModuleName>>,
    /// What waits for another drop, and why it does not fit what will run.
    pub pending: BTreeMap<ModuleName, Vec<Refusal>>,
}

/// The candidate among the files of one module: the highest version; of files of equal precedence the last in the list.
#[must_use]
pub fn candidate(files: &[(Version, Digest)]) -> Option<&(Version, Digest)> {
    files.iter().max_by(|(one, _), (other, _)| one.cmp_precedence(other))
}

/// Divides the candidates into what moves now and what is pending (R35). `previous` is how `current` is wired. A candidate
/// with the bytes and kind of what runs is in neither.
#[must_use]
pub fn settle_drops(current: &Graph, previous: &Wiring, candidates: &BTreeMap<ModuleName, Node>) -> DropOutcome {
    let changes =
        |(name, node): &(&ModuleName, &Node)| current.nodes.get(*name).is_none_or(|runs| node.differs_from(runs));
    let candidates = candidates.iter().filter(changes);
    let candidates: BTreeMap<&ModuleName, Option<&Node>> = candidates.map(|(name, node)| (name, Some(node))).collect();
    let search = Search::new(current, previous, &candidates);
    let all: BTreeSet<&ModuleName> = candidates.keys().copied().collect();
    let moving = if search.faults(&all).is_empty() {
        all.clone()
    } else {
        all.iter().fold(BTreeSet::new(), |moving, name| {
            let mut wanted = moving.clone();
            wanted.insert(*name);
            search.complete(wanted, &all).unwrap_or(moving)
        })
    };
    let pending = all.difference(&moving).map(|name| {
        let mut with = moving.clone();
        with.insert(name);
        ((*name).clone(), search.faults(&with))
    });
    let pending = pending.collect();
    let owned = |part: BTreeSet<&ModuleName>| part.into_iter().cloned().collect();
    let groups = parts(&search, moving).into_iter().map(owned).collect();
    DropOutcome { groups, pending }
}

/// Divides what moves: two modules are in one part if one cannot move without the other.
fn parts<'c>(search: &Search<'c>, moving: BTreeSet<&'c ModuleName>) -> Vec<BTreeSet<&'c ModuleName>> {
    let mut parts: Vec<BTreeSet<&ModuleName>> = Vec::new();
    for name in &moving {
        let alone = BTreeSet::from([*name]);
        let Some(mut part) = search.complete(alone, &moving) else {
            return vec![moving];
        };
        parts.retain(|other| {
            let connected = !other.is_disjoint(&part);
            if connected {
                part.extend(other);
            }
            !connected
        });
        parts.push(part);
    }
    parts.sort();
    // The parts switch one after the other: each has to fit what then runs. Where links leave a choice, that is not
    // implied by each part fitting alone.
    let mut moved = BTreeSet::new();
    for part in &parts {
        moved.extend(part);
        if !search.faults(&moved).is_empty() {
            return vec![moving];
        }
    }
    parts
}

#[cfg(test)]
pub(crate) mod tests;
