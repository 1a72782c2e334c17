//! The order of the steps. As in OTP: what is new comes first, what changes in the middle, what goes last. Suspended is from
//! the callers to the callees, resumed the other way round. Loaded is on the way up the callee first, and `code_change` comes after it; on
//! the way down the caller first, and `code_change` before it, while the newer code is still there.

use super::{Changed, Direction, Step};
use crate::graph::{Graph, Wiring};
use crate::name::ModuleName;
use crate::plan::callee_first;
use crate::relup::{CallSpec, Instruction, When};
use crate::upgrade::{Action, Checked, Move, Transition};

/// What the engine does for a transition that was checked; `instructions` are those of the relup, for their `call` steps.
#[must_use]
pub fn explain(
    transition: &Transition,
    checked: &Checked,
    instructions: &[Instruction],
    direction: Direction,
) -> Vec<Step> {
    let orders = Orders::new(transition, checked, direction);
    let mut steps = Vec::new();
    push_list(&mut steps, Step::LoadObjectCode, orders.object_code());
    steps.extend(calls(instructions, When::Before));
    steps.push(Step::PointOfNoReturn);
    steps.extend(orders.begin());
    steps.extend(orders.change());
    steps.extend(orders.end());
    steps.extend(calls(instructions, When::After));
    steps.extend(calls(instructions, When::Permanent));
    steps
}

/// A step over a list, unless that is empty.
fn push_list(steps: &mut Vec<Step>, step: fn(Vec<ModuleName>) -> Step, modules: Vec<ModuleName>) {
    if !modules.is_empty() {
        steps.push(step(modules));
    }
}

/// The `call` steps of one time, in the order in which they are written.
fn calls(instructions: &[Instruction], wanted: When) -> impl Iterator<Item = Step> {
    instructions.iter().filter_map(move |one| match one {
        Instruction::Call {
            module,
            function,
            args,
            when,
            undo,
        } if *when == wanted => Some(Step::Apply {
            call: CallSpec {
                module: module.clone(),
                function: function.clone(),
                args: args.clone(),
            },
            undo: undo.clone(),
            when: *when,
        }),
        _ => None,
    })
}

struct Orders<'t> {
    transition: &'t Transition,
    checked: &'t Checked,
    direction: Direction,
    /// What runs, callees first.
    running: Vec<ModuleName>,
    /// What will run, callees first.
    coming: Vec<ModuleName>,
}

impl<'t> Orders<'t> {
    fn new(transition: &'t Transition, checked: &'t Checked, direction: Direction) -> Self {
        let ordered = |graph: &Graph, wiring: &Wiring| callee_first(graph, wiring).into_iter().cloned().collect();
        let old_wiring = transition.old.resolve_from(&checked.wiring).0;
        Self {
            running: ordered(&transition.old, &old_wiring),
            coming: ordered(&transition.new, &checked.wiring),
            transition,
            checked,
            direction,
        }
    }

    fn moved(&self, module: &ModuleName) -> Option<&'t Move> {
        self.transition.moves.iter().find(|one| one.module == *module)
    }

    fn action(&self, module: &ModuleName) -> Option<Action> {
        self.moved(module).map(|one| one.action)
    }

    /// True if its state goes to another module in this upgrade.
    fn feeds(&self, module: &ModuleName) -> bool {
        let others = self.transition.moves.iter().filter(|one| one.module != *module);
        others.into_iter().any(|one| one.state_from.contains(module))
    }

    /// True if it is new and takes another's state, so that it is part of the hand-over.
    fn takes_over(&self, module: &ModuleName) -> bool {
        self.moved(module)
            .is_some_and(|one| one.action == Action::Add && !one.state_from.is_empty())
    }

    /// Those of a list that fit, in its order.
    fn of(list: &[ModuleName], fits: impl Fn(&ModuleName) -> bool) -> Vec<ModuleName> {
        list.iter().filter(|module| fits(module)).cloned().collect()
    }

    fn reversed(mut list: Vec<ModuleName>) -> Vec<ModuleName> {
        list.reverse();
        list
    }

    /// Everything of which a new instance is made, callers first.
    fn object_code(&self) -> Vec<ModuleName> {
        Self::reversed(Self::of(&self.coming, |module| self.moved(module).is_some()))
    }

    /// What is new and takes nothing over.
    fn begin(&self) -> Vec<Step> {
        let new = Self::of(&self.coming, |module| {
            self.action(module) == Some(Action::Add) && !self.takes_over(module)
        });
        let mut steps: Vec<Step> = new.iter().cloned().map(Step::Load).collect();
        push_list(&mut steps, Step::Start, new);
        steps
    }

    /// What is suspended, callers first. What is restarted or goes is stopped instead, unless its state goes to another.
    fn suspended(&self) -> Vec<ModuleName> {
        let suspended = |module: &ModuleName| {
            let ends = matches!(self.action(module), Some(Action::Restart | Action::Delete));
            self.checked.gated.contains(module) && (!ends || self.feeds(module))
        };
        Self::reversed(Self::of(&self.running, suspended))
    }

    /// From the closing of the gates to their opening.
    fn change(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let suspended = self.suspended();
        push_list(&mut steps, Step::Suspend, suspended.clone());
        let loads = self.loads();
        let at_once = self.code_change(|module| !self.per_key(module), false);
        match self.direction {
            Direction::Up => steps.extend(loads.into_iter().chain(at_once)),
            Direction::Down => steps.extend(at_once.into_iter().chain(loads)),
        }
        let taken = Self::of(&self.coming, |module| self.takes_over(module));
        push_list(&mut steps, Step::Start, taken);
        steps.extend(self.restarts());
        let stays = |module: &ModuleName| self.transition.new.nodes.contains_key(module);
        let resumed = Self::reversed(Self::of(&suspended, stays));
        push_list(&mut steps, Step::Resume, resumed);
        steps.extend(self.code_change(|module| self.per_key(module), true));
        steps
    }

    /// A keyed module that nobody has to wait for as a whole.
    fn per_key(&self, module: &ModuleName) -> bool {
        let is_keyed = |graph: &Graph| {
            graph
                .nodes
                .get(module)
                .is_some_and(|node| node.kind == crate::Kind::Keyed)
        };
        is_keyed(&self.transition.old) && is_keyed(&self.transition.new) && !self.checked.gated.contains(module)
    }

    fn loads(&self) -> Vec<Step> {
        let loaded = Self::of(&self.coming, |module| {
            matches!(self.action(module), Some(Action::Load | Action::Update)) || self.takes_over(module)
        });
        let loaded = match self.direction {
            Direction::Up => loaded,
            Direction::Down => Self::reversed(loaded),
        };
        loaded.into_iter().map(Step::Load).collect()
    }

    /// The states that are handed over, callers first.
    fn code_change(&self, wanted: impl Fn(&ModuleName) -> bool, per_key: bool) -> Option<Step> {
        let changes = |module: &ModuleName| {
            let hands_over = self.action(module) == Some(Action::Update) || self.takes_over(module);
            hands_over && wanted(module)
        };
        let modules = Self::reversed(Self::of(&self.coming, changes));
        let changed = modules
            .iter()
            .filter_map(|module| self.moved(module))
            .map(|one| Changed {
                module: one.module.clone(),
                from: one.state_from.clone(),
                via: one.via.iter().map(|via| via.version.clone()).collect(),
            });
        let modules: Vec<Changed> = changed.collect();
        (!modules.is_empty()).then_some(Step::CodeChange {
            direction: self.direction,
            modules,
            per_key,
        })
    }

    fn restarts(&self) -> Vec<Step> {
        let again = Self::of(&self.coming, |module| self.action(module) == Some(Action::Restart));
        let mut steps = Self::gone(&Self::reversed(again.clone()));
        steps.extend(again.iter().cloned().map(Step::Load));
        push_list(&mut steps, Step::Start, again);
        steps
    }

    /// What goes, callers first.
    fn end(&self) -> Vec<Step> {
        let gone = Self::of(&self.running, |module| self.action(module) == Some(Action::Delete));
        Self::gone(&Self::reversed(gone))
    }

    fn gone(modules: &[ModuleName]) -> Vec<Step> {
        let mut steps = Vec::new();
        push_list(&mut steps, Step::Stop, modules.to_vec());
        steps.extend(modules.iter().cloned().map(Step::Remove));
        push_list(&mut steps, Step::Purge, modules.to_vec());
        steps
    }
}
