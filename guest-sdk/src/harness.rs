//! The harness does natively what the host does: save, bytes, migrate, for every declared pair of versions, up and down.
//!
//! A version's own test writes what it saves into a directory shared by all versions, once; every later version must read it:
//!
//! ```ignore
//! #[test]
//! fn the_format_of_this_version_stays() {
//!     harness::write_fixture("../fixtures/counter", &a_state_with_everything_in_it());
//! }
//!
//! #[test]
//! fn older_states_are_read() {
//!     for (version, state) in harness::check_reads::<State>("../fixtures/counter") {
//!         assert_eq!(state.count, 42, "{version}");
//!     }
//! }
//!
//! #[test]
//! fn there_and_back() {
//!     harness::check_pair::<counter_1_0_0::State, State>(&a_state());
//! }
//! ```
//!
//! It is made for tests: what is wrong, it says by a panic that names versions and files.

use std::fs;
use std::path::{Path, PathBuf};

use semver::Version;

use crate::change::Side;
use crate::chunks::accepted::Accepted;
use crate::chunks::session::Session;
use crate::{Change, Direction, Stateful, ranges};

/// The ending of fixture files: `1.0.0.state`.
const ENDING: &str = "state";
/// The chunks of a hand-over are small, so that small states have many.
const CHUNK: u32 = 256;
/// How often a state may change while it is handed over.
const STEPS: usize = 10_000;

/// Writes `DIR/VERSION.state`, what this version saves; if the file is there already, it must say the same: a format that was
/// released does not change.
///
/// # Panics
/// If the state cannot be saved, or not written, or if the file says something else.
pub fn write_fixture<S: Stateful>(dir: impl AsRef<Path>, state: &S) -> PathBuf {
    let path = dir.as_ref().join(format!("{}.{ENDING}", S::VERSION));
    let bytes = save_twice(state, &itself::<S>());
    match fs::read(&path) {
        Ok(old) if old == bytes => {}
        Ok(_) => panic!(
            "{} {} no longer writes what {} holds: give it a new minor version and read the old format, \
             or delete the file if it was never released",
            S::NAME,
            S::VERSION,
            path.display()
        ),
        Err(_) => create(dir.as_ref(), &path, &bytes),
    }
    path
}

/// Reads every fixture in the directory that this version declares to read, asks for health, and saves it again twice; gives what was read.
///
/// # Panics
/// If a declared range has no fixture, if one cannot be read, or if two saves of one state differ.
#[must_use]
pub fn check_reads<S: Stateful>(dir: impl AsRef<Path>) -> Vec<(Version, S)> {
    check_reads_with(dir, |change| change)
}

/// [`check_reads`] with changes of one's own making: for conversions that need `extra`.
///
/// # Panics
/// As [`check_reads`].
#[must_use]
pub fn check_reads_with<S: Stateful>(dir: impl AsRef<Path>, change: impl Fn(Change) -> Change) -> Vec<(Version, S)> {
    let fixtures = fixtures(dir.as_ref());
    for reader in S::READS {
        let read = |(version, _): &(Version, PathBuf)| covered::<S>(reader.range, version);
        assert!(
            fixtures.iter().any(read),
            "no fixture in {} for `{}`",
            dir.as_ref().display(),
            reader.range
        );
    }
    let mut states = Vec::new();
    for (version, path) in fixtures.into_iter().filter(|(version, _)| declared::<S>(version)) {
        let state = read_fixture::<S>(&version, &path, &change);
        there_and_back_itself(&state);
        states.push((version, state));
    }
    states
}

/// Takes a state down to the older version and up again, and gives what came back.
///
/// # Panics
/// If one of the two refuses.
#[must_use]
pub fn check_pair<Old: Stateful, New: Stateful>(state: &New) -> New {
    check_pair_with::<Old, New>(state, |change| change)
}

/// [`check_pair`] with changes of one's own making: for conversions that need `extra`.
///
/// # Panics
/// As [`check_pair`].
#[must_use]
pub fn check_pair_with<Old: Stateful, New: Stateful>(state: &New, change: impl Fn(Change) -> Change) -> New {
    let down = change(between::<New, Old>());
    assert_eq!(
        down.direction,
        Direction::Downgrade,
        "{} is not older than {}",
        Old::VERSION,
        New::VERSION
    );
    let old = hand_over::<New, Old>(state, &down);
    hand_over::<Old, New>(&old, &change(between::<Old, New>()))
}

/// One hand-over: `save` of one version, `migrate` and `health` of the other.
///
/// # Panics
/// If one of the two refuses.
#[must_use]
pub fn hand_over<From: Stateful, To: Stateful>(state: &From, change: &Change) -> To {
    let bytes = save_twice(state, change);
    healthy(To::read(change, &bytes).unwrap_or_else(|error| panic!("{error}")))
}

/// One hand-over in chunks, as the host does it for a module with `incremental: true`. The state is changed by `between`, which is
/// told how often it was called, until everything has been given; what arrives must be what [`hand_over`] gives then.
///
/// # Panics
/// If one of the two refuses, or if something else arrives.
#[must_use]
pub fn hand_over_in_chunks<From: Stateful, To: Stateful>(
    state: &mut From,
    change: &Change,
    mut between: impl FnMut(&mut From, usize),
) -> To {
    let mut session = Session::begin(state, change)
        .unwrap_or_else(|error| panic!("{error}"))
        .0;
    let mut accepted = Accepted::default();
    for step in 0..STEPS {
        // Now and then the host asks only for what has changed.
        let bytes_max = if step % 5 == 4 { 0 } else { CHUNK };
        let chunk = session.next(state, bytes_max).unwrap_or_else(|error| panic!("{error}"));
        match chunk {
            Some(chunk) => accepted.accept(chunk).unwrap_or_else(|error| panic!("{error}")),
            None if bytes_max > 0 => break,
            None => {}
        }
        between(state, step);
    }
    let rest = session.rest(state).unwrap_or_else(|error| panic!("{error}"));
    let new: To = healthy(accepted.finish(change, rest).unwrap_or_else(|error| panic!("{error}")));
    let whole: To = hand_over(state, change);
    assert!(
        save_twice(&new, &itself::<To>()) == save_twice(&whole, &itself::<To>()),
        "{} {} becomes another state in chunks than in one piece",
        To::NAME,
        To::VERSION
    );
    new
}

/// The change from one version to another, as the host would tell it.
///
/// # Panics
/// If one of them has no valid version.
#[must_use]
pub fn between<From: Stateful, To: Stateful>() -> Change {
    Change::new(From::VERSION, To::VERSION).unwrap_or_else(|error| panic!("{error}"))
}

fn itself<S: Stateful>() -> Change {
    between::<S, S>()
}

/// The host may call `save` and go on with the instance: the second must give the same.
fn save_twice<S: Stateful>(state: &S, change: &Change) -> Vec<u8> {
    let save = || state.save(change).unwrap_or_else(|error| panic!("{error}"));
    let bytes = save();
    assert!(
        bytes == save(),
        "{} {} saves one state in two ways: use ordered maps",
        S::NAME,
        S::VERSION
    );
    bytes
}

/// What was saved reads back as a state that saves the same.
fn there_and_back_itself<S: Stateful>(state: &S) {
    let bytes = save_twice(state, &itself::<S>());
    let again: S = hand_over(state, &itself::<S>());
    assert!(
        save_twice(&again, &itself::<S>()) == bytes,
        "{} {} loses state on its way to itself",
        S::NAME,
        S::VERSION
    );
}

fn read_fixture<S: Stateful>(version: &Version, path: &Path, change: impl Fn(Change) -> Change) -> S {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let told = Change::new(&version.to_string(), S::VERSION).unwrap_or_else(|error| panic!("{error}"));
    healthy(S::read(&change(told), &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn healthy<S: Stateful>(state: S) -> S {
    if let Err(error) = state.health() {
        panic!("{} {} is not healthy after `migrate`: {error}", S::NAME, S::VERSION);
    }
    state
}

fn covered<S: Stateful>(range: &str, version: &Version) -> bool {
    ranges::covers(
        range,
        S::NAME,
        &Side {
            module: None,
            version: version.clone(),
        },
    )
}

fn declared<S: Stateful>(version: &Version) -> bool {
    let own = ranges::same_format(
        S::NAME,
        S::VERSION,
        &Side {
            module: None,
            version: version.clone(),
        },
    );
    own || S::READS.iter().any(|reader| covered::<S>(reader.range, version))
}

/// The fixtures of a directory, oldest version first.
fn fixtures(dir: &Path) -> Vec<(Version, PathBuf)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut fixtures: Vec<_> = paths.filter_map(|path| Some((version_of(&path)?, path))).collect();
    fixtures.sort();
    fixtures
}

fn version_of(path: &Path) -> Option<Version> {
    let stem = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    Version::parse(stem).ok()
}

fn create(dir: &Path, path: &Path, bytes: &[u8]) {
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(path, bytes));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
