//! From two releases and the appups between them to a relup that says everything.
//!
//! With `O` and `N` the modules of the old and the new release:
//!
//! - `N \ O` becomes `add_module`, `O \ N` becomes `delete_module`;
//! - of `O ∩ N`, what differs in bytes, kind, limits or grants gets the instruction that its appup has for the two versions; without
//!   an appup the default: `update` where both versions keep state, else `load_module`;
//! - what is left differs in nothing that needs a new instance, and gets none.
//!
//! The appup of the newer version of a module describes both ways, as in OTP. If it has no entry for the pair, the shortest chain of
//! middle versions is taken in which every step has one, or is known to be readable by its state descriptions (R4). A chain is no
//! further upgrade: the middle versions live in throw-away instances only, between one `save` and the last `migrate` (`via`).
//!
//! Going up, a callee stands before its callers, going down after them; in a circle the order of the names stays. That is for
//! people: there is one switch.
//!
//! Invariants:
//! - A plan passes [`check`] both ways, with what is known; its relup is read back as itself and leads to the same moves.
//! - Nothing in a relup is left to a default: version, path, digest and kind of every module stand there.

mod joint;
mod lookup;
mod order;
mod release;

pub use joint::{joint_sets, split};
pub(crate) use order::callee_first;
pub use release::{Inputs, PlanModule, PlanRelease};

use crate::explain::{Direction, Step};
use crate::graph::Wiring;
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use crate::relup::{Instruction, MiddleSpec, ReleaseStep, Relup, When};
use crate::settings::ModuleSpec;
use crate::upgrade::{Checked, Known, Transition, check, plan_moves};
use lookup::{Lookup, ModuleStep};
use std::collections::BTreeSet;

/// A relup with what it was made of, and what was found out about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is written.
    pub relup: Relup,
    /// The way there.
    pub up: Way,
    /// The way back.
    pub down: Way,
    inputs: Inputs,
}

/// One direction of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The two graphs, and the moves between them.
    pub transition: Transition,
    /// What the check said.
    pub checked: Checked,
}

impl Plan {
    /// What it was made of.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// One of its directions.
    #[must_use]
    pub fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// What the engine does, in OTP's words and order.
    #[must_use]
    pub fn explain(&self, direction: Direction) -> Vec<Step> {
        let instructions = match direction {
            Direction::Up => &self.relup.up,
            Direction::Down => &self.relup.down,
        };
        let way = self.way(direction);
        crate::explain::explain(&way.transition, &way.checked, instructions, direction)
    }
}

/// Makes a plan.
///
/// # Errors
/// Every reason why there is none: appups that do not fit, and all that [`check`] refuses, both ways.
pub fn plan(inputs: &Inputs) -> Result<Plan, Vec<Refusal>> {
    let mut refusals = inputs.faults();
    let (old, new) = (&inputs.old, &inputs.new);
    let up = Lookup::new(inputs, Direction::Up).steps();
    let down = Lookup::new(inputs, Direction::Down).steps();
    let mut taken = |steps: Result<Vec<ModuleStep>, Vec<Refusal>>, direction| {
        steps.unwrap_or_else(|reasons| {
            refusals.extend(told(direction, reasons));
            Vec::new()
        })
    };
    let (up, down) = (taken(up, Direction::Up), taken(down, Direction::Down));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let relup = Relup {
        release: ReleaseStep {
            name: new.name.clone(),
            from: Some(old.version.clone()),
            to: new.version.clone(),
        },
        modules: changed_specs(inputs, &up),
        middle: middle_specs(inputs, [&up, &down]),
        up: instructions(&up),
        down: instructions(&down),
    };
    let known = inputs.known();
    // On the way back other states are saved, and other calls open: of these nothing is known now.
    let known_back = Known {
        states: known.states.clone(),
        middle: known.middle.clone(),
        ..Known::default()
    };
    let previous = inputs.old_wiring();
    let up = way(inputs, Direction::Up, &relup.up, known, &previous);
    let back = way_back(inputs, up.as_ref().map_or(&previous, |up| &up.checked.wiring));
    let down = way(inputs, Direction::Down, &relup.down, known_back, &back);
    match (up, down) {
        (Ok(up), Ok(down)) => Ok(Plan {
            relup,
            up,
            down,
            inputs: inputs.clone(),
        }),
        (up, down) => {
            let up = up.err().unwrap_or_default();
            let down = told(Direction::Down, down.err().unwrap_or_default());
            Err(up.into_iter().chain(down).collect())
        }
    }
}

/// How what will run is wired, and where the old release comes back how that was: links belong to the release (R7).
fn way_back(inputs: &Inputs, new: &Wiring) -> Wiring {
    let mut back = new.clone();
    for (caller, links) in inputs.old_wiring().links {
        back.links.entry(caller).or_default().extend(links);
    }
    back
}

/// Refusals of the way back say that they are.
fn told(direction: Direction, refusals: Vec<Refusal>) -> impl Iterator<Item = Refusal> {
    refusals.into_iter().map(move |refusal| match direction {
        Direction::Up => refusal,
        Direction::Down => Refusal {
            message: format!("On the way back: {}", refusal.message),
            ..refusal
        },
    })
}

/// One direction, checked.
fn way(
    inputs: &Inputs,
    direction: Direction,
    instructions: &[Instruction],
    known: Known,
    previous: &Wiring,
) -> Result<Way, Vec<Refusal>> {
    let (old, new) = inputs.between(direction);
    let (old, new) = (old.graph(), new.graph());
    let moves = plan_moves(instructions, &old, &new)?;
    let transition = Transition::new(old, new, moves).knowing(known);
    let checked = check(&transition, previous, &inputs.options)?;
    Ok(Way { transition, checked })
}

/// All instructions in the order in which they are carried out: what is called before, the modules, what is called after.
fn instructions(steps: &[ModuleStep]) -> Vec<Instruction> {
    let of = |when: When| {
        let calls = steps.iter().flat_map(|step| &step.calls);
        let is_then = move |one: &&Instruction| matches!(one, Instruction::Call { when: then, .. } if *then == when);
        calls.filter(is_then).cloned().collect::<Vec<_>>()
    };
    let mut all = of(When::Before);
    all.extend(steps.iter().map(|step| step.instruction.clone()));
    all.extend(of(When::After));
    all.extend(of(When::Permanent));
    all
}

/// `[[modules]]`: what moves or is configured otherwise, with all that is known of it.
fn changed_specs(inputs: &Inputs, up: &[ModuleStep]) -> Vec<ModuleSpec> {
    let moved: BTreeSet<&ModuleName> = up.iter().map(|step| step.instruction.module()).collect();
    let changed = inputs.new.modules.iter().filter(|(name, module)| {
        let before = inputs.old.modules.get(*name);
        moved.contains(name)
            || before.is_none_or(|before| {
                before.node.links != module.node.links || before.spec.is_configured_otherwise(&module.spec)
            })
    });
    changed
        .map(|(_, module)| inputs.new.whole_spec(module, &inputs.old))
        .collect()
}

/// `[[middle]]`: the versions that some `via` names.
fn middle_specs(inputs: &Inputs, ways: [&Vec<ModuleStep>; 2]) -> Vec<MiddleSpec> {
    let named = |module: &&PlanModule| {
        let steps = ways.into_iter().flatten();
        let mut via = steps.flat_map(|step| match &step.instruction {
            Instruction::Update { module, via, .. } => via.iter().map(move |via| (module, &via.version)).collect(),
            _ => Vec::new(),
        });
        let id = &module.node.version;
        via.any(|(name, version)| *name == id.name && *version == id.version)
    };
    let spec = |module: &PlanModule| MiddleSpec {
        name: module.node.version.name.clone(),
        version: module.node.version.version.clone(),
        path: module.spec.path.clone(),
        sha256: Some(module.node.version.digest),
    };
    inputs.middle.iter().filter(named).map(spec).collect()
}

fn refusal(code: RefusalCode, module: &ModuleName, message: String, remedy: String) -> Refusal {
    Refusal::new(code, &[module], message, remedy)
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod worlds;
