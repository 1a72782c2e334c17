//! What a module may want of the host, family by family (R8), and which families reach outside of its memory (R32).

use crate::interface::ModuleInterface;
use crate::name::ModuleVersion;
use crate::settings::Grants;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A family of standard interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// `wasi:cli`
    Cli,
    /// `wasi:clocks`
    Clocks,
    /// `wasi:random`
    Random,
    /// `wasi:io`
    Io,
    /// `wasi:logging`
    Logging,
    /// `wasi:config`
    Config,
    /// `wasi:filesystem`
    Filesystem,
    /// `wasi:sockets`
    Sockets,
    /// `wasi:http`
    Http,
    /// `wasi:keyvalue`
    Keyvalue,
}

impl Capability {
    /// The families there are.
    pub const ALL: [Capability; 10] = [
        Capability::Cli,
        Capability::Clocks,
        Capability::Random,
        Capability::Io,
        Capability::Logging,
        Capability::Config,
        Capability::Filesystem,
        Capability::Sockets,
        Capability::Http,
        Capability::Keyvalue,
    ];

    /// The family of an interface, such as `wasi:sockets/tcp@0.2.6`.
    #[must_use]
    pub fn of(interface: &str) -> Option<Self> {
        let family = interface.split(['/', '@']).next()?;
        Self::ALL.into_iter().find(|one| one.package() == family)
    }

    /// Its package.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Capability::Cli => "wasi:cli",
            Capability::Clocks => "wasi:clocks",
            Capability::Random => "wasi:random",
            Capability::Io => "wasi:io",
            Capability::Logging => "wasi:logging",
            Capability::Config => "wasi:config",
            Capability::Filesystem => "wasi:filesystem",
            Capability::Sockets => "wasi:sockets",
            Capability::Http => "wasi:http",
            Capability::Keyvalue => "wasi:keyvalue",
        }
    }

    /// Its name without `wasi:`, as `denied` takes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        let package = self.package();
        package.strip_prefix("wasi:").unwrap_or(package)
    }

    /// True if a version that newly imports it was changed to use it. Not so of files: nearly every runtime of a language imports them
    /// unasked, and the adapter for core modules does.
    #[must_use]
    pub fn is_never_unasked(self) -> bool {
        self.reaches_outside() && self != Capability::Filesystem
    }

    /// True if what is done with it stays when the module's state is taken back: so it is denied unless granted (R8), and what is
    /// written through it is the module's own affair in an upgrade (R32).
    #[must_use]
    pub fn reaches_outside(self) -> bool {
        match self {
            Capability::Filesystem | Capability::Sockets | Capability::Http | Capability::Keyvalue => true,
            Capability::Cli
            | Capability::Clocks
            | Capability::Random
            | Capability::Io
            | Capability::Logging
            | Capability::Config => false,
        }
    }
}

impl ModuleInterface {
    /// The families of interfaces that it wants of the host. With the types of HTTP alone requests are answered, and none is sent.
    #[must_use]
    pub fn wanted_capabilities(&self) -> BTreeSet<Capability> {
        self.capabilities
            .iter()
            .filter(|interface| interface.split('@').next() != Some("wasi:http/types"))
            .filter_map(|interface| Capability::of(interface))
            .collect()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.package())
    }
}

/// What a grant of this family looks like.
#[must_use]
pub fn example(family: Capability) -> &'static str {
    match family {
        Capability::Filesystem => "`dirs = [{ host = \"data\", guest = \"/data\" }]`",
        Capability::Sockets => "`sockets = [\"tcp://db.internal:5432\"]`",
        Capability::Http => "`http = [\"https://api.example.com\"]`",
        Capability::Keyvalue => "`keyvalue = [\"carts\"]`",
        Capability::Config => "`[modules.config]`",
        Capability::Cli | Capability::Clocks | Capability::Random | Capability::Io | Capability::Logging => {
            "nothing: it is granted"
        }
    }
}

/// What a version newly imports that reaches outside, and is neither granted nor knowingly denied: a sentence for each. It is denied
/// when it is used: runtimes of languages import much that they do not use.
#[must_use]
pub fn not_granted(
    id: &ModuleVersion,
    interface: &ModuleInterface,
    grants: &Grants,
    before: Option<&ModuleInterface>,
) -> Vec<String> {
    let outside = |interface: &ModuleInterface| -> BTreeSet<Capability> {
        let wanted = interface.wanted_capabilities().into_iter();
        wanted.filter(|one| one.reaches_outside()).collect()
    };
    let granted = grants.capabilities();
    let settled = |one: &Capability| granted.contains(one) || grants.denied.contains(one);
    let before = before.map(outside).unwrap_or_default();
    let missing = outside(interface);
    let missing = missing.iter().filter(|one| !settled(one) && !before.contains(one));
    let told = missing.map(|wanted| {
        format!(
            "`{}` {} imports `{wanted}`, which the release does not grant it: what it does there will fail.",
            id.name, id.version
        )
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r08_an_interface_belongs_to_a_family() {
        for (interface, family) in [
            ("wasi:sockets/tcp@0.2.6", Some(Capability::Sockets)),
            ("wasi:clocks/wall-clock", Some(Capability::Clocks)),
            ("wasi:http@0.2.0", Some(Capability::Http)),
            ("wasi:socketsx/tcp", None),
            ("demo:shop/orders", None),
            ("", None),
        ] {
            assert_eq!(Capability::of(interface), family, "{interface}");
        }
    }
}
