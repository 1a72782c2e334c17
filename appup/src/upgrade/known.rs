//! What the host knows beside the two graphs, as values.

use crate::capability::Capability;
use crate::description::StateDescription;
use crate::graph::{Graph, Node, Wiring};
use crate::name::{Digest, ModuleName, ModuleVersion};
use crate::settings::Grants;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What else is known of an upgrade. Everything may be empty: then it is not checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// How versions describe their state, by digest (R4). Absent: a version is found out by trying.
    pub states: BTreeMap<Digest, StateDescription>,
    /// The saved states that are still kept (R28), those of modules that are gone included.
    pub saved: Vec<Saved>,
    /// The versions that moves name as their middle ones (`via`).
    pub middle: BTreeSet<ModuleVersion>,
    /// The versions that are to be had where it runs: a saved state may go through any of them.
    pub had: BTreeSet<ModuleVersion>,
    /// Older releases with calls still open, oldest first (R7). A revision between two of them belongs into the list too.
    pub open: Vec<Open>,
    /// What each module may use of the host afterwards (R8). A module that is absent is not checked.
    pub granted: BTreeMap<ModuleName, BTreeSet<Capability>>,
    /// What a module knowingly may not use, although it imports it.
    pub denied: BTreeMap<ModuleName, BTreeSet<Capability>>,
}

/// Saved states of one module that are in the format of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Whose states they are.
    pub module: ModuleName,
    /// Who wrote them; after a way down, for whom they were written (R2).
    pub version: ModuleVersion,
    /// How many: one, or one for each key.
    pub states: u64,
}

/// An older release in which calls are still open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its modules.
    pub graph: Graph,
    /// Who serves what in it.
    pub wiring: Wiring,
}

impl Known {
    /// What this module may use of the host afterwards, and knowingly may not (R8).
    pub fn grant(&mut self, module: &ModuleName, grants: &Grants) {
        self.granted.insert(module.clone(), grants.capabilities());
        self.denied.insert(module.clone(), grants.denied.clone());
    }

    /// How a version describes its state.
    #[must_use]
    pub fn state_of(&self, node: &Node) -> Option<&StateDescription> {
        self.states.get(&node.version.digest)
    }

    /// True if `reader` can read what `writer` wrote: it says so, or the writer says that it can write for it (R2), or the reader
    /// says nothing at all.
    #[must_use]
    pub fn reads(&self, reader: &ModuleVersion, writer: &ModuleVersion) -> bool {
        let Some(state) = self.states.get(&reader.digest) else {
            return true;
        };
        let writes = || {
            self.states
                .get(&writer.digest)
                .is_some_and(|of| of.can_write_for(writer, reader))
        };
        state.can_read(reader, writer) || writes()
    }

    /// The saved states of a module.
    pub fn saved_of<'k>(&'k self, module: &'k ModuleName) -> impl Iterator<Item = &'k Saved> {
        self.saved.iter().filter(move |saved| saved.module == *module)
    }

    /// The versions through which what `writer` wrote gets to `reader`: the fewest there can be, none where it reads it itself.
    /// `None` if no way is open. A version of which nothing is known may read anything: that is found out by trying.
    #[must_use]
    pub fn way(&self, reader: &ModuleVersion, writer: &ModuleVersion) -> Option<Vec<ModuleVersion>> {
        if self.reads(reader, writer) {
            return Some(Vec::new());
        }
        let between = self
            .had
            .union(&self.middle)
            .filter(|one| is_between(one, writer, reader));
        let mut left: Vec<&ModuleVersion> = between.collect();
        let mut waiting: VecDeque<Vec<&ModuleVersion>> = VecDeque::from([Vec::new()]);
        while let Some(way) = waiting.pop_front() {
            let at = way.last().copied().unwrap_or(writer);
            if !way.is_empty() && self.reads(reader, at) {
                return Some(way.into_iter().cloned().collect());
            }
            let (next, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|middle| self.reads(middle, at));
            left = rest;
            waiting.extend(next.into_iter().map(|middle| [&way[..], &[middle]].concat()));
        }
        None
    }
}

/// True for a version that may pass a state on: of the reader's module, between the two. Where another module wrote the state the two
/// versions say nothing about each other.
#[must_use]
pub fn is_between(middle: &ModuleVersion, writer: &ModuleVersion, reader: &ModuleVersion) -> bool {
    let (from, to, at) = (&writer.version, &reader.version, &middle.version);
    let fits = match (writer.name == reader.name, from <= to) {
        (true, true) => from < at && at < to,
        (true, false) => to < at && at < from,
        (false, _) => at < to,
    };
    middle.name == reader.name && fits
}
