//! Paths and queries of the protocol: percent signs in, percent signs out. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A request target in parts, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The segments of the path: never empty ones.
    pub(super) path: Vec<String>,
    /// The parameters; none stands there twice.
    pub(super) query: BTreeMap<String, String>,
}

impl Target {
    /// Takes a path and a query apart, or says in words what is wrong with them.
    pub(super) fn parse(path: &str, query: Option<&str>) -> Result<Self, String> {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let path = segments.map(decode).collect::<Result<_, _>>()?;
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if parameters.insert(name.clone(), decode(value)?).is_some() {
                return Err(format!("the parameter {name:?} stands there twice"));
            }
        }
        Ok(Self {
            path,
            query: parameters,
        })
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = wasmhot_appup::http::decode(text).map_err(|fault| format!("{text:?}: {fault}"))?;
    Ok(decoded.into_owned())
}

/// A segment of a path or the value of a parameter, so that [`Target::parse`] gives the same text again.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["", "counter", "a b", "a/b?c=d&e%20", "Zürich \u{1F600}", "\0\n"] {
            let query = format!("key={}", encode(text));
            let target = Target::parse("/v1/state", Some(&query)).expect("is read");
            assert_eq!(target.query["key"], text);
        }
        let target = Target::parse(&format!("/v1//state/{}/", encode("a/b")), None).expect("is read");
        assert_eq!(target.path, ["v1", "state", "a/b"]);
    }

    #[test]
    fn faults_have_words() {
        for (query, word) in [
            ("a=%", "hexadecimal"),
            ("a=%+1", "hexadecimal"),
            ("a=%ff", "UTF-8"),
            ("a=1&a=2", "twice"),
        ] {
            let fault = Target::parse("/v1", Some(query)).expect_err(query);
            assert!(fault.contains(word), "{fault}");
        }
    }
}
