//! Why a file does not become a version. Each reason has a name that scripts can rely on, and says what to do about it.

use std::time::Duration;
use thiserror::Error;

/// A file was refused.
#[derive(Debug, Error)]
pub enum VersionError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Something else than WebAssembly.
    #[error("not WebAssembly: {what}")]
    NotWasm {
        /// What it looks like.
        what: &'static str,
    },
    /// WebAssembly text.
    #[error("WebAssembly text, not a binary; translate it with `wasm-tools parse x.wat -o x.wasm`")]
    Text,
    /// Compiled ahead of time by Wasmtime: native code that nobody has checked, so it is never loaded.
    #[error("already compiled to native code (.cwasm), which cannot be checked; give the .wasm it was made from")]
    Precompiled,
    /// Starts as WebAssembly and ends early.
    #[error("the file ends too early ({why}); write it under another name and rename it when it is complete")]
    Truncated {
        /// Where.
        why: String,
    },
    /// Not valid WebAssembly.
    #[error("not valid: {why}")]
    Invalid {
        /// What the validator says.
        why: String,
    },
    /// Valid, but made of something that this host does not run.
    #[error("it uses {what}, which this wasmhot does not run; build the module without")]
    UnsupportedFeature {
        /// Which parts of WebAssembly.
        what: String,
    },
    /// Wants something of the host that the host does not have.
    #[error("imports `{import}`: {why}")]
    UnknownImport {
        /// The import, in full.
        import: String,
        /// Why not, and what to do.
        why: String,
    },
    /// Exports or imports something of `wasmhot:module` that this host does not know, or with other types (R1).
    #[error("`{item}`: {why}")]
    UnsupportedContract {
        /// The item, in full.
        item: String,
        /// What is wrong with it.
        why: String,
    },
    /// A plain core module lacks a part of the canonical ABI.
    #[error("the module {why}")]
    IncompleteAbi {
        /// What is missing, and for what.
        why: String,
    },
    /// Neither the metadata nor the file name gives a legal name and version.
    #[error("{why}")]
    BadName {
        /// What is wrong with which name.
        why: String,
    },
    /// Cranelift was not done in time. Not a fault of the content alone: a busy machine may be the cause.
    #[error("not compiled within {}; try again (`touch` it), or raise compile_timeout", humantime::format_duration(*.limit))]
    CompileTimeout {
        /// The limit.
        limit: Duration,
    },
    /// No thread for the compiler.
    #[error("no thread for the compiler: {0}")]
    NoThread(#[source] std::io::Error),
    /// The compiler's thread ended without a result.
    #[error("the compiler stopped without a result; this is a fault of wasmhot or Wasmtime")]
    CompilerStopped,
}

impl VersionError {
    /// A stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            VersionError::Empty => "empty",
            VersionError::NotWasm { .. } => "not-wasm",
            VersionError::Text => "text",
            VersionError::Precompiled => "precompiled",
            VersionError::Truncated { .. } => "truncated",
            VersionError::Invalid { .. } => "invalid",
            VersionError::UnsupportedFeature { .. } => "unsupported-feature",
            VersionError::UnknownImport { .. } => "unknown-import",
            VersionError::UnsupportedContract { .. } => "unsupported-contract",
            VersionError::IncompleteAbi { .. } => "incomplete-abi",
            VersionError::BadName { .. } => "bad-name",
            VersionError::CompileTimeout { .. } => "compile-timeout",
            VersionError::NoThread(_) => "no-thread",
            VersionError::CompilerStopped => "compiler-stopped",
        }
    }

    /// True for a fault of the content, which bars its digest; false for one that may pass (R36). A bad name may come from the
    /// file's name, so the same bytes under another one are tried again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            VersionError::Empty
            | VersionError::NotWasm { .. }
            | VersionError::Text
            | VersionError::Precompiled
            | VersionError::Truncated { .. }
            | VersionError::Invalid { .. }
            | VersionError::UnsupportedFeature { .. }
            | VersionError::UnknownImport { .. }
            | VersionError::UnsupportedContract { .. }
            | VersionError::IncompleteAbi { .. } => true,
            VersionError::BadName { .. }
            | VersionError::CompileTimeout { .. }
            | VersionError::NoThread(_)
            | VersionError::CompilerStopped => false,
        }
    }

    /// True if it is the file that is refused, or its name; false where the machine was not up to it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_permanent() || matches!(self, VersionError::BadName { .. })
    }

    /// The validator's or the wrapper's words, as [`VersionError::Invalid`].
    pub(crate) fn invalid(why: impl std::fmt::Display) -> Self {
        VersionError::Invalid { why: why.to_string() }
    }
}
