//! A release as a graph: modules are nodes, imports are edges (R7).
//!
//! Resolving says, for every imported function, which module serves it and by which exported function; or why it cannot.
//!
//! Invariants:
//! - A module is linked to itself only where its configuration says so.
//! - In a [`Wiring`] of a graph that resolved without refusal, caller and callee agree exactly on the type of each function.

mod circle;
mod kinds;
mod names;
mod provider;
mod resolve;
mod routes;

use crate::http::RouteSpec;
use crate::interface::{FunctionName, FunctionType, ModuleInterface};
use crate::name::{ModuleName, ModuleVersion};
use crate::refusal::{Refusal, Warning};
use crate::settings::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One module of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Which build.
    pub version: ModuleVersion,
    /// How its instances take calls.
    pub kind: Kind,
    /// What it exports and imports.
    #[serde(with = "shared")]
    pub interface: Arc<ModuleInterface>,
    /// Imported interface (with or without version) or bare function → module that serves it.
    #[serde(default)]
    pub links: BTreeMap<String, ModuleName>,
    /// The HTTP requests that it answers; absent: those under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteSpec>>,
}

/// The modules of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Graph {
    /// Each under its name.
    pub nodes: BTreeMap<ModuleName, Node>,
}

/// Who serves an imported function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The module.
    pub callee: ModuleName,
    /// The function, as the callee exports it: its interface may be a newer, compatible version of the imported one.
    pub function: FunctionName,
}

/// Who serves what: for each caller, each function as it imports it. Modules that import nothing are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// The links of each caller.
    pub links: BTreeMap<ModuleName, BTreeMap<FunctionName, Link>>,
}

impl Node {
    /// True if upgrades hand its state over.
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        self.kind.keeps_state()
    }

    /// True if `other` has to replace this node by an upgrade: other bytes, or another kind.
    #[must_use]
    pub fn differs_from(&self, other: &Node) -> bool {
        self.version.digest != other.version.digest || self.kind != other.kind
    }

    /// The export that serves `imported`: of the same name, else in the highest compatible version of its interface (R7).
    #[must_use]
    pub fn export_for(&self, imported: &FunctionName) -> Option<(&FunctionName, &FunctionType)> {
        names::export_for(&self.interface, imported)
    }
}

impl Graph {
    /// A graph of these nodes.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let nodes = nodes
            .into_iter()
            .map(|node| (node.version.name.clone(), node))
            .collect();
        Self { nodes }
    }

    /// Links every import (R7), and checks kinds (R9), HTTP routes, circles (R15) and failures that cannot be reported (R13).
    #[must_use]
    pub fn resolve(&self) -> (Wiring, Vec<Refusal>, Vec<Warning>) {
        self.resolve_from(&Wiring::default())
    }

    /// As [`Graph::resolve`], but what `previous` links stays linked to the same module as long as that module still
    /// exports it: a second provider that appears later moves nothing (R7). A configured link wins over both.
    #[must_use]
    pub fn resolve_from(&self, previous: &Wiring) -> (Wiring, Vec<Refusal>, Vec<Warning>) {
        resolve::resolve(self, previous)
    }
}

impl Wiring {
    /// The link of an imported function.
    #[must_use]
    pub fn link(&self, caller: &str, imported: &FunctionName) -> Option<&Link> {
        self.links.get(caller)?.get(imported)
    }

    /// Every edge: caller, function as imported, link.
    pub fn edges(&self) -> impl Iterator<Item = (&ModuleName, &FunctionName, &Link)> {
        self.links
            .iter()
            .flat_map(|(caller, links)| links.iter().map(move |(imported, link)| (caller, imported, link)))
    }
}

/// One row of a [`Wiring`], as it is written: JSON has no maps with structured keys.
#[derive(Serialize, Deserialize)]
struct Row {
    caller: ModuleName,
    imported: FunctionName,
    link: Link,
}

impl Serialize for Wiring {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.edges().map(|(caller, imported, link)| Row {
            caller: caller.clone(),
            imported: imported.clone(),
            link: link.clone(),
        }))
    }
}

impl<'de> Deserialize<'de> for Wiring {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut wiring = Wiring::default();
        for Row { caller, imported, link } in Vec::<Row>::deserialize(from)? {
            wiring.links.entry(caller).or_default().insert(imported, link);
        }
        Ok(wiring)
    }
}

/// An `Arc` as what it holds.
mod shared {
    use super::{Arc, ModuleInterface};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Arc<ModuleInterface>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<ModuleInterface>, D::Error> {
        ModuleInterface::deserialize(from).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
