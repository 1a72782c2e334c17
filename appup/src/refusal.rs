//! Why an upgrade is refused, and what is worth a warning: one complete sentence each, a stable code, a remedy.

use crate::name::ModuleName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of thing is refused. Stable: scripts compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// An import that no module exports (R7).
    MissingProvider,
    /// An import that several modules export, without a link (R7).
    AmbiguousProvider,
    /// A link that cannot be followed (R7).
    BadLink,
    /// Caller and callee differ in the type of a function (R7).
    TypeMismatch,
    /// A resource or stream in a signature between modules (R7).
    ResourceCrosses,
    /// An import circle with a `single` module in it (R15).
    ImportCycle,
    /// A kind that the module cannot have (R9).
    KindMismatch,
    /// A route that the module cannot have.
    BadRoute,
    /// Two modules that are to answer the same HTTP requests.
    RouteConflict,
    /// State would be lost without having been asked for (R30).
    Lossy,
    /// `state_from` is needed and absent, or names what has no state (R30, R31).
    StateFrom,
    /// A module changes and no instruction says how.
    MissingInstruction,
    /// An instruction that does not fit what runs or what will run.
    BadInstruction,
    /// A state that the new version cannot read (R4).
    StateUnreadable,
    /// Something wanted of the host that the release does not grant (R8).
    NotGranted,
    /// An appup that has no entry for the versions between which a module goes, nor has any chain of them.
    NoAppupEntry,
    /// An appup that is not of the module or version that it comes with.
    BadAppup,
    /// A release or a version that is not known well enough to plan with.
    IncompleteInput,
}

/// One reason why an upgrade is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of reason.
    pub code: RefusalCode,
    /// One complete sentence.
    pub message: String,
    /// The modules concerned, the one that has to change first.
    pub modules: Vec<ModuleName>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What kind of thing is warned of. Stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// A stateful module calls a function that cannot report failure (R13).
    FailureTraps,
    /// A link that no import needs.
    UnusedLink,
    /// A module that keeps state, run as a pool.
    StateNotKept,
    /// The way back will lose state (R30).
    LossyWayBack,
    /// A module whose state moves also writes to what is not its state (R32).
    WritesOutside,
    /// Calls that began in an older release are waited for (R7, R22).
    OpenCalls,
}

/// Something that is allowed and may surprise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// What kind of thing.
    pub code: WarningCode,
    /// One complete sentence.
    pub message: String,
    /// The modules concerned.
    pub modules: Vec<ModuleName>,
}

impl Refusal {
    pub(crate) fn new(
        code: RefusalCode,
        modules: &[&ModuleName],
        message: String,
        remedy: impl Into<Option<String>>,
    ) -> Self {
        let modules = modules.iter().copied().cloned().collect();
        Self {
            code,
            message,
            modules,
            remedy: remedy.into(),
        }
    }
}

impl Warning {
    pub(crate) fn new(code: WarningCode, modules: &[&ModuleName], message: String) -> Self {
        let modules = modules.iter().copied().cloned().collect();
        Self { code, message, modules }
    }
}

impl RefusalCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalCode::MissingProvider => "missing-provider",
            RefusalCode::AmbiguousProvider => "ambiguous-provider",
            RefusalCode::BadLink => "bad-link",
            RefusalCode::TypeMismatch => "type-mismatch",
            RefusalCode::ResourceCrosses => "resource-crosses",
            RefusalCode::ImportCycle => "import-cycle",
            RefusalCode::KindMismatch => "kind-mismatch",
            RefusalCode::BadRoute => "bad-route",
            RefusalCode::RouteConflict => "route-conflict",
            RefusalCode::Lossy => "lossy",
            RefusalCode::StateFrom => "state-from",
            RefusalCode::MissingInstruction => "missing-instruction",
            RefusalCode::BadInstruction => "bad-instruction",
            RefusalCode::StateUnreadable => "state-unreadable",
            RefusalCode::NotGranted => "not-granted",
            RefusalCode::NoAppupEntry => "no-appup-entry",
            RefusalCode::BadAppup => "bad-appup",
            RefusalCode::IncompleteInput => "incomplete-input",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(out, "{}\n  help: {remedy}", self.message),
            None => out.write_str(&self.message),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_shown() {
        let codes = [
            RefusalCode::MissingProvider,
            RefusalCode::AmbiguousProvider,
            RefusalCode::BadLink,
            RefusalCode::TypeMismatch,
            RefusalCode::ResourceCrosses,
            RefusalCode::ImportCycle,
            RefusalCode::KindMismatch,
            RefusalCode::BadRoute,
            RefusalCode::RouteConflict,
            RefusalCode::Lossy,
            RefusalCode::StateFrom,
            RefusalCode::MissingInstruction,
            RefusalCode::BadInstruction,
            RefusalCode::StateUnreadable,
            RefusalCode::NotGranted,
            RefusalCode::NoAppupEntry,
            RefusalCode::BadAppup,
            RefusalCode::IncompleteInput,
        ];
        for code in codes {
            assert_eq!(serde_json::to_string(&code).expect("serialises"), format!("\"{code}\""));
        }
    }
}
