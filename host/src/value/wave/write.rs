//! From a value to its text, with the names of its type.

use crate::value::{FlatList, Value, with_flat};
use std::fmt::{self, Write as _};
use wasm_wave::lex::Keyword;
use wasmhot_appup::interface::Type;

/// A value with the names of its type, in WAVE. What does not fit the type is shown as it is in Rust.
#[must_use]
pub fn to_string(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, value, ty);
    out
}

fn write(out: &mut String, value: &Value, ty: &Type) -> fmt::Result {
    match (value, ty) {
        (Value::Bool(it), _) => write!(out, "{it}"),
        (Value::S8(it), _) => write!(out, "{it}"),
        (Value::U8(it), _) => write!(out, "{it}"),
        (Value::S16(it), _) => write!(out, "{it}"),
        (Value::U16(it), _) => write!(out, "{it}"),
        (Value::S32(it), _) => write!(out, "{it}"),
        (Value::U32(it), _) => write!(out, "{it}"),
        (Value::S64(it), _) => write!(out, "{it}"),
        (Value::U64(it), _) => write!(out, "{it}"),
        (Value::F32(it), _) => write_float(out, it, it.is_nan()),
        (Value::F64(it), _) => write_float(out, it, it.is_nan()),
        (Value::Char(it), _) => write_quoted(out, '\'', std::iter::once(*it)),
        (Value::String(it), _) => write_quoted(out, '"', it.chars()),
        (Value::Bytes(list), _) => write_list(out, "[]", list.iter(), |out, it| write!(out, "{it}")),
        (Value::Numbers(list), _) => write_numbers(out, list),
        (Value::List(items), Type::List(of)) => write_list(out, "[]", items.iter(), |out, it| write(out, it, of)),
        (Value::Tuple(parts), Type::Tuple(types)) => {
            write_list(out, "()", parts.iter().zip(types), |out, (part, of)| {
                write(out, part, of)
            })
        }
        (Value::Record(parts), Type::Record(fields)) => write_record(out, parts, fields),
        (Value::Variant { case, payload }, Type::Variant(cases)) => match cases.get(*case as usize) {
            Some((name, of)) => {
                write_name(out, name)?;
                write_payload(out, payload.as_deref(), of.as_ref())
            }
            None => write!(out, "{value:?}"),
        },
        (Value::Enum(case), Type::Enum(cases)) => match cases.get(*case as usize) {
            Some(name) => write_name(out, name),
            None => write!(out, "{value:?}"),
        },
        (Value::Option(None), _) => out.write_str("none"),
        (Value::Option(some), Type::Option(of)) => {
            out.write_str("some")?;
            write_payload(out, some.as_deref(), Some(of))
        }
        (Value::Result(Ok(payload)), Type::Result { ok, .. }) => {
            out.write_str("ok")?;
            write_payload(out, payload.as_deref(), ok.as_deref())
        }
        (Value::Result(Err(payload)), Type::Result { err, .. }) => {
            out.write_str("err")?;
            write_payload(out, payload.as_deref(), err.as_deref())
        }
        (Value::Flags(words), Type::Flags(names)) => {
            let set = set_flags(words, names);
            write_list(out, "{}", set, |out, name| out.write_str(name))
        }
        _ => write!(out, "{value:?}"),
    }
}

/// The names of the flags that are set.
pub(in crate::value) fn set_flags<'a>(words: &'a [u32], names: &'a [String]) -> impl Iterator<Item = &'a String> {
    let is_set = |place: usize| words.get(place / 32).is_some_and(|word| word >> (place % 32) & 1 == 1);
    names
        .iter()
        .enumerate()
        .filter(move |(place, _)| is_set(*place))
        .map(|(_, name)| name)
}

fn write_list<T>(
    out: &mut String,
    brackets: &str,
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    let (open, close) = brackets.split_at(1);
    out.write_str(open)?;
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.write_str(", ")?;
        }
        each(out, item)?;
    }
    out.write_str(close)
}

fn write_numbers(out: &mut String, list: &FlatList) -> fmt::Result {
    match list {
        FlatList::F32(list) => write_list(out, "[]", list.iter(), |out, it| write_float(out, it, it.is_nan())),
        FlatList::F64(list) => write_list(out, "[]", list.iter(), |out, it| write_float(out, it, it.is_nan())),
        list => with_flat!(list, list => write_list(out, "[]", list.iter(), |out, it| write!(out, "{it}"))),
    }
}

fn write_record(out: &mut String, parts: &[Value], fields: &[(String, Type)]) -> fmt::Result {
    // A field that is `none` is left out, as in wasmtime's; a record with no field left is `{:}`.
    let shown = parts
        .iter()
        .zip(fields)
        .filter(|(part, _)| **part != Value::Option(None));
    if shown.clone().next().is_none() {
        return out.write_str("{:}");
    }
    write_list(out, "{}", shown, |out, (part, (name, of))| {
        write!(out, "{name}: ")?;
        write(out, part, of)
    })
}

fn write_payload(out: &mut String, payload: Option<&Value>, of: Option<&Type>) -> fmt::Result {
    let (Some(payload), Some(of)) = (payload, of) else {
        return Ok(());
    };
    out.write_char('(')?;
    write(out, payload, of)?;
    out.write_char(')')
}

/// A case, marked where its name would be read as something else.
fn write_name(out: &mut String, name: &str) -> fmt::Result {
    let mark = if Keyword::decode(name).is_some() { "%" } else { "" };
    write!(out, "{mark}{name}")
}

fn write_float(out: &mut String, number: impl fmt::Display, is_nan: bool) -> fmt::Result {
    if is_nan {
        out.write_str("nan")
    } else {
        write!(out, "{number}")
    }
}

fn write_quoted(out: &mut String, quote: char, text: impl Iterator<Item = char>) -> fmt::Result {
    out.write_char(quote)?;
    for c in text {
        match c {
            '\\' | '"' | '\'' | '\t' | '\r' | '\n' => write!(out, "{}", c.escape_default())?,
            c if c.is_control() => write!(out, "{}", c.escape_unicode())?,
            c => write!(out, "{}", c.escape_debug())?,
        }
    }
    out.write_char(quote)
}
