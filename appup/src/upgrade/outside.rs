//! What a module that moves wants of the host (R8), and what it writes outside of its state (R32).
//!
//! A version that newly imports the network, HTTP or the key-value store is refused, unless the release grants that or says that it does
//! not (`denied`): it was changed to use it, and would fail where nothing else has shown. Not so the first version of a module, and
//! not `wasi:filesystem`: runtimes of languages import much that nobody uses. What is not granted is denied in any case.

use super::check::Findings;
use super::{Action, Move, Transition};
use crate::capability::{self, Capability};
use crate::graph::Node;
use crate::refusal::{Refusal, RefusalCode, Warning, WarningCode};
use std::collections::BTreeSet;

/// Checks one move. A module of which no grants are known is not judged.
pub(super) fn check(transition: &Transition, one: &Move, findings: &mut Findings) {
    let (module, known) = (&one.module, &transition.known);
    let (Some(after), Some(granted)) = (transition.new.nodes.get(module), known.granted.get(module)) else {
        return;
    };
    let wanted = outside(after);
    if let Some(before) = transition.old.nodes.get(module) {
        let denied = known.denied.get(module).cloned().unwrap_or_default();
        let before = outside(before);
        let settled = |one: &Capability| before.contains(one) || granted.contains(one) || denied.contains(one);
        for capability in wanted.iter().filter(|one| one.is_never_unasked() && !settled(one)) {
            let message = format!(
                "`{module}` {} newly imports `{capability}`, which the release does not grant it.",
                after.version.version
            );
            let remedy = format!(
                "grant it, under `[[modules]] name = \"{module}\"`: `[modules.grants]` {}; or say that it does without: `denied = [\"{}\"]`, \
                 `wasmhot apply FILE --deny {1}`",
                capability::example(*capability),
                capability.word(),
            );
            findings
                .refusals
                .push(Refusal::new(RefusalCode::NotGranted, &[module], message, remedy));
        }
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
