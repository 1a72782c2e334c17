//! `wasmhot inspect` and `wasmhot versions`: what a file is, and which ones the host knows.

use super::output::{Output, Style};
use super::text::{clean, size, table};
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, VersionStatus};
use crate::intake::{printable, take};
use crate::version::{CoreOrComponent, DescribedFunction, Description, NameSource, describe};
use serde::Serialize;
use std::path::Path;

/// `inspect` reads files of this size at most.
const INSPECT_MAX: u64 = 256 << 20;
/// Digits of a digest that tell versions apart.
const DIGEST_SHOWN: usize = 12;

#[derive(Serialize)]
struct Versions {
    versions: Vec<VersionStatus>,
}

pub(super) async fn versions(out: &Output, client: &Client, module: Option<&str>) -> Result<Exit, Failure> {
    let versions = client.versions(module).await?;
    if out.json {
        out.json(&Versions { versions }, Exit::Done);
        return Ok(Exit::Done);
    }
    let row = |version: &VersionStatus| {
        let mark = if version.status == "current" { "*" } else { "" };
        let what = match (&version.barred, version.running) {
            (Some(why), _) if version.status == "barred" => format!("barred as a drop: {}", clean(why)),
            (_, running) if running > 0 => format!("{}, {running} running", version.status),
            _ => version.status.clone(),
        };
        let digest = version.digest.get(..DIGEST_SHOWN).unwrap_or(&version.digest);
        vec![
            mark.into(),
            version.module.clone(),
            version.version.clone(),
            digest.into(),
            what,
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    show_table(out, &["", "MODULE", "VERSION", "SHA256", "STATUS"], &rows);
    Ok(Exit::Done)
}

pub(super) fn show_table(out: &Output, headings: &[&str], rows: &[Vec<String>]) {
    for (at, line) in table(headings, rows).iter().enumerate() {
        match at {
            0 => out.line(&out.paint(Style::Dim, line)),
            _ => out.line(line),
        }
    }
}

pub(super) fn inspect(out: &Output, file: &Path) -> Result<Exit, Failure> {
    let refused =
        |code: &str, message: String| Failure::new(code, Exit::Refused, format!("{}: {message}", printable(file)));
    let taken = take(file, INSPECT_MAX).map_err(|error| refused(error.code(), error.to_string()))?;
    let description = describe(&taken.stem, &taken.bytes).map_err(|error| refused(error.code(), error.to_string()))?;
    if out.json {
        out.json(&description, Exit::Done);
    } else {
        describe_to(out, &description);
    }
    Ok(Exit::Done)
}

fn describe_to(out: &Output, of: &Description) {
    let name = format!("{} {}", of.name, of.version);
    out.line(&format!(
        "{}  {}",
        out.paint(Style::Bold, &name),
        out.paint(Style::Dim, named_by(of.name_source))
    ));
    let form = match of.form {
        CoreOrComponent::Core => "core module",
        CoreOrComponent::Component => "component",
    };
    field(out, "file", &format!("{form}, {}, sha256 {}", size(of.size), of.digest));
    let health = if of.has_health { ", has a health check" } else { "" };
    let keeps = if of.stateful { "stateful" } else { "stateless" };
    field(out, "runs as", &format!("{}, {keeps}{health}", of.kind));
    if let Some(state) = &of.state {
        field(out, "state", &state.media_type);
        field(out, "  reads", &ranges(&state.reads));
        if !state.writes.is_empty() {
            field(out, "  writes for", &ranges(&state.writes));
        }
        if !state.schema.is_null() {
            field(out, "  schema", &clean(&state.schema.to_string()));
        }
    } else if of.stateful {
        field(
            out,
            "state",
            "not described: which versions it reads is found by trying",
        );
    }
    if let Some(appup) = &of.appup {
        let ranges = |entries: &[wasmhot_appup::AppupEntry]| {
            let ranges: Vec<_> = entries.iter().map(|entry| entry.versions.to_string()).collect();
            if ranges.is_empty() {
                "none".to_string()
            } else {
                ranges.join(", ")
            }
        };
        field(
            out,
            "appup",
            &format!("up from {}; down to {}", ranges(&appup.up), ranges(&appup.down)),
        );
    }
    functions(out, "exports", &of.exports, "none: nothing can be called");
    functions(out, "imports", &of.imports, "none: it needs no other module");
    let wanted = of.capabilities.iter().map(|one| clean(one)).collect::<Vec<_>>();
    list(out, "wants of the host", &wanted, "nothing");
    for note in &of.notes {
        out.warn(note);
    }
}

fn named_by(source: NameSource) -> &'static str {
    match source {
        NameSource::Metadata => "(named by its metadata)",
        NameSource::InnerModule => "(named by the metadata of a module inside)",
        NameSource::Sdk => "(named by the SDK)",
        NameSource::FileName => "(named by the file's name)",
    }
}

fn ranges(of: &[wasmhot_appup::range::StateRange]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn field(out: &Output, name: &str, value: &str) {
    out.line(&format!("{name:<14}{value}"));
}

fn functions(out: &Output, title: &str, of: &[DescribedFunction], none: &str) {
    let text = |function: &DescribedFunction| {
        let note = if function.callable {
            ""
        } else {
            "  (holds a resource or stream: cannot be called from outside)"
        };
        format!("{}: {}{note}", function.name, function.text)
    };
    list(out, title, &of.iter().map(text).collect::<Vec<_>>(), none);
}

fn list(out: &Output, title: &str, items: &[String], none: &str) {
    if items.is_empty() {
        out.line(&format!("{title}: {none}"));
        return;
    }
    out.line(&format!("{title}:"));
    for item in items {
        out.line(&format!("  {item}"));
    }
}
