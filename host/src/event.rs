//! What happened, in order, for people and programs: the last events are kept in memory, new ones go to every subscriber.
//!
//! Invariants: sequence numbers rise by one; publishing never blocks and never fails, whoever listens.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::broadcast;

/// How many events are kept for those who ask later. One of a switch is a kilobyte or two: this many are of no account beside the
/// host itself.
const KEPT: usize = 1024;
/// How many a subscriber may be behind before it has to look at those that are kept.
const LIVE: usize = 256;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The host takes calls.
    Ready,
    /// The host no longer takes calls.
    Stopping,
    /// A file was read, hashed and compiled.
    Taken,
    /// A file was refused; the message says why.
    Refused,
    /// A taken file changes nothing (same bytes as what runs, or a lower version).
    Ignored,
    /// A taken file fits only together with another and waits for it (R35).
    Pending,
    /// A pending file was cancelled, replaced or expired.
    PendingEnded,
    /// A file was deleted from the watched directory: nothing stops by itself.
    FileDeleted,
    /// The watched directory is gone; the host keeps serving.
    WatchLost,
    /// The watched directory is back.
    WatchBack,
    /// An upgrade began.
    UpgradeBegun,
    /// Stateful modules that move no longer start calls.
    Gated,
    /// New calls see the new revision.
    Switched,
    /// The upgrade did not happen; nothing changed.
    CalledOff,
    /// An old version was freed.
    Retired,
    /// Outside calls on an old version were interrupted at `drain_timeout`.
    ForcedRetire,
    /// An instance trapped.
    Trapped,
    /// A trapped or restarted module got its saved state back.
    Restored,
    /// A module's state is lost or cannot be read.
    StateLost,
    /// A periodic save was skipped or failed.
    SaveSkipped,
    /// A key of a keyed module could not be handed over.
    KeyNotMigrated,
    /// All keys of a keyed module have been handed over.
    SweepDone,
    /// The state of a module was reset, imported or given back by hand.
    StateChanged,
    /// A `call` step of an upgrade was carried out or undone (R32).
    StepDone,
    /// An upgrade is on probation, or its probation has ended.
    Probation,
    /// A release is what the host boots from now on.
    Permanent,
    /// The host went back to the release before by itself.
    WentBack,
    /// Drops and applies wait from now on, or no longer; or a drop waits for that, or for the end of a probation.
    Held,
    /// A module was removed.
    Removed,
    /// A guest was denied something outside that the release does not grant it (R8). Told once for each target.
    Denied,
    /// A call by the clock failed (R18).
    ScheduleFailed,
    /// What a module does after a switch or a start, `live`, failed.
    LiveFailed,
    /// Compiled code that was kept is not used, or new code cannot be kept. Nothing but time is lost: it is compiled anew.
    CacheFault,
    /// Something that needs a person.
    Alarm,
}

impl EventKind {
    /// How much a person should care: an error needs one, a warning may.
    #[must_use]
    pub(crate) fn level(self) -> tracing::Level {
        match self {
            EventKind::Alarm | EventKind::StateLost => tracing::Level::ERROR,
            EventKind::Refused
            | EventKind::CalledOff
            | EventKind::Trapped
            | EventKind::ForcedRetire
            | EventKind::Denied
            | EventKind::ScheduleFailed
            | EventKind::LiveFailed
            | EventKind::CacheFault => tracing::Level::WARN,
            _ => tracing::Level::INFO,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one from 1, since this host started.
    pub sequence: u64,
    /// Milliseconds since 1970 (a label: nothing is decided by it).
    pub time_ms: u64,
    /// What kind of thing.
    pub kind: EventKind,
    /// The module, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module: Option<String>,
    /// The version, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The revision, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// One sentence.
    pub message: String,
    /// Figures and names for programs.
    #[serde(skip_serializing_if = "serde_json::Value::is_null", default)]
    pub details: serde_json::Value,
}

/// An event before it has a number and a time.
#[derive(Debug)]
pub struct Happening {
    kind: EventKind,
    module: Option<String>,
    version: Option<String>,
    revision: Option<u64>,
    message: String,
    details: serde_json::Value,
}

impl Happening {
    /// Something of this kind, in one sentence.
    pub fn new(kind: EventKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            module: None,
            version: None,
            revision: None,
            message: message.into(),
            details: serde_json::Value::Null,
        }
    }

    /// It concerns this module.
    #[must_use]
    pub fn module(mut self, module: &impl std::fmt::Display) -> Self {
        self.module = Some(module.to_string());
        self
    }

    /// It concerns this version of a module.
    #[must_use]
    pub fn version(mut self, id: &wasmhot_appup::ModuleVersion) -> Self {
        self.module = Some(id.name.to_string());
        self.version = Some(id.version.to_string());
        self
    }

    /// It concerns this revision.
    #[must_use]
    pub fn revision(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Figures and names for programs.
    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = details;
        self
    }
}

/// The host's events: kept ones and subscribers.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<Kept>,
    live: broadcast::Sender<Event>,
}

/// The last events, as JSON: [`Event`]s take several times the memory, since their details are trees.
#[derive(Debug, Default)]
struct Kept {
    /// Of the newest event.
    sequence: u64,
    texts: VecDeque<Box<[u8]>>,
}

impl Kept {
    fn keep(&mut self, event: &Event) {
        if self.texts.len() == KEPT {
            self.texts.pop_front();
        }
        // Names and text always have a form in JSON; an empty text would be an event that is left out below.
        let text = serde_json::to_vec(event).unwrap_or_default();
        self.texts.push_back(text.into_boxed_slice());
    }

    fn after(&self, sequence: u64) -> Vec<Event> {
        // They are numbered without a gap up to the newest.
        let newer = usize::try_from(self.sequence.saturating_sub(sequence)).unwrap_or(usize::MAX);
        let passed = self.texts.len().saturating_sub(newer);
        let texts = self.texts.iter().skip(passed);
        texts.filter_map(|text| serde_json::from_slice(text).ok()).collect()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            live: broadcast::channel(LIVE).0,
        }
    }
}

impl Events {
    /// Numbers it, keeps it, tells the subscribers and the log.
    pub fn publish(&self, happening: Happening) {
        let Happening {
            kind,
            module,
            version,
            revision,
            message,
            details,
        } = happening;
        let mut kept = self.kept.lock().expect("no panic under this lock");
        kept.sequence += 1;
        let event = Event {
            sequence: kept.sequence,
            time_ms: now_ms(),
            kind,
            module,
            version,
            revision,
            message,
            details,
        };
        match kind.level() {
            tracing::Level::ERROR => {
                tracing::error!(kind = ?kind, module = event.module, version = event.version, "{}", event.message);
            }
            tracing::Level::WARN => {
                tracing::warn!(kind = ?kind, module = event.module, version = event.version, "{}", event.message);
            }
            _ => tracing::info!(kind = ?kind, module = event.module, version = event.version, "{}", event.message),
        }
        kept.keep(&event);
        // Sent under the lock so that subscribers see the order of the numbers; nobody listening is no fault.
        let _ = self.live.send(event);
    }

    /// Kept events after `sequence`, and a receiver of all later ones: together without gap or repeat.
    pub fn since(&self, sequence: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock().expect("no panic under this lock");
        (kept.after(sequence), self.live.subscribe())
    }
}

/// Milliseconds since 1970, for labels.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
