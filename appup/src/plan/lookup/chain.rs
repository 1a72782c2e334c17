//! Which entry of which appup counts for two versions, and the shortest way between them where none does.

use super::Lookup;
use crate::appup::AppupEntry;
use crate::explain::Direction;
use crate::plan::release::PlanModule;
use crate::relup::{Instruction, StatePolicy};
use std::cmp::Ordering;
use std::collections::VecDeque;

impl<'i> Lookup<'i> {
    /// The newer of two versions of a module: its appup describes both ways. Where only the bytes differ, that is the one to which
    /// the whole plan goes.
    pub(super) fn newer<'m>(&self, before: &'m PlanModule, after: &'m PlanModule) -> &'m PlanModule {
        let (from, to) = (&before.node.version.version, &after.node.version.version);
        match (from.cmp_precedence(to), self.direction) {
            (Ordering::Less, _) | (Ordering::Equal, Direction::Up) => after,
            (Ordering::Greater, _) | (Ordering::Equal, Direction::Down) => before,
        }
    }

    /// The entry that counts for going from one version to another.
    pub(super) fn entry<'m>(&self, before: &'m PlanModule, after: &'m PlanModule) -> Option<&'m AppupEntry> {
        let newer = self.newer(before, after);
        let appup = newer.appup.as_ref()?;
        let other = if std::ptr::eq(newer, after) { before } else { after };
        let (name, version) = (&other.node.version.name, &other.node.version.version);
        if std::ptr::eq(newer, after) {
            appup.up_from(name, version)
        } else {
            appup.down_to(name, version)
        }
    }

    /// The middle versions of the shortest way, none if the direct one is open; `None` if no way is. Of ways of the same length the
    /// one by the lowest versions, so that the same inputs give the same plan.
    pub(super) fn chain(&self, before: &'i PlanModule, after: &'i PlanModule) -> Option<Vec<&'i PlanModule>> {
        if self.is_open(before, after, false) {
            return Some(Vec::new());
        }
        if !(before.node.keeps_state() && after.node.keeps_state()) {
            return None;
        }
        let is_end = |one: &PlanModule| {
            let id = &one.node.version;
            *id == before.node.version || *id == after.node.version
        };
        let mut left: Vec<&PlanModule> = self
            .middle_of(&after.node.version.name)
            .filter(|middle| middle.node.keeps_state() && !is_end(middle))
            .collect();
        left.sort_by(|one, other| one.node.version.cmp(&other.node.version));
        let mut waiting = VecDeque::from([Vec::new()]);
        while let Some(way) = waiting.pop_front() {
            let at = way.last().copied().unwrap_or(before);
            if !way.is_empty() && self.is_open(at, after, true) {
                return Some(way);
            }
            let (next, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|middle| self.is_open(at, middle, true));
            left = rest;
            waiting.extend(next.into_iter().map(|middle| {
                let mut longer = way.clone();
                longer.push(middle);
                longer
            }));
        }
        None
    }

    /// True if one version becomes the other in one step. A step of a chain has to hand the state over, and to be known to: by an entry,
    /// or by the state descriptions. The direct way may also be found out by trying, where nobody wrote an appup.
    fn is_open(&self, before: &PlanModule, after: &PlanModule, in_chain: bool) -> bool {
        let entry = self.entry(before, after);
        let instruction = entry.and_then(|entry| entry.instruction.as_ref());
        let hands_over = instruction.is_none_or(is_plain_update);
        let (writer, reader) = (&before.node.version, &after.node.version);
        let reads = self.known.reads(reader, writer);
        match (&self.newer(before, after).appup, entry) {
            (Some(_), None) => false,
            (_, Some(_)) if !hands_over => !in_chain,
            (_, Some(_)) => reads || !before.node.keeps_state() || !after.node.keeps_state(),
            (None, None) if in_chain => reads && after.state.is_some(),
            (None, None) => reads || !before.node.keeps_state() || !after.node.keeps_state(),
        }
    }
}

/// An update of the module's own state, and of nothing else.
fn is_plain_update(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Update {
            state_from, state, via, ..
        } => {
            let gives_up = matches!(state, Some(StatePolicy::Empty | StatePolicy::Discard));
            state_from.is_empty() && via.is_empty() && !gives_up
        }
        Instruction::LoadModule { .. }
        | Instruction::AddModule { .. }
        | Instruction::DeleteModule { .. }
        | Instruction::RestartModule { .. }
        | Instruction::Call { .. } => false,
    }
}
