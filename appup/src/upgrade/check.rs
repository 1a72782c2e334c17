//! Whether an upgrade may run: without effects, before anything is prepared.

use super::moves::{bad, missing};
use super::{Action, CheckOptions, Checked, Move, Saved, Transition, default_moves, gate, outside, readable, state};
use crate::graph::Wiring;
use crate::name::ModuleName;
use crate::refusal::{Refusal, Warning};
use std::collections::BTreeSet;

/// What has been found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) refusals: Vec<Refusal>,
    pub(super) warnings: Vec<Warning>,
    pub(super) lossy: Vec<String>,
    pub(super) given_up: Vec<Saved>,
}

/// Checks an upgrade: the new graph resolves (R7), every change has its move, no state is lost unasked (R30), and what waits
/// while state is handed over (R21, R22). `previous` is how the old graph is wired now.
///
/// As far as [`Transition::known`] says, also: every saved state that is taken over can be read (R4), nothing is wanted of the
/// host that is not granted (R8), and calls that are still open in older releases are waited for (R7).
///
/// # Errors
/// Every reason why it may not run.
pub fn check(transition: &Transition, previous: &Wiring, options: &CheckOptions) -> Result<Checked, Vec<Refusal>> {
    let (wiring, refusals, mut warnings) = transition.new.resolve_from(previous);
    // What was so before, and was told when it came, is not told with every upgrade of something else.
    warnings.retain(|warning| {
        let mut modules = warning.modules.iter();
        modules.any(|module| transition.moves.iter().any(|one| one.module == *module))
    });
    let mut findings = Findings {
        refusals,
        warnings,
        ..Findings::default()
    };
    let mut seen: BTreeSet<&ModuleName> = BTreeSet::new();
    for one in &transition.moves {
        if !seen.insert(&one.module) {
            let message = format!("`{}` has two moves in one upgrade.", one.module);
            findings.refusals.push(bad(&one.module, message, "keep one".to_owned()));
        } else if let Err(refusal) = check_shape(transition, one) {
            findings.refusals.push(refusal);
        } else {
            state::check(transition, one, *options, &mut findings);
            readable::check(transition, one, *options, &mut findings);
            outside::check(transition, one, &mut findings);
        }
    }
    for Move { module, action, .. } in default_moves(&transition.old, &transition.new) {
        if !seen.contains(&module) {
            let (before, after) = (transition.old.nodes.get(&module), transition.new.nodes.get(&module));
            findings.refusals.push(missing(&module, action, before, after));
        }
    }
    let Findings {
        refusals,
        mut warnings,
        lossy,
        given_up,
    } = findings;
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let (old_wiring, _, _) = transition.old.resolve_from(previous);
    let (gated, open_edges) = gate::gated(transition, &old_wiring);
    warnings.extend(open_edges);
    Ok(Checked {
        wiring,
        gated,
        warnings,
        lossy,
        given_up,
    })
}

/// A move has to fit where its module runs before and after.
fn check_shape(transition: &Transition, one: &Move) -> Result<(), Refusal> {
    let module = &one.module;
    let before = transition.old.nodes.contains_key(module);
    let after = transition.new.nodes.contains_key(module);
    let fits = match one.action {
        Action::Add => !before && after,
        Action::Delete => before && !after,
        Action::Load | Action::Update | Action::Restart => before && after,
    };
    if fits {
        return Ok(());
    }
    let runs = |yes: bool| if yes { "runs" } else { "does not run" };
    let message = format!(
        "The move `{}` does not fit `{module}`, which {} before the upgrade and {} after it.",
        one.action,
        runs(before),
        runs(after)
    );
    let remedy = "added is what did not run, deleted what no longer runs; all else runs before and after".to_owned();
    Err(bad(module, message, remedy))
}
