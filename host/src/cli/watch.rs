//! `wasmhot status --watch`: stays; redraws on a terminal, prints anew at every change otherwise.

use super::output::Output;
use super::signals::Signals;
use super::status::lines;
use crate::control::client::{Client, EventStream};
use crate::control::protocol::{EventLine, Exit, Failure, Status};
use std::io::Write;
use std::time::Duration;

/// How often it is drawn on a terminal, and looked at otherwise, when no event tells of a change.
const EVERY: Duration = Duration::from_secs(1);

/// Ends when the host ends, or on ctrl-c.
pub(super) async fn watch(out: &Output, client: &Client) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let mut events = client.events(u64::MAX, true).await?;
    let mut shown: Option<Status> = None;
    loop {
        let status = match client.status().await {
            Ok(status) => status,
            // The host was there a moment ago.
            Err(failure) if shown.is_some() && gone(&failure) => break,
            Err(failure) => return Err(failure),
        };
        let changed = shown.as_ref().is_none_or(|before| essence(before) != essence(&status));
        if out.terminal && !out.json {
            redraw(&lines(out, &status));
        } else if changed && !print(out, &status, shown.is_some()) {
            return Ok(Exit::Done);
        }
        shown = Some(status);
        tokio::select! {
            happened = happening(&mut events) => if !happened? { break },
            () = tokio::time::sleep(EVERY) => {}
            exit = signals.next() => return Ok(exit),
        }
    }
    out.talk("the host has ended");
    Ok(Exit::Done)
}

/// True when something has happened, false when the host ends.
async fn happening(events: &mut EventStream) -> Result<bool, Failure> {
    Ok(match events.next().await? {
        Some(EventLine::Event(_) | EventLine::Missed { .. }) => true,
        None => false,
    })
}

fn gone(failure: &Failure) -> bool {
    ["not-running", "connection-lost", "stopping"].contains(&failure.code.as_str())
}

/// What counts as a change: not the figures, which change with every call.
fn essence(status: &Status) -> impl PartialEq {
    let modules = status.modules.iter().map(|of| {
        let what = (of.module.clone(), of.digest.clone(), of.condition.clone());
        (what, of.since_revision, of.failed_keys, of.save_skipped.clone())
    });
    let pending = status
        .pending
        .iter()
        .map(|of| (of.module.clone(), of.version.clone(), of.reasons.clone()));
    (
        (
            status.release.clone(),
            status.revision,
            status.busy.clone().or(status.held.clone()),
            status.last_called_off.clone(),
        ),
        modules.collect::<Vec<_>>(),
        pending.collect::<Vec<_>>(),
    )
}

/// False if nobody reads it.
fn print(out: &Output, status: &Status, again: bool) -> bool {
    if out.json {
        return out.json_line(status);
    }
    let empty = again.then(String::new);
    empty
        .into_iter()
        .chain(lines(out, status))
        .all(|line| out.next_line(&line))
}

/// From the top of the screen, leaving nothing of what stood there.
fn redraw(lines: &[String]) {
    let mut screen = String::from("\x1b[H");
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        screen.push_str(line);
        screen.push_str("\x1b[K\r\n");
    }
    screen.push_str("\x1b[J");
    let mut out = std::io::stdout();
    let _ = out.write_all(screen.as_bytes());
    let _ = out.flush();
}
