//! One table of a document: which keys it has, which of them are known, and the tables and arrays in it.

use super::{NAME_REMEDY, Source, Value, nearest};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

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
        #[cfg(test)]
        super::known_keys::note(self.title, &self.known);
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

    pub(crate) fn expected(&self, value: &Value<'_>, what: &str, example: &str) {
        let message = format!("expected {what}, found {}", kind_of(value.get_ref()));
        self.source
            .refuse(&value.span(), message, format!("for example {example}"));
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

    /// A list of texts under a key, each made something of by `parse`, whose error says what to write.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut list = Vec::new();
        for value in self.array(key, example) {
            match value.get_ref().as_str().map(&parse) {
                Some(Ok(parsed)) => list.push(parsed),
                Some(Err(message)) => self
                    .source
                    .refuse(&value.span(), message, format!("for example {example}")),
                None => self.expected(value, "a string", example),
            }
        }
        list
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
