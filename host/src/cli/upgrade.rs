//! `wasmhot apply`, `undo` and `remove`: each is one upgrade, and prints its report.

use super::args::{Apply, Remove, Undo};
use super::ask::confirm;
use super::named::{place, way_to};
use super::output::{Output, Style};
use super::progress::with_progress;
use super::signals::Signals;
use super::text::{clean, count, size, time};
use crate::control::client::Client;
use crate::control::protocol::{
    ApplyRequest, Exit, Failure, ModuleReport, RemoveRequest, StateSource, UndoRequest, UpgradeReport,
};
use crate::event::now_ms;
use crate::offline::running;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wasmhot_appup::CheckOptions;

pub(super) async fn apply(out: &Output, client: &Client, verb: &Apply) -> Result<Exit, Failure> {
    let mut path = existing(&place(client, &verb.path).await?)?;
    let mut relup = None;
    if path.is_dir() {
        let options = CheckOptions {
            allow_lossy: verb.allow_lossy,
        };
        let old = running(client.release().await?)?;
        let way = way_to(out, client, &path, &old, options).await?;
        way.notes.iter().for_each(|note| out.warn(note));
        if !way.is_file {
            let text = way.relup.to_toml();
            relup = Some(text.map_err(|error| Failure::new("no-toml", Exit::Refused, error.to_string()))?);
        }
        path = way.path;
    }
    let state = source(&verb.state)?;
    if verb.allow_lossy && !verb.dry_run {
        confirm(out, "--allow-lossy: state may be lost in this upgrade")?;
    }
    let id = verb.id.clone().unwrap_or_else(new_id);
    let request = ApplyRequest {
        path,
        relup,
        dry_run: verb.dry_run,
        state,
        allow_lossy: verb.allow_lossy,
        deny: verb.deny.clone(),
        limits: verb.limits.spec(),
        probation_ms: verb.probation.map(whole_millis),
        max_error_rate: verb.max_error_rate,
        by: who(),
        id: Some(id.clone()),
        timeout_ms: verb.timeout.map(whole_millis),
    };
    let mut signals = Signals::new()?;
    let shown = verb.path.display();
    let what = format!("reading and compiling {shown}");
    let again = format!("`wasmhot apply {shown} --id {id}` waits for its result");
    tokio::select! {
        report = with_progress(out, client, &what, client.apply(&request)) => match report {
            Ok(report) => upgraded(out, &report),
            Err(mut failure) => {
                if failure.id.is_some() {
                    failure.message = format!("{}: {again}", failure.message);
                }
                Err(failure)
            }
        },
        exit = signals.next() => {
            out.talk(&format!("interrupted; an upgrade that has begun goes on in the host: {again}"));
            Ok(exit)
        }
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The user, for the history.
fn who() -> Option<String> {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named
        .filter(|name| !name.is_empty())
        .or_else(|| Some(format!("uid {}", rustix::process::getuid().as_raw())))
}

/// Rare enough to be new in this host.
fn new_id() -> String {
    format!("{:x}-{:x}", now_ms(), std::process::id())
}

pub(super) async fn undo(out: &Output, client: &Client, verb: &Undo) -> Result<Exit, Failure> {
    let request = UndoRequest {
        to: verb.to,
        by: who(),
        allow_lossy: verb.allow_lossy,
        state: source(&verb.state)?,
    };
    if verb.allow_lossy {
        confirm(out, "--allow-lossy: state may be lost on the way back")?;
    }
    let what = match verb.to {
        Some(revision) => format!("going back to revision {revision}"),
        None => "going one revision back".to_string(),
    };
    let report = with_progress(out, client, &what, client.undo(&request)).await?;
    upgraded(out, &report)
}

pub(super) async fn remove(out: &Output, client: &Client, verb: &Remove) -> Result<Exit, Failure> {
    let Remove { module, purge } = verb;
    let what = match purge {
        true => format!("{module} will be removed, and its saved state with it"),
        false => format!("{module} will be removed (its last state is kept)"),
    };
    confirm(out, &what)?;
    let request = RemoveRequest {
        module: module.clone(),
        purge: *purge,
        by: who(),
    };
    let report = with_progress(out, client, &format!("removing {module}"), client.remove(&request)).await?;
    upgraded(out, &report)
}

/// The host has another working directory, and says less well that a file is not there.
pub(super) fn existing(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |code: &str, what: &str| Failure::new(code, Exit::Refused, format!("{}: {what}", path.display()));
    match path.try_exists() {
        Ok(true) => std::path::absolute(path).map_err(|error| failed("io", &error.to_string())),
        Ok(false) => Err(failed("no-such-file", "there is no such file")),
        Err(error) => Err(failed("io", &error.to_string())),
    }
}

fn source(text: &str) -> Result<StateSource, Failure> {
    Ok(match text {
        "live" => StateSource::Live,
        "last-saved" => StateSource::LastSaved,
        "empty" => StateSource::Empty,
        file => StateSource::File(existing(Path::new(file)).map_err(|mut failure| {
            failure.message = format!("--state {}; or say live, last-saved or empty", failure.message);
            failure
        })?),
    })
}

fn upgraded(out: &Output, report: &UpgradeReport) -> Result<Exit, Failure> {
    let exit = if report.degraded.is_some() {
        Exit::Degraded
    } else {
        Exit::Done
    };
    if out.json {
        out.json(report, exit);
        return Ok(exit);
    }
    for module in &report.modules {
        out.line(&moved(module));
        if let Some(state) = handed_over(module) {
            out.line(&format!("  state: {state}"));
        }
        if let Some(rehearsal) = &module.rehearsal {
            out.line(&format!("  rehearsal: {}", clean(rehearsal)));
        }
    }
    match report.revision {
        Some(revision) => {
            let gate = match report.gate_us {
                0 => "no gate closed".to_string(),
                us => {
                    let predicted = report.predicted_us.map(|us| format!(" ({} predicted)", time(us)));
                    let predicted = predicted.unwrap_or_default();
                    format!(
                        "gate closed for {}{predicted}, {} waited",
                        time(us),
                        count(report.waited, "call")
                    )
                }
            };
            let name = out.paint(Style::Green, &format!("revision {revision}"));
            out.line(&format!("{name} (release {}): {gate}", clean(&report.release)));
        }
        None if report.modules.is_empty() => {}
        None => {
            let predicted = report.predicted_us.map(|us| format!("; predicted pause: {}", time(us)));
            out.line(&format!(
                "dry run: nothing was switched{}",
                predicted.unwrap_or_default()
            ));
        }
    }
    for warning in &report.warnings {
        match report.modules.is_empty() {
            true => out.line(&clean(warning)),
            false => out.warn(warning),
        }
    }
    report.lossy.iter().for_each(|lost| out.warn(lost));
    report.degraded.iter().for_each(|missing| out.warn(missing));
    Ok(exit)
}

fn moved(module: &ModuleReport) -> String {
    let name = &module.module;
    match (&module.from, &module.to) {
        (Some(from), Some(to)) => format!("{name}: {from} -> {to} ({})", module.action),
        (None, Some(to)) => format!("{name}: {to} (new)"),
        (Some(from), None) => format!("{name}: {from} removed"),
        (None, None) => format!("{name} ({})", module.action),
    }
}

fn handed_over(module: &ModuleReport) -> Option<String> {
    let bytes = size(module.state_bytes?);
    let steps = [("saved", module.save_us), ("migrated", module.migrate_us)];
    let steps = steps
        .iter()
        .filter_map(|(step, us)| Some(format!(", {step} in {}", time((*us)?))));
    let ahead = module.ahead_bytes.zip(module.ahead_us);
    let ahead = ahead.map(|(bytes, us)| format!(" ({} sent ahead in {})", size(bytes), time(us)));
    Some(format!(
        "{bytes}{}{}",
        ahead.unwrap_or_default(),
        steps.collect::<String>()
    ))
}
