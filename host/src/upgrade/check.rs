//! What an upgrade is checked by before anything is started: the pure checks of `wasmhot_appup`, with what this host knows, and what it
//! refuses beside them.

use super::journal::Step;
use super::kept::Kept;
use super::plan::{self, Plan};
use super::{Core, schedules, steps};
use crate::call::routes::Routes;
use crate::control::protocol::{Exit, Failure, StateSource};
use crate::version::{EngineKind, Version};
use std::collections::BTreeMap;
use wasmhot_appup::{CheckOptions, Checked, Durability, Known, Move, Refusal, Transition};

impl Core {
    /// What the check goes by beside the two graphs: descriptions of states, and releases in which calls are still open.
    fn known(&self, plan: &Plan, old: &Routes, kept: Kept) -> Known {
        let described = |version: &Version| Some((version.id.digest, version.state.clone()?));
        let before = old.modules.values().map(|route| &route.template.version);
        let after = plan.desired.values().map(|desired| &desired.version);
        let middle = plan.middle.iter();
        let described = before
            .chain(after)
            .chain(middle)
            .filter_map(|version| described(version));
        Known {
            // Whoever asks for another state than the live one does not ask who can read that (R27).
            states: match plan.options.state {
                StateSource::Live => kept.states.into_iter().chain(described).collect(),
                StateSource::LastSaved | StateSource::Empty | StateSource::File(_) => BTreeMap::new(),
            },
            middle: plan.middle.iter().map(|version| version.id.clone()).collect(),
            open: self.router.open_before(old.revision),
            saved: kept.saved,
            had: kept.had,
            ..Known::default()
        }
    }

    pub(super) fn check(&self, plan: &Plan, old: &Routes, kept: Kept) -> Result<Checked, Failure> {
        let mut known = self.known(plan, old, kept);
        // Nobody is kept from going back.
        if !plan.asked.goes_back() {
            for (name, desired) in &plan.desired {
                known.grant(name, desired.config.grants());
            }
        }
        let transition = Transition::new(old.graph(), plan.graph(), plan.moves.clone()).knowing(known);
        let takes_file = |step: &Move| matches!(plan.state_of(step), plan::StateFrom::File(_));
        check_first(&transition, &plan.steps, takes_file)?;
        let modules = plan.desired.values();
        schedules::check(
            modules.map(|desired| (&desired.version.id, &*desired.version.interface, &desired.config.spec)),
        )?;
        refuse_not_durable(plan)?;
        let options = CheckOptions {
            allow_lossy: plan.options.allow_lossy,
        };
        let mut checked =
            wasmhot_appup::check(&transition, &plan.previous_wiring(&old.wiring), &options).map_err(refused)?;
        checked.gated.extend(plan.taken_as_a_whole(&transition.old));
        Ok(checked)
    }
}

/// Validation refuses.
pub(crate) fn refused(refusals: Vec<Refusal>) -> Failure {
    let message = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let code = refusals
        .first()
        .map_or("refused".to_string(), |refusal| refusal.code.to_string());
    let mut failure = Failure::new(code, Exit::Refused, message).in_phase("check");
    failure.refusals = refusals;
    failure
}

/// What the host refuses beside what [`wasmhot_appup::check`] does, and before it. `takes_file` says whose state comes from a file.
pub(crate) fn check_first(
    transition: &Transition,
    steps: &[Step],
    takes_file: impl Fn(&Move) -> bool,
) -> Result<(), Failure> {
    if let Some(failure) = plan::refuses_keys(transition, takes_file) {
        return Err(failure);
    }
    steps::check(steps, transition)
}

/// Answers wait for the disk only where a call is answered when it has ended.
fn refuse_not_durable(plan: &Plan) -> Result<(), Failure> {
    for desired in plan.desired.values() {
        let (version, config) = (&desired.version, &desired.config);
        let name = &version.id.name;
        let why = match () {
            () if config.limits.durability == Durability::None || !config.kind.keeps_state() => continue,
            () if version.engine == EngineKind::Concurrent => "its calls run beside each other (WASI 0.3)",
            () if version.places.http.is_some() => {
                "it answers HTTP itself, and its responses leave before a call has ended"
            }
            () => continue,
        };
        let message = format!(
            "{name} cannot have `durability = \"call\"`: {why}; take it away, or let {name} be called by functions"
        );
        let mut failure = Failure::new("not-durable", Exit::Refused, message).in_phase("check");
        failure.module = Some(name.to_string());
        return Err(failure);
    }
    Ok(())
}

/// What modules that move newly want of the host and are not granted.
pub(super) fn not_granted(plan: &Plan, old: &Routes) -> Vec<String> {
    let moving = plan.moves.iter().filter_map(|step| plan.desired.get(&step.module));
    let told = moving.flat_map(|desired| {
        let version = &desired.version;
        let before = old.modules.get(&version.id.name);
        let before = before.map(|route| &*route.template.version.interface);
        wasmhot_appup::capability::not_granted(&version.id, &version.interface, desired.config.grants(), before)
    });
    told.collect()
}
