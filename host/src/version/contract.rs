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

/// The standard interfaces that this host offers, all of 0.2. Everything else of `wasi:` is refused by name when the file
/// arrives, not when it is linked.
pub const OFFERED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What a component offers and wants, checked.
pub(super) struct Contract {
    pub(super) interface: ModuleInterface,
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
    Ok(Contract { interface })
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
    let version = match Version::parse(version) {
        Ok(version) => version,
        Err(_) => return unknown("it has no version; build against WASI 0.2".to_owned()),
    };
    if (version.major, version.minor) == (0, 3) {
        return Err(VersionError::NeedsConcurrency {
            why: format!("imports {name}"),
        });
    }
    if !OFFERED.contains(&base) {
        return unknown("this wasmhot does not offer that interface; build the module without it".to_owned());
    }
    if (version.major, version.minor) != (0, 2) || !version.pre.is_empty() {
        return unknown("this wasmhot offers that interface in version 0.2; build the module against that".to_owned());
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
        "this wasmhot knows {LIFECYCLE} and {HEALTH}; use the guest SDK or WIT of this wasmhot, or a newer wasmhot"
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

fn save_type() -> FunctionType {
    let params = vec![("change".to_owned(), change_type())];
    FunctionType {
        params,
        result: or_text(Some(bytes_type())),
        is_async: false,
    }
}

fn migrate_type() -> FunctionType {
    let params = vec![("change".to_owned(), change_type()), ("state".to_owned(), bytes_type())];
    FunctionType {
        params,
        result: or_text(None),
        is_async: false,
    }
}

fn check_type() -> FunctionType {
    FunctionType {
        params: Vec::new(),
        result: or_text(None),
        is_async: false,
    }
}
