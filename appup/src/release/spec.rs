//! The parts that `release.toml` and `relup.toml` share: modules, limits, grants.

use super::grants::{read_config, read_every, read_grants};
use crate::http::{RouteHost, RoutePath, RouteSpec};
use crate::name::{ModuleName, Version};
use crate::read::{Table, Word, nearest};
use crate::settings::{Create, Durability, HostSettings, Instances, Kind, LimitsSpec, ModuleSpec, OnTrap, Tasks};
use std::collections::BTreeMap;
use std::ops::Range;

impl Word for Kind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pool", Kind::Pool), ("single", Kind::Single), ("keyed", Kind::Keyed)];
}

impl Word for OnTrap {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("restore", OnTrap::Restore),
        ("empty", OnTrap::Empty),
        ("fail", OnTrap::Fail),
    ];
}

impl Word for Create {
    const WORDS: &'static [(&'static str, Self)] = &[("call", Create::Call), ("explicit", Create::Explicit)];
}

impl Word for Durability {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Durability::None), ("call", Durability::Call)];
}

impl Word for Instances {
    const WORDS: &'static [(&'static str, Self)] = &[("kept", Instances::Kept), ("fresh", Instances::Fresh)];
}

impl Word for Tasks {
    const WORDS: &'static [(&'static str, Self)] = &[("wait", Tasks::Wait), ("drop", Tasks::Drop)];
}

/// The longest name of a release, in bytes: it has to fit in the name of a directory.
const RELEASE_NAME_MAX: usize = 100;

/// The name of a release: any text that can be printed and is not empty.
pub(crate) fn read_name(release: &mut Table<'_>) -> Option<String> {
    let Some((name, span)) = release.text("name") else {
        if release.value("name").is_none() {
            release.missing("name", "\"shop\"");
        }
        return None;
    };
    let is_path = matches!(name.trim(), "" | "." | "..") || name.chars().any(|c| c.is_control() || c == '/');
    if is_path || name.len() > RELEASE_NAME_MAX {
        let message = "a release needs a short name that can be printed, without `/`";
        release
            .source
            .refuse(&span, message, "the state directory is named after it".to_owned());
        return None;
    }
    Some(name.to_owned())
}

/// A version that has to be there.
pub(crate) fn read_version(release: &mut Table<'_>, key: &'static str) -> Option<Version> {
    if release.value(key).is_none() {
        release.missing(key, "\"1.0.0\"");
        return None;
    }
    release.version(key)
}

/// `[host]`.
pub(crate) fn read_host(top: &mut Table<'_>) -> HostSettings {
    top.table("host", "`[host]`")
        .map(HostSettings::read)
        .unwrap_or_default()
}

/// `[limits]`, of the release or of a module.
pub(crate) fn read_limits(table: &mut Table<'_>, title: &'static str) -> LimitsSpec {
    let Some(mut limits) = table.table("limits", title) else {
        return LimitsSpec::default();
    };
    let spec = LimitsSpec::read(&mut limits);
    limits.finish();
    spec
}

/// What stands in `[modules.grants]`.
const GRANTS: &[&str] = &["env", "dirs", "args", "sockets", "http", "keyvalue", "denied"];

/// `[[modules]]`. A module that stands there twice is a fault.
pub(crate) fn read_modules(top: &mut Table<'_>) -> Vec<ModuleSpec> {
    let mut modules: Vec<ModuleSpec> = Vec::new();
    let mut places: BTreeMap<ModuleName, Range<usize>> = BTreeMap::new();
    for mut table in top.tables("modules", "`[[modules]]`") {
        let span = table.value("name").map_or_else(|| table.span(), toml::Spanned::span);
        let source = table.source;
        let Some(module) = read_module(table) else {
            continue;
        };
        if let Some(first) = places.get(&module.name) {
            let message = format!("module `{}` is declared twice", module.name);
            source.refuse(
                &span,
                message,
                format!("the first time is in line {}: keep one", source.line(first)),
            );
            continue;
        }
        places.insert(module.name.clone(), span);
        modules.push(module);
    }
    modules
}

fn read_module(mut table: Table<'_>) -> Option<ModuleSpec> {
    table.belongs_elsewhere(LimitsSpec::KEYS, "`[modules.limits]`");
    table.belongs_elsewhere(GRANTS, "`[modules.grants]`");
    if table.value("name").is_none() {
        table.missing("name", "\"counter\"");
    }
    let name = table.module("name");
    let version = table.version("version");
    let path = table.text("path").map(|(path, _)| path.to_owned());
    let sha256 = table.digest("sha256");
    let kind = table.word("kind");
    let limits = read_limits(&mut table, "`[modules.limits]`");
    let grants = read_grants(&mut table);
    let links = table.texts("links", "`[modules.links]`", |text| {
        ModuleName::parse(text).map_err(|error| error.to_string())
    });
    let config = read_config(&mut table);
    let every = read_every(&mut table);
    let routes = read_routes(&mut table);
    let http_calls = read_http_calls(&mut table);
    table.finish();
    Some(ModuleSpec {
        name: name?,
        version,
        path,
        sha256,
        kind,
        limits,
        grants,
        links,
        config,
        every,
        routes,
        http_calls,
    })
}

/// None where nothing is said; an empty list says that there are none.
fn read_routes(module: &mut Table<'_>) -> Option<Vec<RouteSpec>> {
    module.value("routes")?;
    let routes = module.tables("routes", "`[[modules.routes]]`");
    Some(routes.into_iter().filter_map(read_route).collect())
}

fn read_route(mut table: Table<'_>) -> Option<RouteSpec> {
    if table.value("path").is_none() {
        table.missing("path", "\"/\"");
    }
    let host = table.parsed(
        "host",
        Some("a name without port or path, as in \"example.org\""),
        RouteHost::parse,
    );
    let path = table.text("path").and_then(|(text, span)| {
        let remedy = "words between `/`, one of which may be `{key}`, as in \"/rooms/{key}/\"; unusual signs as they read, without `%`";
        let path = RoutePath::parse(text).and_then(|path| match path.is_reserved() {
            true => Err(format!("the path {text:?} lies below `/call/`, where the host itself answers")),
            false => Ok(path),
        });
        let refuse = |fault: String| table.source.refuse(&span, fault, remedy.to_owned());
        path.map_err(refuse).ok()
    });
    let is_whole = !table.has("host") || host.is_some();
    table.finish();
    path.filter(|_| is_whole).map(|path| RouteSpec { host, path })
}

/// As [`read_routes`].
fn read_http_calls(module: &mut Table<'_>) -> Option<Vec<String>> {
    module.value("http_calls")?;
    let mut functions = Vec::new();
    for value in module.array("http_calls", "`http_calls = [\"get\"]`") {
        match value.get_ref().as_str() {
            Some(function) => functions.push(function.to_owned()),
            None => module.expected(value, "a function's name", "`http_calls = [\"get\"]`"),
        }
    }
    Some(functions)
}

/// "did you mean" over the names of modules.
pub(crate) fn nearest_module<'m>(
    typed: &ModuleName,
    known: impl IntoIterator<Item = &'m ModuleName>,
) -> Option<&'m str> {
    nearest(typed.as_str(), known.into_iter().map(ModuleName::as_str))
}
