//! A cursor over TOML that remembers where everything stands. Reading notes faults and goes on, so that one run names all.
//!
//! Invariants:
//! - A key that nobody asked for is a fault: [`Table::finish`].
//! - Readers return `None` both for what is absent and for what is faulty; the latter has been noted.

mod scalars;
mod table;

pub(crate) use scalars::{NAME_REMEDY, Word};
pub(crate) use table::Table;

use crate::diagnostic::{Diagnostic, Diagnostics};
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place.
pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

/// The text that is read, and the faults found in it so far.
pub(crate) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    faults: RefCell<Vec<Diagnostic>>,
}

/// How many faults are told at once: nobody reads more, and a hostile text could hold very many.
const FAULTS_MAX: usize = 50;

/// The longest word for which a similar one is looked for.
const TYPED_MAX: usize = 64;

/// The one format there is.
const FORMAT: i64 = 1;

impl<'a> Source<'a> {
    /// Reads `text` by `read`, which is given its top table.
    pub(crate) fn parse<T>(
        file: &str,
        text: &str,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Result<T, Diagnostics> {
        let source = Source {
            file,
            text,
            faults: RefCell::default(),
        };
        let document = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        let mut top = Table::new(&source, document.get_ref(), 0..0, "the file");
        source.check_format(&mut top);
        let value = read(&mut top);
        top.finish();
        let mut faults = source.faults.into_inner();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(Diagnostics(faults)),
        }
    }

    /// Notes a fault.
    pub(crate) fn refuse(&self, span: &Range<usize>, message: impl Into<String>, remedy: impl Into<Option<String>>) {
        if self.is_full() {
            return;
        }
        let fault = Diagnostic::at(self.file, self.text, span, message.into(), remedy.into());
        self.faults.borrow_mut().push(fault);
    }

    /// True if further faults will not be told.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.borrow().len() >= FAULTS_MAX
    }

    /// The line in which `place` stands.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        Diagnostic::at(self.file, self.text, span, String::new(), None).line
    }

    fn syntax(&self, error: &toml::de::Error) -> Diagnostics {
        let span = error.span().unwrap_or(0..0);
        let message = format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
        Diagnostics(vec![Diagnostic::at(self.file, self.text, &span, message, None)])
    }

    /// `format = 1` must be there, so that a later format can tell itself from this one.
    fn check_format(&self, top: &mut Table<'_>) {
        let Some(value) = top.value("format") else {
            let remedy = format!("write `format = {FORMAT}` as the first line");
            return self.refuse(&(0..0), "the file does not say its format", remedy);
        };
        if integer(value.get_ref()) != Some(FORMAT) {
            let remedy = format!("this wasmhot reads `format = {FORMAT}`; a newer format needs a newer wasmhot");
            self.refuse(&value.span(), "this format is not known", remedy);
        }
    }
}

/// The value as a whole number, if it is one that fits.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The word of `known` that somebody who wrote `typed` may have meant.
pub(crate) fn nearest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if typed.len() > TYPED_MAX {
        return None;
    }
    let typed = typed.to_lowercase().replace('-', "_");
    let scored = known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, &word.replace('-', "_")), word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.len() / 4).then_some(word)
}

/// Which keys were known in which tables: what the schemas are compared with.
#[cfg(test)]
pub(crate) mod known_keys {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    /// Keys by the titles of their tables.
    pub(crate) type Keys = BTreeMap<String, BTreeSet<String>>;

    thread_local! {
        static KNOWN: RefCell<Keys> = RefCell::default();
    }

    pub(super) fn note(title: &str, keys: &[&str]) {
        KNOWN.with_borrow_mut(|known| {
            let noted = known.entry(title.to_owned()).or_default();
            noted.extend(keys.iter().map(|key| (*key).to_owned()));
        });
    }

    /// What was noted on this thread since the last time.
    pub(crate) fn take() -> Keys {
        KNOWN.take()
    }
}
