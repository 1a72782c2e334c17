//! Names of interfaces and when one version may stand for another.

use crate::interface::{FunctionName, FunctionType, ModuleInterface};
use semver::Version;

/// `demo:shop/orders@1.0.0` as `demo:shop/orders` and its version.
pub(super) fn split(interface: &str) -> (&str, Option<Version>) {
    match interface.split_once('@') {
        Some((base, version)) => (base, Version::parse(version).ok()),
        None => (interface, None),
    }
}

/// Versions of one track are compatible: the same major, or before 1.0 the same minor. Pre-releases and 0.0.x stand for
/// themselves only.
fn track(version: &Version) -> Option<(u64, u64)> {
    match (version.major, version.minor) {
        _ if !version.pre.is_empty() => None,
        (0, 0) => None,
        (0, minor) => Some((0, minor)),
        (major, _) => Some((major, 0)),
    }
}

/// The version of `exported`, if it is the interface `imported` or may stand for it.
pub(super) fn stands_for(exported: &str, imported: &str) -> bool {
    let ((base, version), (wanted, wanted_version)) = (split(exported), split(imported));
    let same_track = || {
        let tracks = (
            version.as_ref().and_then(track),
            wanted_version.as_ref().and_then(track),
        );
        tracks.0.is_some() && tracks.0 == tracks.1
    };
    exported == imported || (base == wanted && same_track())
}

/// The export that serves `imported`: of that very name, else in the highest compatible version of its interface.
pub(super) fn export_for<'i>(
    interface: &'i ModuleInterface,
    imported: &FunctionName,
) -> Option<(&'i FunctionName, &'i FunctionType)> {
    if let Some(exact) = interface.exports.get_key_value(imported) {
        return Some(exact);
    }
    let wanted = imported.interface.as_deref()?;
    let version = |name: &FunctionName| name.interface.as_deref().and_then(|full| split(full).1);
    let fits = |(name, _): &(&FunctionName, &FunctionType)| {
        name.name == imported.name && name.interface.as_deref().is_some_and(|full| stands_for(full, wanted))
    };
    interface
        .exports
        .iter()
        .filter(fits)
        .max_by_key(|(name, _)| version(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r07_an_interface_may_stand_for_an_older_one_of_its_track() {
        let table = [
            ("a:b/c@1.0.0", "a:b/c@1.0.0", true),
            ("a:b/c@1.2.0", "a:b/c@1.0.0", true),
            ("a:b/c@1.0.0", "a:b/c@1.2.0", true),
            ("a:b/c@2.0.0", "a:b/c@1.0.0", false),
            ("a:b/c@0.2.1", "a:b/c@0.2.0", true),
            ("a:b/c@0.3.0", "a:b/c@0.2.0", false),
            ("a:b/c@0.0.2", "a:b/c@0.0.1", false),
            ("a:b/c@1.1.0-rc.1", "a:b/c@1.0.0", false),
            ("a:b/c@1.1.0-rc.1", "a:b/c@1.1.0-rc.1", true),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0", "a:b/c", false),
            ("a:b/d@1.0.0", "a:b/c@1.0.0", false),
        ];
        for (exported, imported, wanted) in table {
            assert_eq!(stands_for(exported, imported), wanted, "{exported} for {imported}");
        }
    }
}
