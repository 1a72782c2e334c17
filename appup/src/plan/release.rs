//! What a plan is made of, as values: the host reads them out of files.

use super::refusal;
use crate::appup::Appup;
use crate::description::StateDescription;
use crate::explain::Direction;
use crate::graph::{Graph, Node, Wiring};
use crate::name::{ModuleName, Version};
use crate::range::VersionRange;
use crate::refusal::{Refusal, RefusalCode};
use crate::settings::{Every, Limits, LimitsSpec, ModuleSpec, Schedule};
use crate::upgrade::{CheckOptions, Known};
use std::collections::{BTreeMap, BTreeSet};

/// One version of a module, with all that stands beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanModule {
    /// Version, kind, interface, links.
    pub node: Node,
    /// What its release says about it. The path is written into the relup.
    pub spec: ModuleSpec,
    /// Its appup, if it has one.
    pub appup: Option<Appup>,
    /// How it describes its state (R4).
    pub state: Option<StateDescription>,
}

/// A release.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRelease {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Limits of every module that does not state its own.
    pub limits: LimitsSpec,
    /// Its modules.
    pub modules: BTreeMap<ModuleName, PlanModule>,
}

/// All that a plan is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// From which release.
    pub old: PlanRelease,
    /// To which.
    pub new: PlanRelease,
    /// Other versions of their modules that may stand between the two (R28).
    pub middle: Vec<PlanModule>,
    /// How the old release is wired now; empty: as it resolves by itself.
    pub wiring: Wiring,
    /// What else is known. State descriptions of the modules above are added to it.
    pub known: Known,
    /// What is allowed.
    pub options: CheckOptions,
}

impl Inputs {
    /// Two releases, and nothing else.
    #[must_use]
    pub fn new(old: PlanRelease, new: PlanRelease) -> Self {
        Self {
            old,
            new,
            middle: Vec::new(),
            wiring: Wiring::default(),
            known: Known::default(),
            options: CheckOptions::default(),
        }
    }

    /// Who serves what in the old release.
    pub(super) fn old_wiring(&self) -> Wiring {
        self.old.graph().resolve_from(&self.wiring).0
    }

    /// From what to what this direction goes.
    pub(super) fn between(&self, direction: Direction) -> (&PlanRelease, &PlanRelease) {
        match direction {
            Direction::Up => (&self.old, &self.new),
            Direction::Down => (&self.new, &self.old),
        }
    }

    fn modules(&self) -> impl Iterator<Item = &PlanModule> {
        let releases = self.old.modules.values().chain(self.new.modules.values());
        releases.chain(&self.middle)
    }

    /// What is known, with the descriptions of the modules.
    pub(super) fn known(&self) -> Known {
        let mut known = self.known.clone();
        for module in self.modules() {
            if let Some(state) = &module.state {
                known.states.insert(module.node.version.digest, state.clone());
            }
        }
        known
            .middle
            .extend(self.middle.iter().map(|module| module.node.version.clone()));
        known
    }

    /// What makes planning pointless.
    pub(super) fn faults(&self) -> Vec<Refusal> {
        let mut faults = Vec::new();
        for (name, module) in &self.new.modules {
            if module.spec.path.is_none() {
                let message = format!(
                    "Nothing says in which file `{name}` {} is.",
                    module.node.version.version
                );
                let remedy = format!("write the `path` of `{name}` into the release");
                faults.push(refusal(RefusalCode::IncompleteInput, name, message, remedy));
            }
        }
        // One version may stand in several places: its appup is judged once.
        let mut seen = BTreeSet::new();
        for module in self.modules() {
            if seen.insert(module.node.version.clone()) {
                faults.extend(module.appup.as_ref().and_then(|appup| wrong_appup(module, appup)));
            }
        }
        faults
    }
}

/// Why an appup is not that of the module it comes with.
fn wrong_appup(module: &PlanModule, appup: &Appup) -> Option<Refusal> {
    let id = &module.node.version;
    let belongs = |version: &Version| VersionRange::Exact(version.clone()).holds(&id.version);
    let whose = match &appup.version {
        _ if appup.module != id.name => format!("`{}`", appup.module),
        Some(version) if !belongs(version) => format!("`{}` {version}", appup.module),
        _ => return None,
    };
    let message = format!(
        "The appup that comes with `{}` {} is that of {whose}.",
        id.name, id.version
    );
    let remedy = "give each version the appup that was written for it".to_owned();
    Some(refusal(RefusalCode::BadAppup, &id.name, message, remedy))
}

impl PlanModule {
    /// A version without appup and description.
    #[must_use]
    pub fn new(node: Node, spec: ModuleSpec) -> Self {
        Self {
            node,
            spec,
            appup: None,
            state: None,
        }
    }
}

impl PlanRelease {
    /// Its graph.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph::new(self.modules.values().map(|module| module.node.clone()))
    }

    fn limits_of(&self, module: &PlanModule) -> Limits {
        Limits::resolve(module.node.kind, &module.spec.limits, &self.limits)
    }

    /// True if this module is to have a new instance after `before`: for its bytes, its kind, its limits or its grants.
    pub(super) fn renews(&self, module: &PlanModule, before: &PlanModule, old: &PlanRelease) -> bool {
        before.node.differs_from(&module.node)
            || before.spec.grants != module.spec.grants
            || old.limits_of(before) != self.limits_of(module)
    }

    /// What is written of a module: all that is known. Limits of the release are written where `old` had others, since a relup has no
    /// place for them but the module.
    pub(super) fn whole_spec(&self, module: &PlanModule, old: &PlanRelease) -> ModuleSpec {
        let id = &module.node.version;
        let limits = if self.limits == old.limits {
            module.spec.limits.clone()
        } else {
            module.spec.limits.clone().or(self.limits.clone())
        };
        // What is not said again is not dropped: what the new release does without has to be said.
        let before = old.modules.get(&id.name).map(|before| &before.spec);
        let ends = before.into_iter().flat_map(|before| &before.every);
        let ends = ends.filter(|one| module.spec.every.iter().all(|known| known.call != one.call));
        let never = ends.map(|one| Schedule {
            every: Every::Never,
            ..one.clone()
        });
        ModuleSpec {
            name: id.name.clone(),
            version: Some(id.version.clone()),
            sha256: Some(id.digest),
            kind: Some(module.node.kind),
            links: module.node.links.clone(),
            limits,
            every: module.spec.every.iter().cloned().chain(never).collect(),
            ..module.spec.clone()
        }
    }
}
