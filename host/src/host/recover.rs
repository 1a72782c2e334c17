//! A host starts after a crash: what the journal says of upgrades that were cut short is undone, finished and told (P4, R40).

use super::load::{blocking, desired, of_store};
use crate::control::protocol::{Failure, UpgradeReport};
use crate::event::{EventKind, Happening};
use crate::store::{Commit, Meta};
use crate::upgrade::Core;
use crate::upgrade::journal::{Attempt, Ending, Phase};
use crate::upgrade::plan::RevisionRecord;
use crate::upgrade::steps::{self, NewVersions};
use std::sync::Arc;
use wasmhot_appup::{Kind, When};

/// The host ended while an upgrade was on probation: what it booted is the release before, and that is the revision from now on.
pub(super) async fn went_back(core: &Core, record: &RevisionRecord, attempts: &[Attempt]) -> Result<(), Failure> {
    let meta = core.meta();
    let back = Meta {
        current: Some(record.revision),
        permanent: Some(record.revision),
        ..meta.clone()
    };
    let tried = attempts
        .iter()
        .rev()
        .find(|attempt| Some(attempt.revision) == meta.current);
    let why = "the host ended in probation: the release before is what it starts with".to_string();
    let ended = tried.cloned().map(|attempt| Attempt {
        ending: Some(Ending::WentBack { why: why.clone() }),
        ended_ms: Some(crate::event::now_ms()),
        ..attempt
    });
    let (catalog, record, written) = (Arc::clone(&core.catalog), record.clone(), back.clone());
    let revision = record.revision;
    blocking(move || {
        let committed = catalog.commit(&Commit {
            revision,
            record: &record,
            meta: written,
            states: Vec::new(),
            attempt: ended.as_ref().map(|attempt| (attempt.number, attempt)),
            before: Vec::new(),
            delete_states: Vec::new(),
            lifted: Vec::new(),
            barred: Vec::new(),
        });
        committed.map_err(|error| of_store(&error))
    })
    .await?;
    *core.meta.lock().expect("no panic under this lock") = back;
    let message = format!("{why} (revision {revision}, instead of {})", meta.current.unwrap_or(0));
    core.events
        .publish(Happening::new(EventKind::WentBack, message).revision(revision));
    Ok(())
}

/// Ends what a crash has cut short.
pub(super) async fn finish(core: &Core, attempts: Vec<Attempt>) {
    for mut attempt in attempts {
        let Some(recovery) = attempt.recover() else { continue };
        let new = new_versions(core, &attempt).await;
        if !recovery.undo.is_empty() {
            steps::undo(core, &mut attempt, &new).await;
        }
        if !recovery.finish.is_empty() {
            let mut report = UpgradeReport::default();
            core.finish_steps(&mut attempt, &mut report).await;
        }
        let message = match &recovery.ending {
            Ending::Interrupted => format!(
                "the upgrade to {} (attempt {}) was interrupted by the end of the host: nothing of it has happened",
                attempt.to_release, attempt.number
            ),
            _ => format!(
                "the upgrade to {} (attempt {}, revision {}) had switched when the host ended",
                attempt.to_release, attempt.number, attempt.revision
            ),
        };
        if recovery.ending == Ending::Interrupted {
            *core.last_called_off.lock().expect("no panic under this lock") = Some(message.clone());
        }
        core.events
            .publish(Happening::new(EventKind::CalledOff, message).revision(attempt.base));
        core.journal.end(&mut attempt, recovery.ending).await;
    }
}

/// The stateless versions that the steps of an upgrade that has not happened were run in.
async fn new_versions(core: &Core, attempt: &Attempt) -> NewVersions {
    let mut found = NewVersions::default();
    let Some(record) = attempt.wanted.as_ref().filter(|_| attempt.phase == Phase::Begun) else {
        return found;
    };
    found.wiring = record.wiring.clone();
    let called = |module: &wasmhot_appup::ModuleName| {
        let mut steps = attempt.steps.iter().filter(|step| step.when == When::Before);
        steps.any(|step| step.undo.as_ref().is_some_and(|undo| undo.module == *module))
    };
    let moves = |module: &wasmhot_appup::ModuleName| attempt.moves.iter().any(|one| one.module == *module);
    for module in &record.modules {
        let name = &module.id.name;
        if module.kind != Kind::Pool || !called(name) || !moves(name) {
            continue;
        }
        let template = match core.versions.get(&module.id).await {
            Ok(version) => {
                let desired = desired(core, version, module.spec.clone(), &record.limits);
                core.versions.template(desired.version, desired.config)
            }
            Err(error) => Err(error),
        };
        match template {
            Ok(template) => found.templates.push(Arc::new(template)),
            Err(error) => tracing::error!("{} is not to be had, so its steps cannot be undone: {error}", module.id),
        }
    }
    found
}
