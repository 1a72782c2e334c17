//! `wasmhot run`: a host, its control socket, and the signals that end it.

use super::args::{Args, Run};
use super::output::talk;
use crate::control::protocol::{Exit, Failure};
use crate::control::server::serve;
use crate::control::socket::{BoundSocket, default_path};
use crate::host::Host;
use etcetera::BaseStrategy;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

pub(super) async fn run(args: &Args, run: &Run) -> Result<Exit, Failure> {
    log();
    let socket = BoundSocket::bind(&args.socket.clone().unwrap_or_else(default_path))?;
    let path = socket.path().to_path_buf();
    let state = match &run.state {
        Some(state) => state.clone(),
        None => default_state(&run.source)?,
    };
    let host = Host::builder()
        .source(&run.source)
        .state_dir(state)
        .limits(run.limits.spec())
        .settings(run.settings())
        .start()
        .await?;
    let server = tokio::spawn(serve(socket, host.clone(), {
        let host = host.clone();
        async move { host.stopped().await }
    }));
    let status = host.status();
    talk(&format!(
        "ready: release {} (revision {}), {} modules, socket {}",
        status.release,
        status.revision,
        status.modules.len(),
        path.display()
    ));
    let failed = |error: std::io::Error| Failure::new("signals", Exit::Bug, error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        () = host.stopped() => {}
        () = either(&mut terminate, &mut interrupt) => {
            // A second signal does not wait for calls and saves.
            tokio::select! {
                report = host.stop() => {
                    for (name, why) in &report.not_saved {
                        talk(&format!("{name} was not saved: {why}"));
                    }
                }
                () = either(&mut terminate, &mut interrupt) => return Ok(Exit::Failed),
            }
        }
    }
    // The answer to `stop` is on its way.
    let _ = server.await;
    Ok(Exit::Done)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// `<user's state directory>/wasmhot/<name of the source>`.
fn default_state(source: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: String| Failure::new("no-state-dir", Exit::Refused, format!("{error}; give --state DIR"));
    let base = etcetera::choose_base_strategy().map_err(|error| failed(error.to_string()))?;
    let root = base
        .state_dir()
        .ok_or_else(|| failed("no state directory is known".to_string()))?;
    let full = source
        .canonicalize()
        .map_err(|error| failed(format!("{}: {error}", source.display())))?;
    let full = if full.is_file() {
        full.parent().map(Path::to_path_buf).unwrap_or(full)
    } else {
        full
    };
    let name = full
        .file_name()
        .map_or_else(|| "root".to_string(), |name| name.to_string_lossy().into_owned());
    Ok(root.join("wasmhot").join(name))
}

/// Text on a terminal, JSON otherwise; the level by `WASMHOT_LOG`.
fn log() {
    let filter = EnvFilter::try_from_env("WASMHOT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
