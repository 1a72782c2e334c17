//! Formats, planner and checks of wasmhot: text in, values out. No I/O, no Wasmtime, no clock.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod drops;
pub mod graph;
pub mod interface;
pub mod name;
mod read;
pub mod refusal;
pub mod release;
pub mod relup;
pub mod settings;
pub mod upgrade;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use drops::{DropOutcome, candidate, settle_drops};
pub use graph::{Graph, Link, Node, Wiring};
pub use interface::{FunctionName, FunctionType, ModuleInterface, Type};
pub use name::{Digest, ModuleName, ModuleVersion, NameError, Version, from_file_stem};
pub use refusal::{Refusal, RefusalCode, Warning, WarningCode};
pub use release::Release;
pub use relup::{CallSpec, Instruction, ReleaseStep, Relup, StatePolicy, When};
pub use settings::{
    Create, DirGrant, Grants, HostSettings, Kind, Limits, LimitsSpec, ModuleSpec, OnTrap, UnitError, parse_duration,
    parse_size,
};
pub use upgrade::{Action, CheckOptions, Checked, Move, Transition, check, default_moves, plan_moves, undo_moves};

#[cfg(test)]
mod fixture;
