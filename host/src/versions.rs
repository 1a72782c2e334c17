//! The versions this host knows: compiled ones at hand, all others in the object store, and what links them to the host.

use crate::call::import::define_imports;
use crate::instance::capability;
use crate::instance::guest::Guest;
use crate::instance::outside::Outside;
use crate::instance::{ModuleConfig, Template};
use crate::store::Objects;
use crate::version::{self, EngineKind, Engines, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use wasmhot_appup::{Digest, Instances, Kind, Known, ModuleName, ModuleVersion, StateDescription, is_between};
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

/// Compiled versions kept at hand although nothing runs them: the next undo or apply of one compiles nothing.
const KEPT: usize = 16;

/// A version that was compiled before may take this many times as long as a file that arrives.
const KNOWN_PATIENCE: u32 = 10;

/// Compiled versions, newest use last, and every version ever taken.
pub(crate) struct Versions {
    pub(crate) engines: Arc<Engines>,
    objects: Arc<Objects>,
    /// The standard interfaces, for each engine; those of WASI 0.3 once somebody asks for them.
    plain: Linker<Guest>,
    concurrent: OnceLock<Linker<Guest>>,
    short_lived: OnceLock<Linker<Guest>>,
    outside: Arc<Outside>,
    kept: Mutex<VecDeque<Kept>>,
    /// All that are in use somewhere, kept at hand or not.
    living: Mutex<HashMap<ModuleVersion, Weak<Version>>>,
    known: Mutex<Vec<ModuleVersion>>,
    /// How versions describe their states, as far as that was asked for.
    described: Mutex<HashMap<Digest, Option<StateDescription>>>,
    /// Whose states are read by whom without a way: asked for each of a hundred thousand keys.
    direct: Mutex<HashSet<[Digest; 2]>>,
}

/// A compiled version at hand, and what linked it to the host, once that was asked for.
struct Kept {
    version: Arc<Version>,
    linked: Option<InstancePre<Guest>>,
    /// The same for short-lived instances, once that was asked for; none in it where such are not to be had.
    short_lived: Option<Option<Linked>>,
}

/// A version on one of the engines, linked to the host.
#[derive(Clone)]
struct Linked {
    version: Arc<Version>,
    pre: InstancePre<Guest>,
}

/// What the object store has of a version.
enum Read {
    Compiled(Box<Version>),
    Bytes(Arc<[u8]>),
}

impl Versions {
    pub(crate) fn new(engines: Arc<Engines>, objects: Arc<Objects>, outside: Arc<Outside>) -> wasmtime::Result<Self> {
        let plain = standard_interfaces(engines.get(EngineKind::Plain))?;
        Ok(Self {
            engines,
            objects,
            plain,
            concurrent: OnceLock::new(),
            short_lived: OnceLock::new(),
            outside,
            kept: Mutex::default(),
            living: Mutex::default(),
            known: Mutex::default(),
            described: Mutex::default(),
            direct: Mutex::default(),
        })
    }

    /// Keeps a compiled version at hand, and knows it from now on.
    pub(crate) fn keep(&self, version: &Arc<Version>) {
        self.know(&version.id);
        let mut living = self.living.lock().expect("no panic under this lock");
        living.retain(|_, version| version.strong_count() > 0);
        living.insert(version.id.clone(), Arc::downgrade(version));
        drop(living);
        let mut kept = self.kept.lock().expect("no panic under this lock");
        let place = kept.iter().position(|other| other.version.id == version.id);
        let known = place.and_then(|place| kept.remove(place));
        // Compiled twice under one name, it is the newer one that is linked anew.
        let known = known.filter(|known| Arc::ptr_eq(&known.version, version));
        kept.push_back(known.unwrap_or_else(|| Kept {
            version: Arc::clone(version),
            linked: None,
            short_lived: None,
        }));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// Knows a version whose bytes are in the object store.
    pub(crate) fn know(&self, id: &ModuleVersion) {
        let mut known = self.known.lock().expect("no panic under this lock");
        if !known.contains(id) {
            known.push(id.clone());
        }
    }

    /// Knows only these versions any more.
    pub(crate) fn forget(&self, stays: impl Fn(&ModuleVersion) -> bool) {
        self.known.lock().expect("no panic under this lock").retain(&stays);
        let mut kept = self.kept.lock().expect("no panic under this lock");
        kept.retain(|kept| stays(&kept.version.id));
        self.described.lock().expect("no panic under this lock").clear();
        self.direct.lock().expect("no panic under this lock").clear();
    }

    /// Versions known of all modules.
    pub(crate) fn known(&self) -> Vec<ModuleVersion> {
        self.known.lock().expect("no panic under this lock").clone()
    }

    fn at_hand(&self, digest: &Digest, name: Option<&ModuleVersion>) -> Option<Arc<Version>> {
        let living = self.living.lock().expect("no panic under this lock");
        match name {
            Some(id) => living.get(id)?.upgrade(),
            None => {
                let mut same = living.iter().filter(|(id, _)| id.digest == *digest);
                same.find_map(|(_, version)| version.upgrade())
            }
        }
    }

    /// The compiled version with these bytes, if it is at hand.
    pub(crate) fn compiled(&self, digest: &Digest) -> Option<Arc<Version>> {
        self.at_hand(digest, None)
    }

    /// A known version, compiled anew if it is not at hand.
    pub(crate) async fn get(&self, id: &ModuleVersion) -> Result<Arc<Version>, String> {
        if let Some(version) = self.at_hand(&id.digest, Some(id)) {
            return Ok(version);
        }
        let stem = format!("{}@{}", id.name, id.version);
        let read = self.read(id.digest, stem.clone());
        let compiled = match read.await? {
            Read::Compiled(version) => *version,
            Read::Bytes(bytes) => {
                // It was compiled in time when it came, so it is no bomb: if it takes longer now, the machine is busy.
                let limit = version::time_by_size(bytes.len() as u64) * KNOWN_PATIENCE;
                let engines = Arc::clone(&self.engines);
                let compiled = version::compile_anew_within(engines, &stem, bytes, id.digest, limit).await;
                compiled.map_err(|error| error.to_string())?
            }
        };
        // What the catalog calls it counts: the name of the file it came from is not in the bytes.
        let version = Arc::new(Version {
            id: id.clone(),
            ..compiled
        });
        self.keep(&version);
        Ok(version)
    }

    /// Of bytes whose code is kept the digest need not be computed: the code says from which it was made. Of many versions that would take
    /// longer than all else at a start.
    async fn read(&self, digest: Digest, stem: String) -> Result<Read, String> {
        let (objects, engines) = (Arc::clone(&self.objects), Arc::clone(&self.engines));
        let read = move || -> Result<Read, String> {
            let bytes = objects.get_unchecked(&digest).map_err(|error| error.to_string())?;
            let bytes = bytes.ok_or_else(|| format!("its bytes ({digest}) are not in the object store"))?;
            let known = version::load_known(&engines, &stem, &bytes, digest).map_err(|error| error.to_string())?;
            if let Some(version) = known {
                return Ok(Read::Compiled(Box::new(version)));
            }
            objects.check(&digest, &bytes).map_err(|error| error.to_string())?;
            Ok(Read::Bytes(bytes.into()))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| error.to_string())?
    }

    /// Known versions of the module between two others, in the direction from the one to the other.
    pub(crate) fn between(&self, from: &ModuleVersion, to: &ModuleVersion) -> Vec<ModuleVersion> {
        let known = self.known().into_iter();
        let mut between: Vec<_> = known.filter(|id| is_between(id, from, to)).collect();
        between.sort_by(|one, other| one.version.cmp(&other.version));
        between.dedup_by(|one, other| one.version == other.version);
        if from.version > to.version {
            between.reverse();
        }
        between
    }

    /// The versions of a module whose bytes are here.
    pub(crate) fn had(&self, module: &ModuleName) -> BTreeSet<ModuleVersion> {
        let known = self.known().into_iter().filter(|id| id.name == *module);
        known.filter(|id| self.objects.path(&id.digest).is_file()).collect()
    }

    /// How these versions describe their states (R4), those that do and whose bytes are here.
    pub(crate) async fn described(&self, ids: Vec<ModuleVersion>) -> BTreeMap<Digest, StateDescription> {
        let mut found = BTreeMap::new();
        for id in ids {
            found.extend(self.describe(&id).await.map(|state| (id.digest, state)));
        }
        found
    }

    async fn describe(&self, id: &ModuleVersion) -> Option<StateDescription> {
        let known = |described: &HashMap<_, Option<_>>| described.get(&id.digest).cloned();
        if let Some(known) = known(&self.described.lock().expect("no panic under this lock")) {
            return known;
        }
        let state = match self.compiled(&id.digest) {
            Some(version) => version.state.clone(),
            None => {
                let (objects, digest) = (Arc::clone(&self.objects), id.digest);
                let stem = format!("{}@{}", id.name, id.version);
                let read = move || version::facts(&stem, &objects.get(&digest).ok()??).ok();
                // What cannot be read is not remembered: the disk may do better the next time.
                tokio::task::spawn_blocking(read).await.ok()??.state
            }
        };
        let mut described = self.described.lock().expect("no panic under this lock");
        described.insert(id.digest, state.clone());
        state
    }

    /// The versions through which what one version wrote gets to another, as they describe their states: none where that reads it
    /// itself, or may for all that is known. `None` if no way is open.
    pub(crate) async fn way(&self, from: &ModuleVersion, to: &ModuleVersion) -> Option<Vec<ModuleVersion>> {
        let pair = [from.digest, to.digest];
        if self.direct.lock().expect("no panic under this lock").contains(&pair) {
            return Some(Vec::new());
        }
        let mut known = Known {
            states: self.described(vec![from.clone(), to.clone()]).await,
            ..Known::default()
        };
        if known.reads(to, from) {
            // Of what could not be read now, more may be known later.
            if pair.iter().all(|digest| known.states.contains_key(digest)) {
                self.direct.lock().expect("no panic under this lock").insert(pair);
            }
            return Some(Vec::new());
        }
        known.had = self.had(&to.name);
        let between = known.had.iter().filter(|id| is_between(id, from, to));
        let described = self.described(between.cloned().collect()).await;
        known.states.extend(described);
        known.way(to, from)
    }

    /// Links a version: everything but the making of instances.
    pub(crate) fn template(&self, version: Arc<Version>, config: ModuleConfig) -> Result<Template, String> {
        match config.kind == Kind::Pool && config.limits.instances == Instances::Fresh {
            true => self.short_lived_template(&version, config),
            false => self.lasting_template(version, config),
        }
    }

    fn lasting_template(&self, version: Arc<Version>, config: ModuleConfig) -> Result<Template, String> {
        let linked = self
            .linked(&version)
            .map_err(|error| format!("{} cannot be linked: {error:#}", version.id))?;
        Ok(Template::new(version, config, Arc::clone(&self.outside), linked))
    }

    /// The same for instances that live for a moment only.
    pub(crate) fn short_lived_template(
        &self,
        version: &Arc<Version>,
        config: ModuleConfig,
    ) -> Result<Template, String> {
        let template = self.lasting_template(Arc::clone(version), config)?;
        Ok(match self.short_lived_of(version) {
            Some(Linked { version, pre }) => template.with_short_lived(version, pre),
            None => template,
        })
    }

    /// A version for short-lived instances, loaded and linked once for the versions at hand.
    fn short_lived_of(&self, version: &Arc<Version>) -> Option<Linked> {
        let at_hand = |kept: &&mut Kept| Arc::ptr_eq(&kept.version, version);
        let mut kept = self.kept.lock().expect("no panic under this lock");
        if let Some(known) = kept.iter_mut().find(at_hand).and_then(|kept| kept.short_lived.clone()) {
            return known;
        }
        drop(kept);
        let load = || -> Option<wasmtime::Result<Linked>> {
            let version = Arc::new(version.short_lived(&self.engines)?);
            let linked = self.short_lived_linker().and_then(|standard| link(standard, &version));
            Some(linked.map(|pre| Linked { version, pre }))
        };
        let loaded = load().and_then(|linked| {
            let told = linked.inspect_err(|error| tracing::warn!("{} is not linked again: {error:#}", version.id));
            told.ok()
        });
        kept = self.kept.lock().expect("no panic under this lock");
        if let Some(kept) = kept.iter_mut().find(at_hand) {
            kept.short_lived = Some(loaded.clone());
        }
        loaded
    }

    fn short_lived_linker(&self) -> wasmtime::Result<&Linker<Guest>> {
        if let Some(linker) = self.short_lived.get() {
            return Ok(linker);
        }
        let none = || wasmtime::format_err!("there is no engine for it");
        let linker = standard_interfaces(self.engines.short_lived().ok_or_else(none)?)?;
        Ok(self.short_lived.get_or_init(|| linker))
    }

    /// What a version is linked to does not depend on its configuration: it is done once for the versions at hand.
    fn linked(&self, version: &Arc<Version>) -> wasmtime::Result<InstancePre<Guest>> {
        let at_hand = |kept: &&mut Kept| Arc::ptr_eq(&kept.version, version);
        let mut kept = self.kept.lock().expect("no panic under this lock");
        if let Some(linked) = kept.iter_mut().find(at_hand).and_then(|kept| kept.linked.clone()) {
            return Ok(linked);
        }
        drop(kept);
        let standard = match version.engine {
            EngineKind::Plain => &self.plain,
            EngineKind::Concurrent => self.concurrent()?,
        };
        let linked = link(standard, version)?;
        kept = self.kept.lock().expect("no panic under this lock");
        if let Some(kept) = kept.iter_mut().find(at_hand) {
            kept.linked = Some(linked.clone());
        }
        Ok(linked)
    }

    fn concurrent(&self) -> wasmtime::Result<&Linker<Guest>> {
        if let Some(linker) = self.concurrent.get() {
            return Ok(linker);
        }
        let mut linker = standard_interfaces(self.engines.get(EngineKind::Concurrent))?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        capability::add_concurrent_to_linker(&mut linker)?;
        Ok(self.concurrent.get_or_init(|| linker))
    }
}

/// A version with the standard interfaces and what it imports of other modules.
fn link(standard: &Linker<Guest>, version: &Arc<Version>) -> wasmtime::Result<InstancePre<Guest>> {
    if version.interface.imports.is_empty() {
        return standard.instantiate_pre(&version.component);
    }
    let mut linker = standard.clone();
    define_imports(&mut linker, version)?;
    linker.instantiate_pre(&version.component)
}

/// WASI 0.2, which components of either engine may import.
fn standard_interfaces(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    capability::add_to_linker(&mut linker)?;
    Ok(linker)
}
