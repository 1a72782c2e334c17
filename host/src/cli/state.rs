//! `wasmhot state`: look, export, import, reset, restore.

use super::args::{StateVerb, Whose};
use super::ask::confirm;
use super::output::Output;
use super::text::{clean, millis, size};
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, StateShown};
use crate::event::now_ms;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What an export came to, for programs.
#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    bytes: usize,
}

pub(super) async fn state(out: &Output, client: &Client, verb: &StateVerb) -> Result<Exit, Failure> {
    let failed =
        |path: &Path, error: &std::io::Error| Failure::new("io", Exit::Failed, format!("{}: {error}", path.display()));
    let key = |whose: &Whose| whose.key.clone();
    match verb {
        StateVerb::Show(whose) => {
            let shown = client.state_show(&whose.module, key(whose).as_deref()).await?;
            show(out, &shown);
        }
        StateVerb::Export { whose, output } => {
            let bytes = client.state_export(&whose.module, key(whose).as_deref()).await?;
            std::fs::write(output, &bytes).map_err(|error| failed(output, &error))?;
            let exported = Exported {
                file: output.clone(),
                bytes: bytes.len(),
            };
            if out.json {
                out.json(&exported, Exit::Done);
            } else {
                out.talk(&format!("{} written to {}", size(bytes.len() as u64), output.display()));
            }
        }
        StateVerb::Import { whose, file } => {
            let bytes = std::fs::read(file).map_err(|error| failed(file, &error))?;
            let shown = client.state_import(&whose.module, key(whose).as_deref(), bytes).await?;
            changed(out, whose, &shown, "has the imported state now");
        }
        StateVerb::Reset(whose) => {
            confirm(out, &format!("the state of {} will be lost", owner(whose)))?;
            let shown = client.state_reset(&whose.module, key(whose).as_deref()).await?;
            changed(out, whose, &shown, "is empty now");
        }
        StateVerb::Restore(whose) => {
            let shown = client.state_restore(&whose.module, key(whose).as_deref()).await?;
            changed(out, whose, &shown, "has its last saved state again");
        }
    }
    Ok(Exit::Done)
}

fn owner(whose: &Whose) -> String {
    match &whose.key {
        Some(key) => format!("{} (key {key:?})", whose.module),
        None => whose.module.clone(),
    }
}

fn changed(out: &Output, whose: &Whose, shown: &StateShown, what: &str) {
    if out.json {
        out.json(shown, Exit::Done);
    } else {
        out.talk(&format!("{} {what}", owner(whose)));
    }
}

/// About the state on standard error, the state itself on standard output.
fn show(out: &Output, shown: &StateShown) {
    if out.json {
        out.json(shown, Exit::Done);
        return;
    }
    let Some(version) = &shown.version else {
        if shown.keys.is_empty() {
            out.talk(&format!("{} has no state", shown.module));
        }
        shown.keys.iter().for_each(|key| out.line(&clean(key)));
        return;
    };
    out.talk(&format!(
        "written by {version} in revision {}, {} ago: {} of {}",
        shown.revision.unwrap_or(0),
        millis(now_ms().saturating_sub(shown.time_ms.unwrap_or(0))),
        size(shown.size.unwrap_or(0)),
        shown.format.as_deref().unwrap_or("unknown format")
    ));
    match &shown.content {
        Some(content) => match serde_json::to_string_pretty(content) {
            Ok(text) => out.line(&clean(&text)),
            Err(error) => out.warn(&error.to_string()),
        },
        None => out.talk("its content cannot be shown; `wasmhot state export` writes it to a file"),
    }
}
