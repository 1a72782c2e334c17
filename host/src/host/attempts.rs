//! Applies by the id of their attempt: whoever asks again with the same id gets the first's result, also while it still runs.

use crate::control::protocol::{Exit, Failure, UpgradeReport};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Attempts that are remembered.
const KEPT: usize = 64;

type Done = Result<UpgradeReport, Failure>;

/// The attempts of this host.
#[derive(Default)]
pub(super) struct Attempts {
    /// Oldest first.
    known: Mutex<VecDeque<(String, watch::Receiver<Option<Done>>)>>,
    next: AtomicU64,
}

/// What an id stands for.
pub(super) enum Attempt {
    /// One that has begun, and may have ended.
    Known(Waiting),
    /// A new one, and the wait for its result.
    New(Begun, Waiting),
}

/// An attempt that has to end.
pub(super) struct Begun {
    id: String,
    result: watch::Sender<Option<Done>>,
}

/// Waits for the result of an attempt.
pub(super) struct Waiting(watch::Receiver<Option<Done>>);

impl Waiting {
    pub(super) async fn get(mut self) -> Done {
        match self.0.wait_for(Option::is_some).await.map(|done| done.clone()) {
            Ok(Some(done)) => done,
            Ok(None) | Err(_) => Err(Failure::new(
                "internal",
                Exit::Bug,
                "the task ended before its time; the log of the host says more",
            )),
        }
    }
}

impl Attempts {
    /// An id for a caller that has none.
    pub(super) fn new_id(&self) -> String {
        format!("host-{}", self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The attempt of this id, or a new one.
    pub(super) fn begin(&self, id: &str) -> Attempt {
        let mut attempts = self.known.lock().expect("no panic under this lock");
        if let Some((_, known)) = attempts.iter().find(|(known, _)| known == id) {
            return Attempt::Known(Waiting(known.clone()));
        }
        let (result, waiting) = watch::channel(None);
        attempts.push_back((id.to_string(), waiting.clone()));
        if attempts.len() > KEPT {
            // Few run at a time: most have ended.
            let ended = attempts.iter().position(|(_, result)| result.borrow().is_some());
            attempts.remove(ended.unwrap_or(0));
        }
        let id = id.to_string();
        Attempt::New(Begun { id, result }, Waiting(waiting))
    }

    /// Tells everybody who waits. Busy is forgotten: nothing was attempted, and the same id may try again.
    pub(super) fn end(&self, attempt: &Begun, done: &Done) {
        if matches!(done, Err(failure) if failure.exit == Exit::Busy) {
            let mut attempts = self.known.lock().expect("no panic under this lock");
            attempts.retain(|(known, _)| *known != attempt.id);
        }
        attempt.result.send_replace(Some(done.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(attempts: &Attempts, id: &str) -> Begun {
        match attempts.begin(id) {
            Attempt::New(attempt, _) => attempt,
            Attempt::Known(_) => panic!("{id} is new"),
        }
    }

    #[tokio::test]
    async fn the_same_id_waits_for_the_first_result() {
        let attempts = Attempts::default();
        let first = new(&attempts, "a");
        let Attempt::Known(second) = attempts.begin("a") else {
            panic!("it is known")
        };
        let waiting = tokio::spawn(second.get());
        let report = UpgradeReport {
            revision: Some(7),
            ..UpgradeReport::default()
        };
        attempts.end(&first, &Ok(report));
        assert_eq!(waiting.await.expect("ends").expect("is a report").revision, Some(7));
        let Attempt::Known(third) = attempts.begin("a") else {
            panic!("it is still known")
        };
        assert_eq!(third.get().await.expect("is a report").revision, Some(7));
    }

    #[tokio::test]
    async fn an_attempt_that_dies_is_told() {
        let attempts = Attempts::default();
        let Attempt::New(attempt, waiting) = attempts.begin("a") else {
            panic!("it is new")
        };
        drop(attempt);
        assert_eq!(waiting.get().await.expect_err("has no result").exit, Exit::Bug);
    }

    #[test]
    fn busy_is_forgotten_and_old_ones_are_too() {
        let attempts = Attempts::default();
        let busy = new(&attempts, "busy");
        attempts.end(&busy, &Err(Failure::new("busy", Exit::Busy, "no")));
        let _running = new(&attempts, "busy");
        for number in 0..2 * KEPT {
            let attempt = new(&attempts, &number.to_string());
            attempts.end(&attempt, &Ok(UpgradeReport::default()));
        }
        assert!(matches!(attempts.begin("busy"), Attempt::Known(_)), "it still runs");
        new(&attempts, "0");
    }
}
