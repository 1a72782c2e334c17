//! stub
use crate::graph::{Graph, Node, Wiring};
use crate::name::{Digest, ModuleName, Version};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What can move of what was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropOutcome {
    /// Parts that can move now, each as one switch.
    pub groups: Vec<BTreeSet<ModuleName>>,
    /// What cannot, and why.
    pub pending: BTreeMap<ModuleName, Vec<Refusal>>,
}

/// Settles.
pub fn settle_drops(_current: &Graph, _previous: &Wiring, _candidates: &BTreeMap<ModuleName, Node>) -> DropOutcome {
    DropOutcome::default()
}

/// Highest.
pub fn candidate(files: &[(Version, Digest)]) -> Option<&(Version, Digest)> {
    files.iter().max_by(|one, other| one.0.cmp_precedence(&other.0))
}
