//! The types of a component, as plain values: read out of Wasmtime once, when a version is checked.

use wasmhot_appup::interface::{FunctionType, Type};
use wasmtime::component::types;

/// The signature of a component function.
#[must_use]
pub fn function_type(of: &types::ComponentFunc) -> FunctionType {
    FunctionType {
        params: of
            .params()
            .map(|(name, of)| (name.to_owned(), value_type(&of)))
            .collect(),
        result: of.results().next().map(|of| value_type(&of)),
        is_async: of.async_(),
    }
}

/// One type of the component model.
///
/// Handles become [`Type::Resource`]; what values cannot be built for becomes [`Type::Unsupported`], with its WIT name.
#[must_use]
pub fn value_type(of: &types::Type) -> Type {
    let boxed = |of: Option<types::Type>| of.map(|of| Box::new(value_type(&of)));
    match of {
        types::Type::Bool => Type::Bool,
        types::Type::S8 => Type::S8,
        types::Type::U8 => Type::U8,
        types::Type::S16 => Type::S16,
        types::Type::U16 => Type::U16,
        types::Type::S32 => Type::S32,
        types::Type::U32 => Type::U32,
        types::Type::S64 => Type::S64,
        types::Type::U64 => Type::U64,
        types::Type::Float32 => Type::F32,
        types::Type::Float64 => Type::F64,
        types::Type::Char => Type::Char,
        types::Type::String => Type::String,
        types::Type::List(list) => Type::List(Box::new(value_type(&list.ty()))),
        types::Type::Record(record) => Type::Record(
            record
                .fields()
                .map(|field| (field.name.to_owned(), value_type(&field.ty)))
                .collect(),
        ),
        types::Type::Tuple(tuple) => Type::Tuple(tuple.types().map(|of| value_type(&of)).collect()),
        types::Type::Variant(variant) => Type::Variant(
            variant
                .cases()
                .map(|case| (case.name.to_owned(), case.ty.map(|of| value_type(&of))))
                .collect(),
        ),
        types::Type::Enum(cases) => Type::Enum(cases.names().map(str::to_owned).collect()),
        types::Type::Option(option) => Type::Option(Box::new(value_type(&option.ty()))),
        types::Type::Result(result) => Type::Result {
            ok: boxed(result.ok()),
            err: boxed(result.err()),
        },
        types::Type::Flags(flags) => Type::Flags(flags.names().map(str::to_owned).collect()),
        types::Type::Own(_) | types::Type::Borrow(_) => Type::Resource,
        types::Type::Map(map) => {
            Type::Unsupported(format!("map<{}, {}>", value_type(&map.key()), value_type(&map.value())))
        }
        types::Type::Future(future) => Type::Unsupported(generic("future", future.ty())),
        types::Type::Stream(stream) => Type::Unsupported(generic("stream", stream.ty())),
        types::Type::ErrorContext => Type::Unsupported("error-context".to_owned()),
        types::Type::FixedLengthList(list) => {
            Type::Unsupported(format!("list<{}, {}>", value_type(&list.ty()), list.len()))
        }
    }
}

/// `future`, `stream<u8>` …
fn generic(name: &str, of: Option<types::Type>) -> String {
    match of {
        Some(of) => format!("{name}<{}>", value_type(&of)),
        None => name.to_owned(),
    }
}
