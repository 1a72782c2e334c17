//! What can become of a call: a stable code, whether it was executed (R12), and enough words to act upon.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a failed call was executed. `NotExecuted` may be retried freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executed {
    /// The call never started in any instance.
    NotExecuted,
    /// The call started; it may have been executed wholly, in part, or may still be running.
    Unknown,
}

/// Stable codes of failed calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallErrorCode {
    /// No module of this name in the release.
    NoSuchModule,
    /// The module exports no such function; the message lists those there are.
    NoSuchFunction,
    /// An argument does not fit its type, or their number is wrong.
    WrongArgument,
    /// The queue is full.
    Overloaded,
    /// The version that would have run the call no longer has the function with this type (R25).
    InterfaceChanged,
    /// The caller's deadline passed.
    TimedOut,
    /// The guest trapped; the backtrace says where.
    Trapped,
    /// An outside call on an old stateless instance, interrupted at `drain_timeout` (R23).
    Retired,
    /// The call would have closed a circle of calls that wait for each other (R15).
    Deadlock,
    /// The state of the instance was lost and is not to be replaced by itself (R14).
    StateLost,
    /// The saved state cannot be read: the module takes no calls (R29).
    StateUnreadable,
    /// This key could not be handed over to the new version (R33).
    KeyNotMigrated,
    /// The keyed module makes keys only on request, or has as many as it may.
    NoSuchKey,
    /// Outside effects are refused at this point: in `save`, `migrate` and `health` (R3).
    EffectRefused,
    /// No further instance can be made.
    NoCapacity,
    /// The release does not let this function be called from the network.
    NotGranted,
    /// The HTTP handler gave no response that can be passed on.
    BadResponse,
    /// The host is stopping, or the module was removed.
    Stopping,
    /// Interrupted after `stuck_timeout` (R11).
    Stuck,
    /// It was executed, but what it changed is not on the disk (`durability = "call"`).
    NotDurable,
    /// A fault of wasmhot itself.
    Internal,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct CallError {
    /// Stable code.
    pub code: CallErrorCode,
    /// Whether it was executed.
    pub executed: Executed,
    /// One sentence.
    pub message: String,
    /// The module, where one is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module: Option<String>,
    /// The version that ran or would have run the call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The Wasm backtrace of a trap.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backtrace: Option<String>,
}

impl CallError {
    /// A call that never started.
    pub fn not_executed(code: CallErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            executed: Executed::NotExecuted,
            message: message.into(),
            module: None,
            version: None,
            backtrace: None,
        }
    }

    /// A call that started.
    pub fn unknown(code: CallErrorCode, message: impl Into<String>) -> Self {
        Self {
            executed: Executed::Unknown,
            ..Self::not_executed(code, message)
        }
    }

    /// Adds the module.
    #[must_use]
    pub fn in_module(mut self, module: &impl fmt::Display) -> Self {
        self.module = Some(module.to_string());
        self
    }

    /// Adds module and version.
    #[must_use]
    pub fn in_version(mut self, id: &wasmhot_appup::ModuleVersion) -> Self {
        self.module = Some(id.name.to_string());
        self.version = Some(id.version.to_string());
        self
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Executed::NotExecuted => "not executed",
            Executed::Unknown => "may have been executed",
        })
    }
}

impl fmt::Display for CallErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = serde_json::to_value(self).ok();
        out.write_str(word.as_ref().and_then(|word| word.as_str()).unwrap_or("internal"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.module, &self.version) {
            (Some(module), Some(version)) => write!(out, "{module}@{version}: ")?,
            (Some(module), None) => write!(out, "{module}: ")?,
            (None, _) => {}
        }
        write!(out, "{} ({}, {})", self.message, self.code, self.executed)?;
        match &self.backtrace {
            Some(backtrace) => write!(out, "\n{backtrace}"),
            None => Ok(()),
        }
    }
}
