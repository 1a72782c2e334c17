//! What one upgrade does to a graph, and whether it may.
//!
//! Everything is set algebra over two graphs: `new \ old` is added, `old \ new` is deleted, and of `old ∩ new` what differs in
//! bytes or kind is moved. Instructions say how; where none are given, the defaults do.

mod check;
mod gate;
mod known;
mod moves;
mod outside;
mod readable;
mod state;

pub use check::check;
pub use known::{Known, Open, Saved, is_between};
pub use moves::{default_moves, plan_moves, undo_moves};

use crate::graph::{Graph, Wiring};
use crate::name::ModuleName;
use crate::refusal::Warning;
use crate::relup::{StatePolicy, Via};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What happens to one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was not there. Its state, if it is given one, comes from others.
    Add,
    /// Replaced without a hand-over: old or new version keeps no state.
    Load,
    /// Replaced, and state handed over.
    Update,
    /// A new instance; the state is lost, as asked for.
    Restart,
    /// It is gone afterwards.
    Delete,
}

/// One module's part in an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Which module.
    pub module: ModuleName,
    /// What happens to it.
    pub action: Action,
    /// Given to `save` and `migrate`; `Null` if none.
    #[serde(default)]
    pub extra: serde_json::Value,
    /// Whose state it takes; empty: its own (R31).
    #[serde(default)]
    pub state_from: Vec<ModuleName>,
    /// From where the state comes; `None`: as the upgrade as a whole says.
    #[serde(default)]
    pub state: Option<StatePolicy>,
    /// Of a delete: whether the last state goes too.
    #[serde(default)]
    pub purge: bool,
    /// Of an update: the versions through which the state goes first, in throw-away instances (R28).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<Via>,
}

/// One upgrade: two graphs, and how the one becomes the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// What runs.
    pub old: Graph,
    /// What will run.
    pub new: Graph,
    /// What happens to each module that moves.
    pub moves: Vec<Move>,
    /// What else is known: of states, of open calls, of grants. What is not known is not checked.
    #[serde(default)]
    pub known: Known,
}

/// What the caller allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOptions {
    /// State may be lost (R30).
    pub allow_lossy: bool,
}

/// An upgrade that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Who serves what afterwards.
    pub wiring: Wiring,
    /// The modules whose new calls wait (R21, R22): removing any one of them would be wrong.
    pub gated: BTreeSet<ModuleName>,
    /// What may surprise.
    pub warnings: Vec<Warning>,
    /// One sentence for each state that this upgrade loses.
    pub lossy: Vec<String>,
    /// The saved states of keys that nobody can read afterwards, where that is allowed: what `lossy` says, as values.
    pub given_up: Vec<Saved>,
}

impl Transition {
    /// An upgrade of which nothing else is known.
    #[must_use]
    pub fn new(old: Graph, new: Graph, moves: Vec<Move>) -> Self {
        Self {
            old,
            new,
            moves,
            known: Known::default(),
        }
    }

    /// With what else is known.
    #[must_use]
    pub fn knowing(self, known: Known) -> Self {
        Self { known, ..self }
    }
}

impl Move {
    /// A move with nothing special about it.
    #[must_use]
    pub fn new(module: ModuleName, action: Action) -> Self {
        Self {
            module,
            action,
            extra: serde_json::Value::Null,
            state_from: Vec::new(),
            state: None,
            purge: false,
            via: Vec::new(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Action::Add => "add",
            Action::Load => "load",
            Action::Update => "update",
            Action::Restart => "restart",
            Action::Delete => "delete",
        })
    }
}

#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
