//! The host: what embeds, what the control socket and the CLI talk to.

use crate::control::protocol::{
    ApplyRequest, CallReply, CallRequest, Exit, Failure, RemoveRequest, StateShown, Status, StopReport, UndoRequest, UpgradeReport,
    VersionStatus,
};
use crate::error::CallError;
use crate::event::Events;
use std::path::PathBuf;
use std::sync::Arc;
use wasmhot_appup::{HostSettings, LimitsSpec};

/// A running host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    events: Arc<Events>,
}

/// What a host is started with.
#[derive(Clone, Debug, Default)]
pub struct HostBuilder {
    source: Option<PathBuf>,
    state: Option<PathBuf>,
    limits: LimitsSpec,
    settings: HostSettings,
}

fn not_yet() -> Failure {
    Failure::new("internal", Exit::Bug, "not yet")
}

impl HostBuilder {
    /// A directory or a `release.toml` (`wasmhot run DIR|release.toml`).
    #[must_use]
    pub fn source(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(path.into());
        self
    }
    /// Where state, catalog and objects are kept; absent: in a directory that goes with the host.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }
    /// Limits and timeouts over those of the release (flags over file).
    #[must_use]
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits;
        self
    }
    /// Host settings over those of the release.
    #[must_use]
    pub fn settings(mut self, settings: HostSettings) -> Self {
        self.settings = settings;
        self
    }
    /// Starts it: when this returns the modules take calls.
    pub async fn start(self) -> Result<Host, Failure> {
        Err(not_yet())
    }
}

impl Host {
    /// A new builder.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }
    /// A call in text or JSON.
    pub async fn call_text(&self, _request: CallRequest) -> Result<CallReply, CallError> {
        Err(CallError::not_executed(crate::error::CallErrorCode::Internal, "not yet"))
    }
    /// Applies a relup or a module file.
    pub async fn apply(&self, _request: ApplyRequest) -> Result<UpgradeReport, Failure> {
        Err(not_yet())
    }
    /// One revision back.
    pub async fn undo(&self, _request: UndoRequest) -> Result<UpgradeReport, Failure> {
        Err(not_yet())
    }
    /// Takes a module out.
    pub async fn remove(&self, _request: RemoveRequest) -> Result<UpgradeReport, Failure> {
        Err(not_yet())
    }
    /// What runs.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::default()
    }
    /// Known versions.
    pub async fn versions(&self, _module: Option<&str>) -> Result<Vec<VersionStatus>, Failure> {
        Err(not_yet())
    }
    /// Events: kept ones and live ones (`Events::since`).
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }
    /// A look at a state.
    pub async fn state_show(&self, _module: &str, _key: Option<&str>) -> Result<StateShown, Failure> {
        Err(not_yet())
    }
    /// A state as a file.
    pub async fn state_export(&self, _module: &str, _key: Option<&str>) -> Result<Vec<u8>, Failure> {
        Err(not_yet())
    }
    /// An exported state becomes the live one.
    pub async fn state_import(&self, _module: &str, _key: Option<&str>, _file: Vec<u8>) -> Result<StateShown, Failure> {
        Err(not_yet())
    }
    /// The module (or key) starts empty.
    pub async fn state_reset(&self, _module: &str, _key: Option<&str>) -> Result<StateShown, Failure> {
        Err(not_yet())
    }
    /// The module (or key) goes back to its newest saved state.
    pub async fn state_restore(&self, _module: &str, _key: Option<&str>) -> Result<StateShown, Failure> {
        Err(not_yet())
    }
    /// The runtime on which guests run: the control server runs calls there, never on its own threads (R17).
    #[must_use]
    pub fn guests(&self) -> tokio::runtime::Handle {
        tokio::runtime::Handle::current()
    }
    /// Drains, saves, ends. Later calls are refused.
    pub async fn stop(&self) -> StopReport {
        StopReport::default()
    }
    /// Returns when somebody has stopped the host through the socket.
    pub async fn stopped(&self) {}
}
