//! What did not succeed, and the exit code that says so. The sentence is that of whoever makes the [`Failure`]; the command line only draws
//! it (`cli/output.rs`).

use crate::error::{CallError, CallErrorCode, Executed};
use serde::{Deserialize, Serialize};
use wasmhot_appup::Refusal;

/// The phases of an upgrade, in their order: a file is read, checked, started beside the old version, tried on a copy of the state; `call`
/// steps; a large state is sent ahead; the gate is closed until calls have ended, the state is saved, taken, and written down.
pub const PHASES: [&str; 12] = [
    "take", "check", "prepare", "rehearse", "steps", "transfer", "quiesce", "gate", "save", "migrate", "health",
    "commit",
];

/// Exit codes of the CLI, also in `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed before any gate closed: nothing waited. Also a call that failed, but for those of `Refused` and `TimedOut`.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The host does not run.
    NotRunning = 3,
    /// Refused by validation: nothing was attempted. Also a call of a module or function that is not there, or with a wrong argument.
    Refused = 4,
    /// Busy or locked.
    Busy = 5,
    /// Timed out waiting; it goes on. Also a call that has started and may still be executed.
    TimedOut = 6,
    /// Called off after a gate had closed, or while a state was sent ahead of it.
    CalledOff = 7,
    /// Done, but degraded.
    Degraded = 8,
    /// A fault of wasmhot.
    Bug = 70,
    /// Ended by SIGINT before its end.
    Interrupted = 130,
    /// Ended by SIGTERM before its end.
    Terminated = 143,
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> u8 {
        exit as u8
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        const ALL: [Exit; 12] = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotRunning,
            Exit::Refused,
            Exit::Busy,
            Exit::TimedOut,
            Exit::CalledOff,
            Exit::Degraded,
            Exit::Bug,
            Exit::Interrupted,
            Exit::Terminated,
        ];
        ALL.into_iter()
            .find(|exit| *exit as u8 == code)
            .ok_or_else(|| format!("{code} is no exit code of wasmhot"))
    }
}

/// Anything that did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// One sentence or more; complete.
    pub message: String,
    /// The exit code that goes with it.
    pub exit: Exit,
    /// The phase in which an upgrade ended, one of [`PHASES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The module in which it ended, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The failed call, if a call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallError>,
    /// What validation refuses, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// The content of a file is at fault: the same bytes will fail again (R36).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_at_fault: bool,
    /// The id of an attempt that goes on in the host: the same request with this id waits for its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Failure {
    /// A failure with this code, exit code and message.
    pub fn new(code: impl Into<String>, exit: Exit, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            exit,
            phase: None,
            module: None,
            call: None,
            refusals: Vec::new(),
            content_at_fault: false,
            id: None,
        }
    }

    /// In this phase of an upgrade.
    #[must_use]
    pub fn in_phase(mut self, phase: &str) -> Self {
        debug_assert!(PHASES.contains(&phase), "{phase}");
        self.phase = Some(phase.to_string());
        self
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = match (error.code, error.executed) {
            (CallErrorCode::NoSuchModule | CallErrorCode::NoSuchFunction | CallErrorCode::WrongArgument, _) => {
                Exit::Refused
            }
            (CallErrorCode::TimedOut, Executed::Unknown) => Exit::TimedOut,
            (CallErrorCode::Internal, _) => Exit::Bug,
            _ => Exit::Failed,
        };
        let failure = Self::new(error.code.to_string(), exit, error.to_string());
        Self {
            module: error.module.clone(),
            call: Some(error),
            ..failure
        }
    }
}
