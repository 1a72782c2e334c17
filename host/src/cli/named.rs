//! What is named on the command line where a release is meant: a file or directory, what runs, or a release that is installed.

use super::output::Output;
use crate::control::client::Client;
use crate::control::protocol::{Exit, Failure, InstalledRelease};
use crate::offline::{ReadRelease, plan_releases, read_relup, relative_relup, running};
use std::path::{Path, PathBuf};
use wasmhot_appup::{CheckOptions, Relup};

/// A release by its file or directory, its name where it is installed (`shop@1.2.0`, or as its folder is called: `shop-1.2.0`), or
/// `current`: the one that runs.
pub(super) async fn release(out: &Output, client: &Client, named: &Path) -> Result<ReadRelease, Failure> {
    if named == Path::new("current") {
        return running(client.release().await?);
    }
    let read = ReadRelease::read(&place(client, named).await?)?;
    read.passed_over.iter().for_each(|why| out.talk(why));
    Ok(read)
}

/// Where it lies. What is there under that name comes before a release that is installed under it.
pub(super) async fn place(client: &Client, named: &Path) -> Result<PathBuf, Failure> {
    let failed = |code: &str, why: String| Failure::new(code, Exit::Refused, format!("{}: {why}", named.display()));
    if named.try_exists().map_err(|error| failed("io", error.to_string()))? {
        return Ok(named.to_path_buf());
    }
    let nothing = "there is no such file or directory";
    let installed = match client.releases(None).await {
        Ok(releases) => releases,
        Err(failure) if failure.exit == Exit::NotRunning => {
            let why = format!("{nothing}; and no host is running here that could know a release of that name");
            return Err(failed("no-such-file", why));
        }
        Err(failure) => return Err(failure),
    };
    let installed = installed.into_iter().filter_map(|release| {
        Some(InstalledRelease {
            folder: release.folder?,
            release: release.release,
            version: release.version,
        })
    });
    let installed: Vec<_> = installed.collect();
    let text = named.to_str().unwrap_or_default();
    if let Some(found) = installed.iter().find(|release| release.is_called(text)) {
        return Ok(found.folder.clone());
    }
    let mut names: Vec<_> = installed.iter().map(InstalledRelease::shown).collect();
    names.dedup();
    let names = if names.is_empty() {
        "none".to_string()
    } else {
        names.join(", ")
    };
    Err(failed(
        "no-such-file",
        format!("{nothing}, and no installed release of that name; installed are: {names}"),
    ))
}

/// A way to a release.
pub(super) struct WayTo {
    /// Where the relup lies, or would.
    pub(super) path: PathBuf,
    pub(super) relup: Relup,
    /// It lies there; else it was planned now.
    pub(super) is_file: bool,
    /// From where it was planned, and what the plan says besides.
    pub(super) notes: Vec<String>,
}

/// The way to a release in a folder: its `relup.toml`, if that goes there from `old`; else as `plan` makes it.
pub(super) async fn way_to(
    out: &Output,
    client: &Client,
    folder: &Path,
    old: &ReadRelease,
    options: CheckOptions,
) -> Result<WayTo, Failure> {
    let absolute = |path: &Path| {
        let failed = |error: std::io::Error| Failure::new("io", Exit::Refused, format!("{}: {error}", path.display()));
        path.canonicalize().map_err(failed)
    };
    let folder = absolute(folder)?;
    let new = release(out, client, &folder).await?;
    let path = folder.join("relup.toml");
    if path.is_file() {
        let relup = read_relup(&path)?;
        let (step, to) = (&relup.release, &new.release);
        let from = step.from.as_ref();
        let fits = from.is_none_or(|from| from.cmp_precedence(&old.release.version).is_eq());
        if fits && (&step.name, &step.to) == (&to.name, &to.version) {
            let (is_file, notes) = (true, Vec::new());
            return Ok(WayTo {
                path,
                relup,
                is_file,
                notes,
            });
        }
    }
    let (plan, notes) = plan_releases(old, &new, options)?;
    let relup = relative_relup(&plan.relup, &folder)?;
    let is_file = false;
    Ok(WayTo {
        path,
        relup,
        is_file,
        notes,
    })
}
