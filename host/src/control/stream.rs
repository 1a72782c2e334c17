//! The event stream: kept events, then live ones, without gap or repeat; what was lost is counted in a line of its own.

use super::protocol::EventLine;
use crate::event::{Event, Events};
use futures_util::{Stream, stream};
use hyper::body::Bytes;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

/// The most that is put into one chunk.
const CHUNK_MAX: usize = 256 << 10;

/// One client that listens.
struct Listener {
    events: Arc<Events>,
    live: Receiver<Event>,
    /// Number of the last event sent; absent if none was.
    last: Option<u64>,
    /// Ends the stream when the server stops.
    stopping: watch::Receiver<bool>,
}

/// Events after `since`, as lines; ends after the kept ones unless `follow`.
pub(super) fn lines(
    events: &Arc<Events>,
    since: u64,
    follow: bool,
    stopping: watch::Receiver<bool>,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let (kept, live) = events.since(since);
    let mut listener = Listener {
        events: Arc::clone(events),
        live,
        last: None,
        stopping,
    };
    let first = listener.kept_lines(since, kept);
    stream::unfold(Some((listener, first)), move |state| async move {
        let (mut listener, lines) = state?;
        if !lines.is_empty() {
            return Some((Bytes::from(lines), follow.then(|| (listener, Vec::new()))));
        }
        if !follow {
            return None;
        }
        let next = listener.next().await?;
        Some((Bytes::from(next), Some((listener, Vec::new()))))
    })
}

impl Listener {
    fn kept_lines(&mut self, since: u64, kept: Vec<Event>) -> Vec<u8> {
        let mut lines = Vec::new();
        if let Some(first) = kept.first() {
            push_missed(&mut lines, first.sequence.saturating_sub(since.saturating_add(1)));
        }
        for event in kept {
            self.push(&mut lines, event);
        }
        lines
    }

    fn push(&mut self, lines: &mut Vec<u8>, event: Event) {
        self.last = Some(event.sequence);
        push_line(lines, &EventLine::Event(event));
    }

    /// One or more lines; nothing when there will be none any more.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let received = tokio::select! {
            biased;
            received = self.live.recv() => received,
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
        };
        let mut lines = Vec::new();
        match received {
            Ok(event) => self.push(&mut lines, event),
            Err(RecvError::Lagged(lost)) => return Some(self.catch_up(lost)),
            Err(RecvError::Closed) => return None,
        }
        // A client that is behind gets many lines at once.
        while lines.len() < CHUNK_MAX {
            match self.live.try_recv() {
                Ok(event) => self.push(&mut lines, event),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(lost)) => {
                    lines.extend(self.catch_up(lost));
                    break;
                }
            }
        }
        Some(lines)
    }

    /// More events are kept than wait in the channel: most of what is lost there is found again.
    fn catch_up(&mut self, lost: u64) -> Vec<u8> {
        let (kept, live) = self.events.since(self.last.unwrap_or(u64::MAX));
        self.live = live;
        match self.last {
            Some(last) => self.kept_lines(last, kept),
            None => {
                let mut lines = Vec::new();
                push_missed(&mut lines, lost);
                lines
            }
        }
    }
}

fn push_missed(lines: &mut Vec<u8>, missed: u64) {
    if missed > 0 {
        push_line(lines, &EventLine::Missed { missed });
    }
}

fn push_line(lines: &mut Vec<u8>, line: &EventLine) {
    // Only a map with keys that are no text could fail, and there is none.
    if serde_json::to_writer(&mut *lines, line).is_ok() {
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Happening};
    use futures_util::StreamExt;
    use std::pin::pin;

    fn publish(events: &Events, count: usize) {
        for _ in 0..count {
            events.publish(Happening::new(EventKind::Taken, "x"));
        }
    }

    fn read(chunk: &[u8]) -> Vec<EventLine> {
        let lines = chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).expect("is a line"))
            .collect()
    }

    #[tokio::test]
    async fn a_listener_that_falls_behind_is_told_what_it_missed() {
        let events = Arc::new(Events::default());
        let (_stop, stopping) = watch::channel(false);
        publish(&events, 3);
        let mut stream = pin!(lines(&events, 1, true, stopping));
        let mut seen = read(&stream.next().await.expect("kept ones"));
        // More than the channel holds, fewer than are kept: nothing is lost.
        publish(&events, 1000);
        while seen.len() < 1002 {
            seen.extend(read(&stream.next().await.expect("live ones")));
        }
        let numbers = seen.iter().map(|line| match line {
            EventLine::Event(event) => event.sequence,
            EventLine::Missed { .. } => panic!("nothing was missed"),
        });
        assert!(numbers.eq(2..=1003));
        publish(&events, 5000);
        let late = read(&stream.next().await.expect("live ones"));
        assert_eq!(late[0], EventLine::Missed { missed: 5000 - 1024 });
        assert_eq!(late.len(), 1025);
    }

    #[tokio::test]
    async fn streams_end() {
        let events = Arc::new(Events::default());
        let (stop, stopping) = watch::channel(false);
        publish(&events, 2);
        let kept: Vec<_> = lines(&events, 0, false, stopping.clone()).collect().await;
        assert_eq!(read(&kept.concat()).len(), 2);
        let mut live = pin!(lines(&events, u64::MAX, true, stopping));
        publish(&events, 1);
        assert_eq!(read(&live.next().await.expect("a live one")).len(), 1);
        stop.send(true).expect("somebody listens");
        assert!(live.next().await.is_none());
    }
}
