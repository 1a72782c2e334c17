#![doc = include_str!("../protocol.md")]

mod failure;
mod releases;

pub use failure::{Exit, Failure, PHASES};
pub use releases::{
    BackupReport, BackupRequest, DiffReport, ForgetReleaseRequest, ForgetRequest, GcReport, GcRequest, Held,
    HistoryEntry, HistoryMove, HistoryStep, HoldRequest, InstallRequest, InstalledRelease, ModuleDiff, PermanentReport,
    ReleaseStatus, RunningCall, RunningModule, RunningRelease, WhyReport,
};

use crate::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use wasmhot_appup::{Capability, LimitsSpec};

/// Version of the protocol: the first part of every path.
pub const PROTOCOL: &str = "v1";

/// A call from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// The module.
    pub module: String,
    /// The whole call in WAVE: `place("tea", 2)` or `orders.place("tea", 2)`. Either this, or `function` and `args`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The function: `place`, `orders.place`, `demo:shop/orders@1.0.0.place`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Its arguments as JSON, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<serde_json::Value>>,
    /// How long to wait; absent: the module's `call_deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallReply {
    /// The result in WAVE; absent where the function has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// The result as JSON.
    #[serde(default)]
    pub value: serde_json::Value,
}

/// From where an upgrade takes the state (R27).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSource {
    /// From the running instance.
    #[default]
    Live,
    /// The newest saved state; what was written since is lost.
    LastSaved,
    /// None: the new version starts empty.
    Empty,
    /// An exported state, by path.
    File(PathBuf),
}

/// Apply a relup or one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Absolute path of a `relup.toml` or a `.wasm`, read by the host.
    pub path: PathBuf,
    /// The text of a relup: it is not read, and `path` only says where it would lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relup: Option<String>,
    /// Check and rehearse only.
    #[serde(default)]
    pub dry_run: bool,
    /// From where the state comes.
    #[serde(default)]
    pub state: StateSource,
    /// State may be lost (R30).
    #[serde(default)]
    pub allow_lossy: bool,
    /// Capabilities that the module of a `.wasm` does without, from now on: a version that newly imports one is not refused then (R8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Capability>,
    /// Limits and timeouts of this upgrade, over those of the release.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// For so many milliseconds the new release is not permanent: the host boots the one before, and takes the new one back by itself
    /// when too many calls fail (R39). Absent: it is permanent at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probation_ms: Option<u64>,
    /// How many more of a hundred calls may fail in probation than did in the five minutes before; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<f64>,
    /// Who asks, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Names the caller's attempt: the same id again waits for the first's result instead of beginning a second upgrade. A result
    /// that is `busy` is not remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long the caller waits. Then the answer is a failure with exit code 6 and the id of the attempt, which goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Go one revision back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// To this revision, in one switch; absent: to the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Who asks, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// State may be lost.
    #[serde(default)]
    pub allow_lossy: bool,
    /// From where the state comes.
    #[serde(default)]
    pub state: StateSource,
}

/// Take a module out of the release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// The module.
    pub module: String,
    /// Its saved state goes too.
    #[serde(default)]
    pub purge: bool,
    /// Who asks, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What happened to one module in an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleReport {
    /// The module.
    pub module: String,
    /// `add`, `load`, `update`, `restart` or `delete`.
    pub action: String,
    /// Version before, if there was one.
    pub from: Option<String>,
    /// Version after, if there is one.
    pub to: Option<String>,
    /// Bytes of state handed over.
    pub state_bytes: Option<u64>,
    /// How many of them were sent ahead, while the old version served (`incremental`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_bytes: Option<u64>,
    /// How long that took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_us: Option<u64>,
    /// Time that `save` took, in microseconds; or `rest`, where the state was sent ahead.
    pub save_us: Option<u64>,
    /// Time that `migrate` took, in microseconds; or `finish`, where the state was sent ahead.
    pub migrate_us: Option<u64>,
    /// What the rehearsal came to, or why there was none.
    pub rehearsal: Option<String>,
}

/// A finished upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpgradeReport {
    /// The revision that it made; absent for a dry run.
    pub revision: Option<u64>,
    /// The release, as `name version`.
    pub release: String,
    /// What asked for it: `drop`, `apply`, `undo`, `remove`, `start`.
    pub origin: String,
    /// Module by module.
    pub modules: Vec<ModuleReport>,
    /// How long the gates were closed, in microseconds; 0 if none was.
    pub gate_us: u64,
    /// Calls that waited at a gate.
    pub waited: u64,
    /// Calls that still ran on an old version when the gates closed or, without a gate, at the switch.
    pub on_old: u64,
    /// What may surprise.
    pub warnings: Vec<String>,
    /// States that this upgrade lost, each in a sentence.
    pub lossy: Vec<String>,
    /// The pause that the rehearsal predicted, in microseconds: `save`, `migrate` and `health`, without the wait for calls to end.
    #[serde(default)]
    pub predicted_us: Option<u64>,
    /// What is missing although it has switched: a `call` step that failed.
    #[serde(default)]
    pub degraded: Option<String>,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of wasmhot.
    pub wasmhot: String,
    /// Process id of the host.
    pub pid: u32,
    /// Name and version of the release.
    pub release: String,
    /// Number of the last switch.
    pub revision: u64,
    /// Milliseconds since the host started.
    pub uptime_ms: u64,
    /// The watched directory, if one is watched.
    pub directory: Option<PathBuf>,
    /// The state directory; absent: states are kept in memory only.
    pub state: Option<PathBuf>,
    /// What changes at the moment, if something does.
    pub busy: Option<String>,
    /// The probation that runs, if one does: what is on it, and for how long.
    #[serde(default)]
    pub probation: Option<String>,
    /// Why drops and applies wait, if somebody holds them.
    #[serde(default)]
    pub held: Option<String>,
    /// Where HTTP is served, and who answers what; absent without `--listen`.
    #[serde(default)]
    pub http: Option<HttpStatus>,
    /// The modules.
    pub modules: Vec<ModuleStatus>,
    /// Drops that wait for another (R35).
    pub pending: Vec<PendingStatus>,
    /// The last upgrade that did not happen.
    pub last_called_off: Option<String>,
    /// Calls answered since the start.
    pub calls: u64,
    /// From where the machine code of versions came, since the start.
    #[serde(default)]
    pub code: CodeStatus,
}

/// From where machine code came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeStatus {
    /// Versions that were compiled.
    pub compiled: u64,
    /// Versions that had been compiled before, and were read from the state directory.
    pub from_cache: u64,
}

/// What is served over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpStatus {
    /// Address and port.
    pub address: String,
    /// Connections taken since the start.
    #[serde(default)]
    pub connections: u64,
    /// The routes, most special first.
    pub routes: Vec<RouteStatus>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Such as `/page/` or `example.org/rooms/{key}/`.
    pub route: String,
    /// Who answers.
    pub module: String,
}

/// A module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Its name.
    pub module: String,
    /// Its version.
    pub version: String,
    /// sha256 of its bytes.
    pub digest: String,
    /// `pool`, `single` or `keyed`.
    pub kind: String,
    /// `running`, `failed (state unreadable)`, `failed (state lost)`, …
    pub condition: String,
    /// The revision that brought this version.
    pub since_revision: u64,
    /// Calls that run now.
    pub running: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// Instances alive.
    pub instances: u64,
    /// Bytes of linear memory of the idle instances.
    pub memory_bytes: u64,
    /// Of a keyed module: keys known.
    pub keys: Option<u64>,
    /// Of a keyed module: keys that could not be handed over.
    pub failed_keys: Option<u64>,
    /// Calls answered since the last save.
    pub unsaved_calls: Option<u64>,
    /// Milliseconds since the last save.
    pub saved_ms_ago: Option<u64>,
    /// What became of the state when the instance trapped last: how old the restored one was, and how many calls were lost (R14).
    /// Absent again after the next upgrade.
    #[serde(default)]
    pub restored: Option<String>,
    /// Why a periodic save was skipped or failed, if the last one was or did.
    pub save_skipped: Option<String>,
    /// The calls that the host makes by the clock (R18).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleStatus>,
}

/// A call by the clock, and what became of it since the host started or the release brought it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleStatus {
    /// The call.
    pub call: String,
    /// Milliseconds from one to the next.
    pub every_ms: u64,
    /// Milliseconds until the next; absent while one runs or waits.
    pub next_ms: Option<u64>,
    /// Calls that have ended.
    pub calls: u64,
    /// Calls that failed, or gave `err`.
    pub failures: u64,
    /// Times that passed while an earlier call was under way: one call behind it made up for all of them.
    pub merged: u64,
    /// Milliseconds since the last call began.
    pub last_ms_ago: Option<u64>,
    /// How long the last call took, in microseconds, waiting included.
    pub last_took_us: Option<u64>,
    /// What the last call gave, in WAVE, if it succeeded.
    pub last_result: Option<String>,
    /// Why the last call failed, if it did.
    pub last_error: Option<String>,
}

/// A drop that waits for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// The module.
    pub module: String,
    /// The version that waits.
    pub version: String,
    /// Its file.
    pub path: PathBuf,
    /// What does not fit.
    pub reasons: Vec<String>,
    /// Milliseconds until it expires.
    pub expires_ms: u64,
}

/// A version that this host knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// The module.
    pub module: String,
    /// The version.
    pub version: String,
    /// sha256 of its bytes.
    pub digest: String,
    /// `current`, `draining`, `old` or `barred`.
    pub status: String,
    /// Calls that still run in it, where it drains.
    pub running: u64,
    /// Why its bytes are refused as a drop.
    pub barred: Option<String>,
}

/// A saved state, for a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateShown {
    /// The module.
    pub module: String,
    /// The key, in a keyed module.
    pub key: Option<String>,
    /// The version that wrote it, as `name@version`; absent where there is no state.
    pub version: Option<String>,
    /// The digest of that version.
    pub digest: Option<String>,
    /// The revision in which it was written.
    pub revision: Option<u64>,
    /// Milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Media type.
    pub format: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// `live`, or why it was saved.
    pub reason: Option<String>,
    /// The content, where the format is CBOR or JSON and it is small enough.
    pub content: Option<serde_json::Value>,
    /// Of a keyed module, without a key: its keys (the first thousand).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What `stop` came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StopReport {
    /// Modules (or keys) whose state was saved.
    pub saved: u64,
    /// States that could not be saved: name and reason.
    pub not_saved: BTreeMap<String, String>,
    /// Calls that were still running when `drain_timeout` passed.
    pub interrupted: u64,
}

/// A line of the event stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventLine {
    /// Something happened.
    Event(Event),
    /// Events that were asked for are no longer kept, or came faster than the client read: they are left out here.
    Missed {
        /// How many.
        missed: u64,
    },
}

/// The word that a value of an enum is in JSON.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_string()
}
