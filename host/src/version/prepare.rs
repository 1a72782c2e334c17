//! Everything about a file that can be known without compiling it: the part that [`describe`](super::describe()) and
//! [`compile`](super::compile()) share, so that what `inspect` shows is what runs.

use super::contract::Contract;
use super::metadata::{Identity, state_description};
use super::outline::{Outline, parse_error, sniff};
use super::{EngineKind, StateDescription, VersionError, contract, wrap};
use std::borrow::Cow;
use wasmhot_appup::{Digest, ModuleVersion};
use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};

/// What the sections of a file say of it.
pub(super) struct Labelled {
    pub(super) id: ModuleVersion,
    pub(super) identity: Identity,
    pub(super) state: Option<StateDescription>,
    /// The text of the section `wasmhot:appup`. It is read by those who plan.
    pub(super) appup: Option<String>,
}

/// A file that is good to compile.
pub(super) struct Prepared<'a> {
    pub(super) labelled: Labelled,
    pub(super) encoding: Encoding,
    /// The component: the file itself, or the core module wrapped.
    pub(super) component: Cow<'a, [u8]>,
    pub(super) contract: Contract,
    pub(super) engine: EngineKind,
    /// What was left out or renamed on the way, for people.
    pub(super) notes: Vec<String>,
}

/// Names, wraps and checks a file. Quick: no function body is looked at.
pub(super) fn prepare<'a>(file_stem: &str, bytes: &'a [u8]) -> Result<Prepared<'a>, VersionError> {
    prepare_known(file_stem, bytes, Digest::of(bytes))
}

/// The same, where the digest is known.
pub(super) fn prepare_known<'a>(
    file_stem: &str,
    bytes: &'a [u8],
    digest: Digest,
) -> Result<Prepared<'a>, VersionError> {
    sniff(bytes)?;
    let outline = Outline::read(bytes)?;
    let (encoding, has_component_type) = (outline.encoding, outline.has_component_type);
    let labelled = Labelled::of(outline, file_stem, digest)?;
    let mut notes = Vec::new();
    let component: Cow<'a, [u8]> = match encoding {
        Encoding::Component => bytes.into(),
        Encoding::Module => {
            // A fault of the module must be told in terms of the module, not of the component made of it.
            let (validated, _) = validate(bytes)?;
            wrap::to_component(bytes, &validated, has_component_type, &mut notes)?.into()
        }
    };
    let (surface, needed) = validate(&component)?;
    let contract = contract::read(&surface)?;
    let engine = if contract.wants_concurrency {
        EngineKind::Concurrent
    } else {
        needed
    };
    Ok(Prepared {
        labelled,
        encoding,
        component,
        contract,
        engine,
        notes,
    })
}

impl Labelled {
    /// Of a file that was found good before.
    pub(super) fn read(file_stem: &str, bytes: &[u8], digest: Digest) -> Result<Self, VersionError> {
        Self::of(Outline::read(bytes)?, file_stem, digest)
    }

    fn of(outline: Outline, file_stem: &str, digest: Digest) -> Result<Self, VersionError> {
        let identity = Identity::of(&outline, file_stem, &digest)?;
        Ok(Self {
            id: ModuleVersion {
                name: identity.name.clone(),
                version: identity.version.clone(),
                digest,
            },
            identity,
            state: state_description(&outline)?,
            appup: outline.appup.map(|text| String::from_utf8_lossy(&text).into_owned()),
        })
    }
}

/// What the validator learned of a component, with the names of its imports and exports in file order.
pub(super) struct Surface {
    pub(super) types: Types,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// What Wasmtime enables on the plain engine of this build: no threads, no 64-bit memories, no GC, no exceptions. Must not be
/// wider than the engine, else a file is refused by the compiler with worse words; a test compares the two.
fn plain_features() -> WasmFeatures {
    let refused = WasmFeatures::THREADS | WasmFeatures::MEMORY64 | WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS;
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL).difference(refused)
}

/// The plain features, and what Wasmtime has of concurrent calls (no threads, no error contexts).
fn concurrent_features() -> WasmFeatures {
    plain_features() | WasmFeatures::CM_ASYNC | WasmFeatures::CM_ASYNC_STACKFUL | WasmFeatures::CM_MORE_ASYNC_BUILTINS
}

/// Validates all but function bodies; those the compiler validates. The engine is chosen by what validation asks for: what is valid
/// without concurrent calls does not need them.
fn validate(bytes: &[u8]) -> Result<(Surface, EngineKind), VersionError> {
    let (found, engine) = match validate_with(bytes, plain_features()) {
        Ok(found) => (found, EngineKind::Plain),
        Err(error) => match validate_with(bytes, concurrent_features()) {
            Ok(found) => (found, EngineKind::Concurrent),
            Err(_) => return Err(unsupported(bytes).unwrap_or_else(|| parse_error(&error))),
        },
    };
    let surface = found.ok_or_else(|| VersionError::Truncated {
        why: "it has no end".to_owned(),
    })?;
    Ok((surface, engine))
}

/// Parts of WebAssembly that toolchains use and that are not in this build of Wasmtime.
const WITHOUT: &[(WasmFeatures, &str)] = &[
    (WasmFeatures::THREADS, "shared memories (threads)"),
    (WasmFeatures::MEMORY64, "64-bit memories (memory64)"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (
        WasmFeatures::GC_TYPES.union(WasmFeatures::GC),
        "references of a garbage collector (externref, GC)",
    ),
];

/// Why a file that is valid elsewhere is not valid here, if that is so.
fn unsupported(bytes: &[u8]) -> Option<VersionError> {
    let all = WITHOUT.iter().fold(concurrent_features(), |all, (part, _)| all | *part);
    let is_valid = |features| validate_with(bytes, features).is_ok();
    if !is_valid(all) {
        return None;
    }
    let needed = |part: &WasmFeatures| !is_valid(all.difference(*part));
    let parts = WITHOUT.iter().filter(|(part, _)| needed(part)).map(|(_, what)| *what);
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| VersionError::UnsupportedFeature {
        what: parts.join(" and "),
    })
}

/// `None` only if the parser ends without the end of the outermost module, which it reports as an error by itself.
fn validate_with(bytes: &[u8], features: WasmFeatures) -> Result<Option<Surface>, BinaryReaderError> {
    let mut validator = Validator::new_with_features(features);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.clone() {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.clone() {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        match validator.payload(&payload)? {
            ValidPayload::End(types) if depth == 0 => {
                return Ok(Some(Surface {
                    types,
                    imports,
                    exports,
                }));
            }
            ValidPayload::End(_) => depth -= 1,
            _ => {}
        }
    }
    Ok(None)
}
