//! Releases and their history, as they are told.

use super::UpgradeReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use wasmhot_appup::interface::ModuleInterface;
use wasmhot_appup::{
    Digest, Kind, LimitsSpec, ModuleSpec, ModuleVersion, Open, Saved, StateDescription, Version, Wiring,
};

/// What runs is permanent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermanentReport {
    /// The revision that the host boots from now on.
    pub revision: u64,
    /// It was that before.
    pub already: bool,
    /// What is missing all the same: a `call` step that failed.
    pub degraded: Option<String>,
}

/// The release that runs, as a value: all that a plan is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningRelease {
    /// Its revision.
    pub revision: u64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Limits of every module that does not state its own.
    pub limits: LimitsSpec,
    /// Its modules.
    pub modules: Vec<RunningModule>,
    /// Who serves what.
    pub wiring: Wiring,
    /// Older releases in which calls are still open, oldest first.
    pub open: Vec<Open>,
    /// Every version that the host has, of these modules and others.
    pub known: Vec<ModuleVersion>,
    /// The saved states of all modules, of those that are gone too.
    #[serde(default)]
    pub saved: Vec<Saved>,
    /// How those versions describe their states that could read, or pass on, what is saved.
    #[serde(default)]
    pub described: BTreeMap<Digest, StateDescription>,
}

/// A module of a [`RunningRelease`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningModule {
    /// Name, version and sha256.
    pub version: ModuleVersion,
    /// How it takes calls.
    pub kind: Kind,
    /// What the release says of it. Directories are those of the host.
    pub spec: ModuleSpec,
    /// What it exports and imports.
    pub interface: ModuleInterface,
    /// How it describes its state, if it does.
    pub state: Option<StateDescription>,
    /// The appup that it carries, as text.
    pub appup: Option<String>,
}

/// A revision: a release as it was switched to. Or one that is installed only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// Its number; a release that is only unpacked has none.
    pub revision: Option<u64>,
    /// Name of the release.
    pub release: String,
    /// Version of the release.
    pub version: String,
    /// `permanent`: what runs and what the host boots. `current`: what runs, on probation. `boots`: what the host boots while another
    /// is on probation. `old`: was there. `unpacked`: is installed in `folder`, and no revision that is kept is of it.
    pub status: String,
    /// When it was switched to, or installed, in milliseconds since 1970.
    pub time_ms: u64,
    /// What asked for it.
    pub origin: String,
    /// Its modules, as `name@version`.
    pub modules: Vec<String>,
    /// Where `undo` goes from it.
    pub undo_to: Option<u64>,
    /// Where it is installed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// A release is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallRequest {
    /// Absolute path of the folder with its release.toml, on the host's machine.
    pub path: PathBuf,
}

/// Forget that a release is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetReleaseRequest {
    /// `name@version`, or `name-version`.
    pub release: String,
}

/// A release that is installed, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledRelease {
    /// Its name.
    pub release: String,
    /// Its version.
    pub version: String,
    /// Where it lies. Forgetting it leaves the folder as it is.
    pub folder: PathBuf,
}

impl InstalledRelease {
    /// As it is named: `shop@1.2.0`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}@{}", self.release, self.version)
    }

    /// True for its name, also where that is written as a folder's: `shop-1.2.0`.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let version = name.strip_prefix(self.release.as_str());
        version.and_then(|rest| rest.strip_prefix(['@', '-'])) == Some(self.version.as_str())
    }
}

/// One attempt at an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its number.
    pub attempt: u64,
    /// When it began, in milliseconds since 1970.
    pub time_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Who asked, as he called himself.
    pub by: Option<String>,
    /// What asked for it: `drop`, `apply`, `undo`, `remove`, `start`, …
    pub origin: String,
    /// `switched`, `called-off`, `interrupted` (by the end of the host), `went-back`, or `running`.
    pub result: String,
    /// Why it did not happen or was taken back.
    pub why: Option<String>,
    /// The revision that it made.
    pub revision: Option<u64>,
    /// The release before, as `name version`.
    pub from_release: String,
    /// The release that it went to.
    pub to_release: String,
    /// What moved.
    pub modules: Vec<HistoryMove>,
    /// What was called (R32).
    pub steps: Vec<HistoryStep>,
    /// The figures, where they were written before the host ended.
    pub report: Option<UpgradeReport>,
}

/// A module in an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMove {
    /// The module.
    pub module: String,
    /// `add`, `load`, `update`, `restart` or `delete`.
    pub action: String,
    /// Version before.
    pub from: Option<String>,
    /// sha256 of its bytes.
    pub from_digest: Option<String>,
    /// Version after.
    pub to: Option<String>,
    /// sha256 of its bytes.
    pub to_digest: Option<String>,
    /// sha256 of the state that was handed over.
    pub state_digest: Option<String>,
}

/// A `call` step of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStep {
    /// `module.function(args)`.
    pub call: String,
    /// `before`, `after` or `permanent`.
    pub when: String,
    /// `waiting`, `begun`, `done`, `failed` or `undone`.
    pub state: String,
    /// Why it failed.
    pub why: Option<String>,
}

/// How two revisions differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReport {
    /// The one.
    pub from: u64,
    /// The other.
    pub to: u64,
    /// The release of the one, as `name version`.
    pub from_release: String,
    /// The release of the other.
    pub to_release: String,
    /// Modules that differ.
    pub modules: Vec<ModuleDiff>,
}

/// How a module differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleDiff {
    /// The module.
    pub module: String,
    /// `added`, `removed`, `changed` (other bytes) or `configured` (the same bytes).
    pub change: String,
    /// Version in the one.
    pub from: Option<String>,
    /// Version in the other.
    pub to: Option<String>,
    /// What else differs: digest, kind, limits, grants, links, values; each in a line.
    pub details: Vec<String>,
}

/// What keeps a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReport {
    /// `name@version`.
    pub version: String,
    /// sha256 of its bytes.
    pub digest: String,
    /// It has instances: it runs, or still ends its calls.
    pub alive: bool,
    /// What keeps it, each in a sentence.
    pub reasons: Vec<String>,
    /// The calls that keep it alive, where it is not what runs.
    pub calls: Vec<RunningCall>,
}

/// A call that runs in, or may still call, an old version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCall {
    /// For how long, in milliseconds; absent where it has not reached the version yet.
    pub age_ms: Option<u64>,
    /// `a call from outside`, or the modules through which it came.
    pub from: String,
}

/// Make drops and applies wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// Why, for those who wait.
    pub reason: String,
}

/// Whether drops and applies wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why they wait; absent: they do not.
    pub held: Option<String>,
}

/// Forget a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// Its number.
    pub revision: u64,
}

/// Copy all that the host keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// Absolute path of a folder that is not there yet, on the host's machine.
    pub path: PathBuf,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The folder.
    pub folder: PathBuf,
    /// The revision that runs.
    pub revision: u64,
    /// The release, as `name version`.
    pub release: String,
    /// Saved states.
    pub states: u64,
    /// Versions.
    pub objects: u64,
    /// Bytes of these versions.
    pub bytes: u64,
    /// Modules whose state could not be saved now, and why: an older one was copied.
    pub not_saved: BTreeMap<String, String>,
}

/// Forget what nobody will go back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcRequest {
    /// So many of the newest revisions stay; 10 if absent.
    #[serde(default)]
    pub keep: Option<u64>,
    /// What is younger stays, in milliseconds; 30 days if absent.
    #[serde(default)]
    pub older_than_ms: Option<u64>,
    /// Only say what would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// Revisions.
    pub revisions: Vec<u64>,
    /// Attempts of the history.
    pub attempts: u64,
    /// Installed releases whose folders are gone, or hold something else, as `name@version`.
    #[serde(default)]
    pub releases: Vec<String>,
    /// Versions whose bytes were deleted, as sha256.
    pub objects: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}
