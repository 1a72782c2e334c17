//! The journal: what an upgrade is about to do is on disk before it does it, so that a start after a crash knows what to undo, to
//! finish and to tell (P4). What has ended is the history.
//!
//! An attempt goes through these phases, each written durably before anything that could be seen outside: `begun`, with what shall
//! change; each `call` step, when it begins and when it has ended; `committed`, in the transaction of the switch itself, with the
//! digests of the states that were handed over: the point of no return; `permanent`. Between them nothing needs a record of its own:
//! an upgrade that has not committed has changed nothing but what its steps did.

use super::plan::{Asked, Plan, RevisionRecord};
use crate::call::routes::Routes;
use crate::control::protocol::{Failure, UpgradeReport};
use crate::store::{Catalog, SavedState, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmhot_appup::{CallSpec, Digest, Instruction, ModuleName, ModuleVersion, When};

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Nothing has changed but what `before` steps did.
    Begun,
    /// The new release is what runs, also after a crash, or on probation.
    Committed,
    /// It is what the host boots.
    Permanent,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Ending {
    /// It switched.
    Switched {
        /// Figures; absent where the host crashed before they were written.
        report: Option<Box<UpgradeReport>>,
    },
    /// It did not happen.
    CalledOff {
        /// The failure.
        failure: Box<Failure>,
    },
    /// The host ended before the commit: nothing of it has happened.
    Interrupted,
    /// It switched, and was taken back by the host: in probation, or by a crash in it.
    WentBack {
        /// Why.
        why: String,
    },
}

/// A module in an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptMove {
    pub(crate) module: ModuleName,
    pub(crate) action: String,
    pub(crate) from: Option<ModuleVersion>,
    pub(crate) to: Option<ModuleVersion>,
    /// sha256 of the bytes that were handed over.
    #[serde(default)]
    pub(crate) state: Option<Digest>,
}

/// A `call` step (R32) and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) call: CallSpec,
    pub(crate) undo: Option<CallSpec>,
    pub(crate) when: When,
    /// Milliseconds since 1970, as all times here.
    #[serde(default)]
    pub(crate) began_ms: Option<u64>,
    #[serde(default)]
    pub(crate) ended_ms: Option<u64>,
    #[serde(default)]
    pub(crate) failed: Option<String>,
    #[serde(default)]
    pub(crate) undone_ms: Option<u64>,
}

/// One attempt at an upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) number: u64,
    pub(crate) asked: Asked,
    /// Who asked, as he calls himself.
    pub(crate) by: Option<String>,
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    /// The revision that ran.
    pub(crate) base: u64,
    /// The revision that it makes.
    pub(crate) revision: u64,
    /// `name version`.
    pub(crate) from_release: String,
    pub(crate) to_release: String,
    pub(crate) moves: Vec<AttemptMove>,
    pub(crate) steps: Vec<Step>,
    pub(crate) phase: Phase,
    pub(crate) ending: Option<Ending>,
    /// Where there are steps: the release as it shall be, with the grants that its modules have.
    #[serde(default)]
    pub(crate) wanted: Option<RevisionRecord>,
}

/// What a start has to do about an attempt that a crash has cut short. A function of what is on disk, and of nothing else.
#[derive(Debug, PartialEq)]
pub(crate) struct Recovery {
    pub(crate) ending: Ending,
    /// Steps to undo, in this order.
    pub(crate) undo: Vec<usize>,
    /// Steps to carry out, in this order.
    pub(crate) finish: Vec<usize>,
}

impl Attempt {
    /// None for one that has ended.
    pub(crate) fn recover(&self) -> Option<Recovery> {
        if self.ending.is_some() {
            return None;
        }
        let places = |wanted: &dyn Fn(&Step) -> bool| -> Vec<usize> {
            let steps = self.steps.iter().enumerate();
            steps.filter(|(_, step)| wanted(step)).map(|(place, _)| place).collect()
        };
        Some(match self.phase {
            Phase::Begun => Recovery {
                ending: Ending::Interrupted,
                undo: places(&Step::is_to_be_undone).into_iter().rev().collect(),
                finish: Vec::new(),
            },
            Phase::Committed | Phase::Permanent => {
                let is_due = |step: &Step| match step.when {
                    When::Before => false,
                    When::After => true,
                    When::Permanent => self.phase == Phase::Permanent,
                };
                Recovery {
                    ending: Ending::Switched { report: None },
                    undo: Vec::new(),
                    finish: places(&|step| is_due(step) && step.ended_ms.is_none()),
                }
            }
        })
    }
}

impl Step {
    pub(crate) fn of(instruction: &Instruction) -> Option<Self> {
        let Instruction::Call {
            module,
            function,
            args,
            when,
            undo,
        } = instruction
        else {
            return None;
        };
        let call = CallSpec {
            module: module.clone(),
            function: function.clone(),
            args: args.clone(),
        };
        Some(Self {
            call,
            undo: undo.clone(),
            when: *when,
            began_ms: None,
            ended_ms: None,
            failed: None,
            undone_ms: None,
        })
    }

    /// `module.function(args)`
    pub(crate) fn shown(&self) -> String {
        shown(&self.call)
    }

    /// It was begun, and may have had an effect.
    pub(crate) fn is_to_be_undone(&self) -> bool {
        self.began_ms.is_some() && self.undone_ms.is_none() && self.undo.is_some()
    }
}

/// `module.function(args)`
pub(crate) fn shown(call: &CallSpec) -> String {
    let args: Vec<_> = call.args.iter().map(ToString::to_string).collect();
    format!("{}.{}({})", call.module, call.function, args.join(", "))
}

/// Where attempts are written down.
pub(crate) struct Journal {
    catalog: Arc<Catalog>,
    last: AtomicU64,
}

impl Journal {
    pub(crate) fn open(catalog: &Arc<Catalog>) -> Result<Self, StoreError> {
        Ok(Self {
            catalog: Arc::clone(catalog),
            last: AtomicU64::new(catalog.last_attempt()?),
        })
    }

    /// An attempt with the next number. Nothing is written yet.
    pub(crate) fn next_attempt(&self, plan: &Plan, old: &Routes, revision: u64) -> Attempt {
        let moves = plan.moves.iter().map(|step| AttemptMove {
            module: step.module.clone(),
            action: step.action.to_string(),
            from: old
                .modules
                .get(&step.module)
                .map(|route| route.template.version.id.clone()),
            to: plan.desired.get(&step.module).map(|desired| desired.version.id.clone()),
            state: None,
        });
        Attempt {
            number: self.last.fetch_add(1, Ordering::AcqRel) + 1,
            asked: plan.asked,
            by: plan.options.by.clone(),
            began_ms: crate::event::now_ms(),
            ended_ms: None,
            base: old.revision,
            revision,
            from_release: format!("{} {}", old.release, old.release_version),
            to_release: format!("{} {}", plan.release, plan.release_version),
            moves: moves.collect(),
            steps: plan.steps.clone(),
            phase: Phase::Begun,
            ending: None,
            wanted: None,
        }
    }

    /// On disk when this returns.
    pub(crate) async fn write(&self, attempt: &Attempt) -> Result<(), StoreError> {
        self.put(attempt, true).await
    }

    /// It has ended. On disk a second later: a crash before that finds out by itself what became of it.
    pub(crate) async fn end(&self, attempt: &mut Attempt, ending: Ending) {
        attempt.ending = Some(ending);
        attempt.ended_ms = Some(crate::event::now_ms());
        if let Err(error) = self.put(attempt, false).await {
            tracing::error!(
                "the end of attempt {} could not be written down: {error}",
                attempt.number
            );
        }
    }

    async fn put(&self, attempt: &Attempt, durable: bool) -> Result<(), StoreError> {
        let (catalog, attempt) = (Arc::clone(&self.catalog), attempt.clone());
        let put = tokio::task::spawn_blocking(move || catalog.put_attempt(attempt.number, &attempt, durable));
        put.await.unwrap_or_else(|error| {
            let path = std::path::Path::new("catalog");
            Err(StoreError::io(path, std::io::Error::other(error)))
        })
    }
}

impl Attempt {
    /// The states that go with the commit.
    pub(crate) fn note_states(&mut self, states: &[SavedState]) {
        for one in &mut self.moves {
            let state = states
                .iter()
                .find(|state| state.tag.module == one.module && state.tag.key.is_none());
            one.state = state.map(|state| Digest::of(&state.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(when: When, began: bool, ended: bool) -> Step {
        let call = CallSpec {
            module: ModuleName::parse("schema").expect("is a name"),
            function: "expand".to_string(),
            args: Vec::new(),
        };
        Step {
            undo: Some(call.clone()),
            call,
            when,
            began_ms: began.then_some(1),
            ended_ms: ended.then_some(2),
            failed: None,
            undone_ms: None,
        }
    }

    fn attempt(phase: Phase, steps: Vec<Step>) -> Attempt {
        Attempt {
            number: 1,
            asked: Asked::Apply,
            by: None,
            began_ms: 0,
            ended_ms: None,
            base: 1,
            revision: 2,
            from_release: String::new(),
            to_release: String::new(),
            moves: Vec::new(),
            steps,
            phase,
            ending: None,
            wanted: None,
        }
    }

    #[test]
    fn p4_what_has_not_committed_is_undone_in_reverse() {
        let steps = vec![
            step(When::Before, true, true),
            step(When::Before, true, false),
            step(When::Before, false, false),
            step(When::After, false, false),
        ];
        let recovery = attempt(Phase::Begun, steps).recover().expect("has not ended");
        assert_eq!((recovery.ending, recovery.undo), (Ending::Interrupted, vec![1, 0]));
        assert!(recovery.finish.is_empty());
    }

    #[test]
    fn p4_what_has_committed_is_finished() {
        let steps = || {
            vec![
                step(When::Before, true, true),
                step(When::After, true, true),
                step(When::After, true, false),
                step(When::After, false, false),
                step(When::Permanent, false, false),
            ]
        };
        let recovery = attempt(Phase::Committed, steps()).recover().expect("has not ended");
        assert_eq!((recovery.undo, recovery.finish), (vec![], vec![2, 3]));
        let recovery = attempt(Phase::Permanent, steps()).recover().expect("has not ended");
        assert_eq!(recovery.finish, [2, 3, 4]);
    }

    #[test]
    fn p4_to_recover_twice_is_to_recover_once() {
        let mut one = attempt(Phase::Begun, vec![step(When::Before, true, false)]);
        one.steps[0].undone_ms = Some(3);
        assert!(one.recover().expect("has not ended").undo.is_empty());
        one.ending = Some(Ending::Interrupted);
        assert_eq!(one.recover(), None);
    }
}
