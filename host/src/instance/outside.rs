//! What instances share of the host around them, and what one of them may reach of the world outside (R8).
//!
//! Invariants:
//! - Whatever is not granted is denied, and said: an event names module, capability, target and the lines that would grant it, once.
//!   Files are the exception: a guest without directories finds none, and the host is not asked.
//! - While outside effects are refused (R3) nothing reaches outside, granted or not.

use super::capability::KeyValueAccess;
use crate::event::{EventKind, Events, Happening};
use crate::store::{KeyValue, Untouchable};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use wasmhot_appup::{Capability, Grants, ModuleVersion};

/// So many targets of one capability are told for one version: a guest that tries them all is not to fill the events.
const TARGETS_TOLD: usize = 16;
/// Addresses that are remembered of the names that one instance has looked up.
const ADDRESSES_MAX: usize = 1024;

/// What all instances of a host share.
pub(crate) struct Outside {
    events: Arc<Events>,
    keyvalue: Arc<KeyValue>,
    /// The state directory, which no guest gets as a folder.
    untouchable: Option<Untouchable>,
    told: Mutex<HashMap<(ModuleVersion, Capability), HashSet<String>>>,
}

impl Outside {
    pub(crate) fn new(events: Arc<Events>, keyvalue: Arc<KeyValue>, untouchable: Option<Untouchable>) -> Arc<Self> {
        Arc::new(Self {
            events,
            keyvalue,
            untouchable,
            told: Mutex::default(),
        })
    }

    /// Says that something was denied, unless that was said before.
    fn tell(&self, id: &ModuleVersion, capability: Capability, target: &str, why: &Denied, grant: &str) {
        let is_last = {
            let mut told = self.told.lock().expect("no panic under this lock");
            let targets = told.entry((id.clone(), capability)).or_default();
            if targets.len() >= TARGETS_TOLD || !targets.insert(target.to_owned()) {
                return;
            }
            targets.len() == TARGETS_TOLD
        };
        let (module, version) = (&id.name, &id.version);
        let lines = format!("[[modules]]\nname = \"{module}\"\n[modules.grants]\n{grant}");
        let more = if is_last {
            "; what else it is denied is not told any more"
        } else {
            ""
        };
        let message = match why {
            Denied::NotGranted => format!(
                "{module} {version} was denied {capability}: {target}, which the release does not grant it. These lines of release.toml would: \
                 `{}`{more}",
                lines.replace('\n', " ⏎ ")
            ),
            Denied::During(phase) => {
                format!(
                    "{module} {version} was denied {capability}: {target}, for outside effects are refused during `{phase}`{more}"
                )
            }
        };
        let details = match why {
            Denied::NotGranted => serde_json::json!({ "capability": capability, "target": target, "grant": lines }),
            Denied::During(phase) => serde_json::json!({ "capability": capability, "target": target, "during": phase }),
        };
        let happening = Happening::new(EventKind::Denied, message).version(id).details(details);
        self.events.publish(happening);
    }
}

/// Why something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The release does not grant it.
    NotGranted,
    /// Outside effects are refused in this phase (R3).
    During(&'static str),
}

/// What one instance may reach. Shared with what WASI asks from its own tasks.
pub(crate) struct Reach {
    id: ModuleVersion,
    pub(super) grants: Grants,
    outside: Arc<Outside>,
    effects_refused: Mutex<Option<&'static str>>,
    /// Something was denied since this was last asked for.
    denied: AtomicBool,
    /// Addresses of the names that were looked up.
    looked_up: Mutex<HashMap<IpAddr, HashSet<String>>>,
}

impl Reach {
    pub(super) fn new(id: &ModuleVersion, grants: &Grants, outside: &Arc<Outside>) -> Arc<Self> {
        Arc::new(Self {
            id: id.clone(),
            grants: grants.clone(),
            outside: Arc::clone(outside),
            effects_refused: Mutex::new(None),
            denied: AtomicBool::new(false),
            looked_up: Mutex::default(),
        })
    }

    /// Who it is.
    pub(super) fn id(&self) -> &ModuleVersion {
        &self.id
    }

    /// Whether with this folder it would have the state directory, or a part of it.
    pub(super) fn is_untouchable(&self, folder: &Path) -> bool {
        let state = self.outside.untouchable.as_ref();
        state.is_some_and(|state| state.is_reached_by(folder))
    }

    /// Why outside effects are refused at the moment, if they are.
    pub(crate) fn effects_refused(&self) -> Option<&'static str> {
        *self.effects_refused.lock().expect("no panic under this lock")
    }

    pub(super) fn refuse_effects(&self, phase: Option<&'static str>) {
        *self.effects_refused.lock().expect("no panic under this lock") = phase;
    }

    /// Whether something may be done now. If not, that is said: `grant` is the line that would grant it.
    pub(super) fn may(
        &self,
        capability: Capability,
        is_granted: bool,
        target: impl FnOnce() -> String,
        grant: impl FnOnce() -> String,
    ) -> Result<(), Denied> {
        let why = match self.effects_refused() {
            Some(phase) => Denied::During(phase),
            None if is_granted => return Ok(()),
            None => Denied::NotGranted,
        };
        self.denied.store(true, Ordering::Relaxed);
        self.outside.tell(&self.id, capability, &target(), &why, &grant());
        Err(why)
    }

    /// True if something was denied since this was last asked: the call counts as failed in a probation (R39).
    pub(super) fn take_denied(&self) -> bool {
        self.denied.swap(false, Ordering::Relaxed)
    }

    /// The key-value store, for this instance.
    pub(super) fn keyvalue(&self) -> KeyValueAccess<'_> {
        KeyValueAccess {
            reach: self,
            store: &self.outside.keyvalue,
        }
    }

    /// A name that is granted was found to have this address.
    pub(super) fn note_address(&self, name: &str, address: IpAddr) {
        let mut known = self.looked_up.lock().expect("no panic under this lock");
        if known.len() < ADDRESSES_MAX || known.contains_key(&address) {
            known.entry(address.to_canonical()).or_default().insert(name.to_owned());
        }
    }

    /// The names that were found to have this address.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<String> {
        let known = self.looked_up.lock().expect("no panic under this lock");
        known
            .get(&address.to_canonical())
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Reach({})", self.id)
    }
}
