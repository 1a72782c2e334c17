//! Releases: `permanent`, `releases`, `history`, `diff`, `why`, `hold`, `release-hold`, `forget`, `gc`.

use super::ask::confirm;
use super::output::{Output, Style};
use super::text::{clean, count, millis, moment, size, table, time};
use crate::control::client::Client;
use crate::control::protocol::{
    BackupRequest, Exit, Failure, ForgetReleaseRequest, ForgetRequest, GcReport, GcRequest, HistoryEntry, HistoryMove,
    HoldRequest,
};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

pub(super) async fn permanent(out: &Output, client: &Client) -> Result<Exit, Failure> {
    let report = client.permanent().await?;
    let exit = if report.degraded.is_some() {
        Exit::Degraded
    } else {
        Exit::Done
    };
    if out.json {
        out.json(&report, exit);
        return Ok(exit);
    }
    match report.already {
        true => out.line(&format!("revision {} is permanent already", report.revision)),
        false => out.line(&format!(
            "revision {} is permanent: it is what the host boots",
            report.revision
        )),
    }
    report.degraded.iter().for_each(|missing| out.warn(missing));
    Ok(exit)
}

pub(super) async fn releases(out: &Output, client: &Client, status: Option<&str>) -> Result<Exit, Failure> {
    let releases = client.releases(status).await?;
    if out.json {
        out.json(&json!({ "releases": releases }), Exit::Done);
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = releases
        .iter()
        .map(|release| {
            let runs = ["current", "permanent"].contains(&release.status.as_str());
            let folder = release.folder.as_ref().map(|folder| folder.display().to_string());
            vec![
                if runs { "*" } else { "" }.to_string(),
                release
                    .revision
                    .map_or_else(|| "-".to_string(), |revision| revision.to_string()),
                release.status.clone(),
                clean(&format!("{} {}", release.release, release.version)),
                moment(release.time_ms),
                release.origin.clone(),
                release.modules.join(", "),
                clean(&folder.unwrap_or_default()),
            ]
        })
        .collect();
    let headings = [
        "",
        "REVISION",
        "STATUS",
        "RELEASE",
        "SINCE",
        "BY",
        "MODULES",
        "DIRECTORY",
    ];
    table(&headings, &rows).iter().for_each(|line| out.line(line));
    Ok(Exit::Done)
}

pub(super) async fn history(out: &Output, client: &Client, limit: Option<usize>) -> Result<Exit, Failure> {
    let history = client.history(limit).await?;
    if out.json {
        out.json(&json!({ "history": history }), Exit::Done);
        return Ok(Exit::Done);
    }
    for entry in &history {
        one(out, entry);
    }
    Ok(Exit::Done)
}

fn one(out: &Output, entry: &HistoryEntry) {
    let result = match (entry.result.as_str(), entry.revision) {
        ("switched", Some(revision)) => out.paint(Style::Green, &format!("revision {revision}")),
        (other, Some(revision)) => out.paint(Style::Yellow, &format!("revision {revision}, {other}")),
        (other, None) => out.paint(Style::Yellow, other),
    };
    let by = entry
        .by
        .as_deref()
        .map_or(String::new(), |by| format!(" by {}", clean(by)));
    out.line(&format!(
        "{}  {}  {}{by}: {} -> {}: {result}",
        entry.attempt,
        moment(entry.time_ms),
        entry.origin,
        clean(&entry.from_release),
        clean(&entry.to_release)
    ));
    for one in &entry.modules {
        out.line(&format!("     {}", moved(one)));
    }
    for step in &entry.steps {
        let why = step
            .why
            .as_deref()
            .map_or(String::new(), |why| format!(": {}", clean(why)));
        out.line(&format!(
            "     call {} ({}): {}{why}",
            clean(&step.call),
            step.when,
            step.state
        ));
    }
    if let Some(report) = entry.report.as_ref().filter(|report| report.gate_us > 0) {
        let waited = count(report.waited, "call");
        out.line(&format!(
            "     gate closed for {}, {waited} waited",
            time(report.gate_us)
        ));
    }
    if let Some(why) = &entry.why {
        out.line(&format!("     {}", clean(why)));
    }
}

fn moved(one: &HistoryMove) -> String {
    let version = |version: &Option<String>, digest: &Option<String>| match (version, digest) {
        (Some(version), Some(digest)) => format!("{version} ({digest:.12})"),
        _ => "(none)".to_string(),
    };
    format!(
        "{} {}: {} -> {}",
        one.action,
        one.module,
        version(&one.from, &one.from_digest),
        version(&one.to, &one.to_digest)
    )
}

pub(super) async fn diff(out: &Output, client: &Client, from: u64, to: u64) -> Result<Exit, Failure> {
    let report = client.diff(from, to).await?;
    if out.json {
        out.json(&report, Exit::Done);
        return Ok(Exit::Done);
    }
    out.line(&format!(
        "revision {from} ({}) -> revision {to} ({})",
        clean(&report.from_release),
        clean(&report.to_release)
    ));
    if report.modules.is_empty() {
        out.line("the same modules, configured in the same way");
    }
    for module in &report.modules {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "(none)".to_string());
        out.line(&format!(
            "{} {}: {} -> {}",
            module.module,
            module.change,
            version(&module.from),
            version(&module.to)
        ));
        module
            .details
            .iter()
            .for_each(|detail| out.line(&format!("  {}", clean(detail))));
    }
    Ok(Exit::Done)
}

pub(super) async fn why(out: &Output, client: &Client, version: &str) -> Result<Exit, Failure> {
    let report = client.why(version).await?;
    if out.json {
        out.json(&report, Exit::Done);
        return Ok(Exit::Done);
    }
    let alive = if report.alive { "lives" } else { "has no instance" };
    out.line(&format!("{} ({:.12}) {alive}", report.version, report.digest));
    if report.reasons.is_empty() {
        out.line("  nothing needs it: `wasmhot gc` deletes its bytes");
    }
    report
        .reasons
        .iter()
        .for_each(|reason| out.line(&format!("  {}", clean(reason))));
    for call in &report.calls {
        let age = match call.age_ms {
            Some(age) => format!("running for {}", millis(age)),
            None => "may still call it".to_string(),
        };
        out.line(&format!("  call: {age}, from {}", clean(&call.from)));
    }
    Ok(Exit::Done)
}

pub(super) async fn hold(out: &Output, client: &Client, reason: &str) -> Result<Exit, Failure> {
    let request = HoldRequest {
        reason: reason.to_string(),
    };
    let held = client.hold(&request).await?;
    match out.json {
        true => out.json(&held, Exit::Done),
        false => out.line("drops and applies wait; `wasmhot release-hold` lets them go on"),
    }
    Ok(Exit::Done)
}

pub(super) async fn release_hold(out: &Output, client: &Client) -> Result<Exit, Failure> {
    let held = client.release_hold().await?;
    match out.json {
        true => out.json(&held, Exit::Done),
        false => out.line("drops and applies go on"),
    }
    Ok(Exit::Done)
}

pub(super) async fn forget(out: &Output, client: &Client, what: &str) -> Result<Exit, Failure> {
    let Ok(revision) = what.parse() else {
        return forget_release(out, client, what).await;
    };
    confirm(
        out,
        &format!("revision {revision} will be forgotten: nobody can go back to it"),
    )?;
    let report = client.forget(&ForgetRequest { revision }).await?;
    Ok(forgotten(out, &report, false))
}

async fn forget_release(out: &Output, client: &Client, release: &str) -> Result<Exit, Failure> {
    let release = release.to_string();
    let forgotten = client.forget_release(&ForgetReleaseRequest { release }).await?;
    if out.json {
        out.json(&forgotten, Exit::Done);
        return Ok(Exit::Done);
    }
    out.line(&clean(&format!(
        "{} is installed no more; its directory stays: {}",
        forgotten.shown(),
        forgotten.folder.display()
    )));
    Ok(Exit::Done)
}

pub(super) async fn gc(
    out: &Output,
    client: &Client,
    keep: u64,
    older_than: Option<Duration>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let request = GcRequest {
        keep: Some(keep),
        older_than_ms: older_than.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        dry_run,
    };
    let report = client.gc(&request).await?;
    Ok(forgotten(out, &report, dry_run))
}

pub(super) async fn backup(out: &Output, client: &Client, directory: &Path) -> Result<Exit, Failure> {
    // The host has another working directory.
    let path = std::path::absolute(directory)
        .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", directory.display())))?;
    let report = client.backup(&BackupRequest { path }).await?;
    let exit = if report.not_saved.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    if out.json {
        out.json(&report, exit);
        return Ok(exit);
    }
    out.line(&format!(
        "{}: revision {} ({}), {}, {} ({})",
        directory.display(),
        report.revision,
        clean(&report.release),
        count(report.states, "state"),
        count(report.objects, "version"),
        size(report.bytes)
    ));
    for (name, why) in &report.not_saved {
        out.warn(&format!("{name} was not saved now, an older state was copied: {why}"));
    }
    Ok(exit)
}

fn forgotten(out: &Output, report: &GcReport, dry_run: bool) -> Exit {
    if out.json {
        out.json(report, Exit::Done);
        return Exit::Done;
    }
    let would = if dry_run { "would be " } else { "" };
    let revisions: Vec<_> = report.revisions.iter().map(ToString::to_string).collect();
    match revisions.is_empty() {
        true => out.line(&format!("no revision {would}forgotten")),
        false => out.line(&format!("{would}forgotten: revision {}", revisions.join(", "))),
    }
    if !report.releases.is_empty() {
        let releases = clean(&report.releases.join(", "));
        out.line(&format!(
            "{would}forgotten: {releases}, whose directory is gone or another's"
        ));
    }
    out.line(&format!(
        "{would}deleted: {} of versions that nothing needs ({})",
        count(report.objects.len() as u64, "file"),
        size(report.bytes)
    ));
    Exit::Done
}
