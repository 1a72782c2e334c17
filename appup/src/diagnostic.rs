//! Faults in a text, each with its place and what to do about it, drawn under the line they stand in.
//!
//! Invariants:
//! - Lines and columns count from 1; columns count characters.
//! - What is drawn holds no control characters, whatever the text held: it goes to terminals.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// One fault in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// The file, as the caller named it.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// The character in that line.
    pub column: usize,
    /// The line itself.
    pub source_line: String,
    /// How many characters of it are meant; at least 1.
    pub width: usize,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// All faults of a text, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics(pub(crate) Vec<Diagnostic>);

impl Diagnostic {
    /// A fault at `span` (bytes) of `text`.
    #[must_use]
    pub fn at(file: &str, text: &str, span: &Range<usize>, message: String, remedy: Option<String>) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        Self {
            message,
            file: file.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source_line: text[line_start..line_end].trim_end_matches('\r').to_owned(),
            width: text[start..end.min(line_end)].trim_end().chars().count().max(1),
            remedy,
        }
    }
}

impl Diagnostics {
    /// The faults.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.0
    }

    /// The faults.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The nearest character boundary at or before `place`.
fn floor_boundary(text: &str, place: usize) -> usize {
    let mut place = place.min(text.len());
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

/// One character for one character, so that the marks stay under what they mean.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c == '\t' {
            ' '
        } else if c.is_control() {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.column.saturating_sub(1));
        writeln!(out, "error: {}", printable(&self.message))?;
        writeln!(
            out,
            "{margin}--> {}:{}:{}",
            printable(&self.file),
            self.line,
            self.column
        )?;
        writeln!(out, "{margin} |")?;
        writeln!(out, "{number} | {}", printable(&self.source_line))?;
        write!(out, "{margin} | {indent}{}", "^".repeat(self.width))?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n{margin} = help: {}", printable(remedy)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            write!(out, "{}{fault}", if place == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
impl std::error::Error for Diagnostics {}
