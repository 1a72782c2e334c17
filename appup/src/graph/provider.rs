//! Which module serves an import: the linked one, else the one that served it before, else the only one that can (R7).

use super::{Graph, Node, Wiring, names};
use crate::interface::{FunctionName, FunctionType};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode};
use std::collections::BTreeSet;

/// An imported interface with the functions wanted of it, or one bare function.
pub(super) struct Import<'g> {
    /// The interface in full, or the function.
    pub(super) name: &'g str,
    pub(super) is_interface: bool,
    pub(super) functions: Vec<(&'g FunctionName, &'g FunctionType)>,
}

impl<'g> Import<'g> {
    pub(super) fn new(name: &'g str, is_interface: bool) -> Self {
        Self {
            name,
            is_interface,
            functions: Vec::new(),
        }
    }

    /// True if the module exports every function, at least by compatible name.
    fn served_by(&self, node: &Node) -> bool {
        self.functions
            .iter()
            .all(|(name, _)| names::export_for(&node.interface, name).is_some())
    }

    fn served_exactly_by(&self, node: &Node) -> bool {
        self.functions
            .iter()
            .all(|(name, _)| node.interface.exports.contains_key(*name))
    }

    fn served_partly_by(&self, node: &Node) -> bool {
        self.is_interface && interfaces_of(node).any(|exported| names::stands_for(exported, self.name))
    }
}

fn interfaces_of(node: &Node) -> impl Iterator<Item = &str> {
    node.interface
        .exports
        .keys()
        .filter_map(|name| name.interface.as_deref())
}

/// The module that serves `import`; `used` collects the keys of links that were needed.
pub(super) fn choose<'g>(
    graph: &'g Graph,
    previous: &Wiring,
    caller: &ModuleName,
    import: &Import<'g>,
    used: &mut BTreeSet<&'g str>,
) -> Result<&'g ModuleName, Vec<Refusal>> {
    let configured = graph.nodes.get(caller).and_then(|node| configured(node, import));
    if let Some((key, target)) = configured {
        used.insert(key);
        return follow(graph, caller, import, target).map_err(|refusal| vec![refusal]);
    }
    if let Some(kept) = kept(graph, previous, caller, import) {
        return Ok(kept);
    }
    let others = || graph.nodes.iter().filter(|(name, _)| *name != caller);
    // An exact name wins over a compatible one; a module with only part of the functions is better than none, since
    // the refusals then name just what it lacks.
    let tiers: [fn(&Import<'g>, &Node) -> bool; 3] =
        [Import::served_exactly_by, Import::served_by, Import::served_partly_by];
    for (tier, serves) in tiers.into_iter().enumerate() {
        let able: Vec<&ModuleName> = others()
            .filter(|(_, node)| serves(import, node))
            .map(|(name, _)| name)
            .collect();
        match able[..] {
            [only] => return Ok(only),
            [_, _, ..] if tier < 2 => return Err(vec![ambiguous(caller, import, &able)]),
            _ => {}
        }
    }
    let missing_one = |function: &(&FunctionName, &FunctionType)| missing(graph, caller, import, *function);
    Err(import.functions.iter().map(missing_one).collect())
}

/// The link that the configuration has for an import: by full name first.
fn configured<'g>(node: &'g Node, import: &Import<'_>) -> Option<(&'g str, &'g ModuleName)> {
    let unversioned = names::split(import.name).0;
    let found = node
        .links
        .get_key_value(import.name)
        .or_else(|| node.links.get_key_value(unversioned))?;
    Some((found.0.as_str(), found.1))
}

/// The linked module, if it can be followed. What it lacks is found out function by function.
fn follow<'g>(
    graph: &'g Graph,
    caller: &ModuleName,
    import: &Import<'_>,
    target: &'g ModuleName,
) -> Result<&'g ModuleName, Refusal> {
    let name = import.name;
    if graph.nodes.contains_key(target) {
        return Ok(target);
    }
    let message = format!("`{caller}` links `{name}` to `{target}`, which is not part of the release.");
    let remedy = "add that module, or correct the link";
    Err(Refusal::new(
        RefusalCode::BadLink,
        &[caller, target],
        message,
        remedy.to_owned(),
    ))
}

/// The module that served this import before, if it still can.
fn kept<'g>(graph: &'g Graph, previous: &Wiring, caller: &ModuleName, import: &Import<'_>) -> Option<&'g ModuleName> {
    let links = previous.links.get(caller)?;
    let callees = |fits: &dyn Fn(&FunctionName) -> bool| -> BTreeSet<&ModuleName> {
        links
            .iter()
            .filter(|(name, _)| fits(name))
            .map(|(_, link)| &link.callee)
            .collect()
    };
    let base = names::split(import.name).0;
    let exact = callees(&|name| {
        name.interface.as_deref().unwrap_or(&name.name) == import.name
            && name.interface.is_some() == import.is_interface
    });
    // The new version of a caller may import a newer version of the interface: that is no new import.
    let related = callees(&|name| {
        import.is_interface
            && name
                .interface
                .as_deref()
                .is_some_and(|full| names::split(full).0 == base)
    });
    let before = only(&exact).or_else(|| only(&related))?;
    let (name, node) = graph.nodes.get_key_value(before)?;
    (name != caller && import.served_by(node)).then_some(name)
}

/// The element of a set of one.
fn only<'m>(names: &BTreeSet<&'m ModuleName>) -> Option<&'m ModuleName> {
    if names.len() == 1 { names.first().copied() } else { None }
}

fn ambiguous(caller: &ModuleName, import: &Import<'_>, able: &[&ModuleName]) -> Refusal {
    let listed = listed(able.iter().map(|name| format!("`{name}`")));
    let name = import.name;
    let message = format!("`{caller}` imports `{name}`, which {listed} export.");
    let first = able.first().map_or("…", |name| name.as_str());
    let remedy = format!("name one, under module `{caller}` of the release: `links = {{ \"{name}\" = \"{first}\" }}`");
    let modules: Vec<&ModuleName> = std::iter::once(caller).chain(able.iter().copied()).collect();
    Refusal::new(RefusalCode::AmbiguousProvider, &modules, message, remedy)
}

/// The refusal of a function that nobody exports, with whoever comes near.
pub(super) fn missing(
    graph: &Graph,
    caller: &ModuleName,
    import: &Import<'_>,
    (name, wanted): (&FunctionName, &FunctionType),
) -> Refusal {
    let mut near: Vec<String> = Vec::new();
    let mut modules = vec![caller];
    for (other, node) in &graph.nodes {
        if other == caller {
            if names::export_for(&node.interface, name).is_some() {
                near.push(
                    "it exports it itself, but a module is linked to itself only where its `links` say so".to_owned(),
                );
            }
            continue;
        }
        let base = names::split(import.name).0;
        let related: BTreeSet<&str> = interfaces_of(node)
            .filter(|full| names::split(full).0 == base)
            .collect();
        if names::export_for(&node.interface, name).is_some() {
            near.push(format!("`{other}` exports it, but is not the module it is linked to"));
        } else if related.iter().any(|full| names::stands_for(full, import.name)) {
            near.push(format!("`{other}` exports the interface, but not this function"));
        } else if let Some(version) = related.first() {
            near.push(format!("`{other}` exports `{version}`, which is not compatible"));
        } else {
            continue;
        }
        modules.push(other);
    }
    let near = if near.is_empty() {
        String::new()
    } else {
        format!(" ({})", near.join("; "))
    };
    let message = format!("`{caller}` imports `{name}` as `{wanted}`, and no module serves that{near}.");
    let remedy = format!("add a module that exports `{name}`, or a version of `{caller}` that does without");
    Refusal::new(RefusalCode::MissingProvider, &modules, message, remedy)
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    match (names.pop(), names.is_empty()) {
        (Some(last), false) => format!("{} and {last}", names.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}
