//! Releases that are installed (OTP: unpacked): the host knows them by name, and where they lie. Their folders belong to whoever made
//! them: the host reads them, and never writes or deletes there.

use super::Host;
use super::load::{blocking, of_store};
use super::start::default_path;
use crate::control::protocol::{Exit, Failure, ForgetReleaseRequest, InstallRequest, InstalledRelease, ReleaseStatus};
use crate::event::now_ms;
use crate::store::InstalledRecord;
use std::path::Path;
use std::sync::Arc;
use wasmhot_appup::Release;

impl Host {
    /// Knows from now on that a release is installed in a folder. Known before, it is known again; elsewhere, it is there now.
    ///
    /// # Errors
    /// There is no release.toml in it, or a file of it is missing.
    pub async fn install(&self, request: InstallRequest) -> Result<InstalledRelease, Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || {
            let release = release_in(&request.path)?;
            let record = InstalledRecord {
                name: release.name,
                version: release.version,
                folder: request.path,
                time_ms: now_ms(),
            };
            catalog.put_installed(&record).map_err(|error| of_store(&error))?;
            Ok(told(&record))
        })
        .await
    }

    /// Forgets that a release is installed, as OTP's `set_removed`: its folder stays.
    ///
    /// # Errors
    /// None of that name is installed.
    pub async fn forget_release(&self, request: ForgetReleaseRequest) -> Result<InstalledRelease, Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || {
            let known = catalog.installed().map_err(|error| of_store(&error))?;
            let Some(record) = known.iter().find(|record| told(record).is_called(&request.release)) else {
                let names: Vec<_> = known.iter().map(|record| told(record).shown()).collect();
                let names = if names.is_empty() {
                    "none".to_string()
                } else {
                    names.join(", ")
                };
                let message = format!("no release {:?} is installed; installed are: {names}", request.release);
                return Err(Failure::new("no-such-release", Exit::Refused, message));
            };
            let gone = std::slice::from_ref(record);
            catalog.delete_installed(gone).map_err(|error| of_store(&error))?;
            Ok(told(record))
        })
        .await
    }

    /// The installed releases whose folders are still theirs; and those whose folders are gone, or hold something else.
    pub(super) async fn installed(&self) -> Result<(Vec<InstalledRecord>, Vec<InstalledRecord>), Failure> {
        let catalog = Arc::clone(&self.inner.core.catalog);
        blocking(move || {
            let known = catalog.installed().map_err(|error| of_store(&error))?;
            let is_there = |record: &InstalledRecord| {
                let found = release_in(&record.folder);
                found.is_ok_and(|found| (&found.name, &found.version) == (&record.name, &record.version))
            };
            Ok(known.into_iter().partition(is_there))
        })
        .await
    }

    /// Revisions of installed releases are told with their folders; those that no revision is of stand behind them, as unpacked.
    pub(super) async fn with_installed(&self, revisions: &mut Vec<ReleaseStatus>) -> Result<(), Failure> {
        let (installed, _) = self.installed().await?;
        for record in installed {
            let version = record.version.to_string();
            let mut has_run = false;
            for revision in revisions.iter_mut() {
                if (&revision.release, &revision.version) == (&record.name, &version) {
                    revision.folder = Some(record.folder.clone());
                    has_run = true;
                }
            }
            if has_run {
                continue;
            }
            let modules = release_in(&record.folder)?.modules;
            let name = |module: &wasmhot_appup::ModuleSpec| match &module.version {
                Some(version) => format!("{}@{version}", module.name),
                None => module.name.to_string(),
            };
            revisions.push(ReleaseStatus {
                release: record.name,
                version,
                status: "unpacked".to_string(),
                time_ms: record.time_ms,
                origin: "install".to_string(),
                modules: modules.iter().map(name).collect(),
                folder: Some(record.folder),
                ..ReleaseStatus::default()
            });
        }
        Ok(())
    }
}

fn told(record: &InstalledRecord) -> InstalledRelease {
    InstalledRelease {
        release: record.name.clone(),
        version: record.version.to_string(),
        folder: record.folder.clone(),
    }
}

/// The release that lies in a folder, with all its files.
fn release_in(folder: &Path) -> Result<Release, Failure> {
    let refused = |code: &str, message: String| Failure::new(code, Exit::Refused, message);
    let file = folder.join("release.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| refused("io", format!("{}: {error}", file.display())))?;
    let release = Release::parse(&file.display().to_string(), &text)
        .map_err(|faults| refused("bad-release", faults.to_string()))?;
    for module in &release.modules {
        let path = module.path.clone();
        let path = folder.join(path.unwrap_or_else(|| default_path(&module.name, module.version.as_ref())));
        if !path.is_file() {
            let message = format!("{}: the file of `{}` is not there", path.display(), module.name);
            return Err(refused("no-such-file", message));
        }
    }
    Ok(release)
}
