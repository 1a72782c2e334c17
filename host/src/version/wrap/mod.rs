//! A plain core module becomes a component in memory (R6), so that behind the door there is one kind of thing.
//!
//! A module that carries its component type (`wit-bindgen` and friends write it) is encoded as it is. For any other a world is
//! made up ([`world`]): `wasmhot:module` where it exports `save` and `migrate`, and a function for each export whose type is
//! made of plain numbers. Its exports are renamed to what the encoder expects ([`rename`]).

mod name;
mod refusal;
mod rename;
mod world;

use super::VersionError;
use super::prepare::Surface;
use refusal::{check_imports, encoder_error};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wasmparser::{ExternalKind, FuncType, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The guest contract: the same file that the SDK binds.
const CONTRACT: &str = include_str!("../../../../guest-sdk/wit/module.wit");

/// What matters of a core module here.
struct CoreModule {
    /// (module, name) of each import.
    imports: Vec<(String, String)>,
    /// Exported functions with their types, in file order.
    functions: Vec<(String, FuncType)>,
    /// Whether a memory is exported as `memory`.
    has_memory: bool,
}

/// Wraps a validated core module. `notes` takes what people should know about it.
pub(super) fn to_component(
    bytes: &[u8],
    validated: &Surface,
    has_component_type: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<u8>, VersionError> {
    let module = CoreModule::read(bytes, validated).map_err(|error| super::outline::parse_error(&error))?;
    let command = module.functions.iter().any(|(name, _)| name == "_start");
    let wasi = module.imports.iter().any(|(from, _)| from == WASI_1);
    if has_component_type {
        return encode(bytes, wasi, command);
    }
    check_imports(&module.imports)?;
    let world = world::plan(&module, notes)?;
    let mut renamed = rename::exports(bytes, &world.renames).map_err(|error| super::outline::parse_error(&error))?;
    embed(&mut renamed, &world.wit)?;
    encode(&renamed, wasi, command)
}

/// Writes into the module which component it is to become.
fn embed(module: &mut Vec<u8>, wit: &str) -> Result<(), VersionError> {
    let failed = |error| VersionError::invalid(format!("it cannot be wrapped: {error:#}"));
    let mut resolve = Resolve::default();
    resolve.push_str("module.wit", CONTRACT).map_err(failed)?;
    let package = resolve.push_str("wrapped.wit", wit).map_err(failed)?;
    let world = resolve.select_world(&[package], Some("wrapped")).map_err(failed)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(failed)
}

/// Encodes a module with its type as a component, with the WASI 0.1 adapter where it needs one.
fn encode(module: &[u8], wasi: bool, command: bool) -> Result<Vec<u8>, VersionError> {
    let run = || {
        // The output is validated like any other component, later.
        let mut encoder = ComponentEncoder::default().validate(false).module(module)?;
        if wasi || command {
            encoder = encoder.adapter(WASI_1, if command { COMMAND } else { REACTOR })?;
        }
        encoder.encode()
    };
    // The encoder is made for what toolchains write, not for hostile bytes: a panic of it is a fault of the file.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(encoded) => encoded.map_err(|error| encoder_error(&format!("{error:#}"))),
        Err(_) => Err(VersionError::invalid(
            "it cannot be wrapped: the encoder does not understand it",
        )),
    }
}

impl CoreModule {
    fn read(bytes: &[u8], validated: &Surface) -> Result<Self, wasmparser::BinaryReaderError> {
        let types = validated.types.as_ref();
        let mut module = CoreModule {
            imports: Vec::new(),
            functions: Vec::new(),
            has_memory: false,
        };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        module.imports.push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Memory => module.has_memory |= export.name == "memory",
                            ExternalKind::Func => {
                                let ty = types[types.core_function_at(export.index)].unwrap_func();
                                module.functions.push((export.name.to_owned(), ty.clone()));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(module)
    }

    fn function(&self, wanted: &str) -> Option<&FuncType> {
        self.functions.iter().find(|(name, _)| name == wanted).map(|(_, ty)| ty)
    }
}
