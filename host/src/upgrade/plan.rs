//! What one upgrade is to do, and what is written down of it.

use super::journal::Step;
use crate::control::protocol::{Exit, Failure, StateSource};
use crate::instance::ModuleConfig;
use crate::store::SavedState;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{
    Action, Capability, Digest, Graph, Instruction, Kind, Limits, LimitsSpec, ModuleName, ModuleSpec, ModuleVersion,
    Move, Node, StatePolicy, Transition, Version as Semver, Wiring,
};

/// Who asked for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    /// The host starts with a release or a directory.
    Start,
    /// A file was dropped.
    Drop,
    /// `wasmhot apply`.
    Apply,
    /// `wasmhot undo`.
    Undo,
    /// `wasmhot remove`.
    Remove,
    /// More keys failed than `max_failed_keys` allows.
    FailedKeys,
    /// More calls failed in probation than may (R39).
    Probation,
    /// The host ended in probation, and starts with the release before (R40).
    CrashInProbation,
}

impl Asked {
    /// Somebody, or the host, wants what ran before.
    pub(crate) fn goes_back(self) -> bool {
        match self {
            Asked::Undo | Asked::FailedKeys | Asked::Probation | Asked::CrashInProbation => true,
            Asked::Start | Asked::Drop | Asked::Apply | Asked::Remove => false,
        }
    }
}

/// A module as it shall be.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    pub(crate) version: Arc<Version>,
    pub(crate) config: ModuleConfig,
}

/// One upgrade.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) asked: Asked,
    /// The revision that it was made for: it is good for nothing once another one runs.
    pub(crate) base: u64,
    pub(crate) release: String,
    pub(crate) release_version: Semver,
    /// Limits for all modules of the release.
    pub(crate) release_limits: LimitsSpec,
    /// All modules afterwards.
    pub(crate) desired: BTreeMap<ModuleName, Desired>,
    pub(crate) moves: Vec<Move>,
    /// Versions that only live in throw-away instances, to pass a state on (R28).
    pub(crate) middle: Vec<Arc<Version>>,
    /// What is called before and after (R32).
    pub(crate) steps: Vec<Step>,
    /// How to go back, if the relup says so.
    pub(crate) down: Vec<Instruction>,
    /// How a release that comes back was wired: its links come back with it (R7, R38).
    pub(crate) links: Wiring,
    /// The revision that `undo` goes to from the new one.
    pub(crate) undo_to: Option<u64>,
    /// Digest of the release.toml that this comes from, if it comes from one.
    pub(crate) release_file: Option<Digest>,
    /// Contents that were asked for by name: from the switch on nothing bars them any more (R36).
    pub(crate) lifted: Vec<Digest>,
    /// Versions that an undo leaves: from the switch on they are barred as drops (R36).
    pub(crate) barred: Vec<ModuleVersion>,
    pub(crate) options: Options,
}

/// What the caller wants of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) dry_run: bool,
    pub(crate) allow_lossy: bool,
    /// Families that the module does without from now on.
    pub(crate) deny: Vec<Capability>,
    pub(crate) state: StateSource,
    /// The state of `--state FILE`, read.
    pub(crate) state_file: Option<SavedState>,
    pub(crate) limits: LimitsSpec,
    /// Who asks, as he calls himself.
    pub(crate) by: Option<String>,
    /// For how long, and up to what, the new release may still be taken back by the host itself.
    pub(crate) probation: Option<Trial>,
}

/// The time in which a release may still revert by itself (R39).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    pub(crate) time: Duration,
    /// How many more of a hundred calls may fail than before.
    pub(crate) max_error_rate: f64,
}

/// Where a module's state comes from (R27): the instruction's word goes before the caller's.
pub(crate) enum StateFrom<'a> {
    Live,
    LastSaved,
    Empty,
    File(&'a SavedState),
}

impl Plan {
    pub(crate) fn graph(&self) -> Graph {
        Graph::new(self.desired.values().map(|desired| Node {
            version: desired.version.id.clone(),
            kind: desired.config.kind,
            interface: Arc::clone(&desired.version.interface),
            links: desired.config.spec.links.clone(),
            routes: desired.config.spec.routes.clone(),
        }))
    }

    /// Who serves whom now, and in the release that comes back, if one does.
    pub(crate) fn previous_wiring(&self, now: &Wiring) -> Wiring {
        let mut wiring = now.clone();
        for (caller, links) in &self.links.links {
            wiring.links.entry(caller.clone()).or_default().extend(links.clone());
        }
        wiring
    }

    /// The limits of a module during this upgrade.
    pub(crate) fn limits(&self, of: &Limits) -> Limits {
        let mut limits = of.clone();
        self.options.limits.apply_to(&mut limits);
        limits
    }

    pub(crate) fn state_of(&self, step: &Move) -> StateFrom<'_> {
        if step.action == Action::Restart {
            return StateFrom::Empty;
        }
        match (step.state, &self.options.state, &self.options.state_file) {
            (Some(StatePolicy::Live), ..) => StateFrom::Live,
            (Some(StatePolicy::LastSaved), ..) => StateFrom::LastSaved,
            (Some(StatePolicy::Empty | StatePolicy::Discard), ..) => StateFrom::Empty,
            (None, StateSource::Live, _) => StateFrom::Live,
            (None, StateSource::LastSaved, _) => StateFrom::LastSaved,
            (None, StateSource::Empty, _) => StateFrom::Empty,
            (None, StateSource::File(_), Some(saved)) if saved.tag.module == step.module => StateFrom::File(saved),
            (None, StateSource::File(_), _) => StateFrom::Live,
        }
    }
}

/// A revision, as the catalog keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RevisionRecord {
    pub(crate) revision: u64,
    pub(crate) release: String,
    pub(crate) version: Semver,
    pub(crate) asked: Asked,
    /// When, in milliseconds since 1970: a label.
    pub(crate) time_ms: u64,
    pub(crate) limits: LimitsSpec,
    pub(crate) modules: Vec<ModuleRecord>,
    pub(crate) down: Vec<Instruction>,
    pub(crate) undo_to: Option<u64>,
    /// Links belong to the release (R7): a boot makes the same ones, whoever else could serve by now.
    #[serde(default)]
    pub(crate) wiring: Wiring,
    /// Versions that the way here, or back, leads through (R28).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) middle: Vec<ModuleVersion>,
}

/// A module of a revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModuleRecord {
    pub(crate) id: ModuleVersion,
    pub(crate) kind: Kind,
    pub(crate) spec: ModuleSpec,
}

/// What cannot be carried out for keyed modules, whatever their versions are.
pub(crate) fn refuses_keys(transition: &Transition, takes_file: impl Fn(&Move) -> bool) -> Option<Failure> {
    let is_keyed = |kind: Option<Kind>| kind == Some(Kind::Keyed);
    let refuse = |module: &ModuleName, message: String| {
        let mut failure = Failure::new("state-from", Exit::Refused, message).in_phase("check");
        failure.module = Some(module.to_string());
        failure
    };
    transition.moves.iter().find_map(|step| {
        let module = &step.module;
        let after = is_keyed(transition.new.nodes.get(module).map(|node| node.kind));
        let was_keyed = |from: &ModuleName| is_keyed(transition.old.nodes.get(from).map(|node| node.kind));
        if after && let Some(from) = step.state_from.iter().find(|from| !was_keyed(from)) {
            let message = format!(
                "`{module}` is keyed and takes the state of `{from}`, which is not: nobody knows which keys there are; \
                 let `{from}` run beside `{module}` until calls have moved what belongs to each key"
            );
            return Some(refuse(module, message));
        }
        if after && step.state_from.len() > 1 {
            let message = format!(
                "`{module}` is keyed and takes the states of several modules: a key may be in more than one of them; \
                 name one in `state_from` and move the others by calls"
            );
            return Some(refuse(module, message));
        }
        (after && takes_file(step)).then(|| {
            let message = format!(
                "a file holds the state of one key, and `{module}` is keyed; `wasmhot state import {module} --key KEY FILE` gives it to one"
            );
            refuse(module, message)
        })
    })
}

impl RevisionRecord {
    pub(crate) fn of(plan: &Plan, revision: u64, wiring: &Wiring) -> Self {
        let modules = plan.desired.values().map(|desired| ModuleRecord {
            id: desired.version.id.clone(),
            kind: desired.config.kind,
            spec: desired.config.spec.clone(),
        });
        Self {
            revision,
            release: plan.release.clone(),
            version: plan.release_version.clone(),
            asked: plan.asked,
            time_ms: crate::event::now_ms(),
            limits: plan.release_limits.clone(),
            modules: modules.collect(),
            down: plan.down.clone(),
            undo_to: plan.undo_to,
            wiring: wiring.clone(),
            middle: plan.middle.iter().map(|version| version.id.clone()).collect(),
        }
    }
}
