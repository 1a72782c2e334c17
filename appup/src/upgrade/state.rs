//! What becomes of the state of a module that moves (R30, R31): nothing is lost without having been asked for.

use super::check::Findings;
use super::moves::bad;
use super::{Action, CheckOptions, Move, Transition};
use crate::graph::Node;
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, Warning, WarningCode};
use crate::relup::StatePolicy;
use crate::settings::Kind;
use std::collections::BTreeSet;

/// Checks the state side of one move, whose module runs where the action says.
pub(super) fn check(transition: &Transition, one: &Move, options: CheckOptions, findings: &mut Findings) {
    let before = transition.old.nodes.get(&one.module);
    let after = transition.new.nodes.get(&one.module);
    if let Some(after) = after {
        check_sources(transition, one, after, findings);
    }
    match before {
        Some(before) if before.keeps_state() => leaving(transition, one, (before, after), options, findings),
        Some(_) => beginning(one, after, findings),
        None => {}
    }
}

/// `state_from` names modules that have state, each once, for a module that can take it.
fn check_sources(transition: &Transition, one: &Move, after: &Node, findings: &mut Findings) {
    let module = &one.module;
    let mut refuse = |modules: &[&ModuleName], message, remedy| {
        findings
            .refusals
            .push(Refusal::new(RefusalCode::StateFrom, modules, message, Some(remedy)));
    };
    if !one.state_from.is_empty() && !after.keeps_state() {
        let message = format!("`{module}` takes state from others, but its new version keeps none.");
        refuse(
            &[module],
            message,
            format!("take `state_from` out of the instruction for `{module}`"),
        );
    }
    let mut seen = BTreeSet::new();
    for from in &one.state_from {
        let remedy = format!("correct `state_from` of `{module}`");
        if !seen.insert(from) {
            refuse(
                &[module, from],
                format!("`{module}` takes the state of `{from}` twice."),
                remedy,
            );
            continue;
        }
        match transition.old.nodes.get(from) {
            Some(node) if node.keeps_state() => {}
            Some(_) => {
                let message = format!("`{module}` takes the state of `{from}`, which keeps none.");
                refuse(&[module, from], message, remedy);
            }
            None => {
                let message = format!("`{module}` takes the state of `{from}`, which does not run.");
                refuse(&[module, from], message, remedy);
            }
        }
    }
}

/// A module that kept no state before.
fn beginning(one: &Move, after: Option<&Node>, findings: &mut Findings) {
    let module = &one.module;
    let Some(after) = after else {
        return;
    };
    if one.action == Action::Update && one.state_from.is_empty() {
        let message = format!("`{module}` is updated, but the running version keeps no state to hand over.");
        findings
            .refusals
            .push(bad(module, message, format!("write `load_module = \"{module}\"`")));
    }
    if after.keeps_state() {
        let message = format!("`{module}` begins to keep state: going back will lose it.");
        findings
            .warnings
            .push(Warning::new(WarningCode::LossyWayBack, &[module], message));
    }
}

/// A module that kept state before: that has to go somewhere, or to be given up on purpose.
fn leaving(
    transition: &Transition,
    one: &Move,
    (before, after): (&Node, Option<&Node>),
    options: CheckOptions,
    findings: &mut Findings,
) {
    let module = &one.module;
    let asked_for = matches!(one.state, Some(StatePolicy::Discard | StatePolicy::Empty));
    let feeds_others = transition
        .moves
        .iter()
        .any(|other| other.module != *module && other.state_from.contains(module));
    let Some(after) = after else {
        // A delete keeps the last state for a later module of that name, unless it is to be purged.
        if one.purge {
            findings
                .lossy
                .push(format!("the state of `{module}` is deleted with it"));
        }
        return;
    };
    if one.action == Action::Restart {
        findings
            .lossy
            .push(format!("`{module}` is restarted and begins without its state"));
        return;
    }
    if asked_for {
        findings
            .lossy
            .push(format!("the state of `{module}` is discarded, as its instruction says"));
        return;
    }
    let keyed = |node: &Node| node.kind == Kind::Keyed;
    let lost = if !after.keeps_state() {
        "its new version keeps none"
    } else if one.action == Action::Load {
        let message = format!("`{module}` is loaded, but keeps state that `load_module` does not hand over.");
        let remedy =
            format!("write `update = \"{module}\"` to keep the state, or `restart_module = \"{module}\"` to lose it");
        findings.refusals.push(bad(module, message, remedy));
        return;
    } else if one.state_from.is_empty() && keyed(before) != keyed(after) {
        findings.refusals.push(changed_keys(module, before.kind, after.kind));
        return;
    } else if !one.state_from.is_empty() && !one.state_from.contains(module) {
        "it takes that of others instead"
    } else {
        return;
    };
    if feeds_others {
        return;
    }
    if options.allow_lossy {
        findings.lossy.push(format!("the state of `{module}` is lost: {lost}"));
        return;
    }
    let message = format!("The state of `{module}` would be lost: {lost}.");
    let remedy = format!("allow it with `--allow-lossy`, or with `update = \"{module}\"` and `state = \"discard\"`");
    findings
        .refusals
        .push(Refusal::new(RefusalCode::Lossy, &[module], message, remedy));
}

/// One state for all keys and one per key are not the same thing: which becomes which has to be said.
fn changed_keys(module: &ModuleName, before: Kind, after: Kind) -> Refusal {
    let message = format!("`{module}` changes from {before} to {after}, and nothing says whose state becomes what.");
    let remedy =
        format!("write `update = \"{module}\"` with `state_from = [\"{module}\"]`, and `migrate` divides or joins it");
    Refusal::new(RefusalCode::StateFrom, &[module], message, remedy)
}
