//! The validator's types as [`appup`](wasmhot_appup) values: so that a file can be judged before it is compiled.
//!
//! Must agree with what [`crate::value::types`] reads out of the compiled component; a test compares the two.

use super::VersionError;
use std::cell::Cell;
use wasmhot_appup::interface::{FunctionType, Type};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{ComponentDefinedType, ComponentFuncTypeId, ComponentValType};
use wasmparser::types::TypesRef;

/// Types are shared in a file and spelt out here: a small file could spell out gigabytes.
const NODES_MAX: usize = 200_000;

/// Reads types, up to a bound for the whole component.
pub(super) struct TypeReader<'a> {
    types: TypesRef<'a>,
    nodes_left: Cell<usize>,
}

impl<'a> TypeReader<'a> {
    pub(super) fn new(types: TypesRef<'a>) -> Self {
        TypeReader {
            types,
            nodes_left: Cell::new(NODES_MAX),
        }
    }

    pub(super) fn types(&self) -> TypesRef<'a> {
        self.types
    }

    /// A signature.
    pub(super) fn function(&self, id: ComponentFuncTypeId) -> Result<FunctionType, VersionError> {
        let function = &self.types[id];
        let param = |(name, of): &(_, ComponentValType)| Ok((ToString::to_string(name), self.value(*of)?));
        Ok(FunctionType {
            params: function.params.iter().map(param).collect::<Result<_, VersionError>>()?,
            result: function.result.map(|of| self.value(of)).transpose()?,
            is_async: function.async_,
        })
    }

    fn value(&self, of: ComponentValType) -> Result<Type, VersionError> {
        let left = self.nodes_left.get().checked_sub(1);
        self.nodes_left
            .set(left.ok_or_else(|| VersionError::invalid("the types of its functions are too large"))?);
        // The validator allows no more than 100 levels.
        match of {
            ComponentValType::Primitive(of) => Ok(primitive(of)),
            ComponentValType::Type(id) => self.defined(&self.types[id]),
        }
    }

    fn defined(&self, of: &ComponentDefinedType) -> Result<Type, VersionError> {
        let value = |of: &ComponentValType| self.value(*of);
        let boxed = |of: &Option<ComponentValType>| of.map(|of| self.value(of).map(Box::new)).transpose();
        let names = |names: &mut dyn Iterator<Item = String>| names.collect();
        Ok(match of {
            ComponentDefinedType::Primitive(of) => primitive(*of),
            ComponentDefinedType::Record(record) => {
                let field = |(name, of): (_, &ComponentValType)| Ok((ToString::to_string(name), value(of)?));
                Type::Record(record.fields.iter().map(field).collect::<Result<_, VersionError>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let mut cases = Vec::with_capacity(variant.cases.len());
                for (name, case) in &variant.cases {
                    cases.push((name.to_string(), case.ty.as_ref().map(value).transpose()?));
                }
                Type::Variant(cases)
            }
            ComponentDefinedType::List { element, .. } => Type::List(Box::new(value(element)?)),
            ComponentDefinedType::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(value).collect::<Result<_, VersionError>>()?)
            }
            ComponentDefinedType::Flags(of) => Type::Flags(names(&mut of.iter().map(ToString::to_string))),
            ComponentDefinedType::Enum(of) => Type::Enum(names(&mut of.iter().map(ToString::to_string))),
            ComponentDefinedType::Option { ty, .. } => Type::Option(Box::new(value(ty)?)),
            ComponentDefinedType::Result { ok, err, .. } => Type::Result {
                ok: boxed(ok)?,
                err: boxed(err)?,
            },
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => Type::Resource,
            ComponentDefinedType::Map { key, value: of, .. } => {
                Type::Unsupported(format!("map<{}, {}>", value(key)?, value(of)?))
            }
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Type::Unsupported(format!("list<{}, {length}>", value(element)?))
            }
            ComponentDefinedType::Future { ty, .. } => self.generic("future", *ty)?,
            ComponentDefinedType::Stream { ty, .. } => self.generic("stream", *ty)?,
        })
    }

    /// `future`, `stream<u8>` …
    fn generic(&self, name: &str, of: Option<ComponentValType>) -> Result<Type, VersionError> {
        Ok(Type::Unsupported(match of {
            Some(of) => format!("{name}<{}>", self.value(of)?),
            None => name.to_owned(),
        }))
    }
}

fn primitive(of: PrimitiveValType) -> Type {
    match of {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => Type::Unsupported("error-context".to_owned()),
    }
}
