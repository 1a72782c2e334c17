//! `wasmhot run`: a host, its control socket, and the signals that end it. And `wasmhot stop`.

use super::args::Run;
use super::output::Output;
use super::progress::Progress;
use super::signals::Signals;
use super::text::count;
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, Status, StopReport};
use crate::control::server::serve;
use crate::control::socket::BoundSocket;
use crate::event::Events;
use crate::host::{Host, HostBuilder};
use crate::http::{Listener, serve as serve_http};
use etcetera::BaseStrategy;
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

pub(super) async fn run(out: &Output, socket: &Path, run: &Run) -> Result<Exit, Failure> {
    let state = match &run.state {
        // As others see it, who have another working directory.
        Some(state) => std::path::absolute(state)
            .map_err(|error| Failure::new("io", Exit::Refused, format!("{}: {error}", state.display())))?,
        None => default_state(&run.source)?,
    };
    let mut signals = Signals::new()?;
    let progress = Progress::new(out, &format!("starting {}", run.source.display()));
    log(out, &progress);
    let builder = Host::builder()
        .source(&run.source)
        .state_dir(state)
        .limits(run.limits())
        .settings(run.settings());
    let builder = match &run.restore {
        Some(backup) => builder.restore(backup),
        None => builder,
    };
    // Before anything is started: an address that is in use is known at once.
    let listener = run.listen.map(Listener::bind).transpose()?;
    let started = tokio::select! {
        started = start(builder, socket, &progress) => started,
        exit = signals.next() => {
            progress.end();
            return Ok(exit);
        }
    };
    progress.end();
    let running = started?.listening(listener);
    ready(out, socket, &running.host.status());
    Ok(running.until(out, &mut signals).await)
}

/// A host that serves its socket.
pub(super) struct Running {
    pub(super) host: Host,
    /// Ends after the host.
    pub(super) server: JoinHandle<()>,
    /// Likewise, where HTTP is served.
    http: Option<JoinHandle<()>>,
}

/// Starts a host with a socket.
pub(super) async fn start(builder: HostBuilder, socket: &Path, progress: &Progress) -> Result<Running, Failure> {
    let socket = BoundSocket::bind(socket)?;
    let events = Arc::new(Events::default());
    let (_, mut live) = events.since(0);
    let starting = builder.events(events).start();
    let mut starting = std::pin::pin!(starting);
    let host = loop {
        tokio::select! {
            host = &mut starting => break host?,
            Ok(event) = live.recv() => progress.event(&event),
        }
    };
    let server = tokio::spawn(serve(socket, host.clone(), {
        let host = host.clone();
        async move { drop(host.stopped().await) }
    }));
    Ok(Running {
        host,
        server,
        http: None,
    })
}

impl Running {
    /// Serves HTTP there from now on.
    fn listening(mut self, listener: Option<Listener>) -> Self {
        if let Some(listener) = listener {
            self.host.note_listening(Some(listener.address()));
            self.http = Some(tokio::spawn(serve_http(listener, self.host.clone())));
        }
        self
    }

    /// Until it is stopped: over the socket, or by a signal. A second signal does not wait for calls and saves.
    async fn until(self, out: &Output, signals: &mut Signals) -> Exit {
        let exit = tokio::select! {
            // Over the socket: whoever asked was told.
            report = self.host.stopped() => exit_of(&report),
            _ = signals.next() => {
                out.talk("stopping: started calls end, then states are saved; a second signal waits for neither");
                tokio::select! {
                    report = self.host.stop() => {
                        told(out, &report);
                        exit_of(&report)
                    }
                    second = signals.next() => return second,
                }
            }
        };
        // The last answers, that to `stop` among them, are on their way.
        let answered = async {
            let _ = self.server.await;
            if let Some(http) = self.http {
                let _ = http.await;
            }
        };
        tokio::select! {
            () = answered => exit,
            second = signals.next() => second,
        }
    }
}

/// That it takes calls, for programs.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    socket: &'a Path,
    #[serde(flatten)]
    status: &'a Status,
}

fn ready(out: &Output, socket: &Path, status: &Status) {
    if out.json {
        out.json_line(&Ready {
            ready: true,
            socket,
            status,
        });
        return;
    }
    let watching = match &status.directory {
        Some(directory) => format!(", watching {}", directory.display()),
        None => String::new(),
    };
    let http = match &status.http {
        Some(http) => format!(", http://{}", http.address),
        None => String::new(),
    };
    out.talk(&format!(
        "ready: release {} (revision {}), {}{watching}, socket {}{http}",
        status.release,
        status.revision,
        count(status.modules.len() as u64, "module"),
        socket.display()
    ));
}

pub(super) async fn stop(out: &Output, client: &Client) -> Result<Exit, Failure> {
    let report = client.stop().await?;
    let exit = exit_of(&report);
    if out.json {
        out.json(&report, exit);
    } else {
        told(out, &report);
    }
    Ok(exit)
}

/// Stopped in any case; without a state or in the middle of a call only half well.
fn exit_of(report: &StopReport) -> Exit {
    if report.not_saved.is_empty() && report.interrupted == 0 {
        Exit::Done
    } else {
        Exit::Degraded
    }
}

fn told(out: &Output, report: &StopReport) {
    for (name, why) in &report.not_saved {
        out.warn(&format!("{name} was not saved: {why}"));
    }
    if report.interrupted > 0 {
        out.warn(&format!("{} had not ended", count(report.interrupted, "call")));
    }
    out.talk(&format!("stopped; {} saved", count(report.saved, "state")));
}

/// `<user's state directory>/wasmhot/<name of the source>`.
fn default_state(source: &Path) -> Result<PathBuf, Failure> {
    let wrong = |error: std::io::Error| Failure::new("io", Exit::Refused, format!("{}: {error}", source.display()));
    let full = source.canonicalize().map_err(wrong)?;
    let nowhere = |error: String| Failure::new("no-state-dir", Exit::Refused, format!("{error}; give --state DIR"));
    let base = etcetera::choose_base_strategy().map_err(|error| nowhere(error.to_string()))?;
    let root = base
        .state_dir()
        .ok_or_else(|| nowhere("no state directory is known".to_string()))?;
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

/// Text on a terminal, JSON otherwise; the level by `-q` and `-v`, else by `WASMHOT_LOG`.
pub(super) fn log(out: &Output, progress: &Progress) {
    let level = match (out.quiet, out.verbose) {
        (true, _) => Some("warn"),
        (false, 0) => None,
        (false, 1) => Some("info,wasmhot=debug"),
        (false, _) => Some("info,wasmhot=trace"),
    };
    let filter = match level {
        Some(level) => EnvFilter::new(level),
        None => EnvFilter::try_from_env("WASMHOT_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(out.color_err())
        .with_writer(progress.clone());
    if std::io::stderr().is_terminal() {
        log.with_target(false).init();
    } else {
        log.json().init();
    }
}
