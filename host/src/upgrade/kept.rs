//! What is kept of the modules that move, and through whom it can get to their new versions (R4, R28).

use super::Core;
use super::plan::{Plan, StateFrom};
use crate::call::routes::{Routes, Target};
use crate::control::protocol::{Exit, Failure, StateSource};
use crate::state::Chain;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use wasmhot_appup::{Action, Digest, Kind, ModuleName, ModuleVersion, Move, Saved, StateDescription};

/// The saved states of some modules, and the versions of these that are to be had.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) saved: Vec<Saved>,
    pub(crate) had: BTreeSet<ModuleVersion>,
    /// How they describe their states, and how those do that have written one.
    pub(crate) states: BTreeMap<Digest, StateDescription>,
}

impl Core {
    /// What is kept of these modules. Where nothing is, nobody is asked how he describes his state.
    pub(crate) async fn kept_of(&self, modules: &BTreeSet<ModuleName>) -> Result<Kept, Failure> {
        let saved = self.services.states.saved_of(modules).await;
        let saved = saved.map_err(|error: StoreError| Failure::new(error.code(), Exit::Failed, error.to_string()))?;
        let of: BTreeSet<&ModuleName> = saved.iter().map(|saved| &saved.module).collect();
        let had: BTreeSet<_> = of.into_iter().flat_map(|module| self.versions.had(module)).collect();
        let writers = saved.iter().map(|saved| &saved.version);
        let states = self
            .versions
            .described(had.iter().chain(writers).cloned().collect())
            .await;
        Ok(Kept { saved, had, states })
    }

    /// What the moves of a plan may take of what is kept: of keys, of modules that come (back), or because it is asked for.
    pub(super) async fn kept_by(&self, plan: &Plan, old: &Routes) -> Result<Kept, Failure> {
        // Whoever asks for another state than the live one does not ask who can read that (R27).
        if plan.options.state != StateSource::Live {
            return Ok(Kept::default());
        }
        let takes = plan
            .moves
            .iter()
            .filter(|step| matches!(step.action, Action::Add | Action::Update));
        let sources = takes.flat_map(|step| match step.state_from.is_empty() {
            true => vec![(&step.module, step)],
            false => step.state_from.iter().map(|from| (from, step)).collect(),
        });
        let is_taken = |(from, step): &(&ModuleName, &Move)| match old.modules.get(*from).map(|route| &route.target) {
            Some(Target::Single(_)) => matches!(plan.state_of(step), StateFrom::LastSaved),
            _ => true,
        };
        let modules = sources.filter(is_taken).map(|(from, _)| from.clone()).collect();
        self.kept_of(&modules).await
    }

    /// Where a version cannot read the live state of the one before, and versions that are to be had lead there, the state goes through
    /// these (R28): without this nobody but a relup could say so.
    pub(crate) async fn find_ways(&self, plan: &mut Plan) -> Result<(), Failure> {
        let old = self.router.routes();
        for place in 0..plan.moves.len() {
            let step = &plan.moves[place];
            let is_own = step.action == Action::Update && step.via.is_empty() && step.state_from.is_empty();
            let is_live = matches!(plan.state_of(step), StateFrom::Live);
            let (before, after) = (old.modules.get(&step.module), plan.desired.get(&step.module));
            let Some((before, after)) = before.zip(after).filter(|_| is_own && is_live) else {
                continue;
            };
            let keeps_state = before.template.config.kind.keeps_state() && after.config.kind != Kind::Pool;
            let (from, to) = (&before.template.version.id, &after.version.id);
            let way = self.versions.way(from, to).await.filter(|_| keeps_state);
            let mut via = Vec::new();
            for id in way.into_iter().flatten() {
                let version = self.versions.get(&id).await;
                plan.middle
                    .push(version.map_err(|why| not_to_be_had(&id.name, &id.to_string(), &why))?);
                via.push(wasmhot_appup::Via {
                    version: id.version,
                    extra: plan.moves[place].extra.clone(),
                });
            }
            plan.moves[place].via = via;
        }
        Ok(())
    }

    /// The versions that a move names for its state to go through: of the relup, or such as the host has.
    pub(super) fn via(&self, plan: &Plan, step: &Move) -> Result<Chain, Failure> {
        let find = |named: &wasmhot_appup::Via| {
            let is = |id: &ModuleVersion| id.name == step.module && id.version == named.version;
            let in_plan = plan.middle.iter().map(|version| version.id.clone()).find(is);
            let found = in_plan.or_else(|| self.versions.known().into_iter().find(is));
            let shown = format!("{}@{}", step.module, named.version);
            let id = found.ok_or_else(|| not_to_be_had(&step.module, &shown, "the host does not have it"))?;
            Ok((id, named.extra.clone()))
        };
        step.via.iter().map(find).collect()
    }
}

fn not_to_be_had(module: &ModuleName, version: &str, why: &str) -> Failure {
    let message = format!(
        "the state of {module} is to go through {version}, which the host cannot load ({why}): say its `path` in `[[middle]]` of a relup"
    );
    let mut failure = Failure::new("no-middle-version", Exit::Refused, message).in_phase("prepare");
    failure.module = Some(module.to_string());
    failure
}
