//! Values as JSON: the bodies of HTTP calls, `args` in a relup, the answers of `call --json`.
//!
//! | WIT | JSON |
//! |---|---|
//! | integers | numbers, exact over all 64 bits |
//! | floats | numbers; `"nan"`, `"inf"`, `"-inf"` |
//! | `string`, `char` | strings |
//! | `list<T>`, bytes as well; tuples | arrays |
//! | records | objects; a missing option is none |
//! | variants | `{"case": payload}`; `"case"` where it carries nothing |
//! | enums | strings |
//! | `option<T>` | `null` or the value; `{"some": value}` where the value is an option itself |
//! | `result<T, E>` | `{"ok": value}`, `{"err": value}`; `null` for nothing |
//! | flags | an array of names |

use super::check::{flag_words, wrong_count};
use super::wave::set_flags;
use super::{FlatList, Mismatch, Value, with_flat};
use serde_json::{Map, Number, Value as Json, json};
use wasmhot_appup::interface::{FunctionType, Type};

/// The arguments of a call, from a JSON array. Options at the end may be left out.
///
/// # Errors
/// No array, too few or too many, or one that is not of its type.
pub fn args_from_json(json: &Json, ty: &FunctionType) -> Result<Vec<Value>, Mismatch> {
    let Json::Array(args) = json else {
        return Err(Mismatch::new("an array of arguments", describe(json)));
    };
    let rest = ty.params.get(args.len()..);
    if !rest.is_some_and(|rest| rest.iter().all(|(_, of)| matches!(of, Type::Option(_)))) {
        return Err(wrong_count(ty, args.len()));
    }
    let given = args.iter().chain(std::iter::repeat(&Json::Null));
    let args = ty.params.iter().zip(given).enumerate();
    args.map(|(place, ((name, of), arg))| from_json(arg, of).map_err(|mismatch| mismatch.in_argument(place, name)))
        .collect()
}

/// The arguments of a call as a JSON array.
#[must_use]
pub fn args_to_json(args: &[Value], ty: &FunctionType) -> Json {
    args.iter()
        .zip(&ty.params)
        .map(|(arg, (_, of))| to_json(arg, of))
        .collect()
}

/// A value of type `ty`, from JSON.
///
/// # Errors
/// The first part that is not of its type.
pub fn from_json(json: &Json, ty: &Type) -> Result<Value, Mismatch> {
    macro_rules! integer {
        ($kind:ident, $read:ident) => {
            json.$read().and_then(|it| it.try_into().ok()).map(Value::$kind)
        };
    }
    let value = match (ty, json) {
        (Type::Bool, _) => json.as_bool().map(Value::Bool),
        (Type::S8, _) => integer!(S8, as_i64),
        (Type::U8, _) => integer!(U8, as_u64),
        (Type::S16, _) => integer!(S16, as_i64),
        (Type::U16, _) => integer!(U16, as_u64),
        (Type::S32, _) => integer!(S32, as_i64),
        (Type::U32, _) => integer!(U32, as_u64),
        (Type::S64, _) => json.as_i64().map(Value::S64),
        (Type::U64, _) => json.as_u64().map(Value::U64),
        (Type::F32, _) => float(json).and_then(narrow).map(Value::F32),
        (Type::F64, _) => float(json).map(Value::F64),
        (Type::Char, Json::String(text)) => text.parse().ok().map(Value::Char),
        (Type::String, Json::String(text)) => Some(Value::String(text.clone())),
        (Type::List(of), Json::Array(items)) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(place, item)| at(from_json(item, of), Part::Item(place)));
            Some(Value::list_of(of, items.collect::<Result<_, _>>()?))
        }
        (Type::Tuple(types), Json::Array(parts)) if parts.len() == types.len() => {
            let parts = parts.iter().zip(types).enumerate();
            let parts = parts.map(|(place, (part, of))| at(from_json(part, of), Part::Item(place)));
            Some(Value::Tuple(parts.collect::<Result<_, _>>()?))
        }
        (Type::Record(fields), Json::Object(found)) => Some(record(found, fields, ty)?),
        (Type::Variant(cases), _) => return variant(json, cases, ty),
        (Type::Enum(cases), Json::String(name)) => cases
            .iter()
            .position(|case| case == name)
            .and_then(|case| u32::try_from(case).ok())
            .map(Value::Enum),
        (Type::Option(_), Json::Null) => Some(Value::none()),
        (Type::Option(of), Json::Object(found)) if nullable(of) => match only(found) {
            Some(("some", payload)) => Some(Value::some(at(from_json(payload, of), Part::Field("some"))?)),
            _ => None,
        },
        (Type::Option(of), _) if !nullable(of) => Some(Value::some(from_json(json, of)?)),
        (Type::Result { ok, err }, Json::Object(found)) => match only(found) {
            Some(("ok", json)) => Some(Value::Result(Ok(payload(json, ok.as_deref(), "ok")?))),
            Some(("err", json)) => Some(Value::Result(Err(payload(json, err.as_deref(), "err")?))),
            _ => None,
        },
        (Type::Flags(names), Json::Array(set)) => Some(flags(set, names)?),
        _ => None,
    };
    value.ok_or_else(|| Mismatch::new(ty, describe(json)))
}

/// What does not fit is the part, not the whole.
#[derive(Clone, Copy)]
enum Part<'a> {
    Field(&'a str),
    Item(usize),
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "a part is a small name or number, made for this call"
)]
fn at<T>(read: Result<T, Mismatch>, part: Part<'_>) -> Result<T, Mismatch> {
    read.map_err(|mismatch| match part {
        Part::Field(name) => mismatch.within(format_args!(".{name}")),
        Part::Item(place) => mismatch.within(format_args!("[{place}]")),
    })
}

/// True if values of the type may be `null`, so that an option around it needs a mark.
fn nullable(of: &Type) -> bool {
    matches!(of, Type::Option(_))
}

/// The only member of an object.
fn only(object: &Map<String, Json>) -> Option<(&str, &Json)> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "nan" | "NaN" => Some(f64::NAN),
            "inf" | "Infinity" => Some(f64::INFINITY),
            "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// `None`: the number is beyond what fits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted; what becomes infinite is refused"
)]
fn narrow(number: f64) -> Option<f32> {
    let narrow = number as f32;
    (narrow.is_infinite() == number.is_infinite()).then_some(narrow)
}

fn record(found: &Map<String, Json>, fields: &[(String, Type)], ty: &Type) -> Result<Value, Mismatch> {
    if let Some(name) = found
        .keys()
        .find(|name| !fields.iter().any(|(field, _)| field == *name))
    {
        return Err(Mismatch::new(ty, format_args!("a field `{name}`")));
    }
    let part = |(name, of): &(String, Type)| {
        let read = match (found.get(name), of) {
            (Some(json), _) => from_json(json, of),
            (None, Type::Option(_)) => Ok(Value::none()),
            (None, _) => Err(Mismatch::new(of, "nothing")),
        };
        at(read, Part::Field(name))
    };
    Ok(Value::Record(fields.iter().map(part).collect::<Result<_, _>>()?))
}

fn variant(json: &Json, cases: &[(String, Option<Type>)], ty: &Type) -> Result<Value, Mismatch> {
    let (name, json) = match json {
        Json::String(name) => (name.as_str(), &Json::Null),
        Json::Object(found) => only(found).ok_or_else(|| Mismatch::new(ty, describe(json)))?,
        other => return Err(Mismatch::new(ty, describe(other))),
    };
    let case = cases.iter().position(|(case, _)| case == name);
    let case = case.ok_or_else(|| Mismatch::new(ty, format_args!("a case `{name}`")))?;
    let payload = payload(json, cases[case].1.as_ref(), name)?;
    Ok(Value::Variant {
        case: u32::try_from(case).unwrap_or(u32::MAX),
        payload,
    })
}

fn payload(json: &Json, of: Option<&Type>, case: &str) -> Result<Option<Box<Value>>, Mismatch> {
    match (of, json) {
        (Some(of), json) => at(from_json(json, of), Part::Field(case)).map(|value| Some(Box::new(value))),
        (None, Json::Null) => Ok(None),
        (None, json) => at(Err(Mismatch::new("null", describe(json))), Part::Field(case)),
    }
}

fn flags(set: &[Json], names: &[String]) -> Result<Value, Mismatch> {
    let mut words = vec![0; flag_words(names.len())];
    for (place, flag) in set.iter().enumerate() {
        let bit = flag
            .as_str()
            .and_then(|flag| names.iter().position(|name| name == flag));
        let unknown = || Mismatch::new(format_args!("one of {}", names.join(", ")), describe(flag));
        let bit = at(bit.ok_or_else(unknown), Part::Item(place))?;
        words[bit / 32] |= 1 << (bit % 32);
    }
    Ok(Value::Flags(words))
}

/// `number 5`, `string "x"`, `array of 3`: short, for messages.
fn describe(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(it) => it.to_string(),
        Json::Number(it) => it.to_string(),
        Json::String(_) => json.to_string().chars().take(40).collect(),
        Json::Array(items) => format!("an array of {}", items.len()),
        Json::Object(members) => {
            let names: Vec<_> = members.keys().take(5).map(String::as_str).collect();
            format!(
                "an object with {}",
                if names.is_empty() {
                    "nothing".to_owned()
                } else {
                    names.join(", ")
                }
            )
        }
    }
}

/// A value of type `ty`, as JSON. What does not fit the type becomes `null`.
#[must_use]
pub fn to_json(value: &Value, ty: &Type) -> Json {
    let payload = |part: &Option<Box<Value>>, of: Option<&Type>| match (part, of) {
        (Some(part), Some(of)) => to_json(part, of),
        _ => Json::Null,
    };
    match (value, ty) {
        (Value::Bool(it), _) => Json::from(*it),
        (Value::S8(it), _) => Json::from(*it),
        (Value::U8(it), _) => Json::from(*it),
        (Value::S16(it), _) => Json::from(*it),
        (Value::U16(it), _) => Json::from(*it),
        (Value::S32(it), _) => Json::from(*it),
        (Value::U32(it), _) => Json::from(*it),
        (Value::S64(it), _) => Json::from(*it),
        (Value::U64(it), _) => Json::from(*it),
        (Value::F32(it), _) => float_to_json(f64::from(*it)),
        (Value::F64(it), _) => float_to_json(*it),
        (Value::Char(it), _) => Json::from(it.to_string()),
        (Value::String(it), _) => Json::from(it.as_str()),
        (Value::Bytes(it), _) => Json::from(it.as_slice()),
        (Value::Numbers(FlatList::F32(list)), _) => list.iter().map(|it| float_to_json(f64::from(*it))).collect(),
        (Value::Numbers(FlatList::F64(list)), _) => list.iter().map(|it| float_to_json(*it)).collect(),
        (Value::Numbers(list), _) => with_flat!(list, list => Json::from(list.as_slice())),
        (Value::List(items), Type::List(of)) => items.iter().map(|item| to_json(item, of)).collect(),
        (Value::Tuple(parts), Type::Tuple(types)) => {
            parts.iter().zip(types).map(|(part, of)| to_json(part, of)).collect()
        }
        (Value::Record(parts), Type::Record(fields)) => parts
            .iter()
            .zip(fields)
            .map(|(part, (name, of))| (name.clone(), to_json(part, of)))
            .collect(),
        (Value::Variant { case, payload: part }, Type::Variant(cases)) => match cases.get(*case as usize) {
            Some((name, None)) => Json::from(name.as_str()),
            Some((name, of)) => json!({ name: payload(part, of.as_ref()) }),
            None => Json::Null,
        },
        (Value::Enum(case), Type::Enum(cases)) => cases.get(*case as usize).map(String::as_str).into(),
        (Value::Option(Some(some)), Type::Option(of)) if nullable(of) => json!({ "some": to_json(some, of) }),
        (Value::Option(some), Type::Option(of)) => payload(some, Some(of)),
        (Value::Result(Ok(part)), Type::Result { ok, .. }) => json!({ "ok": payload(part, ok.as_deref()) }),
        (Value::Result(Err(part)), Type::Result { err, .. }) => json!({ "err": payload(part, err.as_deref()) }),
        (Value::Flags(words), Type::Flags(names)) => set_flags(words, names).map(String::as_str).collect(),
        _ => Json::Null,
    }
}

fn float_to_json(number: f64) -> Json {
    match Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None if number.is_nan() => Json::from("nan"),
        None if number > 0.0 => Json::from("inf"),
        None => Json::from("-inf"),
    }
}
