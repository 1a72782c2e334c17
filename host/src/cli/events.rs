//! `wasmhot events`: what happened, a line each.

use super::output::{Output, Style};
use super::text::{clock, indented};
use crate::control::client::Client;
use crate::control::protocol::{EventLine, Exit, Failure, word};
use crate::event::{Event, EventKind};

/// Until here in a line stand number, time and kind.
const MESSAGE_AT: usize = 35;

pub(super) async fn events(out: &Output, client: &Client, since: u64, follow: bool) -> Result<Exit, Failure> {
    let mut stream = client.events(since, follow).await?;
    while let Some(next) = stream.next().await? {
        let read = match next {
            line if out.json => out.json_line(&line),
            EventLine::Event(event) => out.next_line(&line(out, &event)),
            EventLine::Missed { missed } => {
                out.warn(&format!("{missed} events are missing here"));
                true
            }
        };
        if !read {
            break;
        }
    }
    Ok(Exit::Done)
}

fn line(out: &Output, event: &Event) -> String {
    let kind = format!("{:<14}", name(event.kind));
    let kind = match (event.kind.level(), event.kind) {
        (tracing::Level::ERROR, _) => out.paint(Style::Red, &kind),
        (tracing::Level::WARN, _) => out.paint(Style::Yellow, &kind),
        (_, EventKind::Switched | EventKind::Ready) => out.paint(Style::Green, &kind),
        _ => kind,
    };
    format!(
        "{:>5}  {}  {kind}  {}",
        event.sequence,
        clock(event.time_ms),
        indented(&event.message, MESSAGE_AT)
    )
}

/// `upgrade-begun`, as in JSON.
pub(super) fn name(kind: EventKind) -> String {
    word(&kind)
}
