//! The verbs that talk to a running host, and `inspect`.

use super::args::{Args, StateVerb, Verb, Whose};
use super::output::{json, line, talk};
use crate::control::client::Client;
use crate::control::protocol::EventLine;
use crate::control::protocol::{
    ApplyRequest, CallRequest, Exit, Failure, RemoveRequest, StateShown, StateSource, Status, UndoRequest,
    UpgradeReport, VersionStatus,
};
use crate::control::socket::default_path;
use crate::intake::take;
use crate::version::describe;
use std::path::{Path, PathBuf};

/// `inspect` reads files of this size at most.
const INSPECT_MAX: u64 = 256 << 20;

pub(super) async fn dispatch(args: &Args, verb: &Verb) -> Result<Exit, Failure> {
    let client = Client::new(args.socket.clone().unwrap_or_else(default_path));
    match verb {
        Verb::Run(_) => Err(Failure::new("internal", Exit::Bug, "`run` has a place of its own")),
        Verb::Inspect { file } => inspect(file),
        Verb::Call { module, call, deadline } => {
            let request = CallRequest {
                module: module.clone(),
                call: Some(call.clone()),
                function: None,
                args: None,
                deadline_ms: deadline.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            };
            let reply = client.call(&request).await?;
            if args.json {
                json(&reply);
            } else if let Some(wave) = &reply.wave {
                line(wave);
            }
            Ok(Exit::Done)
        }
        Verb::Status => show(args, &client.status().await?, status),
        Verb::Apply {
            path,
            dry_run,
            state,
            allow_lossy,
            limits,
        } => {
            let request = ApplyRequest {
                path: absolute(path)?,
                dry_run: *dry_run,
                state: source(state)?,
                allow_lossy: *allow_lossy,
                limits: limits.spec(),
                id: None,
            };
            show(args, &client.apply(&request).await?, report)
        }
        Verb::Undo { allow_lossy } => {
            let request = UndoRequest {
                allow_lossy: *allow_lossy,
                ..UndoRequest::default()
            };
            show(args, &client.undo(&request).await?, report)
        }
        Verb::Versions { module } => show(args, &client.versions(module.as_deref()).await?, |versions| {
            versions.iter().for_each(version);
        }),
        Verb::Events { follow, since } => events(args, &client, *since, *follow).await,
        Verb::State { verb } => state(&client, verb).await,
        Verb::Remove { module, purge } => {
            let request = RemoveRequest {
                module: module.clone(),
                purge: *purge,
            };
            show(args, &client.remove(&request).await?, report)
        }
        Verb::Stop => {
            let stopped = client.stop().await?;
            for (name, why) in &stopped.not_saved {
                talk(&format!("{name} was not saved: {why}"));
            }
            show(args, &stopped, |stopped| {
                talk(&format!("stopped; {} states saved", stopped.saved));
            })
        }
    }
}

fn show<T: serde::Serialize>(args: &Args, value: &T, text: impl FnOnce(&T)) -> Result<Exit, Failure> {
    if args.json {
        json(value);
    } else {
        text(value);
    }
    Ok(Exit::Done)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new("io", Exit::Usage, format!("{}: {error}", path.display())))
}

fn source(text: &str) -> Result<StateSource, Failure> {
    Ok(match text {
        "live" => StateSource::Live,
        "last-saved" => StateSource::LastSaved,
        "empty" => StateSource::Empty,
        file => StateSource::File(absolute(Path::new(file))?),
    })
}

fn status(status: &Status) {
    line(&format!(
        "release {}, revision {}, up {} s",
        status.release,
        status.revision,
        status.uptime_ms / 1000
    ));
    for module in &status.modules {
        line(&format!(
            "{:<20} {:<12} {:<7} {:<10} running {} waiting {} instances {}",
            module.module,
            module.version,
            module.kind,
            module.condition,
            module.running,
            module.waiting,
            module.instances
        ));
    }
    for pending in &status.pending {
        line(&format!(
            "{} {} is pending: {}",
            pending.module,
            pending.version,
            pending.reasons.join("; ")
        ));
    }
    if let Some(busy) = &status.busy {
        line(&format!("busy: {busy}"));
    }
    if let Some(last) = &status.last_called_off {
        line(&format!("last called off: {last}"));
    }
}

fn report(report: &UpgradeReport) {
    for module in &report.modules {
        let (from, to) = (
            module.from.as_deref().unwrap_or("(none)"),
            module.to.as_deref().unwrap_or("(gone)"),
        );
        line(&format!("{} {}: {from} -> {to}", module.action, module.module));
        if let Some(rehearsal) = &module.rehearsal {
            line(&format!("  rehearsal {rehearsal}"));
        }
    }
    match report.revision {
        Some(revision) => line(&format!(
            "revision {revision}; gate closed for {} us, {} calls waited",
            report.gate_us, report.waited
        )),
        None => line("nothing was switched"),
    }
    for warning in report.warnings.iter().chain(&report.lossy) {
        talk(warning);
    }
}

fn version(version: &VersionStatus) {
    let digest = version.digest.get(..12).unwrap_or(&version.digest);
    line(&format!(
        "{:<20} {:<16} {digest} {}",
        version.module, version.version, version.status
    ));
}

async fn events(args: &Args, client: &Client, since: u64, follow: bool) -> Result<Exit, Failure> {
    let mut stream = client.events(since, follow).await?;
    while let Some(next) = stream.next().await? {
        match next {
            EventLine::Event(event) if args.json => json(&event),
            EventLine::Event(event) => {
                let kind = serde_json::to_value(event.kind).unwrap_or_default();
                line(&format!(
                    "{:>6} {:<14} {}",
                    event.sequence,
                    kind.as_str().unwrap_or_default(),
                    event.message.escape_debug()
                ));
            }
            other => talk(&format!("{other:?}")),
        }
    }
    Ok(Exit::Done)
}

async fn state(client: &Client, verb: &StateVerb) -> Result<Exit, Failure> {
    let of = |whose: &Whose| (whose.module.clone(), whose.key.clone());
    let failed =
        |path: &Path, error: &std::io::Error| Failure::new("io", Exit::Failed, format!("{}: {error}", path.display()));
    let shown: StateShown = match verb {
        StateVerb::Show(whose) => {
            let (module, key) = of(whose);
            client.state_show(&module, key.as_deref()).await?
        }
        StateVerb::Export { whose, output } => {
            let (module, key) = of(whose);
            let bytes = client.state_export(&module, key.as_deref()).await?;
            std::fs::write(output, &bytes).map_err(|error| failed(output, &error))?;
            talk(&format!("{} bytes in {}", bytes.len(), output.display()));
            return Ok(Exit::Done);
        }
        StateVerb::Import { whose, file } => {
            let (module, key) = of(whose);
            let bytes = std::fs::read(file).map_err(|error| failed(file, &error))?;
            client.state_import(&module, key.as_deref(), bytes).await?
        }
        StateVerb::Reset(whose) => {
            let (module, key) = of(whose);
            client.state_reset(&module, key.as_deref()).await?
        }
        StateVerb::Restore(whose) => {
            let (module, key) = of(whose);
            client.state_restore(&module, key.as_deref()).await?
        }
    };
    // A state is a tree: JSON is its plainest text.
    json(&shown);
    Ok(Exit::Done)
}

fn inspect(file: &Path) -> Result<Exit, Failure> {
    let refused = |code: &str, message: String| Failure::new(code, Exit::Refused, message);
    let taken =
        take(file, INSPECT_MAX).map_err(|error| refused(error.code(), format!("{}: {error}", file.display())))?;
    let description = describe(&taken.stem, &taken.bytes)
        .map_err(|error| refused(error.code(), format!("{}: {error}", file.display())))?;
    json(&description);
    Ok(Exit::Done)
}
