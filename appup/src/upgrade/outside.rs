//! What a module that moves wants of the host (R8), and what it writes outside of its state (R32).

use super::check::Findings;
use super::{Action, Move, Transition};
use crate::capability::Capability;
use crate::graph::Node;
use crate::refusal::{Refusal, RefusalCode, Warning, WarningCode};
use std::collections::BTreeSet;

/// Checks one move. A module of which no grants are known is not judged.
pub(super) fn check(transition: &Transition, one: &Move, findings: &mut Findings) {
    let module = &one.module;
    let (Some(after), Some(granted)) = (transition.new.nodes.get(module), transition.known.granted.get(module)) else {
        return;
    };
    let before = transition.old.nodes.get(module);
    let wanted = outside(after);
    let wanted_before = before.map(outside).unwrap_or_default();
    for capability in wanted.difference(granted).filter(|one| !wanted_before.contains(one)) {
        let newly = if before.is_some() { "newly imports" } else { "imports" };
        let message = format!(
            "`{module}` {} {newly} `{capability}`, which the release does not grant it.",
            after.version.version
        );
        let remedy = format!("grant it under `[modules.grants]` of `{module}`, or take a version that does without");
        findings
            .refusals
            .push(Refusal::new(RefusalCode::NotGranted, &[module], message, remedy));
    }
    let moves_with_state = one.action == Action::Update || !one.state_from.is_empty();
    let writes: Vec<&str> = wanted.intersection(granted).map(|one| one.package()).collect();
    if moves_with_state && !writes.is_empty() {
        let message = format!(
            "`{module}` also writes outside of its state: {}. What it leaves there is not taken back with it.",
            writes.join(", ")
        );
        findings
            .warnings
            .push(Warning::new(WarningCode::WritesOutside, &[module], message));
    }
}

fn outside(node: &Node) -> BTreeSet<Capability> {
    let wanted = node.interface.wanted_capabilities();
    wanted.into_iter().filter(|one| one.reaches_outside()).collect()
}
