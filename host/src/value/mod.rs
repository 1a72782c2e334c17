//! Values of the component model, as the host carries them: from a command line, an HTTP body or one module's memory
//! into another's.
//!
//! [`Value`] is positional: it holds no names, those stand in the [`Type`] it goes with.
//! Bytes and flat lists of numbers are one allocation each, never a `Value` per element, so that a call costs what
//! copying its bytes costs.
//!
//! | here | what |
//! |---|---|
//! | [`Value`], [`FlatList`] | the values |
//! | [`Value::conforms`], [`check_args`] | the check against a type, before anything reaches an instance |
//! | [`IntoValues`], [`FromValue`] | to and from Rust types, for typed calls |
//! | [`wave`], [`json`] | the two text forms |
//! | [`types`] | a component's types, out of Wasmtime |
//! | [`PreparedFunction`], [`Function`], [`ConcurrentFunction`], [`define_import`] | the door: calls into an instance and out of it |

mod call;
mod check;
mod convert;
pub mod json;
mod lift;
mod lower;
mod store;
pub mod types;
#[cfg(test)]
mod val;
pub mod wave;

pub use call::{Answered, Begun, ConcurrentFunction, Function, PreparedFunction, define_import};
pub use check::{Mismatch, check_args};
pub use convert::{FromValue, IntoValue, IntoValues};

use wasmhot_appup::interface::Type;

/// A value of the component model. What its parts are called stands in its type.
///
/// A list of numbers is always [`Value::Bytes`] or [`Value::Numbers`], never [`Value::List`]: there is one form for each
/// value. NaN is not equal to itself, as everywhere in Rust.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<u8>`
    Bytes(Vec<u8>),
    /// `list<T>` where `T` is any other number.
    Numbers(FlatList),
    /// `list<T>` where `T` is not a number.
    List(Vec<Value>),
    /// A record: its fields in the order of the type.
    Record(Vec<Value>),
    /// `tuple<…>`
    Tuple(Vec<Value>),
    /// One case of a variant.
    Variant {
        /// Which case, counted from 0.
        case: u32,
        /// What the case carries, if it carries anything.
        payload: Option<Box<Value>>,
    },
    /// One case of an enum, counted from 0.
    Enum(u32),
    /// `option<T>`
    Option(Option<Box<Value>>),
    /// `result<T, E>`
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// Flags: flag `n` is bit `n % 32` of word `n / 32`; as many words as the type needs.
    Flags(Vec<u32>),
}

/// A list of numbers, other than bytes, in one piece.
#[derive(Clone, Debug, PartialEq)]
pub enum FlatList {
    /// `list<s8>`
    S8(Vec<i8>),
    /// `list<s16>`
    S16(Vec<i16>),
    /// `list<u16>`
    U16(Vec<u16>),
    /// `list<s32>`
    S32(Vec<i32>),
    /// `list<u32>`
    U32(Vec<u32>),
    /// `list<s64>`
    S64(Vec<i64>),
    /// `list<u64>`
    U64(Vec<u64>),
    /// `list<f32>`
    F32(Vec<f32>),
    /// `list<f64>`
    F64(Vec<f64>),
}

impl Value {
    /// `some(value)`
    #[must_use]
    pub fn some(value: Value) -> Self {
        Value::Option(Some(Box::new(value)))
    }

    /// `none`
    #[must_use]
    pub fn none() -> Self {
        Value::Option(None)
    }

    /// `ok(value)`
    #[must_use]
    pub fn ok(value: Value) -> Self {
        Value::Result(Ok(Some(Box::new(value))))
    }

    /// `err(value)`
    #[must_use]
    pub fn err(value: Value) -> Self {
        Value::Result(Err(Some(Box::new(value))))
    }

    /// A list of `items`, each of type `of`, in the one form that lists of that type have.
    ///
    /// Items of another type are left out of a list of numbers.
    #[must_use]
    pub(crate) fn list_of(of: &Type, items: Vec<Value>) -> Self {
        macro_rules! flat {
            ($kind:ident) => {
                items
                    .into_iter()
                    .filter_map(|item| {
                        if let Value::$kind(it) = item {
                            Some(it)
                        } else {
                            None
                        }
                    })
                    .collect()
            };
        }
        match of {
            Type::U8 => Value::Bytes(flat!(U8)),
            Type::S8 => Value::Numbers(FlatList::S8(flat!(S8))),
            Type::S16 => Value::Numbers(FlatList::S16(flat!(S16))),
            Type::U16 => Value::Numbers(FlatList::U16(flat!(U16))),
            Type::S32 => Value::Numbers(FlatList::S32(flat!(S32))),
            Type::U32 => Value::Numbers(FlatList::U32(flat!(U32))),
            Type::S64 => Value::Numbers(FlatList::S64(flat!(S64))),
            Type::U64 => Value::Numbers(FlatList::U64(flat!(U64))),
            Type::F32 => Value::Numbers(FlatList::F32(flat!(F32))),
            Type::F64 => Value::Numbers(FlatList::F64(flat!(F64))),
            _ => Value::List(items),
        }
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is a `list<u8>`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Roughly how many bytes of memory the value holds: for limits on queues.
    #[must_use]
    pub fn size(&self) -> usize {
        let inside = match self {
            Value::String(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Numbers(list) => list.len() * list.width(),
            Value::List(parts) | Value::Record(parts) | Value::Tuple(parts) => parts.iter().map(Value::size).sum(),
            Value::Variant { payload: part, .. } | Value::Option(part) | Value::Result(Ok(part) | Err(part)) => {
                part.as_ref().map_or(0, |part| part.size())
            }
            Value::Flags(words) => words.len() * 4,
            _ => 0,
        };
        size_of::<Value>() + inside
    }
}

/// Runs `$body` with `$list` bound to the vector inside a [`FlatList`], whatever its type.
macro_rules! with_flat {
    ($flat:expr, $list:ident => $body:expr) => {
        match $flat {
            $crate::value::FlatList::S8($list) => $body,
            $crate::value::FlatList::S16($list) => $body,
            $crate::value::FlatList::U16($list) => $body,
            $crate::value::FlatList::S32($list) => $body,
            $crate::value::FlatList::U32($list) => $body,
            $crate::value::FlatList::S64($list) => $body,
            $crate::value::FlatList::U64($list) => $body,
            $crate::value::FlatList::F32($list) => $body,
            $crate::value::FlatList::F64($list) => $body,
        }
    };
}

pub(crate) use with_flat;

impl FlatList {
    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        with_flat!(self, list => list.len())
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that one number takes.
    #[must_use]
    pub fn width(&self) -> usize {
        fn width<T>(_: &[T]) -> usize {
            size_of::<T>()
        }
        with_flat!(self, list => width(list))
    }
}

#[cfg(test)]
mod call_tests;
#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod text_tests;
