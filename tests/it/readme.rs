//! The README tells the truth, and so does `docs/languages.md`: their sessions (`console` blocks, in order, in one shell) are run with the real binary, and what they
//! print is compared. Its Rust for guests stands in a guest that is built; its other Rust is a documentation test of the library.
//!
//! Alike are: `…` and anything; figures with a unit (`1.4 ms`, `83 B`), numbers of revisions and of calls that waited, spaces. The
//! command after a drop (`cp … app/`, `build.sh app`) is repeated until it prints what the README says, for a drop takes its time.

use crate::languages::{C, JAVASCRIPT, Language};
use crate::support::{HANG, command, guest};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn readme() -> String {
    text("README.md")
}

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The blocks of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == language {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

/// A command and what it prints.
struct Step {
    command: String,
    prints: Vec<String>,
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push(Step {
                command: command.to_string(),
                prints: Vec::new(),
            }),
            None => steps.last_mut().unwrap().prints.push(line.to_string()),
        }
    }
    steps
}

/// A shell in a folder of its own. It and all that it started are killed when this is dropped.
struct Shell {
    bash: Child,
    lines: Receiver<String>,
}

impl Shell {
    fn new(root: &Path) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_wasmhot"));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", binary.parent().unwrap().display());
        let mut bash = Command::new("bash");
        // The environment of the binary elsewhere in these tests, but with the socket where it is by default.
        let environment = command(root);
        bash.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env_remove("WASMHOT_SOCKET")
            .env_remove("NO_COLOR")
            .env("WASMHOT_LOG", "off")
            .env("PATH", path)
            // What cargo makes of the dependencies of new modules is kept for the next time.
            .env(
                "CARGO_TARGET_DIR",
                Path::new(env!("WASMHOT_GUESTS")).join("../languages/new"),
            )
            .current_dir(root)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut bash = bash.args(["--noprofile", "--norc"]).spawn().unwrap();
        let said = BufReader::new(bash.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut shell = Self { bash, lines };
        shell.write("exec 2>&1");
        shell
    }

    fn write(&mut self, line: &str) {
        let stdin = self.bash.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(HANG).expect("the shell goes on")
    }

    /// Runs a command to its end, or, one with `&`, until it has printed as many lines as wanted.
    fn run(&mut self, command: &str, wanted: usize) -> Vec<String> {
        const END: &str = "--- end of the command ---";
        self.write(&format!("{command}\necho '{END}'"));
        let mut printed = Vec::new();
        let mut ended = false;
        while !ended || (is_background(command) && printed.len() < wanted) {
            match self.line() {
                line if line == END => ended = true,
                line => printed.push(line),
            }
        }
        printed
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.bash.id().try_into().unwrap()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.bash.wait();
    }
}

fn without_comment(command: &str) -> &str {
    command.split(" # ").next().unwrap_or_default().trim_end()
}

fn is_background(command: &str) -> bool {
    without_comment(command).ends_with('&')
}

fn is_drop(command: &str) -> bool {
    let command = without_comment(command);
    command.starts_with("cp ") && command.ends_with(" app/") || command.contains("build.sh app")
}

/// A word that is a figure with its unit, such as `982.4µs`.
fn is_figure(word: &str) -> bool {
    const UNITS: [&str; 6] = ["ns", "µs", "ms", "s", "min", "h"];
    UNITS.iter().any(|unit| word.strip_suffix(unit).is_some_and(is_number))
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

/// The line without spaces to spare, and without what differs from run to run.
fn normal(line: &str) -> String {
    const UNITS: [&str; 10] = ["ns", "µs", "ms", "s", "min", "h", "B", "KiB", "MiB", "bytes"];
    let bare = |word: &str| word.trim_matches(|edge: char| "(),;:".contains(edge)).to_string();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut normal: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).map(|next| bare(next)).unwrap_or_default();
        let after = words.get(at + 2).map(|after| bare(after)).unwrap_or_default();
        let before = at.checked_sub(1).map(|at| words[at]).unwrap_or_default();
        let waited = next.starts_with("call") && after == "waited";
        let unit = UNITS.contains(&next.as_str());
        let varies = is_figure(&bare(word)) || is_number(&bare(word)) && (unit || waited || before == "revision");
        let is_unit = UNITS.contains(&bare(word).as_str()) && is_number(&bare(before));
        let word = if varies {
            word.replace(&bare(word), "#")
        } else if is_unit {
            word.replace(&bare(word), "unit")
        } else {
            (*word).to_string()
        };
        normal.push(if word == "call" { "calls".to_string() } else { word });
    }
    normal.join(" ")
}

fn is_like(printed: &str, expected: &str) -> bool {
    let (printed, expected) = (normal(printed), normal(expected));
    let mut rest = printed.as_str();
    let parts: Vec<&str> = expected.split('…').collect();
    let Some(after) = rest.strip_prefix(parts[0]) else {
        return false;
    };
    rest = after;
    for (at, part) in parts.iter().enumerate().skip(1) {
        let found = if at + 1 == parts.len() {
            rest.rfind(part)
        } else {
            rest.find(part)
        };
        let Some(found) = found else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
}

fn are_alike(printed: &[String], expected: &[String]) -> bool {
    printed.len() == expected.len() && printed.iter().zip(expected).all(|(one, other)| is_like(one, other))
}

#[test]
fn alike_is_what_differs_in_figures_only() {
    assert!(is_like(
        "gate closed for 14.0 ms, 0 calls waited",
        "gate closed for 1.3 ms, 1 call waited"
    ));
    assert!(is_like("38 B, migrated in 1.2 ms", "2 KiB, migrated in 41 µs"));
    assert!(is_like(
        "revision 4 (x): passed in 1.2ms (9 bytes)",
        "revision 5 (x): passed in 99.1µs (83 bytes)"
    ));
    assert!(is_like(
        "watching /tmp/a/app, socket /x/host.sock",
        "watching …/app, socket …/host.sock"
    ));
    assert!(!is_like("50", "42"));
    assert!(!is_like("ok(199)", "ok(200)"));
    assert!(!is_like("version 1", "version 2"));
    assert!(!is_like(
        "watching /tmp/a/app, socket /x/other",
        "watching …/app, socket …/host.sock"
    ));
}

#[test]
fn the_sessions_print_what_the_readme_says() {
    let readme = readme();
    let root = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(guest("counter-1.0.0").parent().unwrap()).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, root.path().join(file.file_name().unwrap())).unwrap();
    }
    let relups: Vec<String> = blocks(&readme, "toml")
        .into_iter()
        .filter(|block| block.contains("[[up]]"))
        .collect();
    std::fs::write(root.path().join("relup.toml"), &relups[0]).unwrap();
    let appup = blocks(&readme, "toml")
        .into_iter()
        .find(|block| block.contains("\nmodule = "));
    std::fs::write(root.path().join("server-1.1.0.appup.toml"), appup.unwrap()).unwrap();
    let sessions = blocks(&readme, "console");
    assert!(sessions.len() >= 3, "there are sessions");
    run_sessions(root.path(), &sessions);
}

#[test]
fn the_sessions_in_other_languages_print_what_their_text_says() {
    if ![&JAVASCRIPT, &C].into_iter().all(Language::is_possible) {
        return;
    }
    let sessions = blocks(&text("docs/languages.md"), "console");
    assert_eq!(sessions.len(), 2, "there are sessions");
    let root = tempfile::tempdir().unwrap();
    run_sessions(root.path(), &sessions);
}

/// Runs them one after another in one shell, and compares.
fn run_sessions(root: &Path, sessions: &[String]) {
    let mut shell = Shell::new(root);
    let mut dropped = false;
    for step in sessions.iter().flat_map(|block| steps(block)) {
        let begin = Instant::now();
        loop {
            let printed = shell.run(&step.command, step.prints.len());
            if are_alike(&printed, &step.prints) {
                break;
            }
            let (said, expected) = (printed.join("\n"), step.prints.join("\n"));
            let wait = dropped && begin.elapsed() < HANG;
            assert!(wait, "$ {}\n{said}\n--- but the text says\n{expected}", step.command);
            std::thread::sleep(Duration::from_millis(50));
        }
        dropped = is_drop(&step.command);
    }
}

#[test]
fn the_guest_of_the_readme_is_one_that_is_built() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/counter-1.1.0/src");
    let sources = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let sources = sources.collect::<Vec<_>>().join("\n");
    let built: Vec<&str> = sources.lines().map(str::trim).collect();
    let shown = blocks(&readme(), "rust,ignore").join("\n");
    let shown = shown
        .lines()
        .map(|line| line.split("    //").next().unwrap_or_default().trim());
    let shown: Vec<&str> = shown.filter(|line| !line.is_empty() && *line != "…").collect();
    assert!(shown.len() > 10);
    for line in shown {
        assert!(built.contains(&line), "not in the module: {line}");
    }
}
