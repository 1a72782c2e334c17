//! The real binary: processes, their lines, their exit codes.

use super::{HANG, put_guests};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A process whose lines are waited for; it is killed when this is dropped.
pub(crate) struct Lines {
    child: Child,
    lines: Receiver<String>,
    /// All lines so far.
    pub(crate) seen: Vec<String>,
}

impl Lines {
    /// What it says on standard output.
    pub(crate) fn of_output(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = child.stdout.take().unwrap();
        Self::new(child, said)
    }

    /// What it says on standard error.
    pub(crate) fn of_talk(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = child.stderr.take().unwrap();
        Self::new(child, said)
    }

    fn new(child: Child, said: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        // Read to the end, whoever listens: a full pipe would stop the process.
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let seen = Vec::new();
        Self { child, lines, seen }
    }

    /// The next line that is wanted.
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(HANG) else {
                panic!("not among the lines:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Waits for the end of the process; gives its exit code. What it still said is in `seen`.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let code = ended(&mut self.child);
        while let Ok(line) = self.lines.recv_timeout(HANG) {
            self.seen.push(line);
        }
        code
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process, but not for ever: a hang must not become the hang of the test.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begin.elapsed() < HANG, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program, if this machine has it. A test that needs it is skipped without it, loudly; where `CI` is set that is a failure. The flag
/// is one with which it does nothing.
pub(crate) fn tool(name: &str, flag: &str) -> Option<Command> {
    let silent = |stream: &mut Command| stream.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if silent(Command::new(name).arg(flag)).is_ok() {
        return Some(Command::new(name));
    }
    skip(&format!("{name} is not installed (Debian: apt-get install {name})"));
    None
}

/// Says that a test shows nothing on this machine. In CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED, AND NOT SHOWN: {why}");
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// `wasmhot run` as a process of its own; it is killed when this is dropped.
pub(crate) struct Binary {
    host: Lines,
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
        Self::start(root, flags, None)
    }

    fn start(root: tempfile::TempDir, flags: &[&str], kill_at: Option<&str>) -> Self {
        let mut command = command(root.path());
        command.arg("run").arg(root.path().join("app")).args(flags);
        if !flags.contains(&"--compile-timeout") {
            // On a machine that is busy a compiler takes its time.
            command.args(["--compile-timeout", "10m"]);
        }
        command.envs(kill_at.map(|place| ("WASMHOT_KILL_AT", place)));
        let mut host = Lines::of_talk(&mut command);
        let ready = host.until(|line| line.starts_with("wasmhot: ready"));
        Self { host, root, ready }
    }

    /// Waits until the host says this on standard error.
    pub(crate) fn says(&mut self, text: &str) -> String {
        self.host.until(|line| line.contains(text))
    }

    /// A verb that stays, such as `events -f`.
    pub(crate) fn stays(&self, args: &[&str]) -> Lines {
        Lines::of_output(command(self.root.path()).args(args))
    }

    /// Puts a file into the watched directory, whole at once.
    pub(crate) fn drop_file(&self, name: &str, bytes: &[u8]) {
        let made = self.outside(name, bytes);
        std::fs::rename(&made, self.app().join(name)).unwrap();
    }

    /// A file outside of the watched directory.
    pub(crate) fn outside(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let made = self.root.path().join(name);
        std::fs::write(&made, bytes).unwrap();
        made
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
        self.host.pid()
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

    /// Runs a verb with `--json`; gives its exit code and what it printed.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, serde_json::Value) {
        let output = self.cli(&[args, &["--json"]].concat());
        let printed = String::from_utf8(output.stdout).unwrap();
        let value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args:?}: {error}: {printed}"));
        (output.status.code().unwrap_or(-1), value)
    }

    /// Waits for the end of the process; gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.host.ended()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.host.kill();
    }

    /// Starts it again on the same directories, after it has ended.
    pub(crate) fn again(self, flags: &[&str]) -> Self {
        let Self { mut host, root, .. } = self;
        host.ended();
        Self::start(root, flags, None)
    }

    /// As [`Binary::again`], and it is killed at this place of an upgrade.
    pub(crate) fn again_until(self, place: &str, flags: &[&str]) -> Self {
        let Self { mut host, root, .. } = self;
        host.ended();
        Self::start(root, flags, Some(place))
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
        .env_remove("WASMHOT_KILL_AT")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}
