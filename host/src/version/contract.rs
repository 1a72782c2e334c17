//! What a component exports and imports, held against what this host knows (R1, R7, R8).

use super::VersionError;
use super::prepare::Surface;
use super::types::TypeReader;
use semver::Version;
use std::collections::BTreeMap;
use wasmhot_appup::interface::{FunctionName, FunctionType, ModuleInterface, Type};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};

/// The package of the guest contract.
const PACKAGE: &str = "wasmhot:module/";
/// The interface that makes a module stateful, in the one version that this host knows.
pub(super) const LIFECYCLE: &str = "wasmhot:module/lifecycle@0.1.0";
/// The optional health check.
pub(super) const HEALTH: &str = "wasmhot:module/health@0.1.0";

/// What a stateful module does first when it has begun to serve; optional.
pub(super) const LIVE: &str = "wasmhot:module/live@0.1.0";

/// The standard interfaces that this host offers, and the minor version of each. Everything else of `wasi:` is refused by name when
/// the file arrives, not when it is linked.
pub const OFFERED: &[(&str, &[u64])] = &[
    ("wasi:cli/environment", &[2, 3]),
    ("wasi:cli/exit", &[2, 3]),
    ("wasi:cli/stderr", &[2, 3]),
    ("wasi:cli/stdin", &[2, 3]),
    ("wasi:cli/stdout", &[2, 3]),
    ("wasi:cli/terminal-input", &[2, 3]),
    ("wasi:cli/terminal-output", &[2, 3]),
    ("wasi:cli/terminal-stderr", &[2, 3]),
    ("wasi:cli/terminal-stdin", &[2, 3]),
    ("wasi:cli/terminal-stdout", &[2, 3]),
    ("wasi:cli/types", &[3]),
    ("wasi:clocks/monotonic-clock", &[2, 3]),
    ("wasi:clocks/system-clock", &[3]),
    ("wasi:clocks/types", &[3]),
    ("wasi:clocks/wall-clock", &[2]),
    ("wasi:filesystem/preopens", &[2, 3]),
    ("wasi:filesystem/types", &[2, 3]),
    ("wasi:http/client", &[3]),
    ("wasi:http/outgoing-handler", &[2]),
    ("wasi:http/types", &[2, 3]),
    ("wasi:io/error", &[2]),
    ("wasi:io/poll", &[2]),
    ("wasi:io/streams", &[2]),
    ("wasi:random/insecure", &[2, 3]),
    ("wasi:random/insecure-seed", &[2, 3]),
    ("wasi:random/random", &[2, 3]),
    ("wasi:sockets/instance-network", &[2]),
    ("wasi:sockets/ip-name-lookup", &[2, 3]),
    ("wasi:sockets/network", &[2]),
    ("wasi:sockets/tcp", &[2]),
    ("wasi:sockets/tcp-create-socket", &[2]),
    ("wasi:sockets/types", &[3]),
    ("wasi:sockets/udp", &[2]),
    ("wasi:sockets/udp-create-socket", &[2]),
];

/// Interfaces beyond WASI 0.2 that this host offers, with the versions of each that modules are built against. `""`: without one, as the
/// first drafts had it.
pub(crate) const DRAFTS: &[(&str, &[&str])] = &[
    ("wasi:config/store", &["0.2.0-rc.1", "0.2.0-draft"]),
    // As it was called before.
    ("wasi:config/runtime", &["0.2.0-draft"]),
    ("wasi:keyvalue/store", KEYVALUE),
    ("wasi:keyvalue/atomics", KEYVALUE),
    ("wasi:keyvalue/batch", KEYVALUE),
    ("wasi:logging/logging", &["0.1.0-draft", ""]),
];
const KEYVALUE: &[&str] = &["0.2.0-draft", "0.2.0-draft2"];

/// How a large state is handed over in chunks; optional.
pub(super) const INCREMENTAL: &str = "wasmhot:module/incremental@0.1.0";

/// What a component offers and wants, checked.
pub(super) struct Contract {
    pub(super) interface: ModuleInterface,
    /// It has async functions, or uses WASI 0.3.
    pub(super) wants_concurrency: bool,
}

/// Reads the imports and exports of a validated component.
pub(super) fn read(surface: &Surface) -> Result<Contract, VersionError> {
    let types = TypeReader::new(surface.types.as_ref());
    let mut interface = ModuleInterface::default();
    for name in &surface.imports {
        if let Some(item) = surface.types.component_item_for_import(name) {
            import(&types, name, &item.ty, &mut interface)?;
        }
    }
    for name in &surface.exports {
        if let Some(item) = surface.types.component_item_for_export(name) {
            export(&types, name, &item.ty, &mut interface)?;
        }
    }
    let beside = [
        (
            LIVE,
            "a module without state has nothing that `migrate` could not bring along",
        ),
        (
            INCREMENTAL,
            "a state that can be handed over in chunks can be handed over as a whole too",
        ),
    ];
    for (name, because) in beside {
        if !interface.stateful && surface.exports.iter().any(|export| export == name) {
            return Err(VersionError::UnsupportedContract {
                item: name.to_owned(),
                why: format!("belongs beside {LIFECYCLE}: {because}"),
            });
        }
    }
    let is_async = interface
        .exports
        .values()
        .chain(interface.imports.values())
        .any(|ty| ty.is_async);
    let is_of_0_3 = |name: &String| minor_of(name) == Some(3);
    Ok(Contract {
        wants_concurrency: is_async || interface.capabilities.iter().any(is_of_0_3),
        interface,
    })
}

/// 3 of `wasi:clocks/monotonic-clock@0.3.1`.
fn minor_of(name: &str) -> Option<u64> {
    let version = Version::parse(name.split_once('@')?.1).ok()?;
    (version.major == 0).then_some(version.minor)
}

fn import(
    types: &TypeReader<'_>,
    name: &str,
    item: &ComponentEntityType,
    interface: &mut ModuleInterface,
) -> Result<(), VersionError> {
    let unknown = |why: &str| {
        Err(VersionError::UnknownImport {
            import: name.to_owned(),
            why: why.to_owned(),
        })
    };
    if name.starts_with(PACKAGE) {
        let why = "modules export this package to the host, they do not import it".to_owned();
        return Err(VersionError::UnsupportedContract {
            item: name.to_owned(),
            why,
        });
    }
    if name.starts_with("wasi:") {
        check_offered(name)?;
        interface.capabilities.insert(name.to_owned());
        return Ok(());
    }
    if name.contains('=') {
        return unknown("components are not fetched from elsewhere; compose it with what it depends on (`wac plug`)");
    }
    match item {
        ComponentEntityType::Func(id) => {
            let function = FunctionName {
                interface: None,
                name: name.to_owned(),
            };
            interface.imports.insert(function, types.function(*id)?);
        }
        ComponentEntityType::Instance(id) => {
            let functions = functions(types, name, *id)?;
            if functions.is_empty() && has_resource(types, *id) {
                return unknown("it holds a resource, and resources do not cross modules");
            }
            interface.imports.extend(functions);
        }
        ComponentEntityType::Type {
            created: ComponentAnyTypeId::Resource(_),
            ..
        } => {
            return unknown("it is a resource, and resources do not cross modules");
        }
        // A type by itself asks nothing of anybody.
        ComponentEntityType::Type { .. } => {}
        ComponentEntityType::Module(_) => return unknown("code is not linked into modules; include that core module"),
        ComponentEntityType::Component(_) => {
            return unknown("components are not linked into modules; compose them first");
        }
        ComponentEntityType::Value(_) => return unknown("values cannot be imported; use `wasi:config`"),
    }
    Ok(())
}

/// Is this an interface of WASI that the host has, in a version that fits?
fn check_offered(name: &str) -> Result<(), VersionError> {
    let (base, version) = name.split_once('@').unwrap_or((name, ""));
    let unknown = |why: String| {
        Err(VersionError::UnknownImport {
            import: name.to_owned(),
            why,
        })
    };
    if let Some((_, versions)) = DRAFTS.iter().find(|(draft, _)| *draft == base) {
        if versions.contains(&version) {
            return Ok(());
        }
        let versions: Vec<_> = versions.iter().filter(|version| !version.is_empty()).copied().collect();
        let versions = versions.join(" and ");
        return unknown(format!(
            "this wasmhot offers that interface in version {versions}; build the module against that"
        ));
    }
    let Ok(version) = Version::parse(version) else {
        return unknown("it has no version; build against WASI 0.2 or 0.3".to_owned());
    };
    let Some((_, offered)) = OFFERED.iter().find(|(known, _)| *known == base) else {
        return unknown("this wasmhot does not offer that interface; build the module without it".to_owned());
    };
    if version.major != 0 || !offered.contains(&version.minor) || !version.pre.is_empty() {
        let offered: Vec<_> = offered.iter().map(|minor| format!("0.{minor}")).collect();
        return unknown(format!(
            "this wasmhot offers that interface in version {}; build the module against that",
            offered.join(" and ")
        ));
    }
    Ok(())
}

fn export(
    types: &TypeReader<'_>,
    name: &str,
    item: &ComponentEntityType,
    interface: &mut ModuleInterface,
) -> Result<(), VersionError> {
    match item {
        ComponentEntityType::Func(id) => {
            let function = FunctionName {
                interface: None,
                name: name.to_owned(),
            };
            interface.exports.insert(function, types.function(*id)?);
        }
        ComponentEntityType::Instance(id) if name.starts_with(PACKAGE) => {
            let functions = functions(types, name, *id)?;
            match name {
                LIFECYCLE => {
                    exactly(name, &functions, &[("save", save_type()), ("migrate", migrate_type())])?;
                    interface.stateful = true;
                }
                HEALTH => {
                    exactly(name, &functions, &[("check", check_type())])?;
                    interface.has_health = true;
                }
                LIVE => exactly(name, &functions, &[("live", live_type())])?,
                INCREMENTAL => exactly(name, &functions, &incremental_types())?,
                _ => return Err(unknown_contract(name)),
            }
        }
        ComponentEntityType::Instance(id) => interface.exports.extend(functions(types, name, *id)?),
        // Also under such a name: whatever it is, it is not ours.
        _ if name.starts_with(PACKAGE) => return Err(unknown_contract(name)),
        // Types are read with the functions that use them; modules, components and values are nothing to call.
        ComponentEntityType::Type { .. }
        | ComponentEntityType::Module(_)
        | ComponentEntityType::Component(_)
        | ComponentEntityType::Value(_) => {}
    }
    Ok(())
}

/// R1: unknown is an error, never "absent".
pub(super) fn unknown_contract(item: &str) -> VersionError {
    let why = format!(
        "this wasmhot knows {LIFECYCLE}, {HEALTH}, {LIVE} and {INCREMENTAL}; use the guest SDK or WIT of this wasmhot, or a newer wasmhot"
    );
    VersionError::UnsupportedContract {
        item: item.to_owned(),
        why,
    }
}

/// The functions of an instance. Instances inside it are passed over.
fn functions(
    types: &TypeReader<'_>,
    interface: &str,
    id: ComponentInstanceTypeId,
) -> Result<BTreeMap<FunctionName, FunctionType>, VersionError> {
    let mut found = BTreeMap::new();
    for (name, item) in &types.types()[id].exports {
        if let ComponentEntityType::Func(id) = item.ty {
            let name = FunctionName {
                interface: Some(interface.to_owned()),
                name: name.clone(),
            };
            found.insert(name, types.function(id)?);
        }
    }
    Ok(found)
}

fn has_resource(types: &TypeReader<'_>, id: ComponentInstanceTypeId) -> bool {
    let resource = |item: &ComponentEntityType| {
        matches!(
            item,
            ComponentEntityType::Type {
                created: ComponentAnyTypeId::Resource(_),
                ..
            }
        )
    };
    types.types()[id].exports.values().any(|item| resource(&item.ty))
}

/// An interface of ours has these functions, of these types, and no others.
fn exactly(
    interface: &str,
    found: &BTreeMap<FunctionName, FunctionType>,
    wanted: &[(&str, FunctionType)],
) -> Result<(), VersionError> {
    let unsupported = |name: &str, why: String| {
        Err(VersionError::UnsupportedContract {
            item: format!("{interface}.{name}"),
            why,
        })
    };
    for (name, ty) in wanted {
        match found.iter().find(|(found, _)| found.name == *name) {
            Some((_, found)) if found.same_as(ty) => {}
            Some((_, found)) => return unsupported(name, format!("is `{found}`, must be `{ty}`")),
            None => return unsupported(name, "is missing".to_owned()),
        }
    }
    match found
        .keys()
        .find(|found| wanted.iter().all(|(name, _)| found.name != *name))
    {
        Some(extra) => unsupported(&extra.name, "does not belong to this interface".to_owned()),
        None => Ok(()),
    }
}

/// `record change` of the contract.
fn change_type() -> Type {
    let direction = Type::Enum(["upgrade", "downgrade", "restore"].map(str::to_owned).to_vec());
    let fields = [
        ("from", Type::String),
        ("to", Type::String),
        ("direction", direction),
        ("extra", Type::String),
    ];
    Type::Record(fields.map(|(name, of)| (name.to_owned(), of)).to_vec())
}

fn bytes_type() -> Type {
    Type::List(Box::new(Type::U8))
}

/// `result<ok, string>`
fn or_text(ok: Option<Type>) -> Option<Type> {
    Some(Type::Result {
        ok: ok.map(Box::new),
        err: Some(Box::new(Type::String)),
    })
}

fn function(params: &[(&str, Type)], result: Option<Type>) -> FunctionType {
    let named = params.iter().map(|(name, of)| ((*name).to_owned(), of.clone()));
    FunctionType {
        params: named.collect(),
        result,
        is_async: false,
    }
}

fn save_type() -> FunctionType {
    function(&[("change", change_type())], or_text(Some(bytes_type())))
}

fn live_type() -> FunctionType {
    function(&[("change", change_type())], or_text(None))
}

fn migrate_type() -> FunctionType {
    function(&[("change", change_type()), ("state", bytes_type())], or_text(None))
}

fn check_type() -> FunctionType {
    function(&[], or_text(None))
}

fn incremental_types() -> [(&'static str, FunctionType); 7] {
    let change = || ("change", change_type());
    let chunk = Type::Option(Box::new(bytes_type()));
    [
        ("begin", function(&[change()], or_text(Some(Type::U64)))),
        ("next", function(&[("bytes-max", Type::U32)], or_text(Some(chunk)))),
        ("pending", function(&[], Some(Type::U64))),
        ("rest", function(&[], or_text(Some(bytes_type())))),
        ("cancel", function(&[], None)),
        ("accept", function(&[change(), ("chunk", bytes_type())], or_text(None))),
        ("finish", function(&[change(), ("rest", bytes_type())], or_text(None))),
    ]
}
