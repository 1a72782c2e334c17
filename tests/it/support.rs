//! What the tests share: guests, a host in this process ([`World`]), and the real binary ([`Binary`]).
//!
//! Nothing here sleeps: a test waits for an event or for the end of a process, with a bound that only a hang reaches.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use wasmhot::control::protocol::{ApplyRequest, Failure, UpgradeReport};
use wasmhot::event::{Event, EventKind};
use wasmhot::{Host, HostBuilder};

/// Only a hang takes this long.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// The file of a guest, such as `counter-1.0.0`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("WASMHOT_GUESTS")).join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// The hostile guest with another version and a plan, such as `migrate=trap;health=err` (see `modules/hostile-1.0.0/src/plan.rs`).
/// Different plans make different bytes, so different versions.
pub(crate) fn hostile(version: &str, plan: &str) -> Vec<u8> {
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
    let (old, new) = (r#""version":"1.0.0""#, format!(r#""version":"{version}""#));
    assert_eq!(old.len(), new.len(), "a version as long as 1.0.0");
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
        let bytes = hostile(version, plan);
        let prepare = |app: &Path| std::fs::write(app.join(format!("hostile-{version}.wasm")), bytes).unwrap();
        Self::prepared(prepare, settings).await
    }

    async fn start(root: tempfile::TempDir, source: &Path, settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let builder = Host::builder().source(source).state_dir(root.path().join("state"));
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
        let (kept, mut live) = self.host.events().since(since);
        if let Some(event) = kept.into_iter().find(&wanted) {
            return event;
        }
        let waiting = async {
            loop {
                let event = live.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        };
        match tokio::time::timeout(HANG, waiting).await {
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

/// `wasmhot run` as a process of its own; it is killed when this is dropped.
pub(crate) struct Binary {
    child: Child,
    root: tempfile::TempDir,
    /// The line that said it was ready.
    pub(crate) ready: String,
}

impl Binary {
    /// Runs a directory with these guests.
    pub(crate) fn run(guests: &[&str], flags: &[&str]) -> Self {
        Self::prepared(|app| put_guests(app, guests), flags)
    }

    /// Runs a directory that is prepared before.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path), flags: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let app = root.path().join("app");
        std::fs::create_dir(&app).unwrap();
        prepare(&app);
        Self::start(root, flags)
    }

    fn start(root: tempfile::TempDir, flags: &[&str]) -> Self {
        let mut command = command(root.path());
        command.arg("run").arg(root.path().join("app")).args(flags);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut ready, mut before) = (String::new(), String::new());
        while !ready.contains("ready") || ready.starts_with('{') {
            before.push_str(&ready);
            ready.clear();
            let read = said.read_line(&mut ready).unwrap();
            assert_ne!(read, 0, "the host ended before it was ready:\n{before}");
        }
        // Nobody else reads it: a full pipe would stop the host.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { child, root, ready }
    }

    /// The watched directory.
    pub(crate) fn app(&self) -> PathBuf {
        self.root.path().join("app")
    }

    /// The folder in which everything lies: `app`, `run/host.sock`, `state`.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.path().join("run/host.sock")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a verb to its end.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        command(self.root.path()).args(args).output().unwrap()
    }

    /// Runs a verb that must succeed, and gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "wasmhot {args:?}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a verb that must fail, and gives its exit code and what it said.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.cli(args);
        assert!(!output.status.success(), "wasmhot {args:?} did not fail");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Waits for the end of the process; gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same directories, after it has ended.
    pub(crate) fn again(mut self, flags: &[&str]) -> Self {
        self.child.wait().unwrap();
        let root = std::mem::replace(&mut self.root, tempfile::tempdir().unwrap());
        Self::start(root, flags)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, with nothing of the user's: its socket and its state lie under `root`.
pub(crate) fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmhot"));
    command
        .env("XDG_RUNTIME_DIR", root)
        .env("XDG_STATE_HOME", root.join("state"))
        .env("WASMHOT_SOCKET", root.join("run/host.sock"))
        .env_remove("WASMHOT_LOG")
        .stdin(Stdio::null());
    command
}
