//! WAVE, the text form of component values: `increment(5, "x")`, as people type calls and as answers are shown.
//!
//! The grammar is that of `wasmtime run --invoke`, by the same crate. What is added here: the name in front may be an
//! interface's function in every form ([`ModuleInterface::find_exports`](wasmhot_appup::interface::ModuleInterface::find_exports)),
//! `get` alone means `get()`, and errors say which argument is wrong, what was expected there, and where it stands.

mod read;
mod write;

use super::Value;
use super::check::wrong_count;
use read::read;
use std::fmt;
use std::ops::Range;
use wasm_wave::ast::Node;
use wasm_wave::untyped::UntypedValue;
use wasmhot_appup::interface::{FunctionType, Type};
pub(super) use write::set_flags;
pub use write::to_string;

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
