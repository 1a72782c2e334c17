//! Formats, planner and checks of wasmhot: text in, values out. No I/O, no Wasmtime, no clock.
//!
//! # From text to a decision
//!
//! ```text
//! release.toml ─ Release::parse ─┐              interfaces, read out of components by the host
//! relup.toml ─── Relup::parse ───┤                                  │
//!                                └──── the host makes a Graph of both: old (what runs), new (what shall run)
//!                                                                   │
//!   instructions ─ plan_moves ─┐                                    │
//!   or none ──── default_moves ┴─ moves ─── Transition { old, new, moves, known } ── check ── Checked or refusals
//!   files ─── candidate ─ settle_drops ─ groups of candidates, each of which becomes a Transition
//!
//! appup.toml ─── Appup::parse ──┐
//!   two releases, middle versions ┴─ plan ─ Plan { relup, up, down } ─┬─ to_toml ── relup.toml, all explicit
//!                                                                     ├─ explain ── OTP's low-level orders
//!                                                                     └─ split ──── parts that move together
//! ```
//!
//! # The sets
//!
//! With `O` and `N` the modules of the old and the new graph:
//!
//! - `N \ O` is added, `O \ N` is deleted;
//! - of `O ∩ N`, what differs in bytes or kind is replaced: *updated* where both versions keep state, else *loaded*;
//!   the rest stays, unless an instruction says otherwise.
//!
//! A new graph is good if every import in it resolves to exactly one module, with exactly the type imported
//! ([`Graph::resolve`]). There is no order of steps to get wrong: one upgrade has one switch.
//!
//! What waits during an upgrade is a set too, [`Checked::gated`]. It is the union of
//!
//! 1. the `single` modules that move: their state is taken when they are quiet;
//! 2. the modules whose state feeds another one;
//! 3. for each old edge `caller → callee` into a stateful module that moves, if the new callee no longer offers the imported type:
//!    the callee, the caller, and all modules from which a call could still reach that edge on old code. A call keeps the
//!    versions of its stamp in stateless modules and in stateful ones that stay; in a stateful module that moves it meets new code,
//!    so there the walk back ends.
//!
//! Without any one member of it some call could meet a version that it does not fit.
//!
//! Old code is also that of older releases in which calls are still open: see [`upgrade::Known`].
//!
//! What moves of several drops is a largest set `S` of candidates such that `(O \ S) ∪ S` resolves: see [`drops`].
//!
//! # Invariants
//!
//! - Everything here is a function of its arguments, and ends: no text and no graph makes it panic.
//! - Every fault and every refusal is one sentence that says what to do about it; all are told at once.
//! - The same arguments give the same outcome: nothing depends on time, chance or the order of events.

#![forbid(unsafe_code)]

pub mod appup;
pub mod capability;
pub mod description;
pub mod diagnostic;
pub mod drops;
pub mod explain;
pub mod graph;
pub mod http;
pub mod interface;
pub mod name;
pub mod plan;
pub mod range;
mod read;
pub mod refusal;
pub mod release;
pub mod relup;
pub mod schema;
pub mod settings;
pub mod upgrade;

pub use appup::{Appup, AppupEntry};
pub use capability::Capability;
pub use description::StateDescription;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use drops::{DropOutcome, candidate, settle_drops};
pub use explain::{Direction, Step, explain};
pub use graph::{Graph, Link, Node, Wiring};
pub use http::{RouteHost, RoutePath, RouteSpec, RouteTable};
pub use interface::{FunctionName, FunctionType, ModuleInterface, Type};
pub use name::{Digest, ModuleName, ModuleVersion, NameError, Version, from_file_stem};
pub use plan::{Inputs, Plan, PlanModule, PlanRelease, Way, joint_sets, plan, split};
pub use range::{Predecessor, StateRange, VersionRange};
pub use refusal::{Refusal, RefusalCode, Warning, WarningCode};
pub use release::Release;
pub use relup::{CallSpec, Instruction, MiddleSpec, ReleaseStep, Relup, StatePolicy, Via, When};
pub use settings::{
    ConfigValue, Create, DirGrant, Durability, Every, Grants, HostSettings, HttpGrant, HttpSettings, Instances, Kind,
    Limits, LimitsSpec, ModuleSpec, OnTrap, Schedule, SocketGrant, SocketUse, Tasks, UnitError, parse_duration,
    parse_size,
};
pub use upgrade::{
    Action, CheckOptions, Checked, Known, Move, Open, Saved, Transition, check, default_moves, is_between, plan_moves,
    undo_moves,
};

#[cfg(test)]
mod fixture;
