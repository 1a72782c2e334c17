//! Links every import of a graph, or says why it cannot.

use super::provider::{self, Import};
use super::{Graph, Link, Node, Wiring, circle, kinds, names, routes};
use crate::interface::{FunctionName, FunctionType};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, Warning, WarningCode};
use std::collections::{BTreeMap, BTreeSet};

/// What has been found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) wiring: Wiring,
    pub(super) refusals: Vec<Refusal>,
    pub(super) warnings: Vec<Warning>,
}

/// See [`Graph::resolve_from`].
pub(super) fn resolve(graph: &Graph, previous: &Wiring) -> (Wiring, Vec<Refusal>, Vec<Warning>) {
    let mut findings = Findings::default();
    for (caller, node) in &graph.nodes {
        kinds::check(caller, node, &mut findings);
        let mut used = BTreeSet::new();
        for import in imports_of(node) {
            match provider::choose(graph, previous, caller, &import, &mut used) {
                Ok(callee) => link_all(graph, caller, &import, callee, &mut findings),
                Err(refusals) => findings.refusals.extend(refusals),
            }
        }
        for unused in node.links.keys().filter(|key| !used.contains(key.as_str())) {
            let message =
                format!("The link \"{unused}\" of `{caller}` is not used: `{caller}` imports nothing of that name.");
            findings
                .warnings
                .push(Warning::new(WarningCode::UnusedLink, &[caller], message));
        }
    }
    routes::check(graph, &mut findings);
    circle::check(graph, &mut findings);
    (findings.wiring, findings.refusals, findings.warnings)
}

/// The imports of a module, functions of one interface together: they go to one provider.
fn imports_of(node: &Node) -> Vec<Import<'_>> {
    let mut by_interface: BTreeMap<&str, Import<'_>> = BTreeMap::new();
    let mut imports = Vec::new();
    for (name, of) in &node.interface.imports {
        match &name.interface {
            Some(interface) => {
                let import = by_interface
                    .entry(interface)
                    .or_insert_with(|| Import::new(interface, true));
                import.functions.push((name, of));
            }
            None => imports.push(Import {
                functions: vec![(name, of)],
                ..Import::new(&name.name, false)
            }),
        }
    }
    imports.extend(by_interface.into_values());
    imports
}

/// Links the functions of one import to their provider, each if the types agree.
fn link_all(graph: &Graph, caller: &ModuleName, import: &Import<'_>, callee: &ModuleName, findings: &mut Findings) {
    let (Some(calling), Some(called)) = (graph.nodes.get(caller), graph.nodes.get(callee)) else {
        return;
    };
    for (imported, wanted) in &import.functions {
        let Some((exported, offered)) = names::export_for(&called.interface, imported) else {
            findings
                .refusals
                .push(provider::missing(graph, caller, import, (imported, wanted)));
            continue;
        };
        if let Some(refusal) = disagreement((caller, calling, wanted), (callee, called, offered), imported) {
            findings.refusals.push(refusal);
            continue;
        }
        if calling.keeps_state() && !wanted.can_report_failure() {
            findings.warnings.push(cannot_report(caller, callee, imported, wanted));
        }
        let link = Link {
            callee: callee.clone(),
            function: exported.clone(),
        };
        findings
            .wiring
            .links
            .entry(caller.clone())
            .or_default()
            .insert((*imported).clone(), link);
    }
}

type Side<'g> = (&'g ModuleName, &'g Node, &'g FunctionType);

/// Why a function cannot be linked although its name fits.
fn disagreement(
    (caller, calling, wanted): Side<'_>,
    (callee, called, offered): Side<'_>,
    imported: &FunctionName,
) -> Option<Refusal> {
    let modules = [caller, callee];
    if wanted.cannot_cross() || offered.cannot_cross() {
        let message = format!(
            "`{caller}` imports `{imported}` of `{callee}` as `{wanted}`, and resources, streams and futures cannot cross from module to module."
        );
        let remedy = "pass what the resource stands for, such as an identifier, instead of a handle".to_owned();
        return Some(Refusal::new(RefusalCode::ResourceCrosses, &modules, message, remedy));
    }
    if wanted.same_as(offered) {
        return None;
    }
    let message = format!(
        "`{caller}` {} imports `{imported}` as `{wanted}`, but `{callee}` {} exports it as `{offered}`.",
        calling.version.version, called.version.version
    );
    let remedy = format!(
        "move `{caller}` and `{callee}` in one upgrade to versions that agree, or let `{callee}` export the old interface version beside the new one"
    );
    Some(Refusal::new(RefusalCode::TypeMismatch, &modules, message, remedy))
}

fn cannot_report(caller: &ModuleName, callee: &ModuleName, imported: &FunctionName, wanted: &FunctionType) -> Warning {
    let message = format!(
        "`{caller}` keeps state and calls `{imported}` of `{callee}`, whose type `{wanted}` has no `result<_, string>` to report failure: if that call fails, `{caller}` traps and loses what it has not saved."
    );
    Warning::new(WarningCode::FailureTraps, &[caller, callee], message)
}
