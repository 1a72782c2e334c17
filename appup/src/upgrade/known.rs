//! What the host knows beside the two graphs, as values.

use crate::capability::Capability;
use crate::description::StateDescription;
use crate::graph::{Graph, Node, Wiring};
use crate::name::{Digest, ModuleName, ModuleVersion};
use crate::settings::Grants;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What else is known of an upgrade. Everything may be empty: then it is not checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// How versions describe their state, by digest (R4). Absent: a version is found out by trying.
    pub states: BTreeMap<Digest, StateDescription>,
    /// The versions that have written a state which is still kept (R28), those of modules that are gone included.
    pub saved: BTreeSet<ModuleVersion>,
    /// The versions that moves name as their middle ones (`via`).
    pub middle: BTreeSet<ModuleVersion>,
    /// Older releases with calls still open, oldest first (R7). A revision between two of them belongs into the list too.
    pub open: Vec<Open>,
    /// What each module may use of the host afterwards (R8). A module that is absent is not checked.
    pub granted: BTreeMap<ModuleName, BTreeSet<Capability>>,
    /// What a module knowingly may not use, although it imports it.
    pub denied: BTreeMap<ModuleName, BTreeSet<Capability>>,
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

    /// The versions of a module that have written a state which is still kept.
    pub fn saved_of<'k>(&'k self, module: &'k ModuleName) -> impl Iterator<Item = &'k ModuleVersion> {
        self.saved.iter().filter(move |version| version.name == *module)
    }
}
