//! No bytes are compiled twice: what the compiler made is kept in the state directory, by digest, and taken from there.
//!
//! Invariants:
//! - Code goes only to the engine that it was made for: its name holds a hash of all that Wasmtime's compiler depends on (its version, the
//!   processor, the settings), and Wasmtime looks once more when it loads it.
//! - Beside it stands the interface, as validation has found it: to read it out of the component takes longer than to load the code. What
//!   this program makes of a component may change from one of its releases to the next, so its own version is part of that hash.
//! - What is not as it should be is told ([`EventKind::CacheFault`]), compiled anew and replaced. No file that a host is given fails
//!   because of the cache.
//!
//! Who may write there, and how a file is checked: [`store::compiled`](crate::store).

use super::{EngineKind, Engines};
use crate::event::{EventKind, Events, Happening};
use crate::store::{Checksum, CodeName, Compiled, EngineKey, KeptCode, MAGIC, StoreError};
use sha2::Digest as _;
use std::hash::{Hash as _, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wasmhot_appup::Digest;
use wasmhot_appup::interface::ModuleInterface;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Where compiled code is kept, and whom it is told what is wrong with that.
pub(crate) struct CodeCache {
    files: Compiled,
    events: Arc<Events>,
    plain: OnceLock<EngineKey>,
    concurrent: OnceLock<EngineKey>,
}

/// The code of a version, and what was found when it was validated.
pub(super) struct Code {
    pub(super) kind: EngineKind,
    pub(super) interface: ModuleInterface,
    pub(super) component: Component,
}

/// From where the code of versions came, since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    compiled: AtomicU64,
    from_cache: AtomicU64,
}

impl CodeCache {
    /// The cache in a state directory. None, and an event, where it cannot be had.
    pub(crate) fn open(state: &Path, events: &Arc<Events>) -> Option<Self> {
        match Compiled::open(state) {
            Ok(files) => Some(Self {
                files,
                events: Arc::clone(events),
                plain: OnceLock::new(),
                concurrent: OnceLock::new(),
            }),
            Err(error) => {
                let message = format!("every start compiles anew: {error}");
                events.publish(Happening::new(EventKind::CacheFault, message));
                None
            }
        }
    }

    fn key(&self, engines: &Engines, kind: EngineKind) -> EngineKey {
        let key = match kind {
            EngineKind::Plain => &self.plain,
            EngineKind::Concurrent => &self.concurrent,
        };
        *key.get_or_init(|| key_of(engines.get(kind)))
    }

    fn tell(&self, message: String, digest: &Digest) {
        let details = serde_json::json!({ "sha256": digest.to_string() });
        let happening = Happening::new(EventKind::CacheFault, message).details(details);
        self.events.publish(happening);
    }

    fn load(&self, engine: &Engine, kind: EngineKind, name: &CodeName) -> Option<Code> {
        let not_used = |why: &dyn std::fmt::Display| self.not_used(name, why);
        let kept = self.files.get(name).inspect_err(|why| not_used(why)).ok()??;
        let interface = postcard::from_bytes(&kept.interface);
        let interface = interface.inspect_err(|error| not_used(&format!("its interface cannot be read: {error}")));
        let component = load(engine, &kept);
        let component = component.inspect_err(|error| not_used(&format!("Wasmtime does not load it: {error:#}")));
        Some(Code {
            kind,
            interface: interface.ok()?,
            component: component.ok()?,
        })
    }

    fn not_used(&self, name: &CodeName, why: &dyn std::fmt::Display) {
        let message = format!(
            "the compiled code kept of {} is not used: {why}; it is compiled anew",
            name.digest
        );
        self.tell(message, &name.digest);
    }

    fn keep(&self, name: &CodeName, code: &Code) {
        let put = || -> Result<(), String> {
            let machine = code.component.serialize().map_err(|error| format!("{error:#}"))?;
            let interface = postcard::to_stdvec(&code.interface).map_err(|error| error.to_string())?;
            let kept = self.files.put(name, &machine, &interface);
            kept.map_err(|error| error.to_string())
        };
        if let Err(why) = put() {
            let message = format!("the compiled code of {} cannot be kept: {why}", name.digest);
            self.tell(message, &name.digest);
        }
    }
}

impl Engines {
    /// With a cache of compiled code.
    pub(crate) fn with_cache(mut self, cache: Option<CodeCache>) -> Self {
        self.cache = cache;
        self
    }

    /// How many versions have been compiled since the start, and how many were taken from the cache.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.counts.compiled), of(&self.counts.from_cache))
    }

    /// Whether what is compiled is kept for another time.
    pub(super) fn keeps_code(&self) -> bool {
        self.cache.is_some()
    }

    /// Compiles a component, and keeps its code. The digest is that of the file that it is, or was made from; that has these bytes.
    pub(super) fn compiled(
        &self,
        kind: EngineKind,
        (digest, bytes): (&Digest, &[u8]),
        component: &[u8],
        interface: ModuleInterface,
    ) -> wasmtime::Result<Code> {
        let code = Code {
            kind,
            interface,
            // `from_binary` takes neither text nor compiled code.
            component: Component::from_binary(self.get(kind), component)?,
        };
        self.counts.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(cache) = &self.cache {
            let name = CodeName {
                digest: *digest,
                key: cache.key(self, kind),
                bytes: Checksum::of(bytes),
            };
            cache.keep(&name, &code);
        }
        Ok(code)
    }

    /// The code of these bytes, if it is in the cache.
    pub(super) fn kept(&self, digest: &Digest, bytes: &[u8]) -> Option<Code> {
        let cache = self.cache.as_ref()?;
        let sum = Checksum::of(bytes);
        let loaded = KINDS.into_iter().find_map(|kind| {
            let name = CodeName {
                digest: *digest,
                key: cache.key(self, kind),
                bytes: sum,
            };
            cache.load(self.get(kind), kind, &name)
        })?;
        self.counts.from_cache.fetch_add(1, Ordering::Relaxed);
        Some(loaded)
    }

    /// Forgets compiled code of all but these bytes, and that of other compilers; gives the bytes of disk that this frees.
    pub(crate) fn forget_code(&self, stays: impl Fn(&Digest) -> bool, dry_run: bool) -> Result<u64, StoreError> {
        let Some(cache) = &self.cache else { return Ok(0) };
        let keys = KINDS.map(|kind| cache.key(self, kind));
        cache
            .files
            .retain(|digest, key| stays(digest) && keys.contains(key), dry_run)
    }
}

/// The same code for another engine of the same settings.
#[allow(unsafe_code, reason = "Wasmtime cannot check machine code")]
pub(super) fn for_another_engine(engine: &Engine, component: &Component) -> wasmtime::Result<Component> {
    let code = component.serialize()?;
    // SAFETY: it is what `serialize` has just given, of a component that this process runs; nobody else has had it in between. That it was
    // made for the same processor and settings, Wasmtime looks itself.
    unsafe { Component::deserialize(engine, &code) }
}

const KINDS: [EngineKind; 2] = [EngineKind::Plain, EngineKind::Concurrent];

/// All that compiled code, and the interface beside it, depend on besides the bytes.
fn key_of(engine: &Engine) -> EngineKey {
    let mut hasher = Sha256(sha2::Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.update(MAGIC);
    hasher.0.update(env!("CARGO_PKG_VERSION"));
    let mut key = EngineKey([0; 16]);
    let hash = hasher.0.finalize();
    key.0.iter_mut().zip(hash).for_each(|(place, byte)| *place = byte);
    key
}

/// The standard library's hashers may differ from one of its versions to the next.
struct Sha256(sha2::Sha256);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks: the whole hash is taken.
        0
    }
}

/// Code that [`Compiled::get`] has checked.
///
/// It is mapped from its file, which is why nobody may change that. Where files cannot be mapped to be run (a file system that is
/// mounted `noexec`), it is read instead.
#[allow(unsafe_code, reason = "Wasmtime cannot check machine code")]
fn load(engine: &Engine, kept: &KeptCode) -> wasmtime::Result<Component> {
    // SAFETY: what is loaded has to come, unchanged, from `Component::serialize`, and must not change while it runs.
    //
    // - `CodeCache::keep` is the only one to write such files, and writes what `serialize` gave it.
    // - Nobody else could write one: `Compiled::open` found that only this user and root can put, rename or replace anything in the
    //   directory or above it; `Compiled::get` that the file is a plain one of this user that no other may write. Guests run as this user,
    //   but get no folder from which the directory can be reached (`Untouchable`).
    // - It is whole, and that of these bytes for this engine: its length, the digest, the engine's key and a checksum over all of it
    //   were right when it was read a moment ago.
    // - It does not change while it is mapped: we never write to a file that has its name, we only rename and unlink. That root, or this
    //   user by other means, does so cannot be excluded, any more than for the program itself.
    let mapped = unsafe { Component::deserialize_file(engine, &kept.path) };
    mapped.or_else(|error| {
        let mut bytes = std::fs::read(&kept.path)?;
        bytes.truncate(kept.code_length);
        // SAFETY: as above; these bytes are a copy.
        unsafe { Component::deserialize(engine, &bytes) }.map_err(|_| error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::EngineSettings;
    use wasmtime::Config;

    fn engines(state: &Path, events: &Arc<Events>) -> Engines {
        let engines = Engines::new(&EngineSettings::default()).expect("engines");
        engines.with_cache(CodeCache::open(state, events))
    }

    #[test]
    fn code_for_other_settings_under_the_right_name_is_compiled_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = Arc::new(Events::default());
        let bytes = wat::parse_str("(component)").expect("is text");
        let digest = Digest::of(&bytes);
        let counted = |engines: &Engines| {
            crate::version::compile(engines, "made-1.0.0", &bytes).expect("compiles");
            engines.counts()
        };
        assert_eq!(counted(&engines(folder.path(), &events)), (1, 0));
        assert_eq!(counted(&engines(folder.path(), &events)), (0, 1));
        // As no host writes it: all that we can check is right, only the code is for another engine.
        let other = Engine::new(Config::new().epoch_interruption(false)).expect("an engine");
        let code = Component::new(&other, &bytes).and_then(|component| component.serialize());
        let engines_now = engines(folder.path(), &events);
        let cache = engines_now.cache.as_ref().expect("a cache");
        let name = CodeName {
            digest,
            key: cache.key(&engines_now, EngineKind::Plain),
            bytes: Checksum::of(&bytes),
        };
        let interface = postcard::to_stdvec(&ModuleInterface::default()).expect("is written");
        cache
            .files
            .put(&name, &code.expect("is written"), &interface)
            .expect("is kept");
        assert_eq!(counted(&engines_now), (1, 0));
        let told = events.since(0).0;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, EventKind::CacheFault);
        assert!(told[0].message.contains("Wasmtime does not load it"), "{told:?}");
        assert_eq!(counted(&engines(folder.path(), &events)), (0, 1));
    }

    #[test]
    fn the_two_engines_have_keys_of_their_own() {
        let engines = Engines::new(&EngineSettings::default()).expect("engines");
        let [plain, concurrent] = KINDS.map(|kind| key_of(engines.get(kind)));
        assert_ne!(plain, concurrent);
        assert_eq!(plain, key_of(engines.get(EngineKind::Plain)));
    }
}
