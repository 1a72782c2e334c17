//! The routing table of one revision: which version of each module calls go to, and who serves whose imports.
//!
//! Invariants:
//! - A table never changes; a switch puts another in its place.
//! - A table holds the next one, never the one before: a tree that holds a stamp holds everything that the stamp or a later one can
//!   need (R20), and when the last such tree ends the old pools are freed, in any number and order.

use super::keyed::Keyed;
use super::lane::{Lane, Live};
use super::named::find;
use super::pool::Pool;
use super::rates::Rates;
use crate::error::{CallError, CallErrorCode};
use crate::instance::Template;
use crate::version::Export;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wasmhot_appup::interface::FunctionName;
use wasmhot_appup::{Graph, Link, ModuleName, Node, RouteTable, Version, Wiring};

/// Where calls of a module go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A stateless module.
    Pool(Arc<Pool>),
    /// One owner of state.
    Single(Arc<Lane>),
    /// One state per key.
    Keyed(Arc<Keyed>),
}

impl Target {
    /// Nothing from outside starts there any more, since something else has taken its place or the host stops.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Target::Pool(pool) if pool.is_closed())
    }
}

/// A module in a revision.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Version and configuration.
    pub(crate) template: Arc<Template>,
    /// What a stateful module runs from this revision on.
    pub(crate) live: Option<Arc<Live>>,
    /// Where its calls go.
    pub(crate) target: Target,
    /// How many calls from outside fail.
    pub(crate) rates: Arc<Rates>,
}

/// The routing table of a revision.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Number of the switch that made it.
    pub(crate) revision: u64,
    /// Name of the release.
    pub(crate) release: String,
    /// Version of the release.
    pub(crate) release_version: Version,
    /// The modules.
    pub(crate) modules: BTreeMap<ModuleName, Route>,
    /// Who serves whose imports.
    pub(crate) wiring: Wiring,
    /// Which of them answers which HTTP request.
    pub(crate) http: RouteTable,
    /// Unique in this process: there may be several tables of a revision, of which one is used.
    id: u64,
    /// The modules in their order, for those who know the place of one.
    listed: Vec<Route>,
    /// What the wiring leads to, in its order.
    served: Vec<Served>,
    next: OnceLock<Arc<Routes>>,
}

/// What serves an import.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) route: Route,
    pub(crate) export: Arc<Export>,
}

/// Where something was found last: the id of the table, and two numbers that say where in it.
#[derive(Debug, Default)]
pub(crate) struct Found(AtomicU64);

/// Bits of each of the two numbers: enough for a million of modules, functions, imports. What does not fit is not noted.
const PLACE_BITS: u32 = 20;

impl Found {
    fn get(&self, table: u64) -> Option<(usize, usize)> {
        let mask = (1 << PLACE_BITS) - 1;
        let known = self.0.load(Ordering::Relaxed);
        let of_table = known >> (2 * PLACE_BITS) == table;
        of_table.then_some(((known >> PLACE_BITS & mask) as usize, (known & mask) as usize))
    }

    fn set(&self, table: u64, place: (usize, usize)) {
        let (first, second) = (place.0 as u64, place.1 as u64);
        let fits = first >> PLACE_BITS == 0 && second >> PLACE_BITS == 0 && table.leading_zeros() >= 2 * PLACE_BITS;
        if fits {
            let known = table << (2 * PLACE_BITS) | first << PLACE_BITS | second;
            self.0.store(known, Ordering::Relaxed);
        }
    }
}

impl Routes {
    pub(crate) fn new(
        revision: u64,
        release: String,
        release_version: Version,
        modules: BTreeMap<ModuleName, Route>,
        wiring: Wiring,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let http = RouteTable::new(&graph_of(&modules));
        let links = wiring.links.values().flat_map(BTreeMap::values);
        let served = links.filter_map(|link| served_by(&modules, link)).collect();
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            listed: modules.values().cloned().collect(),
            served,
            revision,
            release,
            release_version,
            modules,
            wiring,
            http,
            next: OnceLock::new(),
        })
    }

    /// What serves a function that a module imports. `found` is asked first: names are compared at the first call only.
    pub(crate) fn served(&self, caller: &ModuleName, imported: &FunctionName, found: &Found) -> Option<&Served> {
        if let Some((place, _)) = found.get(self.id) {
            return self.served.get(place);
        }
        let link = self.wiring.link(caller.as_ref(), imported)?;
        let is_meant = |served: &Served| {
            served.route.template.version.id.name == link.callee && served.export.name == link.function
        };
        let place = self.served.iter().position(is_meant)?;
        found.set(self.id, (place, 0));
        self.served.get(place)
    }

    /// A module and one of its functions, by the names that people use. `found` is asked first: names are compared at the first call of
    /// a revision only.
    pub(crate) fn function(
        &self,
        module: &str,
        function: &str,
        found: &Found,
    ) -> Result<(&Route, &Arc<Export>), CallError> {
        if let Some((place, slot)) = found.get(self.id)
            && let Some(route) = self.listed.get(place)
            && let Some(export) = route.template.version.places.exports.at(slot)
        {
            return Ok((route, export));
        }
        let route = self.module(module)?;
        let export = find(&route.template.version, function)?;
        if let Some(place) = self.modules.keys().position(|name| name.as_ref() == module) {
            found.set(self.id, (place, export.slot));
        }
        Ok((route, export))
    }

    /// A module by its name.
    pub(crate) fn module(&self, module: &str) -> Result<&Route, CallError> {
        self.modules.get(module).ok_or_else(|| {
            let message = match ModuleName::parse(module) {
                Err(error) => error.to_string(),
                Ok(module) if self.modules.is_empty() => format!("no module `{module}`; there are none"),
                Ok(module) => {
                    let known: Vec<_> = self.modules.keys().map(ToString::to_string).collect();
                    format!("no module `{module}`; there are: {}", known.join(", "))
                }
            };
            CallError::not_executed(CallErrorCode::NoSuchModule, message)
        })
    }

    /// The table of `revision` or the first one after it. The caller's stamp keeps all of them alive.
    pub(crate) fn forward_to(self: &Arc<Self>, revision: u64) -> Arc<Routes> {
        let mut at = self;
        while at.revision < revision {
            match at.next.get() {
                Some(next) => at = next,
                None => break,
            }
        }
        Arc::clone(at)
    }

    /// Notes what comes after. Called once, before the switch.
    pub(crate) fn set_next(&self, next: &Arc<Routes>) {
        // A second call would be a second switch from the same table, which the upgrade lock rules out.
        let _ = self.next.set(Arc::clone(next));
    }

    /// What a stateful module runs according to this table.
    pub(crate) fn live_of(&self, module: &ModuleName) -> Option<Arc<Live>> {
        self.modules.get(module)?.live.clone()
    }

    /// The modules as `appup` checks them.
    pub(crate) fn graph(&self) -> Graph {
        graph_of(&self.modules)
    }
}

fn served_by(modules: &BTreeMap<ModuleName, Route>, link: &Link) -> Option<Served> {
    let route = modules.get(&link.callee)?;
    Some(Served {
        export: Arc::clone(route.template.version.places.exports.get(&link.function)?),
        route: route.clone(),
    })
}

fn graph_of(modules: &BTreeMap<ModuleName, Route>) -> Graph {
    Graph::new(modules.values().map(|route| node(&route.template)))
}

/// A module as `appup` checks it.
pub(crate) fn node(template: &Template) -> Node {
    Node {
        version: template.version.id.clone(),
        kind: template.config.kind,
        interface: Arc::clone(&template.version.interface),
        links: template.config.spec.links.clone(),
        routes: template.config.spec.routes.clone(),
    }
}

impl Drop for Routes {
    /// Frees a long chain of old tables one after another instead of one inside another.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(table) = next {
            next = match Arc::try_unwrap(table) {
                Ok(mut last) => last.next.take(),
                Err(_still_used) => None,
            };
        }
    }
}
