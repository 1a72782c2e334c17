//! The routes of a release, most special first, and the search for the one that holds a request.

use super::{RouteSpec, Segment};
use crate::graph::{Graph, Node};
use crate::name::ModuleName;
use std::borrow::Cow;
use std::cmp::Reverse;

/// Which module answers what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// The first that holds a request answers it.
    routes: Vec<(RouteSpec, ModuleName)>,
}

/// The route that holds a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// Who answers.
    pub module: &'t ModuleName,
    /// What stands where the route has `{key}`.
    pub key: Option<String>,
}

/// What stands in the place of a key is no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key {segment:?} of `{module}` in the path is no text: after a `%` two hexadecimal digits, and UTF-8 in all"
)]
pub struct BadKey {
    /// Whose key.
    pub module: ModuleName,
    /// As it stands in the path.
    pub segment: String,
}

impl Node {
    /// The requests that it answers: those that are stated, else one under its name; none if it has no handler.
    #[must_use]
    pub fn http_routes(&self) -> Vec<RouteSpec> {
        match (&self.routes, self.interface.http_handler()) {
            (_, None) => Vec::new(),
            (Some(stated), Some(_)) => stated.clone(),
            (None, Some(_)) => vec![RouteSpec::default_of(self)],
        }
    }
}

impl RouteTable {
    /// The table of a release. Where two modules want the same, which [`Graph::resolve`] refuses, the first by name has it.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let of = |(name, node): (&ModuleName, &Node)| {
            let routes = node.http_routes().into_iter();
            routes.map(|route| (route, name.clone())).collect::<Vec<_>>()
        };
        let mut routes: Vec<_> = graph.nodes.iter().flat_map(of).collect();
        // Words come before `{key}`. The sort is stable.
        routes.sort_by(|(one, _), (other, _)| {
            let special = |route: &RouteSpec| (Reverse(route.host.is_some()), Reverse(route.path.0.len()));
            (special(one), &one.path, &one.host).cmp(&(special(other), &other.path, &other.host))
        });
        Self { routes }
    }

    /// Every route, most special first.
    pub fn iter(&self) -> impl Iterator<Item = (&RouteSpec, &ModuleName)> {
        self.routes.iter().map(|(route, module)| (route, module))
    }

    /// Who answers a request for this path. `host` may have a port.
    ///
    /// # Errors
    /// The key in the path is no text.
    pub fn find(&self, host: Option<&str>, path: &str) -> Result<Option<Found<'_>>, BadKey> {
        let host = host.map(|host| without_port(host).to_lowercase());
        let Some(inside) = path.strip_prefix('/') else {
            return Ok(None);
        };
        for (route, module) in &self.routes {
            let is_host = route
                .host
                .as_ref()
                .is_none_or(|of| Some(of.as_str()) == host.as_deref());
            if !is_host {
                continue;
            }
            if let Some(key) = holds(&route.path.0, inside) {
                let key = key.map(|segment| {
                    let bad = || BadKey {
                        module: module.clone(),
                        segment: segment.to_owned(),
                    };
                    decode(segment).map(Cow::into_owned).map_err(|_| bad())
                });
                let key = key.transpose()?;
                return Ok(Some(Found { module, key }));
            }
        }
        Ok(None)
    }
}

/// `example.org:8080` → `example.org`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Not the last part of an address of IPv6.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether the path begins so; and what stands where the key is, not decoded.
fn holds<'p>(route: &[Segment], path: &'p str) -> Option<Option<&'p str>> {
    let mut key = None;
    let mut segments = path.split('/');
    for wanted in route {
        let segment = segments.next().filter(|segment| !segment.is_empty())?;
        match wanted {
            Segment::Key => key = Some(segment),
            Segment::Word(word) => {
                if decode(segment).ok()? != word.as_str() {
                    return None;
                }
            }
        }
    }
    Some(key)
}

/// `a%20b` → `a b`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let bad_digits = "`%` needs two hexadecimal digits after it";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        // `from_str_radix` alone would take a sign.
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.ok_or(bad_digits)?);
        rest = &after[2..];
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| "this is not UTF-8")
}
