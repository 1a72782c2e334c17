//! [`Value`] to and from Wasmtime's own dynamic value: one allocation for each element of a list, names repeated in every
//! record. Too slow for the door; kept as the measure that `lower.rs` is tested against.

use super::{FlatList, Value, check::flag_words};
use wasmhot_appup::interface::Type;
use wasmtime::component::Val;

/// `value`, which conforms to `ty`, as Wasmtime's.
pub(super) fn to_val(value: &Value, ty: &Type) -> Val {
    let boxed = |part: &Option<Box<Value>>, of: Option<&Type>| {
        part.as_ref().zip(of).map(|(part, of)| Box::new(to_val(part, of)))
    };
    match (value, ty) {
        (Value::Bool(it), _) => Val::Bool(*it),
        (Value::S8(it), _) => Val::S8(*it),
        (Value::U8(it), _) => Val::U8(*it),
        (Value::S16(it), _) => Val::S16(*it),
        (Value::U16(it), _) => Val::U16(*it),
        (Value::S32(it), _) => Val::S32(*it),
        (Value::U32(it), _) => Val::U32(*it),
        (Value::S64(it), _) => Val::S64(*it),
        (Value::U64(it), _) => Val::U64(*it),
        (Value::F32(it), _) => Val::Float32(*it),
        (Value::F64(it), _) => Val::Float64(*it),
        (Value::Char(it), _) => Val::Char(*it),
        (Value::String(it), _) => Val::String(it.clone()),
        (Value::Bytes(it), _) => Val::List(it.iter().copied().map(Val::U8).collect()),
        (Value::Numbers(it), _) => flat_to_val(it),
        (Value::List(items), Type::List(of)) => Val::List(items.iter().map(|item| to_val(item, of)).collect()),
        (Value::Record(parts), Type::Record(fields)) => Val::Record(
            fields
                .iter()
                .zip(parts)
                .map(|((name, of), part)| (name.clone(), to_val(part, of)))
                .collect(),
        ),
        (Value::Tuple(parts), Type::Tuple(types)) => {
            Val::Tuple(types.iter().zip(parts).map(|(of, part)| to_val(part, of)).collect())
        }
        (Value::Variant { case, payload }, Type::Variant(cases)) => {
            let (name, of) = &cases[*case as usize];
            Val::Variant(name.clone(), boxed(payload, of.as_ref()))
        }
        (Value::Enum(case), Type::Enum(cases)) => Val::Enum(cases[*case as usize].clone()),
        (Value::Option(part), Type::Option(of)) => Val::Option(boxed(part, Some(of))),
        (Value::Result(Ok(part)), Type::Result { ok, .. }) => Val::Result(Ok(boxed(part, ok.as_deref()))),
        (Value::Result(Err(part)), Type::Result { err, .. }) => Val::Result(Err(boxed(part, err.as_deref()))),
        (Value::Flags(words), Type::Flags(names)) => {
            let set = |place: &usize| words[place / 32] >> (place % 32) & 1 == 1;
            Val::Flags((0..names.len()).filter(set).map(|place| names[place].clone()).collect())
        }
        (value, ty) => unreachable!("{value:?} was checked against {ty}"),
    }
}

fn flat_to_val(list: &FlatList) -> Val {
    Val::List(match list {
        FlatList::S8(list) => list.iter().copied().map(Val::S8).collect(),
        FlatList::S16(list) => list.iter().copied().map(Val::S16).collect(),
        FlatList::U16(list) => list.iter().copied().map(Val::U16).collect(),
        FlatList::S32(list) => list.iter().copied().map(Val::S32).collect(),
        FlatList::U32(list) => list.iter().copied().map(Val::U32).collect(),
        FlatList::S64(list) => list.iter().copied().map(Val::S64).collect(),
        FlatList::U64(list) => list.iter().copied().map(Val::U64).collect(),
        FlatList::F32(list) => list.iter().copied().map(Val::Float32).collect(),
        FlatList::F64(list) => list.iter().copied().map(Val::Float64).collect(),
    })
}

/// Wasmtime's value, of type `ty`, as ours. `None`: it is not of that type.
pub(super) fn from_val(val: &Val, ty: &Type) -> Option<Value> {
    let boxed = |part: &Option<Box<Val>>, of: Option<&Type>| match (part, of) {
        (Some(part), Some(of)) => Some(Some(Box::new(from_val(part, of)?))),
        (None, None) => Some(None),
        _ => None,
    };
    Some(match (val, ty) {
        (Val::Bool(it), Type::Bool) => Value::Bool(*it),
        (Val::S8(it), Type::S8) => Value::S8(*it),
        (Val::U8(it), Type::U8) => Value::U8(*it),
        (Val::S16(it), Type::S16) => Value::S16(*it),
        (Val::U16(it), Type::U16) => Value::U16(*it),
        (Val::S32(it), Type::S32) => Value::S32(*it),
        (Val::U32(it), Type::U32) => Value::U32(*it),
        (Val::S64(it), Type::S64) => Value::S64(*it),
        (Val::U64(it), Type::U64) => Value::U64(*it),
        (Val::Float32(it), Type::F32) => Value::F32(*it),
        (Val::Float64(it), Type::F64) => Value::F64(*it),
        (Val::Char(it), Type::Char) => Value::Char(*it),
        (Val::String(it), Type::String) => Value::String(it.clone()),
        (Val::List(items), Type::List(of)) => {
            Value::list_of(of, items.iter().map(|item| from_val(item, of)).collect::<Option<_>>()?)
        }
        (Val::Record(parts), Type::Record(fields)) => Value::Record(
            parts
                .iter()
                .zip(fields)
                .map(|((_, part), (_, of))| from_val(part, of))
                .collect::<Option<_>>()?,
        ),
        (Val::Tuple(parts), Type::Tuple(types)) => Value::Tuple(
            parts
                .iter()
                .zip(types)
                .map(|(part, of)| from_val(part, of))
                .collect::<Option<_>>()?,
        ),
        (Val::Variant(name, payload), Type::Variant(cases)) => {
            let case = cases.iter().position(|(case, _)| case == name)?;
            Value::Variant {
                case: u32::try_from(case).ok()?,
                payload: boxed(payload, cases[case].1.as_ref())?,
            }
        }
        (Val::Enum(name), Type::Enum(cases)) => {
            Value::Enum(u32::try_from(cases.iter().position(|case| case == name)?).ok()?)
        }
        (Val::Option(None), Type::Option(_)) => Value::Option(None),
        (Val::Option(some), Type::Option(of)) => Value::Option(boxed(some, Some(of))?),
        (Val::Result(Ok(part)), Type::Result { ok, .. }) => Value::Result(Ok(boxed(part, ok.as_deref())?)),
        (Val::Result(Err(part)), Type::Result { err, .. }) => Value::Result(Err(boxed(part, err.as_deref())?)),
        (Val::Flags(set), Type::Flags(names)) => {
            let mut words = vec![0; flag_words(names.len())];
            for flag in set {
                let place = names.iter().position(|name| name == flag)?;
                words[place / 32] |= 1 << (place % 32);
            }
            Value::Flags(words)
        }
        _ => return None,
    })
}
