//! Whether the routes of modules can be (R9), and whether no two want the same.

use super::resolve::Findings;
use super::{Graph, Node};
use crate::http::RouteSpec;
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use crate::settings::Kind;
use std::collections::BTreeMap;

/// Checks all routes of a release.
pub(super) fn check(graph: &Graph, findings: &mut Findings) {
    let mut taken: BTreeMap<RouteSpec, (&ModuleName, &Node)> = BTreeMap::new();
    for (name, node) in &graph.nodes {
        findings.refusals.extend(of_one(name, node));
        for route in node.http_routes() {
            match taken.get(&route) {
                Some((first, by)) => findings.refusals.push(conflict(&route, (first, by), (name, node))),
                None => drop(taken.insert(route, (name, node))),
            }
        }
    }
}

fn of_one(name: &ModuleName, node: &Node) -> Vec<Refusal> {
    let stated = node.routes.iter().flatten();
    let refuse = |message: String, remedy: String| Refusal::new(RefusalCode::BadRoute, &[name], message, remedy);
    if node.interface.http_handler().is_none() {
        let refusals = stated.take(1).map(|route| {
            let message =
                format!("`{name}` is to answer `{route}`, but does not export an HTTP handler: `wasi:http/incoming-handler` (WASI 0.2) or `wasi:http/handler` (0.3).");
            refuse(
                message,
                format!("let `{name}` export one, or take its routes out of the release"),
            )
        });
        return refusals.collect();
    }
    let keyed = node.kind == Kind::Keyed;
    let refusals = stated.filter_map(|route| match (keyed, route.path.has_key()) {
        (true, false) => Some(refuse(
            format!("`{name}` is keyed, but its route `{route}` does not say where the key stands."),
            format!("put `{{key}}` into its path, as in `{}`", RouteSpec::default_of(node)),
        )),
        (false, true) => Some(refuse(
            format!(
                "The route `{route}` of `{name}` has a `{{key}}`, but `{name}` is {}.",
                node.kind
            ),
            format!("take `{{key}}` out of the path, or make `{name}` keyed"),
        )),
        (true, true) | (false, false) => None,
    });
    refusals.collect()
}

fn conflict(route: &RouteSpec, first: (&ModuleName, &Node), second: (&ModuleName, &Node)) -> Refusal {
    let ((one, _), (other, _)) = (first, second);
    if one == other {
        let message = format!("`{one}` has the route `{route}` twice.");
        return Refusal::new(RefusalCode::RouteConflict, &[one], message, "keep one".to_owned());
    }
    let unstated = [first, second].into_iter().find(|(_, node)| node.routes.is_none());
    let why = match unstated {
        Some((name, _)) => format!(" (`{name}` has no routes of its own, so it answers under its name)"),
        None => String::new(),
    };
    let message = format!("`{one}` and `{other}` are both to answer `{route}`{why}.");
    let remedy = "give one of them another host or path in `[[modules.routes]]`".to_owned();
    Refusal::new(RefusalCode::RouteConflict, &[one, other], message, remedy)
}
