//! Makes the lists of files that `wasmhot new` writes, and builds the modules of `modules/` for Wasm, for `wasmhot demo` and for the tests, and tells the crate where they are.
//!
//! Each is put at `<target>/guests/wasm/<module>-<version>.wasm`, and the folder into `WASMHOT_GUESTS`. The nested build has a
//! target directory of its own, shared by all profiles, so it runs once; and an environment of its own, so that it is the same under
//! `cargo build`, `clippy` and `doc`.
//!
//! Modules with C in them need a clang for Wasm. Where there is none they are skipped with a warning; where `CI` is set that is an error.

#[path = "build/templates.rs"]
mod templates;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-wasip2";
/// The modules with C in them.
const WITH_C: [&str; 1] = ["sqlite-1.0.0"];
/// The variable by which the crate `cc` is told the compiler for [`TARGET`].
const CC: &str = "CC_wasm32_wasip2";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    // Only the command line carries modules.
    if env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    if let Err(error) = build() {
        // Cargo fails after these; a failed exit would only repeat them.
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?)
        .parent()
        .ok_or("no workspace")?
        .to_path_buf();
    let modules = root.join("modules");
    let guests = target_dir()?.join("guests");
    let out = guests.join("wasm");
    println!("cargo::rustc-env=WASMHOT_GUESTS={}", out.display());
    templates::write(&root, &PathBuf::from(variable("OUT_DIR")?))?;
    watch(&root)?;
    has_target()?;
    let c_compiler = c_compiler();
    compile(&modules, &guests, c_compiler.as_ref())?;
    let (skipped, wanted): (Vec<_>, Vec<_>) = folders(&modules)?
        .into_iter()
        .partition(|folder| c_compiler.is_none() && WITH_C.iter().any(|module| folder.ends_with(module)));
    collect(&wanted, &guests.join(TARGET).join("release"), &out)?;
    skip(&skipped, &out)
}

/// The target directory of the build that runs this: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn target_dir() -> Result<PathBuf> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    // Cargo marks it, but not before the end of the first build: then it is the folder above the profile.
    let marked = out.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    let target = marked
        .or_else(|| out.ancestors().nth(4))
        .ok_or("OUT_DIR is not in a target directory")?;
    Ok(target.to_path_buf())
}

/// Sources, not what is built from them: a folder is watched with all that is in it.
fn watch(root: &Path) -> Result<()> {
    for name in ["Cargo.toml", "src", "wit", "macros"] {
        println!(
            "cargo::rerun-if-changed={}",
            root.join("guest-sdk").join(name).display()
        );
    }
    for name in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join("modules").join(name).display());
    }
    println!("cargo::rerun-if-changed={}", root.join("modules/shared").display());
    for folder in folders(&root.join("modules"))? {
        // What is not there counts as changed in every build, and a page has no `wit`.
        for path in ["Cargo.toml", "src", "wit"].map(|name| folder.join(name)) {
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    Ok(())
}

/// The folders of the modules: those with a manifest, named `<module>-<version>`.
fn folders(modules: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(modules).map_err(|error| format!("{}: {error}", modules.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect())
}

/// Makes sure that the standard library for the target is there.
fn has_target() -> Result<()> {
    let rustc = variable("RUSTC")?;
    let printed = Command::new(&rustc).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8(printed.stdout)?.trim());
    let installed = || sysroot.join("lib/rustlib").join(TARGET).is_dir();
    if installed() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .status();
    if added.is_ok_and(|status| status.success()) && installed() {
        return Ok(());
    }
    Err(format!(
        "the modules of wasmhot are built for {TARGET}, whose standard library is not in {}\n\
         install it: rustup target add {TARGET}\n\
         or build without the command line: --no-default-features",
        sysroot.display()
    )
    .into())
}

/// A clang that compiles for [`TARGET`], with what it needs to find the headers of wasi-libc. Linking is Rust's.
struct CCompiler {
    path: OsString,
    flags: Option<String>,
}

/// The one that is named, that of a WASI SDK, or one of the system's.
fn c_compiler() -> Option<CCompiler> {
    for name in [CC, "WASI_SDK_PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if let Some(path) = env::var_os(CC) {
        return Some(CCompiler { path, flags: None });
    }
    let with = |path: OsString, flags: &str| CCompiler {
        path,
        flags: Some(flags.into()),
    };
    let sdk = env::var_os("WASI_SDK_PATH").map(PathBuf::from).map(|sdk| {
        let sysroot = sdk.join("share/wasi-sysroot");
        with(
            sdk.join("bin/clang").into(),
            &format!("--sysroot={}", sysroot.display()),
        )
    });
    let names = (14..=30).rev().map(|version| format!("clang-{version}"));
    let systems = std::iter::once("clang".to_owned()).chain(names).flat_map(|name| {
        // The second is where Debian has them.
        ["", "-isystem /usr/include/wasm32-wasi"].map(|flags| with(name.clone().into(), flags))
    });
    sdk.into_iter().chain(systems).find(CCompiler::works)
}

impl CCompiler {
    fn works(&self) -> bool {
        let flags = self.flags.iter().flat_map(|flags| flags.split_whitespace());
        let started = Command::new(&self.path)
            .arg(format!("--target={TARGET}"))
            .args(flags)
            .args(["-fsyntax-only", "-x", "c", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut clang) = started else { return false };
        let source = b"#include <stdio.h>\n#ifndef __wasi__\n#error not WASI\n#endif\n";
        let written = clang
            .stdin
            .take()
            .is_some_and(|mut input| input.write_all(source).is_ok());
        clang.wait().is_ok_and(|status| status.success()) && written
    }
}

/// Says which modules were not built, and takes away what an earlier build made of them.
fn skip(folders: &[PathBuf], out: &Path) -> Result<()> {
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().display();
        let message = format!(
            "the module {name} is not built: it needs a clang for WebAssembly, with the headers of wasi-libc. Install them \
             (Debian: apt-get install clang-19 wasi-libc) or set WASI_SDK_PATH, and `touch host/build.rs`"
        );
        if env::var_os("CI").is_some() {
            return Err(message.into());
        }
        println!("cargo::warning={message}");
        let stale = out.join(format!("{name}.wasm"));
        if stale.exists() {
            fs::remove_file(stale)?;
        }
    }
    Ok(())
}

/// The nested build. Without a C compiler the modules that need one are left out.
fn compile(modules: &Path, target_dir: &Path, c_compiler: Option<&CCompiler>) -> Result<()> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--lib",
        "--workspace",
        "--target",
        TARGET,
    ]);
    cargo
        .arg("--manifest-path")
        .arg(modules.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir);
    own_environment(&mut cargo);
    match c_compiler {
        Some(CCompiler { path, flags }) => {
            cargo.env(CC, path);
            if let Some(flags) = flags {
                cargo.env("CFLAGS_wasm32_wasip2", flags);
            }
        }
        None => {
            let packages = WITH_C.iter().map(|module| module.replace('.', "-"));
            cargo.args(packages.flat_map(|package| ["--exclude".to_owned(), package]));
        }
    }
    let output = cargo
        .current_dir(modules)
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the modules in {} do not build:\n{said}", modules.display()).into())
}

/// Takes away what the outer build says about itself: flags, wrappers (clippy is one), profiles and target directories.
fn own_environment(cargo: &mut Command) {
    let outer = |name: &str| {
        let prefixes = [
            "CARGO_PROFILE_",
            "CARGO_BUILD_",
            "CARGO_TARGET_",
            "CARGO_FEATURE_",
            "CARGO_CFG_",
            "CARGO_PKG_",
        ];
        let names = [
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CLIPPY_ARGS",
            "HOST",
            "NUM_JOBS",
            "OPT_LEVEL",
            "OUT_DIR",
            "PROFILE",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTDOC",
            "RUSTDOCFLAGS",
            "RUSTFLAGS",
            "TARGET",
        ];
        // How many jobs there may be, and the outer build's job server, stay.
        name != "CARGO_BUILD_JOBS" && (names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| outer(name)) {
        cargo.env_remove(name);
    }
}

/// Puts what was built under its module's name and version.
fn collect(folders: &[PathBuf], built: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    for folder in folders {
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or("a module's folder has an odd name")?;
        let artefact = built.join(format!("{}.wasm", name.replace(['-', '.'], "_")));
        let bytes = fs::read(&artefact).map_err(|error| format!("{}: {error}", artefact.display()))?;
        replace(&out.join(format!("{name}.wasm")), &bytes)?;
    }
    Ok(())
}

/// Writes a file if it says something else, in one step: a test that runs meanwhile sees the old or the new, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, bytes)?;
    Ok(fs::rename(&temporary, path)?)
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this runs in cargo").into())
}
