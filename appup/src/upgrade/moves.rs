//! From instructions, or from nothing, to moves.
//!
//! Promises of both ways: one move per module; `Update` only where the new version keeps state and there is some to take;
//! everything that differs moves.

use super::{Action, Move};
use crate::graph::{Graph, Node};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use crate::relup::{Instruction, StatePolicy, Via};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The moves without instructions: what is new is added, what is gone deleted; what differs is updated where both
/// versions keep state, else loaded. What has the same bytes and kind stays. In the order of the names.
#[must_use]
pub fn default_moves(old: &Graph, new: &Graph) -> Vec<Move> {
    let names: BTreeSet<&ModuleName> = old.nodes.keys().chain(new.nodes.keys()).collect();
    let action = |name: &ModuleName| match (old.nodes.get(name), new.nodes.get(name)) {
        (None, _) => Some(Action::Add),
        (Some(_), None) => Some(Action::Delete),
        (Some(before), Some(after)) if !before.differs_from(after) => None,
        (Some(before), Some(after)) if before.keeps_state() && after.keeps_state() => Some(Action::Update),
        (Some(_), Some(_)) => Some(Action::Load),
    };
    names
        .into_iter()
        .filter_map(|name| Some(Move::new(name.clone(), action(name)?)))
        .collect()
}

/// The moves of the way back: by the `down` instructions, or by default if there are none. `old` is what runs now.
///
/// # Errors
/// As [`plan_moves`].
pub fn undo_moves(old: &Graph, new: &Graph, down: &[Instruction]) -> Result<Vec<Move>, Vec<Refusal>> {
    if down.iter().all(Instruction::is_step) {
        Ok(default_moves(old, new))
    } else {
        plan_moves(down, old, new)
    }
}

/// The moves that the instructions of one direction ask for, in their order.
///
/// `update` of a module that keeps no state on either side is a load; `update` of a module that does not run yet, with
/// `state_from`, adds it (R31: that is a rename). `call` steps move nothing and are passed over. An instruction for a module that does not change is obeyed.
///
/// # Errors
/// A refusal for each instruction that does not fit the graphs, and for each change without an instruction.
pub fn plan_moves(instructions: &[Instruction], old: &Graph, new: &Graph) -> Result<Vec<Move>, Vec<Refusal>> {
    let mut named: BTreeSet<&ModuleName> = BTreeSet::new();
    let mut planned = Vec::new();
    let mut refusals = Vec::new();
    for instruction in instructions.iter().filter(|instruction| !instruction.is_step()) {
        let module = instruction.module();
        let is_first = named.insert(module);
        let (before, after) = (old.nodes.get(module), new.nodes.get(module));
        match plan_one(instruction, before, after) {
            Err(refusal) => refusals.push(refusal),
            Ok(_) if !is_first => {
                let message = format!("`{module}` has two instructions in one direction.");
                refusals.push(bad(module, message, format!("keep one instruction for `{module}`")));
            }
            Ok(planned_move) => planned.push(planned_move),
        }
    }
    for Move { module, action, .. } in default_moves(old, new) {
        if !named.contains(&module) {
            refusals.push(missing(&module, action, old.nodes.get(&module), new.nodes.get(&module)));
        }
    }
    if refusals.is_empty() {
        Ok(planned)
    } else {
        Err(refusals)
    }
}

pub(super) fn bad(module: &ModuleName, message: String, remedy: String) -> Refusal {
    Refusal::new(RefusalCode::BadInstruction, &[module], message, remedy)
}

/// The refusal of a change that no instruction mentions.
pub(super) fn missing(module: &ModuleName, action: Action, before: Option<&Node>, after: Option<&Node>) -> Refusal {
    let what = match (before, after) {
        (Some(before), Some(after)) if before.version.version != after.version.version => {
            format!("changes from {} to {}", before.version.version, after.version.version)
        }
        (Some(before), Some(after)) if before.version.digest != after.version.digest => {
            format!("has other bytes under the same version {}", after.version.version)
        }
        (Some(before), Some(after)) => format!("changes from {} to {}", before.kind, after.kind),
        (None, _) => "is new".to_owned(),
        (Some(_), None) => "is gone".to_owned(),
    };
    let key = match action {
        Action::Add => "add_module",
        Action::Load => "load_module",
        Action::Update => "update",
        Action::Restart => "restart_module",
        Action::Delete => "delete_module",
    };
    let message = format!("`{module}` {what}, and no instruction says how.");
    Refusal::new(
        RefusalCode::MissingInstruction,
        &[module],
        message,
        format!("add an entry `{key} = \"{module}\"`"),
    )
}

/// The move of one instruction, if it fits.
fn plan_one(instruction: &Instruction, before: Option<&Node>, after: Option<&Node>) -> Result<Move, Refusal> {
    let module = instruction.module();
    let plain = |action| Ok(Move::new(module.clone(), action));
    match (instruction, before, after) {
        (Instruction::DeleteModule { purge, .. }, Some(_), None) => Ok(Move {
            purge: *purge,
            ..Move::new(module.clone(), Action::Delete)
        }),
        (Instruction::AddModule { extra, state_from, .. }, None, Some(_)) => Ok(Move {
            extra: extra.clone(),
            state_from: state_from.clone(),
            ..Move::new(module.clone(), Action::Add)
        }),
        (Instruction::LoadModule { .. }, Some(_), Some(_)) => plain(Action::Load),
        (Instruction::RestartModule { .. }, Some(_), Some(_)) => plain(Action::Restart),
        (
            Instruction::Update {
                extra,
                state_from,
                state,
                via,
                ..
            },
            before,
            Some(after),
        ) => {
            let planned = plan_update(module, before, after, (extra, state_from, *state))?;
            with_via(planned, via)
        }
        (_, before, after) => Err(does_not_fit(instruction, before.is_some(), after.is_some())),
    }
}

/// `update` means: this module, with what state it has. Where it has none to take, it is a load.
fn plan_update(
    module: &ModuleName,
    before: Option<&Node>,
    after: &Node,
    (extra, state_from, state): (&Json, &[ModuleName], Option<StatePolicy>),
) -> Result<Move, Refusal> {
    let action = match before {
        None if state_from.is_empty() => {
            let message = format!("`{module}` is updated but does not run, and takes no other module's state.");
            let remedy = format!("write `add_module = \"{module}\"`, or name a predecessor: `state_from = [\"…\"]`");
            return Err(bad(module, message, remedy));
        }
        None => Action::Add,
        Some(before) if after.keeps_state() && (before.keeps_state() || !state_from.is_empty()) => Action::Update,
        Some(_) => Action::Load,
    };
    if action == Action::Load && !extra.is_null() {
        let message = format!("`{module}` hands no state over, so nobody would be given `extra`.");
        return Err(bad(
            module,
            message,
            format!("take `extra` out of the instruction for `{module}`"),
        ));
    }
    let (extra, state_from) = (extra.clone(), state_from.to_vec());
    Ok(Move {
        module: module.clone(),
        action,
        extra,
        state_from,
        state,
        purge: false,
        via: Vec::new(),
    })
}

/// The move with its middle versions, if there is a state that can go through them.
fn with_via(planned: Move, via: &[Via]) -> Result<Move, Refusal> {
    let module = &planned.module;
    let takes_none = matches!(planned.state, Some(StatePolicy::Empty | StatePolicy::Discard));
    let why = if via.is_empty() {
        return Ok(planned);
    } else if planned.action != Action::Update || takes_none {
        "it takes no state over"
    } else if !planned.state_from.is_empty() {
        "it takes the state of others"
    } else {
        return Ok(Move {
            via: via.to_vec(),
            ..planned
        });
    };
    let message = format!("`{module}` is updated via middle versions, but {why}.");
    Err(bad(
        module,
        message,
        format!("take `via` out of the instruction for `{module}`"),
    ))
}

fn does_not_fit(instruction: &Instruction, runs: bool, will_run: bool) -> Refusal {
    let (module, key) = (instruction.module(), instruction.key());
    let (why, remedy) = match (runs, will_run) {
        (true, true) => (
            "runs before and after",
            format!("write `update = \"{module}\"` or `load_module = \"{module}\"`"),
        ),
        (true, false) => (
            "is not part of the new release",
            format!("write `delete_module = \"{module}\"`"),
        ),
        (false, true) => ("does not run yet", format!("write `add_module = \"{module}\"`")),
        (false, false) => ("is part of neither release", "take the entry out".to_owned()),
    };
    bad(
        module,
        format!("`{key} = \"{module}\"` does not fit: `{module}` {why}."),
        remedy,
    )
}
