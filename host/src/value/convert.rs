//! Rust types to and from values, so that whoever embeds the host can call with plain Rust types.

use super::{FlatList, Mismatch, Value};

/// A Rust type that has a value.
pub trait IntoValue: Sized {
    /// The value.
    fn into_value(self) -> Value;

    /// A list of them. Numbers have a form of their own.
    #[doc(hidden)]
    fn list(items: Vec<Self>) -> Value {
        Value::List(items.into_iter().map(Self::into_value).collect())
    }

    /// As what a case of a `result` carries: `()` stands for nothing.
    #[doc(hidden)]
    fn into_payload(self) -> Option<Box<Value>> {
        Some(Box::new(self.into_value()))
    }
}

/// The arguments of a call: a tuple of up to eight Rust types, or values that are already made.
pub trait IntoValues {
    /// The arguments, in order.
    fn into_values(self) -> Vec<Value>;
}

/// A Rust type that a value can be read as.
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// The value is of another type.
    fn from_value(value: Value) -> Result<Self, Mismatch>;

    /// Reads the answer of a call: `()` stands for none.
    ///
    /// # Errors
    /// The answer is of another type, or missing.
    fn from_answer(answer: Option<Value>) -> Result<Self, Mismatch> {
        match answer {
            Some(value) => Self::from_value(value),
            None => Err(Mismatch::new("a result", "none")),
        }
    }

    /// Reads a list of them.
    #[doc(hidden)]
    fn from_list(value: Value) -> Result<Vec<Self>, Mismatch> {
        match value {
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(place, item)| Self::from_value(item).map_err(|wrong| wrong.within(format_args!("[{place}]"))))
                .collect(),
            other => Err(Mismatch::new("a list", other.describe())),
        }
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }

    fn from_list(value: Value) -> Result<Vec<Self>, Mismatch> {
        macro_rules! items {
            ($($kind:ident)*) => {
                match value {
                    Value::List(items) => Ok(items),
                    Value::Bytes(items) => Ok(items.into_iter().map(Value::U8).collect()),
                    $(Value::Numbers(FlatList::$kind(items)) => Ok(items.into_iter().map(Value::$kind).collect()),)*
                    other => Err(Mismatch::new("a list", other.describe())),
                }
            };
        }
        items!(S8 S16 U16 S32 U32 S64 U64 F32 F64)
    }
}

/// Types that have a variant of their own, by their WIT name; with the way their lists go.
macro_rules! plain {
    ($($rust:ty = $kind:ident $wit:literal $([list $pattern:pat => $list:ident in $make:expr])?;)*) => {$(
        impl From<$rust> for Value {
            fn from(it: $rust) -> Self {
                Value::$kind(it)
            }
        }

        impl IntoValue for $rust {
            fn into_value(self) -> Value {
                Value::$kind(self)
            }

            $(fn list(items: Vec<Self>) -> Value {
                $make(items)
            })?
        }

        impl FromValue for $rust {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                match value {
                    Value::$kind(it) => Ok(it),
                    other => Err(Mismatch::new($wit, other.describe())),
                }
            }

            $(fn from_list(value: Value) -> Result<Vec<Self>, Mismatch> {
                match value {
                    $pattern => Ok($list),
                    other => Err(Mismatch::new(concat!("list<", $wit, ">"), other.describe())),
                }
            })?
        }
    )*};
}

plain! {
    bool = Bool "bool";
    char = Char "char";
    String = String "string";
    u8 = U8 "u8" [list Value::Bytes(list) => list in Value::Bytes];
    i8 = S8 "s8" [list Value::Numbers(FlatList::S8(list)) => list in |list| Value::Numbers(FlatList::S8(list))];
    i16 = S16 "s16" [list Value::Numbers(FlatList::S16(list)) => list in |list| Value::Numbers(FlatList::S16(list))];
    u16 = U16 "u16" [list Value::Numbers(FlatList::U16(list)) => list in |list| Value::Numbers(FlatList::U16(list))];
    i32 = S32 "s32" [list Value::Numbers(FlatList::S32(list)) => list in |list| Value::Numbers(FlatList::S32(list))];
    u32 = U32 "u32" [list Value::Numbers(FlatList::U32(list)) => list in |list| Value::Numbers(FlatList::U32(list))];
    i64 = S64 "s64" [list Value::Numbers(FlatList::S64(list)) => list in |list| Value::Numbers(FlatList::S64(list))];
    u64 = U64 "u64" [list Value::Numbers(FlatList::U64(list)) => list in |list| Value::Numbers(FlatList::U64(list))];
    f32 = F32 "f32" [list Value::Numbers(FlatList::F32(list)) => list in |list| Value::Numbers(FlatList::F32(list))];
    f64 = F64 "f64" [list Value::Numbers(FlatList::F64(list)) => list in |list| Value::Numbers(FlatList::F64(list))];
}

/// `From` for types that are converted by way of [`IntoValue`].
macro_rules! from_by_into {
    ($([$($generic:ident)*] $rust:ty;)*) => {$(
        impl<$($generic: IntoValue),*> From<$rust> for Value {
            fn from(it: $rust) -> Self {
                it.into_value()
            }
        }
    )*};
}

from_by_into! {
    [] &str;
    [] &[u8];
    [T] Vec<T>;
    [T] Option<T>;
    [T E] Result<T, E>;
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        Value::String(self.to_owned())
    }
}

impl IntoValue for &[u8] {
    fn into_value(self) -> Value {
        Value::Bytes(self.to_owned())
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Value {
        T::list(self)
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        T::from_list(value)
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        Value::Option(self.map(|some| Box::new(some.into_value())))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Option(None) => Ok(None),
            Value::Option(Some(some)) => Ok(Some(T::from_value(*some).map_err(|wrong| wrong.within(".some"))?)),
            other => Err(Mismatch::new("an option", other.describe())),
        }
    }
}

impl<T: IntoValue, E: IntoValue> IntoValue for Result<T, E> {
    fn into_value(self) -> Value {
        Value::Result(self.map(IntoValue::into_payload).map_err(IntoValue::into_payload))
    }
}

impl<T: FromValue, E: FromValue> FromValue for Result<T, E> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let unboxed = |part: Option<Box<Value>>| part.map(|part| *part);
        match value {
            Value::Result(Ok(part)) => T::from_answer(unboxed(part))
                .map(Ok)
                .map_err(|wrong| wrong.within(".ok")),
            Value::Result(Err(part)) => E::from_answer(unboxed(part))
                .map(Err)
                .map_err(|wrong| wrong.within(".err")),
            other => Err(Mismatch::new("a result", other.describe())),
        }
    }
}

impl IntoValue for () {
    fn into_value(self) -> Value {
        Value::Tuple(Vec::new())
    }

    fn into_payload(self) -> Option<Box<Value>> {
        None
    }
}

impl FromValue for () {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Err(Mismatch::new("nothing", value.describe()))
    }

    fn from_answer(answer: Option<Value>) -> Result<Self, Mismatch> {
        answer.map_or(Ok(()), Self::from_value)
    }
}

impl IntoValues for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl IntoValues for Vec<Value> {
    fn into_values(self) -> Vec<Value> {
        self
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident)*;)*) => {$(
        impl<$($name: IntoValue),*> IntoValues for ($($name,)*) {
            #[expect(non_snake_case, reason = "one name for a type and its value")]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)*) = self;
                vec![$($name.into_value()),*]
            }
        }

        impl<$($name: IntoValue),*> IntoValue for ($($name,)*) {
            fn into_value(self) -> Value {
                Value::Tuple(self.into_values())
            }
        }

        impl<$($name: FromValue),*> FromValue for ($($name,)*) {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                // A record goes as well: WIT's records are positional here.
                let (Value::Tuple(parts) | Value::Record(parts)) = value else {
                    return Err(Mismatch::new(concat!("a tuple of ", $count), value.describe()));
                };
                let found = parts.len();
                let mut parts = parts.into_iter();
                if found != $count {
                    return Err(Mismatch::new(concat!("a tuple of ", $count), found));
                }
                Ok(($($name::from_answer(parts.next())?,)*))
            }
        }
    )*};
}

tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
    5: A B C D E;
    6: A B C D E F;
    7: A B C D E F G;
    8: A B C D E F G H;
}
