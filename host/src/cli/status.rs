//! `wasmhot status`: what runs, once. `watch` shows the same again and again.

use super::output::{Output, Style};
use super::text::{clean, count, indented, millis, size, table};
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, HttpStatus, ModuleStatus, PendingStatus, ScheduleStatus, Status};

pub(super) async fn status(out: &Output, client: &Client) -> Result<Exit, Failure> {
    let status = client.status().await?;
    if out.json {
        out.json(&status, Exit::Done);
    } else {
        lines(out, &status).iter().for_each(|line| out.line(line));
    }
    Ok(Exit::Done)
}

/// The whole as lines, with colours where they are wanted.
pub(super) fn lines(out: &Output, status: &Status) -> Vec<String> {
    let mut lines = vec![format!(
        "release {}, revision {}, up {}, {} answered, pid {}",
        out.paint(Style::Bold, &clean(&status.release)),
        status.revision,
        millis(status.uptime_ms),
        count(status.calls, "call"),
        status.pid
    )];
    if let Some(directory) = &status.directory {
        lines.push(format!("watching {}", clean(&directory.display().to_string())));
    }
    match &status.state {
        Some(state) => lines.push(format!("state in {}", clean(&state.display().to_string()))),
        None => lines.push("state in memory only".to_string()),
    }
    if let Some(http) = &status.http {
        lines.push(http_line(http));
    }
    if let Some(probation) = &status.probation {
        lines.push(format!(
            "{} {}",
            out.paint(Style::Yellow, "on probation:"),
            clean(probation)
        ));
    }
    if let Some(held) = &status.held {
        lines.push(format!(
            "{} {}",
            out.paint(Style::Yellow, "drops and applies wait:"),
            clean(held)
        ));
    }
    if let Some(busy) = &status.busy {
        lines.push(format!("{} {}", out.paint(Style::Yellow, "upgrading:"), clean(busy)));
    }
    lines.push(String::new());
    lines.extend(modules(out, &status.modules));
    for pending in &status.pending {
        lines.push(String::new());
        lines.extend(waits(out, pending));
    }
    if let Some(last) = &status.last_called_off {
        lines.push(String::new());
        let label = out.paint(Style::Yellow, "last called off:");
        lines.push(format!("{label} {}", indented(last, 2)));
    }
    lines
}

/// `HTTP at 127.0.0.1:8080: /page/, / (home)`
fn http_line(http: &HttpStatus) -> String {
    let routes = http
        .routes
        .iter()
        .map(|route| match route.route.trim_matches('/') == route.module {
            true => clean(&route.route),
            false => format!("{} ({})", clean(&route.route), route.module),
        });
    let routes: Vec<_> = routes.collect();
    if routes.is_empty() {
        return format!("HTTP at {}: no module answers yet", http.address);
    }
    format!("HTTP at {}: {}", http.address, routes.join(", "))
}

fn modules(out: &Output, modules: &[ModuleStatus]) -> Vec<String> {
    if modules.is_empty() {
        return vec!["no modules: drop a .wasm file into the directory, or `wasmhot apply` one".to_string()];
    }
    let headings = [
        "MODULE",
        "VERSION",
        "KIND",
        "CONDITION",
        ">RUNNING",
        ">WAITING",
        ">INSTANCES",
        ">MEMORY",
        "LAST SAVE",
    ];
    let row = |of: &ModuleStatus| {
        vec![
            of.module.clone(),
            of.version.clone(),
            of.kind.clone(),
            of.condition.clone(),
            of.running.to_string(),
            of.waiting.to_string(),
            of.instances.to_string(),
            size(of.memory_bytes),
            saved(of),
        ]
    };
    let rows: Vec<_> = modules.iter().map(row).collect();
    let mut lines = table(&headings, &rows);
    for (line, module) in lines.iter_mut().skip(1).zip(modules) {
        if module.condition != "running" {
            *line = out.paint(Style::Red, line);
        }
    }
    lines[0] = out.paint(Style::Dim, &lines[0]);
    for of in modules {
        lines.extend(of.schedules.iter().map(|schedule| every(out, of, schedule)));
    }
    let skipped = modules.iter().filter_map(|of| Some((of, of.save_skipped.as_ref()?)));
    lines.extend(skipped.map(|(of, why)| {
        format!(
            "{} {}: {}",
            out.paint(Style::Yellow, "not saved:"),
            of.module,
            indented(why, 2)
        )
    }));
    lines
}

/// One line for a call by the clock.
fn every(out: &Output, of: &ModuleStatus, schedule: &ScheduleStatus) -> String {
    let next = schedule
        .next_ms
        .map_or("now".to_string(), |next| format!("in {}", millis(next)));
    let last = match (&schedule.last_error, &schedule.last_result, schedule.last_ms_ago) {
        (Some(error), _, Some(ago)) => {
            let failed = out.paint(Style::Red, "failed");
            format!("last {} ago {failed}: {}", millis(ago), indented(error, 2))
        }
        (None, Some(result), Some(ago)) if !result.is_empty() => format!("last {} ago: {}", millis(ago), clean(result)),
        (None, _, Some(ago)) => format!("last {} ago", millis(ago)),
        (_, _, None) => "not yet called".to_string(),
    };
    format!(
        "{} {} {} every {}, next {next}, {last} ({} failed of {}, {} merged)",
        out.paint(Style::Dim, "by the clock:"),
        of.module,
        clean(&schedule.call),
        millis(schedule.every_ms),
        schedule.failures,
        count(schedule.calls, "call"),
        schedule.merged
    )
}

/// What the module's state has to say.
fn saved(of: &ModuleStatus) -> String {
    if let Some(keys) = of.keys {
        return match of.failed_keys {
            Some(failed) if failed > 0 => format!("{}, {failed} not migrated", count(keys, "key")),
            _ => count(keys, "key"),
        };
    }
    match (of.saved_ms_ago, of.unsaved_calls) {
        (None, None) => "-".to_string(),
        (None, Some(0)) => "not yet".to_string(),
        (None, Some(calls)) => format!("not yet, {} since the start", count(calls, "call")),
        (Some(ago), None | Some(0)) => format!("{} ago", millis(ago)),
        (Some(ago), Some(calls)) => format!("{} ago, {} since", millis(ago), count(calls, "call")),
    }
}

fn waits(out: &Output, of: &PendingStatus) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {} {} (expires in {})",
        out.paint(Style::Yellow, "pending:"),
        of.module,
        of.version,
        millis(of.expires_ms)
    )];
    lines.extend(of.reasons.iter().map(|reason| format!("  {}", indented(reason, 2))));
    lines
}
