//! Which module answers which HTTP request: routes as a release states them, and the table that is made of those of a release.
//!
//! A route is a host, or any, and the beginning of a path, whole segments of it: `/api` holds `/api`, `/api/` and `/api/x`, not
//! `/apix`. A segment `{key}` holds any text and names the key of a keyed module (R9). Of several routes that hold a request the one
//! with a host of its own wins, then the longer one, then the one with a word where the other has `{key}`.
//!
//! Invariant: a path is compared as it reads, percent signs decoded, segment by segment: `%2F` is part of a segment and never ends it.

mod table;

pub use table::{BadKey, Found, RouteTable, decode};

use crate::graph::Node;
use crate::interface::{FunctionName, ModuleInterface};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The interfaces by which a module answers HTTP requests, and the beginning of their versions.
const HANDLERS: [(&str, &str); 2] = [("wasi:http/handler", "0.3."), ("wasi:http/incoming-handler", "0.2.")];

/// True for the function by which the host gives a request to a module. It has no parameter for a key, and needs none: the path has it.
#[must_use]
pub fn is_handler(function: &FunctionName) -> bool {
    let Some((interface, version)) = function.interface.as_deref().and_then(|name| name.split_once('@')) else {
        return false;
    };
    let of_wasi = |(name, versions): &(&str, &str)| interface == *name && version.starts_with(versions);
    function.name == "handle" && HANDLERS.iter().any(of_wasi)
}

impl ModuleInterface {
    /// The export by which it answers HTTP requests, if it does; of two that of the newer WASI.
    #[must_use]
    pub fn http_handler(&self) -> Option<&FunctionName> {
        self.exports.keys().find(|function| is_handler(function))
    }
}

/// Requests that a module answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Of this host; absent: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<RouteHost>,
    /// Whose path begins so.
    pub path: RoutePath,
}

/// The name of a host, in lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteHost(String);

/// The beginning of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoutePath(Vec<Segment>);

/// What stands between two `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Segment {
    /// This word, decoded.
    Word(String),
    /// `{key}`
    Key,
}

impl RouteSpec {
    /// Where a module answers of which no route is stated: under its own name.
    #[must_use]
    pub fn default_of(node: &Node) -> Self {
        let mut path = vec![Segment::Word(node.version.name.to_string())];
        if node.kind == crate::settings::Kind::Keyed {
            path.push(Segment::Key);
        }
        Self {
            host: None,
            path: RoutePath(path),
        }
    }
}

impl RouteHost {
    /// Reads a name.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        // An address of IPv6 stands in brackets, as in a request.
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let fits = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !text.is_empty() && text.chars().all(is_name),
        };
        if fits {
            return Ok(Self(text.to_lowercase()));
        }
        Err(format!("{text:?} is no name of a host"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoutePath {
    /// Reads a path.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(inside) = text.strip_prefix('/') else {
            return Err(format!("the path {text:?} of a route has to begin with `/`"));
        };
        if inside.is_empty() {
            return Ok(Self::default());
        }
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        let segment = |word: &str| match word {
            "{key}" => Ok(Segment::Key),
            "" => Err(format!("the path {text:?} of a route has an empty segment")),
            word if word.contains(['{', '}', '%', '?', '#', '*']) || word.chars().any(char::is_control) => Err(
                format!("the segment {word:?} of the path {text:?} of a route is neither `{{key}}` nor a word"),
            ),
            word => Ok(Segment::Word(word.to_owned())),
        };
        let segments = inside.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.iter().filter(|one| **one == Segment::Key).count() > 1 {
            return Err(format!("the path {text:?} of a route has `{{key}}` twice"));
        }
        Ok(Self(segments))
    }

    /// True if `{key}` stands in it.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.0.contains(&Segment::Key)
    }

    /// True for paths below `/call/`, where the host itself answers.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.first(), Some(Segment::Word(word)) if word == "call")
    }
}

impl fmt::Display for RouteHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("/")?;
        for segment in &self.0 {
            match segment {
                Segment::Word(word) => write!(out, "{word}/")?,
                Segment::Key => out.write_str("{key}/")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for RouteSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(out, "{host}")?;
        }
        write!(out, "{}", self.path)
    }
}

impl TryFrom<String> for RouteHost {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for RoutePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<RouteHost> for String {
    fn from(host: RouteHost) -> Self {
        host.0
    }
}

impl From<RoutePath> for String {
    fn from(path: RoutePath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests;
