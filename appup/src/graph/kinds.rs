//! Whether a module can be of the kind it is to be (R9).

use super::Node;
use super::resolve::Findings;
use crate::http::is_handler;
use crate::interface::Type;
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, Warning, WarningCode};
use crate::settings::Kind;

/// Checks one module by itself.
pub(super) fn check(name: &ModuleName, node: &Node, findings: &mut Findings) {
    let stateful = node.interface.stateful;
    if node.keeps_state() && !stateful {
        let kind = node.kind;
        let message = format!(
            "`{name}` is to be {kind}, but does not export `wasmhot:module/lifecycle`, so that its state could not be handed over."
        );
        let remedy = format!("let `{name}` export the lifecycle, or take `kind = \"{kind}\"` out of the release");
        findings
            .refusals
            .push(Refusal::new(RefusalCode::KindMismatch, &[name], message, remedy));
    }
    if !node.keeps_state() && stateful {
        let message = format!(
            "`{name}` exports `wasmhot:module/lifecycle` but is to be a pool: its state is neither shared nor handed over."
        );
        findings
            .warnings
            .push(Warning::new(WarningCode::StateNotKept, &[name], message));
    }
    if node.kind == Kind::Keyed {
        check_keys(name, node, findings);
    }
}

/// Every function of a keyed module takes the key first; to its HTTP handler the route gives it.
fn check_keys(name: &ModuleName, node: &Node, findings: &mut Findings) {
    for (function, of) in &node.interface.exports {
        if of.params.first().is_some_and(|(_, first)| *first == Type::String) || is_handler(function) {
            continue;
        }
        let message = format!(
            "`{name}` is to be keyed, but its function `{function}` is `{of}`: the first parameter has to be the key, a `string`."
        );
        let remedy = format!("give `{function}` a first parameter `key: string`");
        findings
            .refusals
            .push(Refusal::new(RefusalCode::KindMismatch, &[name], message, remedy));
    }
}
