//! Paths as they are written into files, and files that are written whole.

use crate::control::protocol::{Exit, Failure};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// A failure of the disk.
pub(super) fn io(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("{}: there is no such file or directory", path.display());
            Failure::new("no-such-file", Exit::Refused, message)
        }
        _ => Failure::new("io", Exit::Refused, format!("{}: {error}", path.display())),
    }
}

/// A folder by the one name it has, so that two ways to it are one.
pub(super) fn settled(folder: &Path) -> Result<PathBuf, Failure> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    folder.canonicalize().map_err(|error| io(folder, &error))
}

/// An absolute path without `.` and `..`: links are followed as far as it exists.
pub(super) fn tidy(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(tidy.pop()),
            other => tidy.push(other),
        }
    }
    tidy
}

/// The way from a folder to a file, both absolute and tidy.
pub(crate) fn relative(folder: &Path, path: &Path) -> PathBuf {
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), path.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    if shared == 0 {
        return path.to_path_buf();
    }
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to[shared..].iter().copied()).collect();
    if way.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        way
    }
}

/// Writes a file under another name beside its place, and puts it there when it is whole.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("io", Exit::Failed, format!("{}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    let mut file = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_goes_up_and_down() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b", "/a/b/c.wasm"), "c.wasm");
        assert_eq!(way("/a/b", "/a/c/d.wasm"), "../c/d.wasm");
        assert_eq!(way("/a/b", "/a"), "..");
        assert_eq!(way("/a", "/a"), ".");
        assert_eq!(tidy(Path::new("/nowhere/./x/../y")), Path::new("/nowhere/y"));
    }
}
