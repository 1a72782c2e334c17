//! The routing table of one revision: which version of each module calls go to, and who serves whose imports.
//!
//! Invariants:
//! - A table never changes; a switch puts another in its place.
//! - A table holds the next one, never the one before: a tree that holds a stamp holds everything that the stamp or a later one can
//!   need (R20), and when the last such tree ends the old pools are freed, in any number and order.

use super::keyed::Keyed;
use super::lane::{Lane, Live};
use super::pool::Pool;
use super::rates::Rates;
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

/// Where an import was found last: the id of the table above [`PLACE_BITS`], the place in its `served` below.
#[derive(Debug, Default)]
pub(crate) struct Found(AtomicU64);

/// Enough for a million imports.
const PLACE_BITS: u32 = 20;

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
        let known = found.0.load(Ordering::Relaxed);
        if known >> PLACE_BITS == self.id {
            return self.served.get((known & ((1 << PLACE_BITS) - 1)) as usize);
        }
        let link = self.wiring.link(caller.as_ref(), imported)?;
        let is_meant = |served: &Served| {
            served.route.template.version.id.name == link.callee && served.export.name == link.function
        };
        let place = self.served.iter().position(is_meant)?;
        if place >> PLACE_BITS == 0 {
            found.0.store(self.id << PLACE_BITS | place as u64, Ordering::Relaxed);
        }
        self.served.get(place)
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
        export: Arc::clone(route.template.version.exports.get(&link.function)?),
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
