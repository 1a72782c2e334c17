//! What `wasmhot new` writes: the examples in `modules/languages`, and the guest SDK, each file as `include_bytes!`.

use super::Result;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What a build leaves in an example's folder.
const MADE: [&str; 3] = ["build", "target", "__pycache__"];

/// Writes `templates.rs`, with a list for each language and one for the SDK.
pub(super) fn write(root: &Path, out: &Path) -> Result<()> {
    let mut text = String::from("/// Language, files.\npub(super) const EXAMPLES: &[(&str, &[File])] = &[\n");
    let examples = root.join("modules/languages");
    println!("cargo::rerun-if-changed={}", examples.display());
    for folder in sorted(&examples)? {
        let language = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(text, "({language:?}, &[")?;
        for file in files(&folder)? {
            list(&mut text, &folder, &file)?;
        }
        text.push_str("]),\n");
    }
    text.push_str("];\n/// The guest SDK and what it inherits from.\npub(super) const SDK: &[File] = &[\n");
    for part in ["Cargo.toml", "LICENSE", "guest-sdk/Cargo.toml", "guest-sdk/README.md"] {
        list(&mut text, root, &root.join(part))?;
    }
    for part in ["guest-sdk/src", "guest-sdk/wit", "guest-sdk/macros"] {
        for file in files(&root.join(part))? {
            list(&mut text, root, &file)?;
        }
    }
    text.push_str("];\n");
    Ok(fs::write(out.join("templates.rs"), text)?)
}

fn list(text: &mut String, folder: &Path, file: &Path) -> Result<()> {
    let name = file
        .strip_prefix(folder)?
        .to_str()
        .ok_or("a file's name is not UTF-8")?;
    Ok(writeln!(
        text,
        "({name:?}, include_bytes!({:?})),",
        file.to_str().ok_or("a path is not UTF-8")?
    )?)
}

/// All files in a folder and below.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in sorted(folder)? {
        if !path.is_dir() {
            found.push(path);
        } else if !MADE.iter().any(|made| path.ends_with(made)) {
            found.extend(files(&path)?);
        }
    }
    Ok(found)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
