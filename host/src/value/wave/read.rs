//! From a parsed text to a value, by its type.

use crate::value::check::flag_words;
use crate::value::{Mismatch, Value};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use wasm_wave::ast::Node;
use wasmhot_appup::interface::Type;

/// What does not fit, and where it stands in the text.
pub(super) type Wrong = (Mismatch, Range<usize>);

/// A parsed node as a value of type `ty`.
pub(super) fn read(node: &Node, text: &str, ty: &Type) -> Result<Value, Wrong> {
    let unfit = || wrong(node, text, ty);
    macro_rules! number {
        ($kind:ident) => {
            Value::$kind(number(node, text).ok_or_else(unfit)?)
        };
    }
    Ok(match ty {
        Type::Bool => Value::Bool(node.as_bool().map_err(|_| unfit())?),
        Type::S8 => number!(S8),
        Type::U8 => number!(U8),
        Type::S16 => number!(S16),
        Type::U16 => number!(U16),
        Type::S32 => number!(S32),
        Type::U32 => number!(U32),
        Type::S64 => number!(S64),
        Type::U64 => number!(U64),
        Type::F32 => number!(F32),
        Type::F64 => number!(F64),
        Type::Char => Value::Char(node.as_char(text).map_err(|_| unfit())?),
        Type::String => Value::String(node.as_str(text).map_err(|_| unfit())?.into_owned()),
        Type::List(of) => {
            let items = node.as_list().map_err(|_| unfit())?.enumerate();
            let items = items.map(|(place, item)| read(item, text, of).map_err(|wrong| at_item(wrong, place)));
            Value::list_of(of, items.collect::<Result<_, _>>()?)
        }
        Type::Tuple(types) => {
            let parts = node.as_tuple().map_err(|_| unfit())?;
            if parts.len() != types.len() {
                return Err(unfit());
            }
            let parts = parts.zip(types).enumerate();
            let parts = parts.map(|(place, (part, of))| read(part, text, of).map_err(|wrong| at_item(wrong, place)));
            Value::Tuple(parts.collect::<Result<_, _>>()?)
        }
        Type::Record(fields) => record(node, text, ty, fields)?,
        Type::Flags(names) => flags(node, text, ty, names)?,
        Type::Enum(cases) => {
            let name = node.as_enum(text).map_err(|_| unfit())?;
            Value::Enum(place_of(cases.iter(), |case| case == name).ok_or_else(unfit)?)
        }
        Type::Variant(cases) => {
            let (name, payload) = node.as_variant(text).map_err(|_| unfit())?;
            let case = place_of(cases.iter(), |(case, _)| case == name).ok_or_else(unfit)?;
            let of = cases[case as usize].1.as_ref();
            Value::Variant {
                case,
                payload: payload_of(node, payload, text, of, name)?,
            }
        }
        Type::Option(of) => match node.as_option() {
            Ok(payload) => Value::Option(payload_of(node, payload, text, payload.map(|_| &**of), "some")?),
            // `5` goes for `some(5)`, as in wasmtime's.
            Err(_) if !matches!(**of, Type::Option(_) | Type::Result { .. }) => Value::some(read(node, text, of)?),
            Err(_) => return Err(unfit()),
        },
        Type::Result { ok, err } => match (node.as_result(), ok) {
            (Ok(Ok(payload)), _) => Value::Result(Ok(payload_of(node, payload, text, ok.as_deref(), "ok")?)),
            (Ok(Err(payload)), _) => Value::Result(Err(payload_of(node, payload, text, err.as_deref(), "err")?)),
            (Err(_), Some(of)) if !matches!(**of, Type::Option(_) | Type::Result { .. }) => {
                Value::ok(read(node, text, of)?)
            }
            (Err(_), _) => return Err(unfit()),
        },
        Type::Resource | Type::Unsupported(_) => return Err(unfit()),
    })
}

fn wrong(node: &Node, text: &str, expected: impl fmt::Display) -> Wrong {
    let found = &text[node.span()];
    let found = match found.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &found[..end]),
        None => found.to_owned(),
    };
    (Mismatch::new(expected, found), node.span())
}

fn at_item((wrong, at): Wrong, place: usize) -> Wrong {
    (wrong.within(format_args!("[{place}]")), at)
}

fn number<N: FromStr>(node: &Node, text: &str) -> Option<N> {
    node.as_number(text).ok()
}

fn place_of<T>(mut names: impl Iterator<Item = T>, is: impl Fn(T) -> bool) -> Option<u32> {
    names.position(is).and_then(|place| u32::try_from(place).ok())
}

fn payload_of(
    whole: &Node,
    payload: Option<&Node>,
    text: &str,
    of: Option<&Type>,
    case: &str,
) -> Result<Option<Box<Value>>, Wrong> {
    match (payload, of) {
        (Some(payload), Some(of)) => match read(payload, text, of) {
            Ok(value) => Ok(Some(Box::new(value))),
            Err((wrong, at)) => Err((wrong.within(format_args!(".{case}")), at)),
        },
        (None, None) => Ok(None),
        (None, Some(of)) => Err(wrong(whole, text, format_args!("{case}({of})"))),
        (Some(_), None) => Err(wrong(whole, text, format_args!("{case} alone"))),
    }
}

fn record(node: &Node, text: &str, ty: &Type, fields: &[(String, Type)]) -> Result<Value, Wrong> {
    let found: Vec<_> = node.as_record(text).map_err(|_| wrong(node, text, ty))?.collect();
    if let Some((name, _)) = found
        .iter()
        .find(|(name, _)| !fields.iter().any(|(field, _)| field == name))
    {
        return Err((Mismatch::new(ty, format_args!("a field `{name}`")), node.span()));
    }
    let part = |(name, of): &(String, Type)| match (found.iter().find(|(field, _)| field == name), of) {
        (Some((_, node)), _) => read(node, text, of).map_err(|(wrong, at)| (wrong.within(format_args!(".{name}")), at)),
        (None, Type::Option(_)) => Ok(Value::none()),
        (None, _) => Err((
            Mismatch::new(of, "nothing").within(format_args!(".{name}")),
            node.span(),
        )),
    };
    Ok(Value::Record(fields.iter().map(part).collect::<Result<_, _>>()?))
}

fn flags(node: &Node, text: &str, ty: &Type, names: &[String]) -> Result<Value, Wrong> {
    let mut words = vec![0; flag_words(names.len())];
    for flag in node.as_flags(text).map_err(|_| wrong(node, text, ty))? {
        let flag = flag.trim_start_matches('%');
        let place = names.iter().position(|name| name == flag);
        let place = place.ok_or_else(|| (Mismatch::new(ty, format_args!("a flag `{flag}`")), node.span()))?;
        words[place / 32] |= 1 << (place % 32);
    }
    Ok(Value::Flags(words))
}
