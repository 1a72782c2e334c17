//! What a release says about its modules and its host: kinds, limits, grants, links, configuration.
//!
//! Invariants:
//! - What is not stated stays `None` here: defaults are applied in one place, when limits are resolved.
//! - Every duration has a unit, every size is exact.

mod address;
mod grants;
mod host;
mod http;
mod limits;
mod schedule;
pub(crate) mod table;
mod units;

pub use address::{Hosts, HttpGrant, Ports, SocketGrant, SocketUse};
pub use grants::{ConfigValue, DirGrant, Grants};
pub use host::HostSettings;
pub use http::HttpSettings;
pub use limits::{Limits, LimitsSpec};
pub use schedule::{EVERY_MIN, Every, Schedule};
pub use units::{UnitError, parse_duration, parse_size, show_duration, show_size};

use crate::http::RouteSpec;
use crate::name::{Digest, ModuleName, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How the instances of a module take calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Several instances, no state; many calls at once.
    Pool,
    /// One instance, one owner of state.
    Single,
    /// One state per key.
    Keyed,
}

/// What follows a trap in a stateful instance (R14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTrap {
    /// A new instance takes the newest saved state.
    #[default]
    Restore,
    /// A new instance begins without state.
    Empty,
    /// Calls are refused as `state-lost`.
    Fail,
}

/// How a key of a keyed module comes into being (R9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Create {
    /// By its first call.
    #[default]
    Call,
    /// Only when asked for.
    Explicit,
}

/// What an upgrade does about guest tasks that outlive their calls (WASI 0.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tasks {
    /// It waits for them, as for calls.
    #[default]
    Wait,
    /// They end with the instance.
    Drop,
}

/// What becomes of an instance of a pool when its call has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instances {
    /// It is kept for other calls, with all that it has in memory.
    #[default]
    Kept,
    /// It is given up: no call sees what another left.
    Fresh,
}

/// When a call to a stateful module is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it has ended. A crash loses what was changed since the state was saved last.
    #[default]
    None,
    /// When what it changed is on the disk: a crash loses no call that was answered.
    Call,
}

/// What a release says about one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleSpec {
    /// Its name.
    pub name: ModuleName,
    /// Its version; absent: as the file says (R5).
    #[serde(default)]
    pub version: Option<Version>,
    /// Its file, relative to that of the release; absent: found by name.
    #[serde(default)]
    pub path: Option<String>,
    /// Digest that the file must have.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// Its kind; absent: `single` if it keeps state, else `pool`.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Its limits, where they differ from those of the release.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// What it may use of the host.
    #[serde(default)]
    pub grants: Grants,
    /// Imported interface (with or without version) or bare function → module that serves it (R7).
    #[serde(default)]
    pub links: BTreeMap<String, ModuleName>,
    /// Values of `wasi:config`.
    #[serde(default)]
    pub config: BTreeMap<String, ConfigValue>,
    /// Calls that the host makes by the clock (R18).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub every: Vec<Schedule>,
    /// The HTTP requests that it answers; absent: those under its name, if it has a handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteSpec>>,
    /// Its functions that may be called by `POST /call/MODULE/FUNCTION`, `*` for all; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_calls: Option<Vec<String>>,
}

impl Kind {
    /// The kind of a module that does not state one.
    #[must_use]
    pub fn default_for(stateful: bool) -> Self {
        if stateful { Kind::Single } else { Kind::Pool }
    }

    /// True if instances of this kind own state that upgrades hand over.
    #[must_use]
    pub fn keeps_state(self) -> bool {
        match self {
            Kind::Pool => false,
            Kind::Single | Kind::Keyed => true,
        }
    }
}

impl ModuleSpec {
    /// A module about which nothing is stated but its name.
    #[must_use]
    pub fn new(name: ModuleName) -> Self {
        Self {
            name,
            version: None,
            path: None,
            sha256: None,
            kind: None,
            limits: LimitsSpec::default(),
            grants: Grants::default(),
            links: BTreeMap::new(),
            config: BTreeMap::new(),
            every: Vec::new(),
            routes: None,
            http_calls: None,
        }
    }

    /// What a relup says of a module over what the module had: what is not said again is not dropped.
    #[must_use]
    pub fn over(&self, old: &ModuleSpec) -> ModuleSpec {
        let mut links = old.links.clone();
        links.extend(self.links.clone());
        let mut config = old.config.clone();
        config.extend(self.config.clone());
        ModuleSpec {
            name: self.name.clone(),
            version: self.version.clone(),
            path: self.path.clone(),
            sha256: self.sha256,
            kind: self.kind.or(old.kind),
            limits: self.limits.clone().or(old.limits.clone()),
            grants: self.grants.over(&old.grants),
            links,
            config,
            every: Schedule::merge(&self.every, &old.every),
            routes: self.routes.clone().or_else(|| old.routes.clone()),
            http_calls: self.http_calls.clone().or_else(|| old.http_calls.clone()),
        }
    }

    /// Makes paths absolute that are relative to the file that the module stands in.
    pub fn resolve_paths(&mut self, resolve: impl Fn(&str) -> String) {
        for dir in &mut self.grants.dirs {
            dir.host = resolve(&dir.host);
        }
        for value in self.config.values_mut() {
            if let ConfigValue::File { file } = value {
                *file = resolve(file);
            }
        }
    }

    /// True if the two differ in what needs no new instance: links, values, schedules, routes.
    #[must_use]
    pub fn is_configured_otherwise(&self, other: &ModuleSpec) -> bool {
        let of = |spec: &ModuleSpec| {
            let ModuleSpec {
                links,
                config,
                every,
                routes,
                http_calls,
                ..
            } = spec.clone();
            (links, config, every, routes, http_calls)
        };
        of(self) != of(other)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Kind::Pool => "pool",
            Kind::Single => "single",
            Kind::Keyed => "keyed",
        })
    }
}
