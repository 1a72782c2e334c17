//! What an author writes in `module!`: keys and values in any order, each at most once, checked with errors that point at it.

use semver::{Version, VersionReq};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitBool, LitStr, Result, Token, Type, braced};

const KEYS: &str =
    "name, version, kind, world, exports, state, format, schema, reads, writes, health, live, incremental";
const KINDS: [&str; 3] = ["single", "keyed", "pool"];
const FORMATS: [&str; 2] = ["cbor", "postcard"];

/// The whole list.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
    pub(crate) kind: Option<Ident>,
    pub(crate) world: Option<LitStr>,
    pub(crate) exports: Option<Ident>,
    pub(crate) state: Option<Type>,
    pub(crate) format: Option<Ident>,
    pub(crate) schema: Option<LitStr>,
    pub(crate) reads: Option<Vec<Entry>>,
    pub(crate) writes: Option<Vec<Entry>>,
    pub(crate) health: Option<Expr>,
    pub(crate) live: Option<Expr>,
    pub(crate) incremental: Option<LitBool>,
}

/// `"~1.0" => v1_0::State in postcard via convert`.
pub(crate) struct Entry {
    pub(crate) range: LitStr,
    pub(crate) old: Type,
    pub(crate) format: Option<Ident>,
    pub(crate) via: Option<Expr>,
}

impl Parse for Module {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut module = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            module.value(&key, input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        module.check()?;
        Ok(module)
    }
}

impl Module {
    fn value(&mut self, key: &Ident, input: ParseStream<'_>) -> Result<()> {
        match key.to_string().as_str() {
            "name" => once(&mut self.name, key, name(input)?),
            "version" => once(&mut self.version, key, version(input)?),
            "kind" => once(&mut self.kind, key, one_of(input, &KINDS)?),
            "world" => once(&mut self.world, key, input.parse()?),
            "exports" => once(&mut self.exports, key, input.parse()?),
            "state" => once(&mut self.state, key, input.parse()?),
            "format" => once(&mut self.format, key, one_of(input, &FORMATS)?),
            "schema" => once(&mut self.schema, key, json(input)?),
            "reads" => once(&mut self.reads, key, entries(input)?),
            "writes" => once(&mut self.writes, key, entries(input)?),
            "health" => once(&mut self.health, key, input.parse()?),
            "live" => once(&mut self.live, key, input.parse()?),
            "incremental" => once(&mut self.incremental, key, input.parse()?),
            _ => Err(Error::new(key.span(), format!("no such key; the keys are {KEYS}"))),
        }
    }

    /// Keys that need another key.
    fn check(&self) -> Result<()> {
        let needs_state = [
            ("reads", self.reads.is_some()),
            ("writes", self.writes.is_some()),
            ("format", self.format.is_some()),
            ("schema", self.schema.is_some()),
            ("live", self.live.is_some()),
            ("incremental", self.incremental.is_some()),
        ];
        for (key, given) in needs_state {
            if given && self.state.is_none() {
                return Err(Error::new(
                    proc_macro2::Span::call_site(),
                    format!("`{key}` needs a `state`"),
                ));
            }
        }
        match (&self.world, &self.exports) {
            (Some(world), None) => Err(Error::new(
                world.span(),
                "`world` needs `exports`: the type that implements it",
            )),
            (None, Some(exports)) => Err(Error::new(
                exports.span(),
                "`exports` needs the `world` that it implements",
            )),
            _ => Ok(()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, key: &Ident, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(key.span(), format!("`{key}` is given twice"))),
    }
}

fn one_of(input: ParseStream<'_>, words: &[&str]) -> Result<Ident> {
    let word: Ident = input.parse()?;
    if words.iter().any(|known| word == known) {
        return Ok(word);
    }
    Err(Error::new(word.span(), format!("expected one of {}", words.join(", "))))
}

fn name(input: ParseStream<'_>) -> Result<LitStr> {
    let name: LitStr = input.parse()?;
    if is_module_name(&name.value()) {
        return Ok(name);
    }
    Err(Error::new(
        name.span(),
        "a module name is a lower case letter, then lower case letters, digits and `-`",
    ))
}

fn is_module_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed)
}

fn version(input: ParseStream<'_>) -> Result<LitStr> {
    let version: LitStr = input.parse()?;
    Version::parse(&version.value()).map_err(|error| Error::new(version.span(), error))?;
    Ok(version)
}

fn json(input: ParseStream<'_>) -> Result<LitStr> {
    let text: LitStr = input.parse()?;
    serde_json::from_str::<serde_json::Value>(&text.value()).map_err(|error| Error::new(text.span(), error))?;
    Ok(text)
}

fn entries(input: ParseStream<'_>) -> Result<Vec<Entry>> {
    let body;
    braced!(body in input);
    let entries: Punctuated<Entry, Token![,]> = body.parse_terminated(Entry::parse, Token![,])?;
    Ok(entries.into_iter().collect())
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let range = range(input)?;
        input.parse::<Token![=>]>()?;
        let old = input.parse()?;
        let format = match input.parse::<Option<Token![in]>>()? {
            Some(_) => Some(one_of(input, &FORMATS)?),
            None => None,
        };
        Ok(Self {
            range,
            old,
            format,
            via: via(input)?,
        })
    }
}

fn via(input: ParseStream<'_>) -> Result<Option<Expr>> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(None);
    }
    let word: Ident = input.parse()?;
    if word != "via" {
        return Err(Error::new(word.span(), "expected `in`, `via` or a comma"));
    }
    input.parse().map(Some)
}

fn range(input: ParseStream<'_>) -> Result<LitStr> {
    let text: LitStr = input.parse()?;
    let value = text.value();
    let range = match value.split_once('@') {
        Some((module, _)) if !is_module_name(module) => {
            return Err(Error::new(text.span(), "not a module name before `@`"));
        }
        Some((_, range)) => range,
        None => &value,
    };
    VersionReq::parse(range).map_err(|error| Error::new(text.span(), error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        syn::parse_str::<Module>(text)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn all_keys_are_read() {
        let module: Module = syn::parse_str(
            r#"name: "a-1", version: "1.0.0-rc.1", kind: keyed, world: "w", exports: E, state: crate::State<u8>, format: postcard,
               schema: "{}", reads: { "~1.0" => Old, "shop@>=1, <3" => Old in cbor via f }, writes: {}, health: |s| s.ok(), incremental: true,"#,
        )
        .expect("parses");
        let reads = module.reads.expect("reads");
        assert_eq!(reads.len(), 2);
        assert!(reads[0].via.is_none() && reads[0].format.is_none());
        assert!(reads[1].via.is_some() && reads[1].format.is_some());
        assert!(module.incremental.is_some_and(|incremental| incremental.value));
        assert!(module.health.is_some() && module.writes.is_some_and(|writes| writes.is_empty()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("colour: red", "no such key"),
            ("kind: single, kind: pool", "given twice"),
            ("kind: double", "single, keyed, pool"),
            (r#"name: "Counter""#, "lower case"),
            (r#"version: "1.0""#, "minor version"),
            ("reads: {}", "`reads` needs a `state`"),
            ("incremental: true", "`incremental` needs a `state`"),
            (r#"world: "w""#, "needs `exports`"),
            ("exports: E", "needs the `world`"),
            (r#"state: S, schema: "{""#, "EOF"),
            (r#"state: S, reads: { "one" => Old }"#, "unexpected character"),
            (r#"state: S, reads: { "Shop@1" => Old }"#, "not a module name"),
            (r#"state: S, reads: { "1" => Old with f }"#, "`via`"),
        ] {
            let error = error(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
