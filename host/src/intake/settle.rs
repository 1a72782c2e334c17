//! When has a file come to rest? Pure: it is told what happens and what time it is.
//!
//! A file is at rest when its writer has closed it (or it was renamed into the directory) and nothing has happened to it for
//! the settle time. Where nobody says that it was closed (a hard link, a write through a memory map, a lost event) it has to be
//! quiet for longer.
//!
//! Invariants:
//! - A file is never reported less than the settle time after the last thing that was heard or seen of it.
//! - What did not change is not reported again: one report per change, however many events there were.
//! - A file that is gone before its report is never reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that was created and not closed: in settle times.
const CREATED_PATIENCE: u32 = 10;
/// A file that was written and not closed: its writer may be slow.
const WRITING_PATIENCE: u32 = 50;

/// What of a file's metadata changes when its content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    size: u64,
    /// Seconds and nanoseconds: also when the clock was set back.
    modified: (i64, i64),
    inode: u64,
}

/// What was heard of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It appeared; somebody may be about to write it.
    Created,
    /// Bytes were written.
    Modified,
    /// Its writer closed it.
    Closed,
    /// It was renamed into the directory: complete, if its maker knows what he does.
    RenamedIn,
    /// Its times or rights changed (`touch`).
    Touched,
}

/// The files of one directory.
#[derive(Debug)]
pub(super) struct Settling {
    settle: Duration,
    /// Heard of, not yet reported.
    restless: BTreeMap<PathBuf, Restless>,
    /// As they were when they were reported.
    reported: BTreeMap<PathBuf, Stat>,
}

#[derive(Debug)]
struct Restless {
    since: Instant,
    seen: Option<Stat>,
    patience: u32,
    at_start: bool,
}

/// A file that has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) path: PathBuf,
    /// Was there when the watch began.
    pub(super) at_start: bool,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Stat {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl Settling {
    pub(super) fn new(settle: Duration) -> Self {
        Settling {
            settle,
            restless: BTreeMap::new(),
            reported: BTreeMap::new(),
        }
    }

    /// Something was heard of a file.
    pub(super) fn heard(&mut self, path: &Path, what: Heard, now: Instant) {
        let before = self.restless.get(path);
        let patience = match (what, before) {
            (Heard::Closed | Heard::RenamedIn, _) => 1,
            (Heard::Created, _) => CREATED_PATIENCE,
            (Heard::Modified, _) => WRITING_PATIENCE,
            (Heard::Touched, Some(before)) => before.patience,
            (Heard::Touched, None) => 1,
        };
        let at_start = before.is_some_and(|before| before.at_start);
        let seen = before.and_then(|before| before.seen);
        self.restless.insert(
            path.to_owned(),
            Restless {
                since: now,
                seen,
                patience,
                at_start,
            },
        );
    }

    /// The whole directory was read. Gives the files that have gone.
    pub(super) fn scanned(&mut self, found: &BTreeMap<PathBuf, Stat>, at_start: bool, now: Instant) -> Vec<PathBuf> {
        for (path, stat) in found {
            if self.reported.get(path) != Some(stat) && !self.restless.contains_key(path) {
                let restless = Restless {
                    since: now,
                    seen: Some(*stat),
                    patience: 1,
                    at_start,
                };
                self.restless.insert(path.clone(), restless);
            }
        }
        let known = self.restless.keys().chain(self.reported.keys());
        let missing: BTreeSet<_> = known.filter(|path| !found.contains_key(*path)).cloned().collect();
        missing.into_iter().filter(|path| self.removed(path)).collect()
    }

    /// The file has gone. True if somebody knows of it: it had been reported, or was there at the start.
    pub(super) fn removed(&mut self, path: &Path) -> bool {
        let was_there = self.restless.remove(path).is_some_and(|restless| restless.at_start);
        self.reported.remove(path).is_some() || was_there
    }

    /// The file has to be reported once more, though it did not change.
    pub(super) fn again(&mut self, path: &Path, now: Instant) {
        self.reported.remove(path);
        self.heard(path, Heard::Touched, now);
    }

    /// When there is something to look at, if nothing is heard before.
    pub(super) fn next(&self) -> Option<Instant> {
        self.restless.values().map(|restless| restless.due(self.settle)).min()
    }

    /// Files that have been quiet for long enough. `look` gives what they look like now, `None` where they have gone; what is not
    /// as it was at the last look has to be quiet once more.
    pub(super) fn settled(&mut self, now: Instant, mut look: impl FnMut(&Path) -> Option<Stat>) -> Vec<Settled> {
        let mut due: Vec<_> = self
            .restless
            .iter()
            .map(|(path, restless)| (restless.due(self.settle), path.clone()))
            .filter(|(due, _)| *due <= now)
            .collect();
        // In the order in which they came to rest, also where this is asked late.
        due.sort();
        let mut settled = Vec::new();
        for (_, path) in due {
            let Some(stat) = look(&path) else {
                self.restless.remove(&path);
                continue;
            };
            let Some(restless) = self.restless.get_mut(&path) else {
                continue;
            };
            // Events are heard of a file that was not looked at yet: then they alone count.
            if restless.seen.is_some_and(|seen| seen != stat) {
                (restless.since, restless.seen) = (now, Some(stat));
                continue;
            }
            let at_start = restless.at_start;
            self.restless.remove(&path);
            if self.reported.insert(path.clone(), stat) != Some(stat) {
                settled.push(Settled { path, at_start });
            }
        }
        settled
    }
}

impl Restless {
    fn due(&self, settle: Duration) -> Instant {
        self.since + settle * self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTLE: Duration = Duration::from_millis(200);

    fn stat(version: u64) -> Stat {
        Stat {
            size: version,
            modified: (0, 0),
            inode: 1,
        }
    }

    /// Steps with their time in milliseconds, and what is reported when.
    fn at(settling: &mut Settling, start: Instant, ms: u64, file: Option<Stat>) -> bool {
        !settling.settled(start + Duration::from_millis(ms), |_| file).is_empty()
    }

    #[test]
    fn every_way_a_file_arrives_is_reported_once_in_its_time() {
        // The events of each, and the first moment at which it is reported.
        type Row = (&'static str, &'static [(u64, Heard)], u64);
        let table: &[Row] = &[
            (
                "cp",
                &[(0, Heard::Created), (1, Heard::Modified), (2, Heard::Closed)],
                202,
            ),
            ("rename", &[(0, Heard::RenamedIn)], 200),
            ("hard link", &[(0, Heard::Created)], 2000),
            ("touch", &[(0, Heard::Touched), (1, Heard::Closed)], 201),
            (
                "slow writer",
                &[
                    (0, Heard::Created),
                    (1000, Heard::Modified),
                    (2000, Heard::Modified),
                    (3000, Heard::Closed),
                ],
                3200,
            ),
            (
                "slow writer that stops",
                &[(0, Heard::Created), (1000, Heard::Modified)],
                11_000,
            ),
            (
                "touched while written",
                &[(0, Heard::Modified), (10, Heard::Touched)],
                10_010,
            ),
            ("two closes", &[(0, Heard::Closed), (150, Heard::Closed)], 350),
        ];
        for (name, events, reported) in table {
            let (mut settling, start) = (Settling::new(SETTLE), Instant::now());
            let mut events = events.iter().peekable();
            let mut times = Vec::new();
            for ms in 0..12_000 {
                while let Some((_, what)) = events.next_if(|(time, _)| *time == ms) {
                    settling.heard(Path::new("x"), *what, start + Duration::from_millis(ms));
                }
                if at(&mut settling, start, ms, Some(stat(1))) {
                    times.push(ms);
                }
            }
            assert_eq!(times, [*reported], "{name}");
        }
    }

    #[test]
    fn files_are_reported_in_the_order_in_which_they_came_to_rest() {
        let (mut settling, start) = (Settling::new(SETTLE), Instant::now());
        for (ms, name) in [(0, "c"), (1, "a"), (2, "b")] {
            settling.heard(Path::new(name), Heard::RenamedIn, start + Duration::from_millis(ms));
        }
        let late = start + Duration::from_secs(1);
        let settled = settling.settled(late, |_| Some(stat(1)));
        let order: Vec<_> = settled.iter().map(|settled| settled.path.to_str()).collect();
        assert_eq!(order, [Some("c"), Some("a"), Some("b")]);
    }

    #[test]
    fn what_a_scan_finds_changed_waits_and_what_it_misses_is_gone() {
        let (mut settling, start) = (Settling::new(SETTLE), Instant::now());
        let found = |version| BTreeMap::from([(PathBuf::from("x"), stat(version))]);
        assert!(settling.scanned(&found(1), true, start).is_empty());
        assert!(!at(&mut settling, start, 200, Some(stat(2))), "it grew since the scan");
        assert_eq!(settling.next(), Some(start + Duration::from_millis(400)));
        let settled = settling.settled(start + Duration::from_millis(400), |_| Some(stat(2)));
        assert_eq!(
            settled,
            [Settled {
                path: "x".into(),
                at_start: true
            }]
        );
        let later = start + Duration::from_secs(30);
        settling.scanned(&found(2), false, later);
        assert_eq!(settling.next(), None, "nothing changed");
        assert_eq!(settling.scanned(&BTreeMap::new(), false, later), [PathBuf::from("x")]);
        assert!(settling.scanned(&BTreeMap::new(), false, later).is_empty(), "told once");
    }

    /// What may happen to one file.
    #[derive(Clone, Debug)]
    enum Step {
        Write,
        Close,
        RenameOver,
        Touch,
        Remove,
        Scan,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Write),
            Just(Step::Close),
            Just(Step::RenameOver),
            Just(Step::Touch),
            Just(Step::Remove),
            Just(Step::Scan),
            (1_u64..500).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn any_order_of_events_ends_with_the_last_content_reported_once(steps in steps()) {
            let (mut settling, mut now) = (Settling::new(SETTLE), Instant::now());
            let path = Path::new("x");
            let mut file: Option<u64> = None;
            let mut next_version = 1;
            let mut quiet_since = now;
            let mut reports: Vec<u64> = Vec::new();
            let finish = [Step::Wait(11_000), Step::Scan, Step::Wait(11_000)];
            for step in steps.iter().chain(&finish) {
                let mut changed = |file: &mut Option<u64>| { *file = Some(next_version); next_version += 1; };
                match step {
                    Step::Write => {
                        let heard = if file.is_some() { Heard::Modified } else { Heard::Created };
                        changed(&mut file);
                        settling.heard(path, heard, now);
                    }
                    Step::RenameOver => { changed(&mut file); settling.heard(path, Heard::RenamedIn, now); }
                    Step::Touch if file.is_some() => { changed(&mut file); settling.heard(path, Heard::Touched, now); }
                    Step::Close if file.is_some() => settling.heard(path, Heard::Closed, now),
                    Step::Touch | Step::Close => {}
                    Step::Remove => { file = None; settling.removed(path); }
                    Step::Scan => {
                        let found = file.map(|version| (path.to_owned(), stat(version))).into_iter().collect();
                        settling.scanned(&found, false, now);
                    }
                    Step::Wait(ms) => {
                        for _ in 0..*ms {
                            now += Duration::from_millis(1);
                            for _ in settling.settled(now, |_| file.map(stat)) {
                                let version = file.expect("only what is there is reported");
                                prop_assert!(now - quiet_since >= SETTLE);
                                prop_assert!(reports.last() != Some(&version), "reported twice");
                                reports.push(version);
                            }
                        }
                    }
                }
                // A scan and a removal say nothing of a writer.
                if !matches!(step, Step::Wait(_) | Step::Scan | Step::Remove) && file.is_some() {
                    quiet_since = now;
                }
            }
            prop_assert!(file.is_none() || reports.last() == file.as_ref());
            prop_assert_eq!(settling.next(), None);
        }
    }
}
