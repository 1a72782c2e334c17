//! A guest's standard output and error, and what it writes by `wasi:logging`: each line becomes a log line that names module, version
//! and instance.
//!
//! Invariants: nothing a guest prints reaches a terminal unescaped, and a guest that prints without end costs at most
//! [`LINES_PER_SECOND`] log lines a second; what was dropped is counted.

use super::capability::logging::Level;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::AsyncWrite;
use wasmhot_appup::ModuleVersion;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Log lines of one stream of one instance in a second; more are dropped and counted.
const LINES_PER_SECOND: u32 = 200;
/// Longer lines are cut into several.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// One output stream of one instance. Clones write to the same lines.
#[derive(Clone, Debug)]
pub(crate) struct GuestOutput(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    id: ModuleVersion,
    instance: u64,
    is_error: bool,
    unfinished: Vec<u8>,
    rate: Rate,
}

/// How many lines there were, and whether there may be more.
#[derive(Debug)]
struct Rate {
    second_began: Instant,
    in_second: u32,
    dropped: u64,
}

/// What one instance writes by `wasi:logging`.
#[derive(Debug)]
pub(crate) struct GuestLog {
    id: ModuleVersion,
    instance: u64,
    rate: Mutex<Rate>,
}

impl GuestOutput {
    pub(crate) fn new(id: &ModuleVersion, instance: u64, is_error: bool) -> Self {
        let lines = Lines {
            id: id.clone(),
            instance,
            is_error,
            unfinished: Vec::new(),
            rate: Rate::new(),
        };
        Self(Arc::new(Mutex::new(lines)))
    }

    fn take(&self, bytes: &[u8]) {
        self.0.lock().expect("no panic under this lock").take(bytes);
    }
}

impl Rate {
    fn new() -> Self {
        Self {
            second_began: Instant::now(),
            in_second: 0,
            dropped: 0,
        }
    }

    /// Whether one more line may be written; those that may not are counted, and that is said.
    fn allows(&mut self, id: &ModuleVersion, instance: u64) -> bool {
        if self.second_began.elapsed().as_secs() >= 1 {
            self.second_began = Instant::now();
            self.in_second = 0;
            if self.dropped > 0 {
                let dropped = std::mem::take(&mut self.dropped);
                tracing::warn!(target: "guest", module = %id.name, version = %id.version, instance,
                    "{dropped} lines dropped: more than {LINES_PER_SECOND} in a second");
            }
        }
        self.in_second += 1;
        let allows = self.in_second <= LINES_PER_SECOND;
        self.dropped += u64::from(!allows);
        allows
    }
}

impl GuestLog {
    pub(crate) fn new(id: &ModuleVersion, instance: u64) -> Self {
        Self {
            id: id.clone(),
            instance,
            rate: Mutex::new(Rate::new()),
        }
    }

    /// Whose it is.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// One line, unless there were too many in this second. Cut where it is too long.
    pub(crate) fn line(&self, level: Level, context: &str, message: &str) {
        let (id, instance) = (&self.id, self.instance);
        if !self.rate.lock().expect("no panic under this lock").allows(id, instance) {
            return;
        }
        let (context, text) = (cut(context).escape_debug(), cut(message).escape_debug());
        macro_rules! log {
            ($level:ident $(, $critical:ident = $is:literal)?) => {
                tracing::$level!(target: "guest", module = %id.name, version = %id.version, instance, %context $(, $critical = $is)?, "{text}")
            };
        }
        match level {
            Level::Trace => log!(trace),
            Level::Debug => log!(debug),
            Level::Info => log!(info),
            Level::Warn => log!(warn),
            Level::Error => log!(error),
            Level::Critical => log!(error, critical = true),
        }
    }
}

/// As much of a text as a line may have.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if self.unfinished.ends_with(b"\n") || self.unfinished.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.unfinished);
                self.log(&line);
            }
        }
    }

    fn log(&mut self, line: &[u8]) {
        if !self.rate.allows(&self.id, self.instance) {
            return;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']).escape_debug();
        if self.is_error {
            tracing::warn!(target: "guest", module = %self.id.name, version = %self.id.version, instance = self.instance, "{text}");
        } else {
            tracing::info!(target: "guest", module = %self.id.name, version = %self.id.version, instance = self.instance, "{text}");
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default would spawn a task for each stream; ours never waits, so it needs none.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}
