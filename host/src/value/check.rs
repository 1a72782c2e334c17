//! Does a value fit a type?
//!
//! Asked before every call: on an engine with concurrent calls a wrong argument would end the whole instance.

use super::{FlatList, Value};
use std::fmt;
use wasmhot_appup::interface::{FunctionType, Type};

/// Where a value does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The part that does not fit: ``argument 2 `name`.street``; empty for the whole value.
    pub path: String,
    /// What the type wants there, in WIT.
    pub expected: String,
    /// What stands there instead.
    pub found: String,
}

impl Mismatch {
    pub(super) fn new(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Mismatch {
            path: String::new(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Says in which part of the whole it happened. Called on the way out, so that a check that passes builds no text.
    pub(super) fn within(mut self, part: impl fmt::Display) -> Self {
        self.path.insert_str(0, &part.to_string());
        self
    }

    /// Says in which argument of a call it happened.
    pub(super) fn in_argument(self, place: usize, name: &str) -> Self {
        self.within(format_args!("argument {} `{name}`", place + 1))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.trim_start_matches('.') {
            "" => {}
            path => write!(out, "{path}: ")?,
        }
        write!(out, "expected {}, found {}", self.expected, self.found)
    }
}

/// Checks the arguments of a call against its signature.
///
/// # Errors
/// The first argument that does not fit, or how many are wanted.
pub fn check_args(ty: &FunctionType, args: &[Value]) -> Result<(), Mismatch> {
    if args.len() != ty.params.len() {
        return Err(wrong_count(ty, args.len()));
    }
    for (place, ((name, of), arg)) in ty.params.iter().zip(args).enumerate() {
        arg.conforms(of).map_err(|mismatch| mismatch.in_argument(place, name))?;
    }
    Ok(())
}

/// "expected 2 arguments for func(by: s64, note: string), found 1".
pub(super) fn wrong_count(ty: &FunctionType, found: usize) -> Mismatch {
    let wanted = ty.params.len();
    let plural = if wanted == 1 { "" } else { "s" };
    Mismatch::new(format_args!("{wanted} argument{plural} for {ty}"), found)
}

impl Value {
    /// Checks the value against a type, to its last part.
    ///
    /// # Errors
    /// The first part that does not fit.
    pub fn conforms(&self, ty: &Type) -> Result<(), Mismatch> {
        let fits = match (self, ty) {
            (Value::List(items), Type::List(of)) => return list(items, of).unwrap_or_else(|| self.unfit(ty)),
            (Value::Record(parts), Type::Record(fields)) if parts.len() == fields.len() => {
                return each(
                    parts
                        .iter()
                        .zip(fields.iter().map(|(name, of)| (of, Part::Field(name)))),
                );
            }
            (Value::Tuple(parts), Type::Tuple(types)) if parts.len() == types.len() => {
                return each(
                    parts
                        .iter()
                        .zip(types.iter().enumerate().map(|(place, of)| (of, Part::Item(place)))),
                );
            }
            (Value::Variant { case, payload }, Type::Variant(cases)) => match cases.get(*case as usize) {
                Some((name, of)) => return inside(payload.as_deref(), of.as_ref(), name),
                None => false,
            },
            (Value::Option(None), Type::Option(_)) => true,
            (Value::Option(some @ Some(_)), Type::Option(of)) => return inside(some.as_deref(), Some(of), "some"),
            (Value::Result(Ok(part)), Type::Result { ok, .. }) => return inside(part.as_deref(), ok.as_deref(), "ok"),
            (Value::Result(Err(part)), Type::Result { err, .. }) => {
                return inside(part.as_deref(), err.as_deref(), "err");
            }
            _ => self.fits_simple(ty),
        };
        if fits { Ok(()) } else { self.unfit(ty) }
    }

    /// The types that have no parts to look into.
    fn fits_simple(&self, ty: &Type) -> bool {
        match (self, ty) {
            (Value::Bool(_), Type::Bool)
            | (Value::S8(_), Type::S8)
            | (Value::U8(_), Type::U8)
            | (Value::S16(_), Type::S16)
            | (Value::U16(_), Type::U16)
            | (Value::S32(_), Type::S32)
            | (Value::U32(_), Type::U32)
            | (Value::S64(_), Type::S64)
            | (Value::U64(_), Type::U64)
            | (Value::F32(_), Type::F32)
            | (Value::F64(_), Type::F64)
            | (Value::Char(_), Type::Char)
            | (Value::String(_), Type::String) => true,
            (Value::Bytes(_), Type::List(of)) => **of == Type::U8,
            (Value::Numbers(list), Type::List(of)) => **of == list.item_type(),
            (Value::Enum(case), Type::Enum(cases)) => (*case as usize) < cases.len(),
            (Value::Flags(words), Type::Flags(names)) => flags_fit(words, names.len()),
            _ => false,
        }
    }

    fn unfit(&self, ty: &Type) -> Result<(), Mismatch> {
        Err(Mismatch::new(ty, self.describe()))
    }

    /// `s64 5`, `string "abc"`, `list of 3`: short, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Value::Bool(it) => format!("bool {it}"),
            Value::S8(it) => format!("s8 {it}"),
            Value::U8(it) => format!("u8 {it}"),
            Value::S16(it) => format!("s16 {it}"),
            Value::U16(it) => format!("u16 {it}"),
            Value::S32(it) => format!("s32 {it}"),
            Value::U32(it) => format!("u32 {it}"),
            Value::S64(it) => format!("s64 {it}"),
            Value::U64(it) => format!("u64 {it}"),
            Value::F32(it) => format!("f32 {it}"),
            Value::F64(it) => format!("f64 {it}"),
            Value::Char(it) => format!("char {it:?}"),
            Value::String(it) => format!("string {:?}", clipped(it)),
            Value::Bytes(it) => format!("list<u8> of {}", it.len()),
            Value::Numbers(it) => format!("list<{}> of {}", it.item_type(), it.len()),
            Value::List(it) => format!("list of {}", it.len()),
            Value::Record(it) => format!("record of {}", it.len()),
            Value::Tuple(it) => format!("tuple of {}", it.len()),
            Value::Variant { case, .. } => format!("variant case {case}"),
            Value::Enum(case) => format!("enum case {case}"),
            Value::Option(Some(_)) => "some".to_owned(),
            Value::Option(None) => "none".to_owned(),
            Value::Result(Ok(_)) => "ok".to_owned(),
            Value::Result(Err(_)) => "err".to_owned(),
            Value::Flags(words) => format!("flags {words:x?}"),
        }
    }
}

impl FlatList {
    /// The type of one number.
    #[must_use]
    pub fn item_type(&self) -> Type {
        match self {
            FlatList::S8(_) => Type::S8,
            FlatList::S16(_) => Type::S16,
            FlatList::U16(_) => Type::U16,
            FlatList::S32(_) => Type::S32,
            FlatList::U32(_) => Type::U32,
            FlatList::S64(_) => Type::S64,
            FlatList::U64(_) => Type::U64,
            FlatList::F32(_) => Type::F32,
            FlatList::F64(_) => Type::F64,
        }
    }
}

/// True if lists of `of` are [`Value::Bytes`] or [`Value::Numbers`].
pub(super) fn is_number(of: &Type) -> bool {
    matches!(
        of,
        Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::F32
            | Type::F64
    )
}

/// How many 32-bit words a set of `names` flags takes.
pub(super) fn flag_words(names: usize) -> usize {
    names.div_ceil(32)
}

fn flags_fit(words: &[u32], names: usize) -> bool {
    // In the last word the bits beyond the names must be clear.
    let used = names % 32;
    words.len() == flag_words(names) && (used == 0 || words.last().is_some_and(|last| last >> used == 0))
}

/// A part of a whole, named only when it is at fault.
enum Part<'a> {
    Field(&'a str),
    Item(usize),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Field(name) => write!(out, ".{name}"),
            Part::Item(place) => write!(out, "[{place}]"),
        }
    }
}

fn each<'a>(parts: impl Iterator<Item = (&'a Value, (&'a Type, Part<'a>))>) -> Result<(), Mismatch> {
    for (value, (of, part)) in parts {
        value.conforms(of).map_err(|mismatch| mismatch.within(part))?;
    }
    Ok(())
}

/// `None`: numbers must not come in a list of values.
fn list(items: &[Value], of: &Type) -> Option<Result<(), Mismatch>> {
    (!is_number(of)).then(|| {
        each(
            items
                .iter()
                .enumerate()
                .map(|(place, item)| (item, (of, Part::Item(place)))),
        )
    })
}

/// What a case carries.
fn inside(payload: Option<&Value>, of: Option<&Type>, case: &str) -> Result<(), Mismatch> {
    match (payload, of) {
        (Some(payload), Some(of)) => payload.conforms(of),
        (None, None) => Ok(()),
        (Some(payload), None) => Err(Mismatch::new("nothing", payload.describe())),
        (None, Some(of)) => Err(Mismatch::new(of, "nothing")),
    }
    .map_err(|mismatch| mismatch.within(Part::Field(case)))
}

/// The first forty characters.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
