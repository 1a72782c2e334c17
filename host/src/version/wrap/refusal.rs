//! Why a core module cannot be wrapped, in words that name the thing and the remedy.

use super::{VersionError, WASI_1};

/// Imports of a module without a component type: only WASI 0.1 has a known meaning.
pub(super) fn check_imports(imports: &[(String, String)]) -> Result<(), VersionError> {
    match imports.iter().find(|(module, _)| module != WASI_1) {
        Some((module, name)) => Err(unknown_import(module, Some(name))),
        None => Ok(()),
    }
}

fn unknown_import(module: &str, name: Option<&str>) -> VersionError {
    let why = match (module, name) {
        ("env", Some("abort")) => "AssemblyScript's abort, which no host offers here; compile with `--use abort=`",
        ("env", Some("memory")) => "the module must bring its own memory; link without `--import-memory`",
        ("env", _) => "nobody offers it; is a symbol left undefined by the linker?",
        ("wasi_unstable", _) => "the WASI of 2019; build with a newer toolchain",
        ("gojs" | "go", _) => "built for JavaScript; build with GOOS=wasip1",
        ("wbg" | "__wbindgen_placeholder__", _) => "built for JavaScript by wasm-bindgen; build for wasm32-wasip2",
        (WASI_1, _) => "no function of WASI 0.1",
        _ if module.contains(':') => {
            "a plain core module does not say of which type it is; embed that with `wasm-tools component embed`"
        }
        _ => "nobody offers it; a plain core module may import WASI 0.1 only",
    };
    let import = name.map_or_else(|| module.to_owned(), |name| format!("{module}.{name}"));
    VersionError::UnknownImport {
        import,
        why: why.to_owned(),
    }
}

/// The encoder's words, sorted into our refusals. Its errors have no types: only texts.
pub(super) fn encoder_error(text: &str) -> VersionError {
    if let Some((_, rest)) = text.split_once("module requires an import interface named `") {
        return unknown_import(rest.split('`').next().unwrap_or(rest), None);
    }
    if let Some((_, rest)) = text.split_once("adapter module did not export `") {
        return unknown_import(WASI_1, rest.split('`').next());
    }
    let incomplete = [
        "failed to find export of",
        "cabi_realloc",
        "does not export a memory",
        "missing callback",
    ];
    if incomplete.iter().any(|part| text.contains(part)) {
        return VersionError::IncompleteAbi {
            why: format!("does not fit its own component type: {text}"),
        };
    }
    VersionError::invalid(format!("it cannot be wrapped: {text}"))
}
