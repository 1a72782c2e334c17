//! `wasmhot pack` and `wasmhot install`: a release in one file, and out of it again.

use super::args::{Install, Pack};
use super::output::Output;
use super::text::{clean, count, size};
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, InstallRequest, InstalledRelease};
use crate::offline::{Contents, install as unpack, pack as pack_release, with_appup, write_file};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Packed<'a> {
    file: PathBuf,
    bytes: usize,
    #[serde(flatten)]
    contents: &'a Contents,
}

#[derive(Serialize)]
struct PackedModule {
    file: PathBuf,
    bytes: usize,
    module: String,
    version: String,
    digest: String,
}

pub(super) fn pack(out: &Output, verb: &Pack) -> Result<Exit, Failure> {
    if let Some(appup) = &verb.appup {
        return pack_module(out, verb, appup);
    }
    if crate::intake::is_wasm(&verb.source) {
        let message = "a single module is packed with its appup: add --appup FILE and -o OUT.wasm";
        return Err(Failure::new("no-appup", Exit::Usage, message));
    }
    let (contents, bytes) = pack_release(&verb.source)?;
    let named = || PathBuf::from(format!("{}-{}.tar.zst", contents.name, contents.version));
    let file = verb.output.clone().unwrap_or_else(named);
    write_file(&file, &bytes)?;
    if out.json {
        let packed = Packed {
            file,
            bytes: bytes.len(),
            contents: &contents,
        };
        out.json(&packed, Exit::Done);
        return Ok(Exit::Done);
    }
    out.line(&clean(&format!(
        "{}: release {} {}, {}, {}",
        file.display(),
        contents.name,
        contents.version,
        count(contents.files.len() as u64, "file"),
        size(bytes.len() as u64)
    )));
    Ok(Exit::Done)
}

fn pack_module(out: &Output, verb: &Pack, appup: &Path) -> Result<Exit, Failure> {
    let Some(file) = verb.output.clone() else {
        let message = "the module with its appup is a new file: add -o OUT.wasm";
        return Err(Failure::new("no-output", Exit::Usage, message));
    };
    let (id, bytes) = with_appup(&verb.source, appup)?;
    write_file(&file, &bytes)?;
    if out.json {
        let packed = PackedModule {
            file,
            bytes: bytes.len(),
            module: id.name.to_string(),
            version: id.version.to_string(),
            digest: id.digest.to_string(),
        };
        out.json(&packed, Exit::Done);
        return Ok(Exit::Done);
    }
    let file = file.display();
    out.line(&clean(&format!(
        "{file}: {} {}, sha256 {}",
        id.name, id.version, id.digest
    )));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Unpacked<'a> {
    folder: &'a Path,
    already: bool,
    name: &'a str,
    version: String,
    files: usize,
    /// Its name in the host, if one runs.
    known_as: Option<String>,
}

/// A host that runs is told: then the release has a name there.
async fn tell(out: &Output, client: &Client, folder: &Path) -> Result<Option<InstalledRelease>, Failure> {
    let failed = |error: std::io::Error| Failure::new("io", Exit::Failed, format!("{}: {error}", folder.display()));
    let path = folder.canonicalize().map_err(failed)?;
    match client.install(&InstallRequest { path }).await {
        Ok(told) => Ok(Some(told)),
        Err(failure) if failure.exit == Exit::NotRunning => {
            out.talk("no host is running here, so none knows of it: name its directory");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

pub(super) async fn install(out: &Output, client: &Client, verb: &Install) -> Result<Exit, Failure> {
    let installed = unpack(&verb.pack, verb.to.as_deref())?;
    let contents = &installed.contents;
    let (known, exit) = match tell(out, client, &installed.folder).await {
        Ok(known) => (known, Exit::Done),
        Err(failure) => {
            out.warn(&format!(
                "the host was not told of it: {}; install it again",
                failure.message
            ));
            (None, Exit::Degraded)
        }
    };
    if out.json {
        let unpacked = Unpacked {
            folder: &installed.folder,
            already: installed.already,
            name: &contents.name,
            version: contents.version.to_string(),
            files: contents.files.len(),
            known_as: known.as_ref().map(InstalledRelease::shown),
        };
        out.json(&unpacked, exit);
        return Ok(exit);
    }
    let what = match installed.already {
        true => "was there already, with the same files",
        false => "is installed",
    };
    let folder = installed.folder.display();
    out.line(&clean(&format!(
        "{folder}: release {} {} {what}",
        contents.name, contents.version
    )));
    if let Some(known) = known {
        out.talk(&format!("the host knows it as {}", clean(&known.shown())));
    }
    Ok(exit)
}
