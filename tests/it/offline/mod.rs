//! What needs no host: releases are planned, checked, packed, installed and tried with the real binary, and what comes of it is given
//! to real hosts.

mod backup;
mod check;
mod installed;
mod pack;
mod plan;
mod trial;

use crate::support::{command, put_guests};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A folder, and the binary beside it, without a host.
struct Offline {
    root: tempfile::TempDir,
}

impl Offline {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    /// The releases of donations with their modules and appups, in `app`.
    fn donations() -> Self {
        let offline = Self::new();
        put_donations(&offline.folder("app"));
        offline
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A folder, made if it is not there.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a verb in the folder: exit code, result, talk.
    fn cli(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = command(self.root.path());
        let output = command.current_dir(self.root.path()).args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Runs a verb that must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let (code, printed, said) = self.cli(args);
        assert_eq!(code, 0, "wasmhot {args:?}\n{printed}\n{said}");
        printed
    }

    /// Runs a verb that must be refused; gives what it said.
    fn refused(&self, args: &[&str]) -> String {
        let (code, printed, said) = self.cli(args);
        assert_eq!(code, 4, "wasmhot {args:?}\n{printed}\n{said}");
        said
    }

    /// Runs a verb with `--json`.
    fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, printed, said) = self.cli(&[args, &["--json"]].concat());
        let value =
            serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args:?}: {error}: {printed}\n{said}"));
        (code, value)
    }
}

/// The files that lie in `modules/donations`, and the modules that they name.
fn put_donations(app: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/donations");
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            std::fs::copy(&path, app.join(path.file_name().unwrap())).unwrap();
        }
    }
    put_guests(
        app,
        &[
            "server-1.0.0",
            "server-1.1.0",
            "server-1.2.0",
            "calculator-1.0.0",
            "calculator-1.1.0",
            "receipts-1.0.0",
        ],
    );
}
