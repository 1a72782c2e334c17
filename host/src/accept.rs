//! What both servers do where the system refuses them a connection (out of file descriptors, say).

use std::io;
use std::time::Duration;

/// How long to wait before the next is tried.
const PAUSE: Duration = Duration::from_millis(100);

/// Refusals in a row: only the first is told.
#[derive(Default)]
pub(crate) struct Refusals {
    was_told: bool,
}

impl Refusals {
    /// One more: returns when it is time to try again.
    pub(crate) async fn pause(&mut self, server: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.was_told, true) {
            tracing::warn!("{server}: no connection can be taken: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
