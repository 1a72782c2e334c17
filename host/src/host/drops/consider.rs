//! Which of the candidates fit now, and their switch (R34, R35).

use super::files::Candidate;
use super::{barred_of, decided, note_bar};
use crate::control::protocol::Failure;
use crate::event::{EventKind, Happening};
use crate::host::Inner;
use crate::host::apply::nothing_to_do;
use crate::host::load::desired;
use crate::host::lock::wait_for_lock;
use crate::host::plans::{current_record, plan_from, spec_for};
use crate::intake::printable;
use crate::upgrade::Outcome;
use crate::upgrade::plan::{Asked, Desired, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Digest, Graph, LimitsSpec, ModuleName, Node, settle_drops};

type Candidates = BTreeMap<ModuleName, Candidate>;

/// Looks which of the new contents and the pending ones fit now, and moves them.
pub(super) async fn consider(inner: &Arc<Inner>, fresh: &BTreeSet<Digest>, asked: Asked, expiry: Duration) {
    if look(inner, fresh, true).await.is_empty() {
        return;
    }
    // Files go on being read and refused meanwhile: only what would change something waits (R37).
    if let Some(why) = put_off_by(inner) {
        let waiting = inner.drops.lock().expect("no panic under this lock").put_off(fresh);
        for candidate in waiting {
            let message = format!("{} waits: {why}", candidate.id());
            let waits = Happening::new(EventKind::Held, message).version(candidate.id());
            inner.core.events.publish(waits);
        }
        return;
    }
    loop {
        // Drops wait for whatever upgrade runs (R37). What runs, and what is barred, is another thing then.
        let Ok(lock) = wait_for_lock(inner).await else { return };
        drop(lock);
        let candidates = look(inner, fresh, false).await;
        let limits = match current_record(inner).await {
            Ok(record) => record.map(|record| record.limits).unwrap_or_default(),
            Err(error) => {
                let alarm = Happening::new(EventKind::Alarm, error.message);
                return inner.core.events.publish(alarm);
            }
        };
        let moving = Moving {
            inner,
            limits,
            asked,
            expiry,
        };
        if let Settled::Yes = moving.settle(candidates).await {
            return;
        }
    }
}

/// Why drops wait for longer than an upgrade takes, if they do.
fn put_off_by(inner: &Inner) -> Option<String> {
    let held = inner.core.held.borrow().clone();
    let probation = || {
        let probation = inner.core.probation.borrow();
        let revision = probation.as_ref()?.attempt.revision;
        Some(format!("revision {revision} is on probation"))
    };
    held.map(|reason| format!("drops are held: {reason}"))
        .or_else(probation)
}

/// Whether all candidates have been dealt with.
enum Settled {
    Yes,
    /// Another upgrade has switched meanwhile: what fits, and what is a candidate, is to be looked at anew.
    Outdated,
}

/// The candidates: of each module with new content, the highest of its files, if that is what is new; and what is pending.
async fn look(inner: &Arc<Inner>, fresh: &BTreeSet<Digest>, tells: bool) -> Candidates {
    let barred = barred_of(inner).await;
    let routes = inner.core.router.routes();
    let runs = |candidate: &Candidate| {
        let id = candidate.id();
        let route = routes.modules.get(&id.name);
        route.is_some_and(|route| route.template.version.id.digest == id.digest)
    };
    let mut said = Vec::new();
    let mut done = Vec::new();
    let mut candidates = {
        let mut drops = inner.drops.lock().expect("no panic under this lock");
        let mut candidates = drops.pending();
        candidates.retain(|name, pending| match drops.highest(name, &barred) {
            Some(highest) if highest.id() == pending.id() && !runs(&highest) => true,
            instead => {
                drops.wait_no_more(name);
                let why = match instead {
                    Some(highest) if runs(&highest) => format!("{} is what runs", highest.id()),
                    Some(highest) => format!("{} takes its place", highest.id()),
                    None => "it is barred".to_string(),
                };
                let message = format!("{} is pending no more: {why}", pending.id());
                said.push(Happening::new(EventKind::PendingEnded, message).version(pending.id()));
                done.push(pending.clone());
                false
            }
        });
        for file in fresh.iter().flat_map(|digest| drops.with(digest)) {
            let name = &file.id().name;
            let Some(highest) = drops.highest(name, &barred) else {
                continue;
            };
            let shown = format!("{} is {}", printable(&file.path), file.id());
            let no_effect = if highest.id() != file.id() {
                Some(format!(
                    "{shown}: it has no effect beside {}, which is {}",
                    printable(&highest.path),
                    highest.id()
                ))
            } else if runs(&file) {
                Some(format!("{shown}: that is what runs"))
            } else {
                None
            };
            match no_effect {
                Some(message) => {
                    said.push(Happening::new(EventKind::Ignored, message).version(file.id()));
                    done.push(file);
                }
                None => {
                    candidates.insert(name.clone(), highest);
                }
            }
        }
        candidates
    };
    // Barred by an undo that the candidate waited for.
    candidates.retain(|_, candidate| !barred.contains(&candidate.id().digest));
    if tells {
        said.into_iter()
            .for_each(|happening| inner.core.events.publish(happening));
    }
    for candidate in done {
        decided(inner, &candidate.version).await;
    }
    candidates
}

/// One look at the candidates.
struct Moving<'a> {
    inner: &'a Arc<Inner>,
    limits: LimitsSpec,
    asked: Asked,
    expiry: Duration,
}

impl Moving<'_> {
    async fn settle(&self, mut candidates: Candidates) -> Settled {
        // At a start everything that fits is one switch: the first revision is the directory as it was found.
        let mut as_one = self.asked == Asked::Start;
        while !candidates.is_empty() {
            let wanted = self.wanted(&candidates);
            let nodes: BTreeMap<ModuleName, Node> = wanted
                .iter()
                .map(|(name, desired)| (name.clone(), node(desired)))
                .collect();
            let routes = self.inner.core.router.routes();
            let current: Graph = routes.graph();
            let outcome = settle_drops(&current, &routes.wiring, &nodes);
            for (name, refusals) in outcome.pending {
                if let Some(candidate) = candidates.get(&name) {
                    self.wait(candidate, refusals.iter().map(ToString::to_string).collect());
                }
            }
            let groups = if as_one {
                vec![outcome.groups.into_iter().flatten().collect::<BTreeSet<_>>()]
            } else {
                outcome.groups
            };
            let mut again = Candidates::new();
            for group in groups.into_iter().filter(|group| !group.is_empty()) {
                let failure = match self.switch(&group, &wanted).await {
                    Ok(Outcome::Done(_)) => {
                        self.switched(&group, &candidates).await;
                        continue;
                    }
                    Ok(Outcome::Outdated) => return Settled::Outdated,
                    Err(failure) => failure,
                };
                let group: Candidates = group
                    .iter()
                    .filter_map(|name| Some((name.clone(), candidates.get(name)?.clone())))
                    .collect();
                again.extend(self.failed(group, &failure, as_one).await);
            }
            // Whatever failed must not keep the others from running: from now on part by part.
            as_one = false;
            candidates = again;
        }
        Settled::Yes
    }

    fn wanted(&self, candidates: &Candidates) -> BTreeMap<ModuleName, Desired> {
        let running = self.inner.running();
        let of = |(name, candidate): (&ModuleName, &Candidate)| {
            let (version, spec) = (Arc::clone(&candidate.version), spec_for(&running, name));
            (name.clone(), desired(&self.inner.core, version, spec, &self.limits))
        };
        candidates.iter().map(of).collect()
    }

    async fn switch(
        &self,
        group: &BTreeSet<ModuleName>,
        wanted: &BTreeMap<ModuleName, Desired>,
    ) -> Result<Outcome, Failure> {
        let mut all = self.inner.running();
        for name in group {
            if let Some(desired) = wanted.get(name) {
                all.insert(name.clone(), desired.clone());
            }
        }
        let plan = plan_from(self.inner, self.asked, all, self.limits.clone(), Options::default());
        if plan.moves.is_empty() {
            return Ok(Outcome::Done(Box::new(nothing_to_do(&plan))));
        }
        self.inner.core.upgrade(plan, wait_for_lock(self.inner)).await
    }

    async fn switched(&self, group: &BTreeSet<ModuleName>, candidates: &Candidates) {
        for name in group {
            self.inner
                .drops
                .lock()
                .expect("no panic under this lock")
                .wait_no_more(name);
            if let Some(candidate) = candidates.get(name) {
                decided(self.inner, &candidate.version).await;
            }
        }
    }

    /// R36: a fault of the content bars it; a passing one waits for the next event. Gives who is to be looked at once more, without
    /// the one that was at fault.
    async fn failed(&self, mut group: Candidates, failure: &Failure, as_one: bool) -> Candidates {
        let at_fault = match (&failure.module, failure.content_at_fault) {
            (_, false) => None,
            (Some(module), true) => group.keys().find(|name| name.as_ref() == module).cloned(),
            (None, true) if group.len() == 1 => group.keys().next().cloned(),
            (None, true) => None,
        };
        if let Some(candidate) = at_fault.and_then(|name| group.remove(&name)) {
            self.inner
                .drops
                .lock()
                .expect("no panic under this lock")
                .wait_no_more(&candidate.id().name);
            let (shown, id) = (printable(&candidate.path), candidate.id());
            let message = format!(
                "{shown} is {id}, which failed: {}; it is not tried again until its bytes change, but by `wasmhot apply {shown}`",
                failure.message
            );
            let details = serde_json::json!({ "code": failure.code, "sha256": id.digest.to_string() });
            let refused = Happening::new(EventKind::Refused, message).version(id).details(details);
            self.inner.core.events.publish(refused);
            note_bar(self.inner, &id.to_string(), id.digest, &failure.message).await;
            return group;
        }
        if as_one {
            return group;
        }
        for candidate in group.values() {
            self.wait(candidate, vec![failure.message.clone()]);
        }
        Candidates::new()
    }

    fn wait(&self, candidate: &Candidate, reasons: Vec<String>) {
        let id = candidate.id();
        let message = format!("{id} is pending: {}", reasons.join("; "));
        let mut drops = self.inner.drops.lock().expect("no panic under this lock");
        let is_new = drops.wait(candidate, reasons, self.expiry);
        drop(drops);
        if is_new {
            let pending = Happening::new(EventKind::Pending, message).version(id);
            self.inner.core.events.publish(pending);
        }
    }
}

fn node(desired: &Desired) -> Node {
    Node {
        version: desired.version.id.clone(),
        kind: desired.config.kind,
        interface: Arc::clone(&desired.version.interface),
        links: desired.config.spec.links.clone(),
        routes: desired.config.spec.routes.clone(),
    }
}
