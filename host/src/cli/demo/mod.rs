//! `wasmhot demo`: the main job before one's eyes. A real host in a directory of its own, clients that call without a pause, a new
//! version that is dropped, undone, and a bad one that is refused; then the figures, from the clients' own notes and the host's
//! reports.

mod guests;
mod load;

use super::args::Demo;
use super::output::{Output, Style};
use super::progress::Progress;
use super::run::{Running, log, start};
use super::signals::Signals;
use super::text::{clean, count, grouped, size, time};
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, ModuleReport, UndoRequest, UpgradeReport};
use crate::control::socket::PATH_LENGTH_MAX;
use crate::event::{Event, EventKind};
use crate::host::Host;
use load::{Counters, Load, Outcome, ask};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A drop that has no outcome after this time has none.
const OUTCOME_MAX: Duration = Duration::from_secs(60);

/// Everything that was seen, for programs.
#[derive(Debug, Default, Serialize)]
struct Report {
    load: Outcome,
    upgrades: Vec<Upgraded>,
    /// Why the bad version does not run.
    refused: String,
    /// The most memory that this process had, in bytes; none where the system does not say.
    memory_peak: Option<u64>,
    /// The memory that it has at the end.
    memory_now: Option<u64>,
}

/// An upgrade under load.
#[derive(Debug, Serialize)]
struct Upgraded {
    /// The longest call while it ran and the calls that had waited were answered.
    longest_call_us: u64,
    report: UpgradeReport,
}

pub(super) async fn demo(out: &Output, verb: &Demo) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let root = directory()?;
    let app = root.path().join("app");
    write(&app, "counter-1.0.0.wasm", guests::COUNTER_1)?;
    let progress = Progress::new(out, "starting a host");
    if out.verbose > 0 {
        log(out, &progress);
    }
    let socket = root.path().join("host.sock");
    let builder = Host::builder().source(&app).state_dir(root.path().join("state"));
    let Running { host, server, .. } = tokio::select! {
        started = start(builder, &socket, &progress) => started?,
        exit = signals.next() => return Ok(exit),
    };
    let story = Story {
        out,
        progress: &progress,
        began: Instant::now(),
        pace: verb.pace,
        host: &host,
        client: Client::new(&socket),
        app: &app,
    };
    let told = tokio::select! {
        told = story.tell(verb.clients) => told.map(Ok),
        exit = signals.next() => Ok(Err(exit)),
    };
    progress.end();
    let stopped = tokio::select! {
        report = host.stop() => Some(report),
        // A second signal does not wait.
        _ = signals.next() => None,
    };
    if stopped.is_some() {
        let _ = server.await;
    }
    let exit = match told? {
        Ok(report) => figures(out, &report)?,
        Err(exit) => {
            out.talk("interrupted: the host is stopped, its directory removed");
            exit
        }
    };
    root.close()
        .map_err(|error| io(Path::new("the demo's directory"), &error))?;
    Ok(exit)
}

/// Where everything lies; a socket's path may not be long.
fn directory() -> Result<TempDir, Failure> {
    let make = |base: &Path| {
        let made = tempfile::Builder::new().prefix("wasmhot-demo-").tempdir_in(base);
        made.map_err(|error| io(base, &error))
    };
    let made = make(&std::env::temp_dir())?;
    if made.path().join("host.sock").as_os_str().len() <= PATH_LENGTH_MAX {
        return Ok(made);
    }
    make(Path::new("/tmp"))
}

/// Puts a file into the directory as a careful program does: whole at once.
fn write(app: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (made, placed) = (app.with_extension("new"), app.join(name));
    std::fs::create_dir_all(app).map_err(|error| io(app, &error))?;
    std::fs::write(&made, bytes).map_err(|error| io(&made, &error))?;
    std::fs::rename(&made, &placed).map_err(|error| io(&placed, &error))
}

fn io(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("io", Exit::Failed, format!("{}: {error}", path.display()))
}

/// What the story needs to be told.
struct Story<'a> {
    out: &'a Output,
    progress: &'a Progress,
    began: Instant,
    pace: Duration,
    host: &'a Host,
    client: Client,
    app: &'a Path,
}

impl Story<'_> {
    async fn tell(&self, clients: u32) -> Result<Report, Failure> {
        let mut report = Report::default();
        self.say(&format!("a host runs counter 1.0.0 from {}", self.app.display()));
        self.more(&format!(
            "in another terminal: wasmhot status --watch --socket {}",
            self.client.socket().display()
        ));
        ask(&self.client, "increment(42)").await?;
        self.more(&format!(
            "increment(42): describe() says {}",
            ask(&self.client, "describe()").await?
        ));

        self.say(&format!(
            "{clients} clients call record(client, 1), record(client, 2), … without a pause"
        ));
        self.more("the counter refuses gaps and repeats: a lost call, or one run twice, would be seen");
        let load = Load::start(&self.client, clients);
        let _ticker = Ticker::start(self.progress, &load.counters);
        self.pause().await;

        self.say("drop counter-2.0.0.wasm into the directory: its value has another name and another type");
        load.take_longest_us();
        let since = self.last_event();
        write(self.app, "counter-2.0.0.wasm", guests::COUNTER_2)?;
        let event = self.outcome(since).await?;
        report.upgrades.push(self.switched(&load, upgrade_of(&event)?).await?);
        ask(&self.client, "increment(8)").await?;
        self.more(&format!(
            "increment(8) on version 2.0.0: describe() says {}",
            ask(&self.client, "describe()").await?
        ));
        self.pause().await;

        self.say("undo: back to 1.0.0, with the state of now");
        load.take_longest_us();
        let undone = self.client.undo(&UndoRequest::default()).await?;
        report.upgrades.push(self.switched(&load, undone).await?);
        self.pause().await;

        self.say("drop a bad counter-3.0.0.wasm: its migrate traps");
        let since = self.last_event();
        write(self.app, "counter-3.0.0.wasm", &guests::bad_counter()?)?;
        let event = self.outcome(since).await?;
        if event.kind == EventKind::Switched {
            return Err(Failure::new(
                "bad-version-runs",
                Exit::Failed,
                "the bad version was not refused",
            ));
        }
        load.moves_on().await?;
        report.refused = clean(event.message.lines().next().unwrap_or_default());
        self.more(&self.out.paint(Style::Yellow, &report.refused));
        self.more(&format!(
            "nothing else happened: describe() says {}",
            ask(&self.client, "describe()").await?
        ));
        self.pause().await;

        report.load = load.end(&self.client).await?;
        (report.memory_peak, report.memory_now) = memory();
        Ok(report)
    }

    /// A switch was made: what it took, and that the state is there.
    async fn switched(&self, load: &Load, report: UpgradeReport) -> Result<Upgraded, Failure> {
        load.moves_on().await?;
        let longest_call_us = load.take_longest_us();
        let done = format!("revision {}: {}", report.revision.unwrap_or(0), took(&report));
        self.more(&self.out.paint(Style::Green, &done));
        let (version, value) = (
            ask(&self.client, "version()").await?,
            ask(&self.client, "describe()").await?,
        );
        self.more(&format!("version() says {version}, describe() says {value}"));
        Ok(Upgraded {
            longest_call_us,
            report,
        })
    }

    fn last_event(&self) -> u64 {
        self.host.events().since(0).0.last().map_or(0, |event| event.sequence)
    }

    /// What became of a drop.
    async fn outcome(&self, since: u64) -> Result<Event, Failure> {
        let ends = |kind| matches!(kind, EventKind::Switched | EventKind::CalledOff | EventKind::Refused);
        let (kept, mut live) = self.host.events().since(since);
        if let Some(event) = kept.into_iter().find(|event| ends(event.kind)) {
            return Ok(event);
        }
        let waiting = async {
            loop {
                match live.recv().await {
                    Ok(event) if ends(event.kind) => return Ok(event),
                    Ok(_) => {}
                    Err(error) => return Err(Failure::new("internal", Exit::Bug, error.to_string())),
                }
            }
        };
        let never = |_| Failure::new("no-outcome", Exit::Failed, "nothing became of the dropped file");
        tokio::time::timeout(OUTCOME_MAX, waiting).await.map_err(never)?
    }

    async fn pause(&self) {
        tokio::time::sleep(self.pace).await;
    }

    fn say(&self, text: &str) {
        let at = self.began.elapsed().as_millis();
        let at = self
            .out
            .paint(Style::Dim, &format!("[{:>2}.{} s]", at / 1000, at % 1000 / 100));
        self.print(&format!("{at} {}", self.out.paint(Style::Bold, text)));
    }

    fn more(&self, text: &str) {
        self.print(&format!("         {text}"));
    }

    fn print(&self, text: &str) {
        if !self.out.json && !self.out.quiet {
            self.progress.above(|| self.out.line(text));
        }
    }
}

/// Shows how the load goes, on a terminal.
struct Ticker(JoinHandle<()>);

impl Ticker {
    fn start(progress: &Progress, counters: &Arc<Counters>) -> Self {
        let (progress, counters) = (progress.clone(), Arc::clone(counters));
        Self(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let answered = count(counters.answered.load(Ordering::Relaxed), "call");
                let failed = counters.failed.load(Ordering::Relaxed);
                progress.say(&format!("{answered} answered, {failed} failed"));
            }
        }))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The report of a switch that a drop made.
fn upgrade_of(event: &Event) -> Result<UpgradeReport, Failure> {
    if event.kind != EventKind::Switched {
        return Err(Failure::new("not-switched", Exit::Failed, event.message.clone()));
    }
    serde_json::from_value(event.details.clone())
        .map_err(|error| Failure::new("internal", Exit::Bug, format!("a report cannot be read: {error}")))
}

fn took(report: &UpgradeReport) -> String {
    let state = report.modules.iter().filter_map(|module| module.state_bytes).sum();
    format!(
        "gate closed for {}, {} waited, {} ran on the old version, {} of state handed over",
        time(report.gate_us),
        count(report.waited, "call"),
        count(report.on_old, "call"),
        size(state)
    )
}

/// Peak and present memory of this process, where the system says so.
fn memory() -> (Option<u64>, Option<u64>) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    (of("VmHWM:"), of("VmRSS:"))
}

/// Prints everything, and says whether it is as it should be.
fn figures(out: &Output, report: &Report) -> Result<Exit, Failure> {
    let load = &report.load;
    let well = load.failed == 0 && load.lost == 0 && load.repeated == 0;
    let exit = if well { Exit::Done } else { Exit::Failed };
    if out.json {
        out.json(report, exit);
        return Ok(exit);
    }
    out.line("");
    let agrees = format!(
        "{} were answered, the guest counted {}",
        grouped(load.calls - load.failed),
        grouped(load.counted)
    );
    let longest = format!(
        "{} (99 of 100: {}, median {})",
        time(load.longest_us),
        time(load.p99_us),
        time(load.median_us)
    );
    let lines = [
        (
            "calls made",
            format!(
                "{} by {}, {}/s",
                grouped(load.calls),
                count(load.clients, "client"),
                grouped(load.per_second)
            ),
        ),
        ("calls failed", grouped(load.failed)),
        ("calls lost", format!("{}: {agrees}", grouped(load.lost))),
        ("calls run twice", grouped(load.repeated)),
        ("longest call", longest),
    ];
    for (name, value) in lines {
        field(out, name, &value);
    }
    for upgraded in &report.upgrades {
        let UpgradeReport { modules, origin, .. } = &upgraded.report;
        let name = format!(
            "{origin} to {}",
            modules
                .first()
                .and_then(|one: &ModuleReport| one.to.as_deref())
                .unwrap_or("?")
        );
        let longest = time(upgraded.longest_call_us);
        field(
            out,
            &name,
            &format!("{}; longest call meanwhile {longest}", took(&upgraded.report)),
        );
    }
    field(out, "bad 3.0.0", "never ran; no call was touched");
    if let (Some(peak), Some(now)) = (report.memory_peak, report.memory_now) {
        let whole = "host, compiler and clients in one process";
        field(
            out,
            "memory",
            &format!("at most {}, now {} ({whole})", size(peak), size(now)),
        );
    }
    if well {
        return Ok(exit);
    }
    let why = load.failures.join("\n");
    let message = format!(
        "{} failed, {} lost, {} run twice\n{why}",
        load.failed, load.lost, load.repeated
    );
    Err(Failure::new("demo-failed", exit, message.trim_end()))
}

fn field(out: &Output, name: &str, value: &str) {
    out.line(&format!("{} {value}", out.paint(Style::Bold, &format!("{name:<16}"))));
}
