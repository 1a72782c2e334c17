//! The instructions of a relup. What users write is this little; suspending, loading and resuming is what the engine does.
//!
//! Invariants:
//! - One entry is one instruction; a module has at most one per direction, `call` steps aside.
//! - `load_module`, `update` and `add_module` of `[[up]]` name declared modules: something has to be loaded.

mod read;

pub(crate) use read::{read_both, read_calls, read_main};

use crate::name::{ModuleName, Version};
use serde::{Deserialize, Serialize};
use std::fmt;

/// From where a module's state comes in an upgrade (R27, R30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatePolicy {
    /// From `save` of the running instance.
    Live,
    /// From the last saved state.
    LastSaved,
    /// From nowhere: the new instance begins fresh.
    Empty,
    /// From nowhere: the new version keeps none (R30).
    Discard,
}

/// When a `call` step is carried out (R32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before anything waits.
    #[default]
    Before,
    /// After the switch.
    After,
    /// When the release is made permanent.
    Permanent,
}

/// A version between two others, through which a state goes in a throw-away instance (R28).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Via {
    /// Which version of the module.
    pub version: Version,
    /// Given to its `migrate`, and to the `save` before; `Null` if absent.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub extra: serde_json::Value,
}

/// A function to call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallSpec {
    /// Of which module.
    pub module: ModuleName,
    /// Which function.
    pub function: String,
    /// With which arguments.
    #[serde(default)]
    pub args: Vec<serde_json::Value>,
}

/// One entry of `[[up]]` or `[[down]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "snake_case")]
pub enum Instruction {
    /// Replaces a module that keeps no state.
    LoadModule {
        /// Which.
        module: ModuleName,
    },
    /// Replaces a module and hands its state over.
    Update {
        /// Which.
        module: ModuleName,
        /// Given to `save` and `migrate`; `Null` if absent.
        #[serde(default)]
        extra: serde_json::Value,
        /// Whose state it takes; empty: its own (R31).
        #[serde(default)]
        state_from: Vec<ModuleName>,
        /// From where the state comes; `None`: as the upgrade as a whole says.
        #[serde(default)]
        state: Option<StatePolicy>,
        /// The versions through which the state goes first, in this order; empty: directly (R28).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        via: Vec<Via>,
    },
    /// Adds a module.
    AddModule {
        /// Which.
        module: ModuleName,
        /// Given to `migrate`; `Null` if absent.
        #[serde(default)]
        extra: serde_json::Value,
        /// Whose state it takes; empty: none (R31).
        #[serde(default)]
        state_from: Vec<ModuleName>,
    },
    /// Removes a module.
    DeleteModule {
        /// Which.
        module: ModuleName,
        /// Whether its last state goes too.
        #[serde(default)]
        purge: bool,
    },
    /// Makes a new instance, without the state.
    RestartModule {
        /// Which.
        module: ModuleName,
    },
    /// Calls a function.
    Call {
        /// Of which module.
        module: ModuleName,
        /// Which function.
        function: String,
        /// With which arguments.
        #[serde(default)]
        args: Vec<serde_json::Value>,
        /// When.
        #[serde(default)]
        when: When,
        /// What undoes it.
        #[serde(default)]
        undo: Option<CallSpec>,
    },
}

impl Instruction {
    /// The module it is about.
    #[must_use]
    pub fn module(&self) -> &ModuleName {
        match self {
            Instruction::LoadModule { module }
            | Instruction::Update { module, .. }
            | Instruction::AddModule { module, .. }
            | Instruction::DeleteModule { module, .. }
            | Instruction::RestartModule { module }
            | Instruction::Call { module, .. } => module,
        }
    }

    /// True for a `call`: it moves no module.
    #[must_use]
    pub fn is_step(&self) -> bool {
        matches!(self, Instruction::Call { .. })
    }

    /// Its key in TOML.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Instruction::LoadModule { .. } => "load_module",
            Instruction::Update { .. } => "update",
            Instruction::AddModule { .. } => "add_module",
            Instruction::DeleteModule { .. } => "delete_module",
            Instruction::RestartModule { .. } => "restart_module",
            Instruction::Call { .. } => "call",
        }
    }
}

impl Via {
    /// A middle version that is given nothing.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            extra: serde_json::Value::Null,
        }
    }
}

impl fmt::Display for StatePolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            StatePolicy::Live => "live",
            StatePolicy::LastSaved => "last-saved",
            StatePolicy::Empty => "empty",
            StatePolicy::Discard => "discard",
        })
    }
}
