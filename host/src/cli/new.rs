//! `wasmhot new`: a project that builds, runs and upgrades at once. It is one of the tested examples (`modules/languages`), under
//! another name.
//!
//! No registry has the guest SDK yet: a project in Rust gets its sources, in `vendor/wasmhot`.

use super::args::{Language, New};
use super::output::Output;
use crate::control::protocol::{Exit, Failure};
use clap::ValueEnum;
use serde::Serialize;
use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wasmhot_appup::ModuleName;

/// Path and content.
type File = (&'static str, &'static [u8]);

/// A file of a project.
type Made = (PathBuf, Cow<'static, [u8]>);

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Where the examples say `counter` and mean the module's name: all of it, with what stands around it.
const NAMES: [(&str, &str); 6] = [
    ("name=", ""),
    ("name = \"", "\""),
    ("module ", "\n"),
    ("# ", "\n"),
    ("call ", " '"),
    ("", "-1.0.0"),
];
/// Where the example in Rust finds the guest SDK, and where a project does.
const SDK_PATHS: (&str, &str) = ("../../../guest-sdk", "vendor/wasmhot/guest-sdk");
const VENDOR: &str = "vendor/wasmhot";
/// What the SDK's folder is a workspace of.
const SDK_MEMBERS: &str = "members = [\"guest-sdk\", \"guest-sdk/macros\"]";

#[derive(Serialize)]
struct Written<'a> {
    folder: &'a str,
    language: &'a str,
    files: usize,
}

pub(super) fn new(out: &Output, verb: &New) -> Result<Exit, Failure> {
    let name = verb.name.as_str();
    let language = verb.lang.to_possible_value().map(|value| value.get_name().to_string());
    let language = language.unwrap_or_default();
    let files = project(&verb.name, &language)?;
    write(Path::new(name), &files).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new("exists", Exit::Refused, format!("{name} is there already")),
        _ => Failure::new(
            "not-written",
            Exit::Failed,
            format!("{name} cannot be written: {error}"),
        ),
    })?;
    if out.json {
        let written = Written {
            folder: name,
            language: &language,
            files: files.len(),
        };
        out.json(&written, Exit::Done);
        return Ok(Exit::Done);
    }
    let sdk = match verb.lang {
        Language::Rust => format!("; {VENDOR} in it is the guest SDK, which no registry has yet"),
        _ => String::new(),
    };
    out.line(&format!("{name}: a module in {language}, version 1.0.0{sdk}"));
    out.line(&format!("next: cd {name} && ./build.sh && wasmhot run build"));
    out.line(&format!(
        "then: wasmhot call {name} 'increment(5)'    # elsewhere; README.md goes on from here"
    ));
    Ok(Exit::Done)
}

/// The files of a new project.
fn project(name: &ModuleName, language: &str) -> Result<Vec<Made>, Failure> {
    let unknown = || {
        Failure::new(
            "internal",
            Exit::Bug,
            format!("this wasmhot carries no example in {language}"),
        )
    };
    let (_, example) = EXAMPLES
        .iter()
        .find(|(known, _)| *known == language)
        .ok_or_else(unknown)?;
    let mut files: Vec<Made> = example
        .iter()
        .map(|(path, content)| (PathBuf::from(path), named(path, content, name)))
        .collect();
    if language == "rust" {
        files.extend(SDK.iter().map(|(path, content)| {
            let content = match *path {
                "Cargo.toml" => only_sdk(content),
                _ => Cow::Borrowed(*content),
            };
            (Path::new(VENDOR).join(path), content)
        }));
    }
    Ok(files)
}

/// A file of an example, with this name for `counter`. The interface in `wit` is called so too, and stays.
fn named(path: &str, content: &'static [u8], name: &ModuleName) -> Cow<'static, [u8]> {
    let text = match std::str::from_utf8(content) {
        Ok(text) if !path.starts_with("wit/") => text,
        _ => return Cow::Borrowed(content),
    };
    let renamed = NAMES.iter().fold(text.to_string(), |text, (before, after)| {
        text.replace(&format!("{before}counter{after}"), &format!("{before}{name}{after}"))
    });
    Cow::Owned(renamed.replace(SDK_PATHS.0, SDK_PATHS.1).into_bytes())
}

/// The manifest from which the SDK inherits, with no members but the SDK.
fn only_sdk(manifest: &[u8]) -> Cow<'static, [u8]> {
    let manifest = String::from_utf8_lossy(manifest);
    let lines = manifest.lines().filter_map(|line| match line.split(' ').next() {
        Some("members") => Some(SDK_MEMBERS),
        Some("default-members" | "exclude") => None,
        _ => Some(line),
    });
    let lines: Vec<&str> = lines.collect();
    Cow::Owned(lines.join("\n").into_bytes())
}

/// Writes a folder, whole or not at all.
fn write(folder: &Path, files: &[Made]) -> io::Result<()> {
    if fs::symlink_metadata(folder).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let made = tempfile::Builder::new().prefix(".wasmhot-new-").tempdir_in(".")?;
    let root = made.path().join("project");
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&root))?;
        fs::write(&path, content)?;
        if path.extension().is_some_and(|kind| kind == "sh") {
            executable(&path)?;
        }
    }
    fs::rename(&root, folder)
}

fn executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
