//! Ranges say which versions share a format of state: `~1.0`, `>=1.2, <1.5`, or of another module `shop@^1.4`.

use semver::{Prerelease, Version, VersionReq};

use crate::change::Side;

/// Whether the version of this side of a change is in the range. `own` is the name of the module that asks.
///
/// A pre-release counts as its release: `1.1.0-rc.1` writes what 1.1.0 will write.
pub(crate) fn covers(range: &str, own: &str, side: &Side<'_>) -> bool {
    let (module, range) = range.split_once('@').unwrap_or((own, range));
    let Ok(range) = VersionReq::parse(range) else {
        return false;
    };
    module == side.module.unwrap_or(own) && (range.matches(&side.version) || range.matches(&release(&side.version)))
}

/// Whether two versions have the same format without saying so: same major and minor number.
pub(crate) fn same_format(own: &str, version: &str, side: &Side<'_>) -> bool {
    let same = |version: Version| (version.major, version.minor) == (side.version.major, side.version.minor);
    side.module.unwrap_or(own) == own && Version::parse(version).is_ok_and(same)
}

fn release(version: &Version) -> Version {
    Version {
        pre: Prerelease::EMPTY,
        ..version.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(range: &str, from: &str) -> bool {
        covers(range, "orders", &Side::parse(from).expect("a version"))
    }

    #[test]
    fn a_range_speaks_of_its_own_module_unless_it_names_another() {
        assert!(fits("~1.0", "1.0.3"));
        assert!(fits("~1.0", "orders@1.0.3"));
        assert!(!fits("~1.0", "shop@1.0.3"));
        assert!(fits("shop@~1.0", "shop@1.0.3"));
        assert!(!fits("shop@~1.0", "1.0.3"));
    }

    #[test]
    fn a_pre_release_counts_as_its_release() {
        assert!(fits("~1.1", "1.1.0-rc.1"));
        assert!(!fits("~1.0", "1.1.0-rc.1"));
        assert!(fits("*", "0.0.0+4f0cc1a8e2b1"));
    }

    #[test]
    fn patch_releases_share_a_format() {
        let same = |from| same_format("orders", "1.1.0", &Side::parse(from).expect("a version"));
        assert!(same("1.1.9") && same("1.1.0-rc.1") && same("orders@1.1.0"));
        assert!(!same("1.2.0") && !same("2.1.0") && !same("shop@1.1.0"));
    }
}
