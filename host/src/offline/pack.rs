//! A release in one file: `NAME-VERSION.tar.zst`.
//!
//! It is a tar of plain files, compressed with zstd. The first of them, `wasmhot-pack.json`, names all others in their order, with
//! size and sha256; so whoever reads it knows before each file what it has to be, and at the end whether all were there.

use super::check::middle_spec;
use super::paths::{io, settled};
use super::read::{OnDisk, read_module};
use super::read_relup;
use super::release::ReadRelease;
use crate::control::protocol::{Exit, Failure};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use wasmhot_appup::{Digest, Release, Version};

/// The first file of a pack.
pub(super) const CONTENTS: &str = "wasmhot-pack.json";
/// The release in it.
pub(super) const RELEASE: &str = "release.toml";
/// The way to it.
const RELUP: &str = "relup.toml";
/// The format that this wasmhot writes and reads.
pub(super) const FORMAT: u32 = 1;
/// Bytes that all files of a pack may have together: 1 GiB.
pub(super) const PACK_MAX: u64 = 1 << 30;
/// Files that a pack may have.
pub(super) const FILES_MAX: usize = 4096;

/// What is in a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contents {
    /// Of this description.
    pub(crate) format: u32,
    /// Name of the release.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Version,
    /// The files, in their order.
    pub(crate) files: Vec<PackedFile>,
}

/// A file in a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackedFile {
    /// Where it lies, relative to the release.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) size: u64,
    /// Their digest.
    pub(crate) sha256: Digest,
}

/// Why a path is none that a pack may have: it has to stay below the folder, by plain names.
pub(super) fn path_trick(path: &str) -> Option<&'static str> {
    let mut parts = 0;
    for part in Path::new(path).components() {
        match part {
            Component::Normal(_) => parts += 1,
            Component::ParentDir => return Some("it leads out of the directory"),
            Component::RootDir | Component::Prefix(_) => return Some("it is absolute"),
            Component::CurDir => return Some("it is not plain"),
        }
    }
    let plain: PathBuf = Path::new(path).components().collect();
    match parts {
        0 => Some("it is empty"),
        // `a//b` and `a/` name a file in a second way.
        _ if plain.as_os_str() != path => Some("it is not plain"),
        _ if path.chars().any(|c| c.is_control() || c == '\\') || path.len() > 1024 => Some("it is no name for a file"),
        _ => None,
    }
}

/// Packs a release.toml with the files of its modules and their appups; and the relup.toml beside it, if that leads to this release,
/// with the versions that states go through (`[[middle]]`).
///
/// # Errors
/// What a host would refuse of them; files outside of the release's folder; more than fits.
pub(crate) fn pack(source: &Path) -> Result<(Contents, Vec<u8>), Failure> {
    let read = ReadRelease::read(source)?;
    let refused = |code: &str, message: String| Err(Failure::new(code, Exit::Refused, message));
    let Some(file) = &read.file else {
        let message = format!("{}: there is no release.toml to pack", source.display());
        return refused("no-release", message);
    };
    let text = std::fs::read_to_string(file).map_err(|error| io(file, &error))?;
    let release = Release::parse(&file.display().to_string(), &text)
        .map_err(|faults| Failure::new("bad-release", Exit::Refused, faults.to_string()))?;
    let folder = settled(file.parent().unwrap_or(Path::new(".")))?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for spec in &release.modules {
        let Some(module) = read.files.get(&spec.name) else {
            continue;
        };
        let within = spec.path.as_deref().filter(|path| Path::new(path).is_absolute());
        for (path, bytes) in parts(module)? {
            let relative = super::paths::relative(&folder, &path).display().to_string();
            if let Some(why) = within.map(|_| "it is absolute").or_else(|| path_trick(&relative)) {
                let message = format!(
                    "{}: the path of `{}` cannot be packed: {why}\n  help: put the file beside the release.toml, or below it",
                    path.display(),
                    spec.name
                );
                return refused("bad-path", message);
            }
            files.insert(relative, bytes);
        }
    }
    for (path, bytes) in way_to(&folder, &release)? {
        if let Some(why) = path_trick(&path) {
            let message =
                format!("{RELUP}: the path {path:?} in it cannot be packed: {why}\n  help: put the file beside it");
            return refused("bad-path", message);
        }
        files.insert(path, bytes);
    }
    for name in [RELEASE, CONTENTS] {
        if files.contains_key(name) {
            return refused("bad-path", format!("no file of a module can be called {name}"));
        }
    }
    let mut all = vec![(RELEASE.to_string(), text.into_bytes())];
    all.extend(files);
    let total: u64 = all.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    if total > PACK_MAX || all.len() > FILES_MAX {
        let message = format!(
            "{} files of {total} bytes: a pack may have {FILES_MAX} of {PACK_MAX}",
            all.len()
        );
        return refused("too-large", message);
    }
    let contents = Contents {
        format: FORMAT,
        name: release.name,
        version: release.version,
        files: all
            .iter()
            .map(|(path, bytes)| PackedFile {
                path: path.clone(),
                size: bytes.len() as u64,
                sha256: Digest::of(bytes),
            })
            .collect(),
    };
    let tar = tar_of(&contents, &all).map_err(|error| Failure::new("io", Exit::Failed, error.to_string()))?;
    Ok((contents, compress_to_vec(&tar[..], CompressionLevel::Fastest)))
}

/// The relup that leads to a release, with the files that it names. None where it leads elsewhere.
fn way_to(folder: &Path, release: &Release) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let file = folder.join(RELUP);
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let relup = read_relup(&file)?;
    if (&relup.release.name, &relup.release.to) != (&release.name, &release.version) {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&file).map_err(|error| io(&file, &error))?;
    let mut files = vec![(RELUP.to_string(), text)];
    let specs = relup.middle.iter().map(middle_spec).chain(relup.modules);
    for spec in specs.filter(|spec| spec.path.is_some()) {
        // It is what the relup says of it, or a host would refuse it.
        let module = read_module(folder, &spec)?;
        files.push((spec.path.unwrap_or_default(), module.bytes.to_vec()));
    }
    Ok(files)
}

/// The files of a module: itself and its appup.
fn parts(module: &OnDisk) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let mut parts = vec![(module.path.clone(), module.bytes.to_vec())];
    if let Some(appup) = &module.appup_file {
        let text = std::fs::read(appup).map_err(|error| io(appup, &error))?;
        parts.push((appup.clone(), text));
    }
    Ok(parts)
}

/// The same files give the same bytes: no times, no owners.
fn tar_of(contents: &Contents, files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let head = serde_json::to_vec_pretty(contents)?;
    let head = std::iter::once((CONTENTS, &head));
    for (path, bytes) in head.chain(files.iter().map(|(path, bytes)| (path.as_str(), bytes))) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, path, &bytes[..])?;
    }
    tar.into_inner()
}
