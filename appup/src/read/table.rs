//! One table of a document: each reader takes a key, checks the value's type, and notes a fault that says what was expected.

use super::{Source, Value, integer, nearest};
use crate::name::{Digest, ModuleName, Version};
use crate::settings::{parse_duration, parse_size};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// What to do about a name that is none.
pub(crate) const NAME_REMEDY: &str = "a module name is a letter a-z, then a-z, 0-9 and `-`";

/// A table that is being read.
pub(crate) struct Table<'a> {
    pub(crate) source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    /// What faults call it: "the file", "`[release]`".
    title: &'static str,
    known: Vec<&'static str>,
    /// Keys of other tables, with where they belong.
    elsewhere: Vec<(&'static [&'static str], &'static str)>,
}

/// A value that is one of a few words.
pub(crate) trait Word: Copy + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
}

impl<'a> Table<'a> {
    pub(crate) fn new(source: &'a Source<'a>, table: &'a DeTable<'a>, span: Range<usize>, title: &'static str) -> Self {
        Self {
            source,
            table,
            span,
            title,
            known: Vec::new(),
            elsewhere: Vec::new(),
        }
    }

    /// Where the table begins.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Notes that these keys stand in another table, for whoever writes one of them here.
    pub(crate) fn belongs_elsewhere(&mut self, keys: &'static [&'static str], place: &'static str) {
        self.elsewhere.push((keys, place));
    }

    /// Notes a fault for each key that no reader asked for.
    pub(crate) fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            if self.source.is_full() {
                return;
            }
            let place = self.elsewhere.iter().find(|(keys, _)| keys.contains(&name));
            let remedy = match (place, nearest(name, self.known.iter().copied())) {
                (Some((_, place)), _) => format!("`{name}` belongs in {place}"),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => format!("{} takes here: {}", self.title, self.known.join(", ")),
            };
            self.source.refuse(&key.span(), format!("unknown key `{name}`"), remedy);
        }
    }

    /// Makes a key known without reading it.
    pub(crate) fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// The value of a key, with its place.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        self.know(key);
        let named = |candidate: &&toml::Spanned<std::borrow::Cow<'a, str>>| -> bool { candidate.get_ref() == key };
        let found = self.table.keys().find(named)?;
        self.table.get(found)
    }

    /// Whether a key is there. Does not make it known.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.keys().any(|candidate| candidate.get_ref() == key)
    }

    /// The span of the key itself.
    pub(crate) fn key_span(&self, key: &str) -> Range<usize> {
        let found = self.table.keys().find(|candidate| candidate.get_ref() == key);
        found.map_or_else(|| self.span(), toml::Spanned::span)
    }

    /// Every key with its value: for tables whose keys are free.
    pub(crate) fn entries(&mut self) -> impl Iterator<Item = (&'a str, Range<usize>, &'a Value<'a>)> + use<'a> {
        let table = self.table;
        table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// Notes that a key has to be there.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        let message = format!("{} lacks `{key}`", self.title);
        self.source
            .refuse(&self.span, message, format!("add `{key} = {example}`"));
    }

    fn expected(&self, value: &Value<'_>, what: &str, example: &str) {
        let message = format!("expected {what}, found {}", kind_of(value.get_ref()));
        self.source
            .refuse(&value.span(), message, format!("for example {example}"));
    }

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
    fn parsed<T, E: std::fmt::Display>(
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
        let fault = |error: crate::settings::UnitError| {
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
        if let Some((_, meaning)) = W::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let remedy = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("it is one of \"{}\"", words.join("\", \"")),
        };
        self.source
            .refuse(&span, format!("`{key}` cannot be \"{text}\""), remedy);
        None
    }

    /// A table under a key.
    pub(crate) fn table(&mut self, key: &'static str, title: &'static str) -> Option<Table<'a>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.expected(value, "a table", &format!("`{key} = {{ … }}`"));
            return None;
        };
        Some(Table::new(self.source, table, value.span(), title))
    }

    /// The tables of an array of tables; empty if the key is absent.
    pub(crate) fn tables(&mut self, key: &'static str, title: &'static str) -> Vec<Table<'a>> {
        let mut tables = Vec::new();
        for value in self.array(key, title) {
            match value.get_ref().as_table() {
                Some(table) => tables.push(Table::new(self.source, table, value.span(), title)),
                None => self.expected(value, "a table", title),
            }
        }
        tables
    }

    /// The values of an array; empty if the key is absent.
    pub(crate) fn array(&mut self, key: &'static str, example: &str) -> Vec<&'a Value<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.expected(value, "an array", example);
            return Vec::new();
        };
        array.iter().collect()
    }

    /// A table of texts under a key, each made something of by `parse`.
    pub(crate) fn texts<T>(
        &mut self,
        key: &'static str,
        title: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> BTreeMap<String, T> {
        let Some(mut table) = self.table(key, title) else {
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (name, _, value) in table.entries() {
            let Some(text) = value.get_ref().as_str() else {
                self.expected(value, "a string", &format!("`\"{name}\" = \"…\"`"));
                continue;
            };
            match parse(text) {
                Ok(parsed) => drop(texts.insert(name.to_owned(), parsed)),
                Err(message) => self.source.refuse(&value.span(), message, NAME_REMEDY.to_owned()),
            }
        }
        texts
    }
}

/// What a value is, with its article.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
