//! Exports of a core module under other names. Nothing else of the module is touched: every other section is copied as it is.

use std::collections::BTreeMap;
use wasm_encoder::{ExportSection, Module, RawSection};
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload};

/// Copies a core module, with these exports renamed.
pub(super) fn exports(bytes: &[u8], renames: &BTreeMap<String, String>) -> Result<Vec<u8>, BinaryReaderError> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::ExportSection(section) = &payload {
            let mut renamed = ExportSection::new();
            for export in section.clone() {
                let export = export?;
                let name = renames.get(export.name).map_or(export.name, String::as_str);
                renamed.export(name, kind(export.kind), export.index);
            }
            module.section(&renamed);
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection {
                id,
                data: &bytes[range],
            });
        }
    }
    Ok(module.finish())
}

fn kind(of: ExternalKind) -> wasm_encoder::ExportKind {
    match of {
        ExternalKind::Func | ExternalKind::FuncExact => wasm_encoder::ExportKind::Func,
        ExternalKind::Table => wasm_encoder::ExportKind::Table,
        ExternalKind::Memory => wasm_encoder::ExportKind::Memory,
        ExternalKind::Global => wasm_encoder::ExportKind::Global,
        ExternalKind::Tag => wasm_encoder::ExportKind::Tag,
    }
}
