//! WAVE, the text form of component values: `increment(5, "x")`, as people type calls and as answers are shown.
//!
//! The grammar is that of `wasmtime run --invoke`, by the same crate. What is added here: the name in front may be an
//! interface's function in every form ([`ModuleInterface::find_exports`](wasmhot_appup::interface::ModuleInterface::find_exports)),
//! `get` alone means `get()`, and errors say which argument is wrong, what was expected there, and where it stands.

use super::check::{flag_words, wrong_count};
use super::{FlatList, Mismatch, Value, with_flat};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::str::FromStr;
use wasm_wave::ast::Node;
use wasm_wave::lex::Keyword;
use wasm_wave::untyped::UntypedValue;
use wasmhot_appup::interface::{FunctionType, Type};

/// A call as text, of which nothing but the name is understood yet: the rest needs the function's type.
#[derive(Clone, Copy, Debug)]
pub struct CallText<'a> {
    text: &'a str,
    name: &'a str,
    /// Where the parenthesis opens; the end of the text where there is none.
    open: usize,
}

/// Text that is not a value, or not one of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveError {
    /// What is wrong, in one line.
    pub message: String,
    /// The whole text.
    pub text: String,
    /// Where in the text, in bytes.
    pub at: Range<usize>,
}

impl std::error::Error for WaveError {}

impl fmt::Display for WaveError {
    /// The message; below it, where the text is one line, the text with the place marked.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        let (Some(before), Some(marked)) = (self.text.get(..self.at.start), self.text.get(self.at.clone())) else {
            return Ok(());
        };
        if self.text.contains('\n') || self.text.is_empty() {
            return Ok(());
        }
        let (indent, width) = (before.chars().count(), marked.chars().count().max(1));
        write!(out, "\n    {}\n    {:indent$}{}", self.text, "", "^".repeat(width))
    }
}

impl<'a> CallText<'a> {
    /// Takes the name off a call: `place` of `place(1)`, `demo:shop/orders@1.0.0.place` of `demo:shop/orders@1.0.0.place(1)`.
    ///
    /// # Errors
    /// There is no name.
    pub fn split(text: &'a str) -> Result<Self, WaveError> {
        let open = text.find('(').unwrap_or(text.len());
        let name = text[..open].trim();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = "expected a function, like increment(5)".to_owned();
            return Err(WaveError {
                message,
                text: text.to_owned(),
                at: 0..open,
            });
        }
        Ok(CallText { text, name, open })
    }

    /// The function, as it was typed.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The arguments, as values of the function's types. Options at the end may be left out.
    ///
    /// # Errors
    /// The text is no list of values, there are too few or too many, or one is not of its type.
    pub fn args(&self, ty: &FunctionType) -> Result<Vec<Value>, WaveError> {
        let list = &self.text[self.open..];
        let inside = list
            .strip_prefix('(')
            .and_then(|list| list.trim_end().strip_suffix(')'));
        if list.is_empty() || inside.is_some_and(|inside| inside.trim().is_empty()) {
            return self.convert(&[], list, ty);
        }
        let parsed = UntypedValue::parse(list).map_err(|wrong| self.error(syntax(&wrong), wrong.span()))?;
        match parsed.node().as_tuple() {
            Ok(nodes) => self.convert(&nodes.collect::<Vec<_>>(), list, ty),
            Err(wrong) => Err(self.error(syntax(&wrong), wrong.span())),
        }
    }

    fn convert(&self, nodes: &[&Node], list: &str, ty: &FunctionType) -> Result<Vec<Value>, WaveError> {
        let rest = ty.params.get(nodes.len()..);
        if !rest.is_some_and(|rest| rest.iter().all(|(_, of)| matches!(of, Type::Option(_)))) {
            let at = if list.is_empty() {
                0..self.name.len()
            } else {
                0..list.trim_end().len()
            };
            let shift = if list.is_empty() {
                self.text.find(self.name).unwrap_or(0)
            } else {
                self.open
            };
            let message = wrong_count(ty, nodes.len()).to_string();
            return Err(WaveError {
                message,
                text: self.text.to_owned(),
                at: at.start + shift..at.end + shift,
            });
        }
        let mut args = Vec::with_capacity(ty.params.len());
        for (place, (name, of)) in ty.params.iter().enumerate() {
            args.push(match nodes.get(place) {
                Some(node) => read(node, list, of)
                    .map_err(|(wrong, at)| self.error(wrong.in_argument(place, name).to_string(), at))?,
                None => Value::none(),
            });
        }
        Ok(args)
    }

    /// `at` counts from the parenthesis.
    fn error(&self, message: String, at: Range<usize>) -> WaveError {
        WaveError {
            message,
            text: self.text.to_owned(),
            at: at.start + self.open..at.end + self.open,
        }
    }
}

/// One value as text.
///
/// # Errors
/// The text is no value, or not one of the type.
pub fn parse(text: &str, ty: &Type) -> Result<Value, WaveError> {
    let error = |message: String, at| WaveError {
        message,
        text: text.to_owned(),
        at,
    };
    let parsed = UntypedValue::parse(text).map_err(|wrong| error(syntax(&wrong), wrong.span()))?;
    read(parsed.node(), text, ty).map_err(|(wrong, at)| error(wrong.to_string(), at))
}

fn syntax(error: &wasm_wave::parser::ParserError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// What does not fit, and where it stands in the text.
type Wrong = (Mismatch, Range<usize>);

/// A parsed node as a value of type `ty`.
fn read(node: &Node, text: &str, ty: &Type) -> Result<Value, Wrong> {
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
pub(super) fn set_flags<'a>(words: &'a [u32], names: &'a [String]) -> impl Iterator<Item = &'a String> {
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
