//! What the tests share: guests, a host in this process ([`World`]), and the real binary ([`Binary`]).
//!
//! Nothing here sleeps: a test waits for an event or for the end of a process, with a bound that only a hang reaches.

mod binary;

pub(crate) use binary::{Binary, Lines, command, ended, signal, skip, tool};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wasmhot::control::protocol::{ApplyRequest, Failure, UpgradeReport};
use wasmhot::event::{Event, EventKind};
use wasmhot::{Host, HostBuilder};
use wasmhot_appup::LimitsSpec;

/// Only a hang takes this long.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// On a slow machine nothing is called off for its slowness.
pub(crate) fn patient() -> LimitsSpec {
    LimitsSpec {
        start_timeout: Some(HANG),
        health_timeout: Some(HANG),
        quiesce_timeout: Some(HANG),
        save_timeout: Some(HANG),
        migrate_timeout: Some(HANG),
        call_deadline: Some(HANG),
        max_pause: Some(HANG),
        ..LimitsSpec::default()
    }
}

/// The file of a guest, such as `counter-1.0.0`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("WASMHOT_GUESTS")).join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// The hostile guest with another version and a plan, such as `migrate=trap;health=err` (see `modules/hostile-1.0.0/src/plan.rs`).
/// Different plans make different bytes, so different versions.
pub(crate) fn hostile(version: &str, plan: &str) -> Vec<u8> {
    hostile_as("hostile", version, plan)
}

/// [`hostile`] under another name of as many letters.
pub(crate) fn hostile_as(name: &str, version: &str, plan: &str) -> Vec<u8> {
    const PLAN: &[u8] = b"WASMHOT-HOSTILE:";
    const PLAN_LENGTH: usize = 64;
    let mut bytes = std::fs::read(guest("hostile-1.0.0")).unwrap();
    let places = |bytes: &[u8], text: &[u8]| -> Vec<usize> {
        let found = bytes.windows(text.len()).enumerate();
        found.filter(|(_, window)| *window == text).map(|(at, _)| at).collect()
    };
    let plans = places(&bytes, PLAN);
    assert_eq!(plans.len(), 1, "one plan");
    let at = plans[0] + PLAN.len();
    let padded = format!("{plan:<PLAN_LENGTH$}");
    bytes[at..at + PLAN_LENGTH].copy_from_slice(padded.as_bytes());
    let old = r#""name":"hostile","version":"1.0.0""#;
    let new = format!(r#""name":"{name}","version":"{version}""#);
    assert_eq!(
        old.len(),
        new.len(),
        "a name as long as hostile, a version as long as 1.0.0"
    );
    for at in places(&bytes, old.as_bytes()) {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}

/// Copies guests, such as `counter-1.0.0`, into a directory.
pub(crate) fn put_guests(app: &Path, guests: &[&str]) {
    for name in guests {
        std::fs::copy(guest(name), app.join(format!("{name}.wasm"))).unwrap();
    }
}

/// A host in this process, with directories that go when it does.
pub(crate) struct World {
    pub(crate) host: Host,
    root: tempfile::TempDir,
}

impl World {
    /// A watched directory with these guests.
    pub(crate) async fn of(guests: &[&str]) -> Self {
        Self::with(guests, |builder| builder).await
    }

    /// A watched directory with nothing in it, and settings.
    pub(crate) async fn empty(settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        Self::with(&[], settings).await
    }

    /// As [`World::of`], with settings.
    pub(crate) async fn with(guests: &[&str], settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        Self::prepared(|app| put_guests(app, guests), settings).await
    }

    /// A directory that is prepared before the host starts: with a `release.toml` it is a release.
    pub(crate) async fn prepared(
        prepare: impl FnOnce(&Path),
        settings: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        let app = root.path().join("app");
        std::fs::create_dir(&app).unwrap();
        prepare(&app);
        Self::start(root, &app, settings).await
    }

    /// A release: `toml` is its text, in which paths are relative to a folder that holds these guests.
    pub(crate) async fn release(toml: &str, guests: &[&str]) -> Self {
        let prepare = |app: &Path| {
            put_guests(app, guests);
            std::fs::write(app.join("release.toml"), toml).unwrap();
        };
        Self::prepared(prepare, |builder| builder).await
    }

    /// A host with the hostile guest only: this version, this plan.
    pub(crate) async fn hostile(version: &str, plan: &str, settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let file = (format!("hostile-{version}.wasm"), hostile(version, plan));
        Self::of_files(&[file], settings).await
    }

    /// A directory with these files; if one is `release.toml`, that release.
    pub(crate) async fn of_files(
        files: &[(String, Vec<u8>)],
        settings: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let prepare = |app: &Path| {
            for (name, bytes) in files {
                std::fs::write(app.join(name), bytes).unwrap();
            }
        };
        Self::prepared(prepare, settings).await
    }

    async fn start(root: tempfile::TempDir, source: &Path, settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let mut builder = Host::builder().source(source).state_dir(root.path().join("state"));
        let release = std::fs::read_to_string(source.join("release.toml")).unwrap_or_default();
        if !release.contains("compile_timeout") {
            // On a machine that is busy a compiler takes its time.
            builder = builder.limits(LimitsSpec {
                compile_timeout: Some(Duration::from_secs(600)),
                ..LimitsSpec::default()
            });
        }
        let host = settings(builder).start().await.unwrap();
        Self { host, root }
    }

    /// Stops the host, and starts it again on the same directories.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|builder| builder).await
    }

    /// As [`World::restart`], with settings.
    pub(crate) async fn restart_with(self, settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        self.stopped(|_| {}, settings).await
    }

    /// As [`World::restart`]; while the host is down, something happens to the directory.
    pub(crate) async fn restart_after(self, meanwhile: impl FnOnce(&Path)) -> Self {
        self.stopped(meanwhile, |builder| builder).await
    }

    async fn stopped(self, meanwhile: impl FnOnce(&Path), settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let app = self.app();
        let stopped = self.host.stop().await;
        assert!(stopped.not_saved.is_empty(), "{stopped:?}");
        let Self { host, root } = self;
        drop(host);
        meanwhile(&app);
        Self::start(root, &app, settings).await
    }

    /// The watched directory.
    pub(crate) fn app(&self) -> PathBuf {
        self.root.path().join("app")
    }

    /// A folder outside of the watched directory.
    pub(crate) fn outside(&self) -> PathBuf {
        let outside = self.root.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        outside
    }

    /// Puts a file into the watched directory, whole at once.
    pub(crate) fn drop_file(&self, name: &str, bytes: &[u8]) {
        let made = self.outside().join(name);
        std::fs::write(&made, bytes).unwrap();
        std::fs::rename(&made, self.app().join(name)).unwrap();
    }

    /// Applies a file.
    pub(crate) async fn apply(&self, path: &Path) -> Result<UpgradeReport, Failure> {
        let path = path.to_path_buf();
        let request = ApplyRequest {
            path,
            ..ApplyRequest::default()
        };
        self.host.apply(request).await
    }

    /// Applies bytes, as a file of this name outside of the watched directory.
    pub(crate) async fn apply_bytes(&self, name: &str, bytes: &[u8]) -> Result<UpgradeReport, Failure> {
        let path = self.outside().join(name);
        std::fs::write(&path, bytes).unwrap();
        self.apply(&path).await
    }

    /// The number of the newest event.
    pub(crate) fn now(&self) -> u64 {
        self.host.events().since(0).0.last().map_or(0, |event| event.sequence)
    }

    /// The first event after `since` that is wanted.
    pub(crate) async fn event(&self, since: u64, wanted: impl Fn(&Event) -> bool) -> Event {
        self.event_within(HANG, since, wanted).await
    }

    /// As [`World::event`], for what may take longer than [`HANG`].
    pub(crate) async fn event_within(&self, limit: Duration, since: u64, wanted: impl Fn(&Event) -> bool) -> Event {
        let waiting = async {
            'anew: loop {
                let (kept, mut live) = self.host.events().since(since);
                if let Some(event) = kept.into_iter().find(&wanted) {
                    return event;
                }
                // Who falls behind looks at the kept ones again.
                while let Ok(event) = live.recv().await {
                    if wanted(&event) {
                        break 'anew event;
                    }
                }
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(event) => event,
            Err(_) => panic!("not among the events: {:#?}", self.host.events().since(since).0),
        }
    }

    /// The first event of this kind after `since`.
    pub(crate) async fn event_of(&self, since: u64, kind: EventKind) -> Event {
        self.event(since, |event| event.kind == kind).await
    }

    /// The condition of a module, as `status` shows it.
    pub(crate) fn condition(&self, module: &str) -> String {
        let status = self.host.status();
        let module = status.modules.into_iter().find(|found| found.module == module);
        module.unwrap().condition
    }
}

/// Waits for a condition that has no event, looking often.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < HANG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
