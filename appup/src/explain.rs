//! What the engine does in an upgrade, in the words and the order of OTP's low-level instructions; and which of OTP's
//! instructions there are here.
//!
//! An upgrade is one switch, so these orders are nothing that anybody writes: they are what a relup amounts to. A module is what in
//! OTP is a process with its module, and an import from another module is what in OTP is written down as `DepMods`.
//!
//! # High-level instructions (appup)
//!
//! | OTP | here | the difference |
//! |---|---|---|
//! | `{update, Mod}`, `{update, Mod, soft}` | `load_module` | a module without state is replaced; it is suspended only where an edge breaks, and old calls end on old instances |
//! | `{update, Mod, {advanced, Extra}}` | `update`, `extra` | `save` and `migrate` are `code_change`; the state goes to a new instance, the old one stays able to serve |
//! | `{update, Mod, supervisor}` | – | there are no supervisors: restart policy is `on_trap`, a setting; a change of it needs no code |
//! | `DepMods` | – | the order comes from the imports; nobody can forget it |
//! | `PrePurge`, `PostPurge` | – | any number of versions live at once (R20), so nothing has to be killed to make room; what lingers after a switch is bounded by `drain_timeout` (R23) |
//! | `Timeout` | `quiesce_timeout` | a module that does not get quiet calls the upgrade off; in OTP it is left out, and dies later |
//! | `ModType` `static`, `dynamic` | – | always dynamic: the newer code knows both formats, so going down it writes the older one before the older code takes it (R2) |
//! | `{load_module, Mod}` | `load_module` | the same |
//! | `{add_module, Mod}` | `add_module` | also starts it; may take the state of others (`state_from`) |
//! | `{delete_module, Mod}` | `delete_module` | its calls end first, its last state is kept unless `purge` |
//! | `{add_application, App, Type}` | `add_module` | a module is the unit; the types `load` and `none` (not started) have no meaning, since what is not to run is not part of the release |
//! | `{remove_application, App}` | `delete_module` | as above |
//! | `{restart_application, App}` | `restart_module` | one module; the state is lost, and `check` says so |
//! | – | `state`, `state_from`, `via` | where the state comes from; rename, split and merge (R31); chains of versions (R28) |
//!
//! # Low-level instructions (relup)
//!
//! | OTP | here | the difference |
//! |---|---|---|
//! | `load_object_code` | compile and instantiate beside the old | nothing waits yet |
//! | `point_of_no_return` | the first gate closes | in OTP a failure after it restarts the node; here everything up to the commit is called off without a trace (P3). The step stands where OTP has it: before it nobody waits |
//! | `suspend` | the gate of R21 and R22 | one set for the whole upgrade; calls wait in order, and none is lost |
//! | `load` | the new version takes the place | takes effect for all modules at once, by the switch |
//! | `code_change` | `save`, `migrate`, `health` | on failure the old version serves on. `per key`: of a keyed module, each key at its next call (R33) |
//! | `resume` | the gate opens | what waited runs on the new version |
//! | `stop`, `start` | the last state is saved, calls end; the first instance starts | |
//! | `remove`, `purge` | retire | the memory is freed when the last call has ended |
//! | `apply` | `call`, with `undo` and `when` (R32) | before the point of no return, after the switch, or when the release is made permanent |
//! | `sync_nodes` | – | one host is upgraded; over several, rollouts are the business of whoever drives them |
//! | `restart_new_emulator`, `restart_emulator` | – | no upgrade of modules needs a restart of the host, and a new host takes its state up from disk |
//!
//! Invariants:
//! - Every module that moves is named in a `load`, a `remove`, or both.
//! - What is suspended and still there is resumed, in the opposite order.

mod orders;
mod show;

pub use orders::explain;

use crate::name::{ModuleName, Version};
use crate::relup::{CallSpec, When};
use serde::{Deserialize, Serialize};

/// The two ways of a relup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// There.
    Up,
    /// And back.
    Down,
}

/// One module whose state is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Which.
    pub module: ModuleName,
    /// Whose state it takes; empty: its own (R31).
    pub from: Vec<ModuleName>,
    /// The versions through which it goes (R28).
    pub via: Vec<Version>,
}

/// One step, in OTP's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Read, compiled and instantiated, without effect.
    LoadObjectCode(Vec<ModuleName>),
    /// From here on somebody waits.
    PointOfNoReturn,
    /// New calls wait, started ones end.
    Suspend(Vec<ModuleName>),
    /// The new version is the current one.
    Load(ModuleName),
    /// State is handed over.
    CodeChange {
        /// Which way.
        direction: Direction,
        /// Of which modules, in this order.
        modules: Vec<Changed>,
        /// Each key at its next call, not all at once (R33).
        per_key: bool,
    },
    /// Calls go on.
    Resume(Vec<ModuleName>),
    /// Ended, with the last state saved.
    Stop(Vec<ModuleName>),
    /// The first instance runs.
    Start(Vec<ModuleName>),
    /// There is no current version any more.
    Remove(ModuleName),
    /// The old version is freed.
    Purge(Vec<ModuleName>),
    /// A function is called.
    Apply {
        /// Which.
        call: CallSpec,
        /// What undoes it.
        undo: Option<CallSpec>,
        /// When.
        when: When,
    },
}

#[cfg(test)]
mod tests;
