//! What becomes of each module: what its appup says, else the default.

mod chain;

use super::release::{Inputs, PlanModule, PlanRelease};
use super::{order, refusal};
use crate::explain::Direction;
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use crate::relup::{Instruction, StatePolicy, Via};
use crate::upgrade::Known;
use serde_json::Value as Json;

/// What is written about one module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModuleStep {
    pub(super) instruction: Instruction,
    pub(super) calls: Vec<Instruction>,
}

/// One direction, being looked up.
pub(super) struct Lookup<'i> {
    inputs: &'i Inputs,
    direction: Direction,
    from: &'i PlanRelease,
    to: &'i PlanRelease,
    known: Known,
}

impl<'i> Lookup<'i> {
    pub(super) fn new(inputs: &'i Inputs, direction: Direction) -> Self {
        let (from, to) = inputs.between(direction);
        Self {
            inputs,
            direction,
            from,
            to,
            known: inputs.known(),
        }
    }

    /// The steps of all modules that change, in their order.
    pub(super) fn steps(&self) -> Result<Vec<ModuleStep>, Vec<Refusal>> {
        let mut steps = Vec::new();
        let mut refusals = Vec::new();
        for name in self.order() {
            match self.step(&name) {
                Ok(step) => steps.extend(step),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() { Ok(steps) } else { Err(refusals) }
    }

    /// All modules of both releases: going down is going up backwards.
    fn order(&self) -> Vec<ModuleName> {
        let (old, new) = (self.inputs.old.graph(), self.inputs.new.graph());
        let old_wiring = self.inputs.old_wiring();
        let new_wiring = new.resolve_from(&old_wiring).0;
        let mut order = order::upward((&old, &old_wiring), (&new, &new_wiring));
        if self.direction == Direction::Down {
            order.reverse();
        }
        order
    }

    /// What becomes of one module; `None` if it stays as it is.
    fn step(&self, name: &ModuleName) -> Result<Option<ModuleStep>, Refusal> {
        let plain = |instruction| ModuleStep {
            instruction,
            calls: Vec::new(),
        };
        match (self.from.modules.get(name), self.to.modules.get(name)) {
            (None, None) => Ok(None),
            (None, Some(after)) => Ok(Some(self.added(name, after))),
            (Some(_), None) => Ok(Some(plain(Instruction::DeleteModule {
                module: name.clone(),
                purge: false,
            }))),
            (Some(before), Some(after)) if !self.to.renews(after, before, self.from) => Ok(None),
            // The same bytes with other limits or grants: no version changes, so no appup is asked.
            (Some(before), Some(after)) if before.node.version == after.node.version => {
                Ok(Some(plain(self.default_of(before, after))))
            }
            (Some(before), Some(after)) => self.changed(before, after).map(Some),
        }
    }

    /// A module that did not run: perhaps it takes another's state (R31). Going up its own appup says so, going down that of
    /// the one whose state it takes.
    fn added(&self, name: &ModuleName, after: &PlanModule) -> ModuleStep {
        let own = || {
            let entries = after.appup.iter().flat_map(|appup| &appup.up);
            let mut runs = entries.filter_map(|entry| {
                let other = entry.versions.module.as_ref().filter(|other| *other != name)?;
                let runs = self.from.modules.get(other)?;
                let holds = entry.versions.versions.holds(&runs.node.version.version);
                holds.then_some((entry, other))
            });
            runs.next()
        };
        let others = || {
            self.from.modules.iter().find_map(|(owner, module)| {
                let appup = module.appup.as_ref().filter(|_| owner != name)?;
                let about = |entry: &&crate::AppupEntry| entry.versions.module.as_ref() == Some(name);
                let holds = |entry: &&crate::AppupEntry| entry.versions.versions.holds(&after.node.version.version);
                let entry = appup.down.iter().filter(about).find(holds)?;
                Some((entry, owner))
            })
        };
        let found = match self.direction {
            Direction::Up => own().or_else(others),
            Direction::Down => others().or_else(own),
        };
        let plain = |state_from| Instruction::AddModule {
            module: name.clone(),
            extra: Json::Null,
            state_from,
        };
        let Some((entry, source)) = found else {
            return ModuleStep {
                instruction: plain(Vec::new()),
                calls: Vec::new(),
            };
        };
        let said = entry.instruction.clone().filter(|said| said.module() == name);
        ModuleStep {
            instruction: said.unwrap_or_else(|| plain(vec![source.clone()])),
            calls: entry.calls.clone(),
        }
    }

    /// A module that runs before and after, in two versions.
    fn changed(&self, before: &PlanModule, after: &PlanModule) -> Result<ModuleStep, Refusal> {
        if let Some(chain) = self.chain(before, after) {
            return Ok(self.by_chain(before, after, &chain));
        }
        // Without a chain the direct way is tried; what does not fit there, `check` refuses with its own words.
        let newer = self.newer(before, after);
        match (&newer.appup, self.entry(before, after)) {
            (Some(_), None) => Err(self.no_entry(before, after)),
            (_, entry) => Ok(ModuleStep {
                instruction: entry
                    .and_then(|entry| entry.instruction.clone())
                    .unwrap_or_else(|| self.default_of(before, after)),
                calls: entry.map(|entry| entry.calls.clone()).unwrap_or_default(),
            }),
        }
    }

    fn by_chain(&self, before: &PlanModule, after: &PlanModule, chain: &[&PlanModule]) -> ModuleStep {
        let whole: Vec<&PlanModule> = [before]
            .into_iter()
            .chain(chain.iter().copied())
            .chain([after])
            .collect();
        let mut calls = Vec::new();
        let mut said = Vec::new();
        for pair in whole.windows(2) {
            let entry = self.entry(pair[0], pair[1]);
            calls.extend(entry.map(|entry| entry.calls.clone()).unwrap_or_default());
            said.push(entry.and_then(|entry| entry.instruction.clone()));
        }
        let last = said.pop().flatten();
        let extra_of = |said: Option<Instruction>| match said {
            Some(Instruction::Update { extra, .. }) => extra,
            _ => Json::Null,
        };
        let instruction = last.unwrap_or_else(|| self.default_of(before, after));
        let Instruction::Update {
            module,
            extra,
            state_from,
            state,
            via,
        } = instruction
        else {
            return ModuleStep { instruction, calls };
        };
        let middle = chain.iter().zip(said).map(|(middle, said)| Via {
            version: middle.node.version.version.clone(),
            extra: extra_of(said),
        });
        let instruction = Instruction::Update {
            module,
            extra,
            state_from,
            state,
            via: middle.chain(via).collect(),
        };
        ModuleStep { instruction, calls }
    }

    /// What is done without an appup. Going back from a version that keeps state to one that keeps none was warned of: R30 has it
    /// labelled, so it is written.
    fn default_of(&self, before: &PlanModule, after: &PlanModule) -> Instruction {
        let module = after.node.version.name.clone();
        let (kept, keeps) = (before.node.keeps_state(), after.node.keeps_state());
        let gives_up = kept && !keeps && self.direction == Direction::Down;
        if !kept {
            return Instruction::LoadModule { module };
        }
        Instruction::Update {
            module,
            extra: Json::Null,
            state_from: Vec::new(),
            state: gives_up.then_some(StatePolicy::Discard),
            via: Vec::new(),
        }
    }

    fn no_entry(&self, before: &PlanModule, after: &PlanModule) -> Refusal {
        let name = &after.node.version.name;
        let (from, to) = (&before.node.version.version, &after.node.version.version);
        let newer = self.newer(before, after);
        let is_up = std::ptr::eq(newer, after);
        let (table, key, wanted) = if is_up {
            ("[[up]]", "from", from)
        } else {
            ("[[down]]", "to", to)
        };
        let entries = newer
            .appup
            .iter()
            .flat_map(|appup| if is_up { &appup.up } else { &appup.down });
        let has: Vec<String> = entries.map(|entry| format!("\"{}\"", entry.versions)).collect();
        let has = if has.is_empty() {
            "none at all".to_owned()
        } else {
            format!("only {}", has.join(", "))
        };
        let middle: Vec<String> = self
            .middle_of(name)
            .map(|middle| middle.node.version.version.to_string())
            .collect();
        let tried = match middle[..] {
            [] => String::new(),
            _ => format!(", and no chain leads there by {}", middle.join(", ")),
        };
        let message = format!(
            "`{name}` goes from {from} to {to}, but the appup of {} has no `{table}` entry for {wanted} ({has}){tried}.",
            newer.node.version.version
        );
        let remedy = format!(
            "add an entry `{table}` with `{key} = \"{wanted}\"` to the appup of {}, or give a middle version that has one",
            newer.node.version.version
        );
        refusal(RefusalCode::NoAppupEntry, name, message, remedy)
    }

    fn middle_of<'m>(&'m self, name: &'m ModuleName) -> impl Iterator<Item = &'i PlanModule> + use<'i, 'm> {
        self.inputs
            .middle
            .iter()
            .filter(move |middle| middle.node.version.name == *name)
    }
}
