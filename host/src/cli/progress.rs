//! Progress of long steps: a moving line on a terminal; with `-v` a line for each thing that happens; else nothing.

use super::events;
use super::output::Output;
use super::text::clean;
use crate::control::client::{Client, EventStream};
use crate::control::protocol::EventLine;
use crate::event::{Event, EventKind};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

/// How long `-v` waits for the event that ends a step, when the step itself has ended.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// The moving line, if there is one. Clones are the same line.
#[derive(Clone)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A line that says what is done.
    pub(super) fn new(out: &Output, what: &str) -> Self {
        if !out.progress {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(clean(what).replace('\n', " "));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Says what is done now.
    pub(super) fn say(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(clean(what).replace('\n', " "));
        }
    }

    /// Prints something else, above the line.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }

    /// What an event means for the one who waits.
    pub(super) fn event(&self, event: &Event) {
        let told = !matches!(
            event.kind,
            EventKind::Retired | EventKind::FileDeleted | EventKind::SaveSkipped
        );
        if told {
            self.say(&event.message);
        }
    }
}

/// Standard error for a log that is written while the line moves.
impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Progress {
    type Writer = AboveLine;

    fn make_writer(&'a self) -> AboveLine {
        AboveLine(self.clone())
    }
}

/// Writes above the moving line.
pub(super) struct AboveLine(Progress);

impl Write for AboveLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.above(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Waits for `work`, and shows meanwhile what happens in the host.
pub(super) async fn with_progress<T>(out: &Output, client: &Client, what: &str, work: impl Future<Output = T>) -> T {
    if !out.progress && out.verbose == 0 {
        return work.await;
    }
    let progress = Progress::new(out, what);
    // No events are no reason to do nothing: the work itself says why.
    let mut events = client.events(u64::MAX, true).await.ok();
    let mut work = pin!(work);
    let has_ended = Cell::new(false);
    let tell = |event: &Event| {
        has_ended.set(has_ended.get() || matches!(event.kind, EventKind::Switched | EventKind::CalledOff));
        progress.event(event);
        if out.verbose > 0 {
            progress.above(|| out.talk(&format!("{}: {}", events::name(event.kind), event.message)));
        }
        has_ended.get()
    };
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            Some(event) = next(&mut events) => {
                tell(&event);
            }
        }
    };
    // Events come by a connection of their own: the last ones may still be on their way.
    let rest = async {
        while let Some(event) = next(&mut events).await {
            if tell(&event) {
                return;
            }
        }
    };
    if out.verbose > 0 && !has_ended.get() {
        // Not every step has such an end.
        let _ = tokio::time::timeout(LAST_EVENTS, rest).await;
    }
    progress.end();
    done
}

/// The next event; waits for ever when there are no more.
async fn next(events: &mut Option<EventStream>) -> Option<Event> {
    loop {
        let Some(stream) = events.as_mut() else {
            return std::future::pending().await;
        };
        match stream.next().await {
            Ok(Some(EventLine::Event(event))) => return Some(event),
            Ok(Some(EventLine::Missed { .. })) => {}
            Ok(None) | Err(_) => *events = None,
        }
    }
}
