//! Readers of single values: each takes a key, checks the value's type, and notes a fault that says what was expected.

use super::{Table, Value, integer, nearest};
use crate::name::{Digest, ModuleName, Version};
use crate::range::Predecessor;
use crate::settings::{UnitError, parse_duration, parse_size};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

/// What to do about a name that is none.
pub(crate) const NAME_REMEDY: &str = "a module name is a letter a-z, then a-z, 0-9 and `-`";

/// A value that is one of a few words.
pub(crate) trait Word: Copy + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
}

impl<'a> Table<'a> {
    /// A text, with its place.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<(&'a str, Range<usize>)> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.expected(value, "a string", &format!("`{key} = \"…\"`"));
            return None;
        };
        Some((text, value.span()))
    }

    /// A text that `parse` makes something of; its error is the fault.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        remedy: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, span) = self.text(key)?;
        let fault = |error: E| self.source.refuse(&span, error.to_string(), remedy.map(str::to_owned));
        parse(text).map_err(fault).ok()
    }

    /// A module's name.
    pub(crate) fn module(&mut self, key: &'static str) -> Option<ModuleName> {
        self.parsed(key, Some(NAME_REMEDY), ModuleName::parse)
    }

    /// A semantic version.
    pub(crate) fn version(&mut self, key: &'static str) -> Option<Version> {
        self.parsed(key, Some("a version has three numbers, as in \"1.2.0\""), |text| {
            Version::parse(text).map_err(|error| format!("`{text}` is no version: {error}"))
        })
    }

    /// Versions of a module, or of the one that is named.
    pub(crate) fn predecessor(&mut self, key: &'static str) -> Option<Predecessor> {
        let remedy = "for example \"1.0.0\" for that version alone, \">=1.0.0, <1.1.0\" or \"~1.0\" for a range";
        self.parsed(key, Some(remedy), str::parse)
    }

    /// A SHA-256.
    pub(crate) fn digest(&mut self, key: &'static str) -> Option<Digest> {
        self.parsed(
            key,
            Some("`sha256sum FILE` prints it; `wasmhot plan` writes it for you"),
            str::parse,
        )
    }

    /// A duration with a unit.
    pub(crate) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => {
                self.expected(value, "a duration", &format!("`{key} = \"5s\"`"));
                return None;
            }
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.source.refuse(
                    &value.span(),
                    error.to_string(),
                    format!("for example `{key} = \"5s\"`"),
                );
                None
            }
        }
    }

    /// A size: text with a unit, or bytes.
    pub(crate) fn size(&mut self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        if let Some(bytes) = integer(value.get_ref()) {
            return self.in_range(value, bytes, 0);
        }
        let Some(text) = value.get_ref().as_str() else {
            self.expected(value, "a size", &format!("`{key} = \"256MiB\"`"));
            return None;
        };
        let fault = |error: UnitError| {
            let remedy = format!("for example `{key} = \"256MiB\"`");
            self.source.refuse(&value.span(), error.to_string(), remedy);
        };
        parse_size(text).map_err(fault).ok()
    }

    /// A whole number, not negative.
    pub(crate) fn count<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<T> {
        self.at_least(key, 0)
    }

    /// A whole number, at least 1.
    pub(crate) fn positive<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<T> {
        self.at_least(key, 1)
    }

    fn at_least<T: TryFrom<i64>>(&mut self, key: &'static str, least: i64) -> Option<T> {
        let value = self.value(key)?;
        match integer(value.get_ref()) {
            Some(number) => self.in_range(value, number, least),
            None => {
                self.expected(value, "a whole number", &format!("`{key} = 16`"));
                None
            }
        }
    }

    fn in_range<T: TryFrom<i64>>(&self, value: &Value<'_>, number: i64, least: i64) -> Option<T> {
        let fitting = T::try_from(number).ok().filter(|_| number >= least);
        if fitting.is_none() {
            let message = if number < least {
                "this number is too small"
            } else {
                "this number is too large"
            };
            let remedy = if number < least {
                format!("the least is {least}")
            } else {
                "take a smaller one".to_owned()
            };
            self.source.refuse(&value.span(), message, remedy);
        }
        fitting
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.expected(value, "`true` or `false`", &format!("`{key} = true`"));
        }
        flag
    }

    /// One of a few words.
    pub(crate) fn word<W: Word>(&mut self, key: &'static str) -> Option<W> {
        let (text, span) = self.text(key)?;
        self.word_of(key, text, &span)
    }

    /// Some of a few words.
    pub(crate) fn words<W: Word>(&mut self, key: &'static str) -> Vec<W> {
        let example = format!("`{key} = [\"{}\"]`", W::WORDS.first().map_or("", |(word, _)| word));
        let mut words = Vec::new();
        for value in self.array(key, &example) {
            match value.get_ref().as_str() {
                Some(text) => words.extend(self.word_of::<W>(key, text, &value.span())),
                None => self.expected(value, "a string", &example),
            }
        }
        words
    }

    fn word_of<W: Word>(&self, key: &str, text: &str, span: &Range<usize>) -> Option<W> {
        if let Some((_, meaning)) = W::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let remedy = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("it is one of \"{}\"", words.join("\", \"")),
        };
        self.source
            .refuse(span, format!("`{key}` cannot be \"{text}\""), remedy);
        None
    }
}
