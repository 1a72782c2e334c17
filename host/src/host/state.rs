//! States by hand: look, export, import, reset, restore.

use super::load::{blocking, of_store};
use super::lock::lock;
use super::{Host, saver};
use crate::call::gate::Gate;
use crate::call::gates::ClosedGates;
use crate::call::lane::{Lane, Live, Seat};
use crate::call::routes::Target;
use crate::control::protocol::{Exit, Failure, StateShown, word};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, InstanceError};
use crate::state::{read_state_file, write_state_file};
use crate::store::{SaveOrder, SaveReason, SavedState, SavedStateTag};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasmhot_appup::ModuleName;

/// Larger states are not shown, only described.
const SHOWN_BYTES_MAX: usize = 1 << 20;
/// Keys that `state show` lists.
const KEYS_SHOWN: usize = 1000;

impl Host {
    /// A look at the state of a module or key: saved just now if it lives, else the newest saved one.
    ///
    /// # Errors
    /// No such module, or the catalog cannot be read.
    pub async fn state_show(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        let name = self.name(module)?;
        if key.is_none() && matches!(self.target(&name), Some(Target::Keyed(_))) {
            return self.show_keys(&name).await;
        }
        Ok(match self.newest(&name, key).await? {
            Some(saved) => shown(&saved),
            None => nothing(&name, key),
        })
    }

    /// The state of a module or key as a file that [`Host::state_import`] and `apply --state FILE` read.
    ///
    /// # Errors
    /// As [`Host::state_show`]; also where there is no state.
    pub async fn state_export(&self, module: &str, key: Option<&str>) -> Result<Vec<u8>, Failure> {
        let name = self.name(module)?;
        let saved = self
            .newest(&name, key)
            .await?
            .ok_or_else(|| Failure::new("no-state", Exit::Refused, format!("{name} has no state")))?;
        write_state_file(&saved).map_err(|error| Failure::new("internal", Exit::Bug, error.to_string()))
    }

    /// An exported state becomes the live one, through `migrate`. On an error the module keeps the state that it has.
    ///
    /// # Errors
    /// Not an exported state, of another module, or not readable by the version that runs.
    pub async fn state_import(&self, module: &str, key: Option<&str>, file: Vec<u8>) -> Result<StateShown, Failure> {
        let name = self.name(module)?;
        let mut saved = read_state_file(&file).map_err(|error| Failure::new("not-a-state", Exit::Refused, error))?;
        if saved.tag.module != name {
            let message = format!("the file holds a state of {}, not of {name}", saved.tag.module);
            return Err(Failure::new("wrong-module", Exit::Refused, message));
        }
        saved.tag.key = key.map(str::to_string);
        let _lock = lock(&self.inner).await?;
        self.replace(&name, key, Some(saved), "imported").await
    }

    /// The module or key starts empty.
    ///
    /// # Errors
    /// No such module, or the empty instance does not start.
    pub async fn state_reset(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        let name = self.name(module)?;
        let _lock = lock(&self.inner).await?;
        self.replace(&name, key, None, "reset").await
    }

    /// The module or key goes back to its newest saved state.
    ///
    /// # Errors
    /// No such module, nothing saved, or not readable.
    pub async fn state_restore(&self, module: &str, key: Option<&str>) -> Result<StateShown, Failure> {
        let name = self.name(module)?;
        let _lock = lock(&self.inner).await?;
        let saved = self.saved(&name, key).await?;
        let saved =
            saved.ok_or_else(|| Failure::new("no-state", Exit::Refused, format!("no state of {name} was saved")))?;
        self.replace(&name, key, Some(saved), "restored").await
    }

    fn name(&self, module: &str) -> Result<ModuleName, Failure> {
        ModuleName::parse(module).map_err(|error| Failure::new("bad-name", Exit::Refused, error.to_string()))
    }

    fn target(&self, name: &ModuleName) -> Option<Target> {
        self.inner
            .core
            .router
            .routes()
            .modules
            .get(name)
            .map(|route| route.target.clone())
    }

    fn lane(&self, name: &ModuleName, key: Option<&str>) -> Result<Arc<Lane>, Failure> {
        let refuse = |message: String| Err(Failure::new("no-state", Exit::Refused, message));
        match (self.target(name), key) {
            (Some(Target::Single(lane)), None) => Ok(lane),
            (Some(Target::Keyed(keyed)), Some(key)) => keyed.lane(key).map_err(Failure::from),
            (Some(Target::Keyed(_)), None) => refuse(format!("{name} is keyed: say which key (--key)")),
            (Some(Target::Single(_)), Some(_)) => refuse(format!("{name} has no keys")),
            (Some(Target::Pool(_)), _) => refuse(format!("{name} is stateless")),
            (None, _) => refuse(format!("no module `{name}` runs")),
        }
    }

    async fn saved(&self, name: &ModuleName, key: Option<&str>) -> Result<Option<SavedState>, Failure> {
        self.inner
            .core
            .services
            .states
            .newest(name, key)
            .await
            .map_err(|error| of_store(&error))
    }

    /// Saved just now where an instance lives, else from the catalog: also of a module that was removed.
    async fn newest(&self, name: &ModuleName, key: Option<&str>) -> Result<Option<SavedState>, Failure> {
        let lane = match (self.target(name), key) {
            (Some(Target::Single(lane)), None) => Some(lane),
            (Some(Target::Keyed(keyed)), Some(key)) => keyed.existing(key),
            _ => None,
        };
        if let Some(lane) = lane.filter(|lane| lane.figures().is_live) {
            let (_, not_saved) = saver::save_all(&self.inner, vec![lane], SaveReason::Export).await;
            if let Some((_, why)) = not_saved.into_iter().next() {
                return Err(Failure::new(
                    "not-saved",
                    Exit::Failed,
                    format!("{name} could not be saved: {why}"),
                ));
            }
        }
        self.saved(name, key).await
    }

    async fn show_keys(&self, name: &ModuleName) -> Result<StateShown, Failure> {
        let (catalog, module) = (Arc::clone(&self.inner.core.catalog), name.clone());
        let tags = blocking(move || catalog.states_of(&module).map_err(|error| of_store(&error))).await?;
        let mut keys: BTreeSet<String> = tags.into_iter().filter_map(|tag| tag.key).collect();
        if let Some(Target::Keyed(keyed)) = self.target(name) {
            keys.extend(
                keyed
                    .lanes()
                    .iter()
                    .filter_map(|lane| lane.key.as_deref().map(str::to_string)),
            );
        }
        Ok(StateShown {
            keys: keys.into_iter().take(KEYS_SHOWN).collect(),
            ..nothing(name, None)
        })
    }

    /// Under the upgrade lock and behind a gate of its own: the seat of the lane gets an instance with this state, or an empty one.
    async fn replace(
        &self,
        name: &ModuleName,
        key: Option<&str>,
        state: Option<SavedState>,
        what: &str,
    ) -> Result<StateShown, Failure> {
        let lane = self.lane(name, key)?;
        let inner = &self.inner;
        let live: Arc<Live> = lane.live.load_full();
        let made = match &state {
            Some(saved) => {
                inner
                    .core
                    .services
                    .states
                    .revive(&live, saved, &live.template.config.limits)
                    .await
            }
            None => live.template.start(live.revision).await,
        };
        let failed =
            |error: InstanceError| Failure::new("state-unreadable", Exit::Failed, format!("{}: {error}", lane.name()));
        let new = made.map_err(failed)?;
        let gate = Gate::new(u64::MAX, BTreeSet::from([name.clone()]), BTreeMap::new(), None);
        let limits = &live.template.config.limits;
        // What a restart will give the module is what it has now. It is not asked to save: a version that cannot must not keep
        // anybody from giving it another state (R27).
        let (new, mut saved) = match state {
            Some(saved) => (new, Some(saved)),
            None => empty(&lane, &live, new, key).await.map_err(failed)?,
        };
        let closed = ClosedGates::close(Arc::clone(&gate), vec![Target::Single(Arc::clone(&lane))]);
        let taken = tokio::time::timeout(limits.quiesce_timeout, async {
            loop {
                gate.quiet().await;
                match lane.take_seat() {
                    Some(seat) => return seat,
                    None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                }
            }
        })
        .await;
        // The old instance may have been saved since: what is seated counts as saved after that.
        if let Some(saved) = &mut saved {
            saved.tag.order = SaveOrder::next();
        }
        let put = match taken {
            Ok(old) => match self.keep(name, key, saved.clone()).await {
                Ok(()) => {
                    lane.set_seat(Seat::Here(new), true);
                    Ok(())
                }
                Err(error) => {
                    lane.return_seat(old);
                    Err(error)
                }
            },
            Err(_) => Err(Failure::new(
                "not-quiet",
                Exit::CalledOff,
                format!(
                    "a call still ran in {} when quiesce_timeout passed: its state is as before; try again when the call has ended",
                    lane.name()
                ),
            )),
        };
        drop(closed);
        put?;
        let message = format!("the state of {} was {what}", lane.name());
        inner
            .core
            .events
            .publish(Happening::new(EventKind::StateChanged, message).version(&live.template.version.id));
        Ok(saved.map_or_else(|| nothing(name, key), |saved| shown(&saved)))
    }

    /// The last saved state from now on; none is none.
    async fn keep(&self, name: &ModuleName, key: Option<&str>, saved: Option<SavedState>) -> Result<(), Failure> {
        let core = &self.inner.core;
        if let Some(saved) = saved {
            let put = core.services.states.put(vec![saved], true).await;
            return put.map_err(|error| of_store(&error));
        }
        // What is still on its way would come back.
        let _ = core.services.states.settled().await;
        let (catalog, name, key) = (Arc::clone(&core.catalog), name.clone(), key.map(str::to_string));
        blocking(move || {
            let deleted = catalog.delete_state(&name, key.as_deref());
            deleted.map(drop).map_err(|error| of_store(&error))
        })
        .await
    }
}

/// An empty instance and its state. A version that cannot save has none: no saved state means empty too.
async fn empty(
    lane: &Lane,
    live: &Arc<Live>,
    mut new: Box<Instance>,
    key: Option<&str>,
) -> Result<(Box<Instance>, Option<SavedState>), InstanceError> {
    let limit = live.template.config.limits.save_timeout;
    match new.save(&Lane::change_for_self(&live.template), limit).await {
        Ok(saved) => {
            let saved = crate::state::tagged(&new, key, SaveReason::Export, saved.bytes);
            Ok((new, Some(saved)))
        }
        Err(error) => {
            tracing::warn!("{} cannot save its empty state: {error}", lane.name());
            let new = if new.is_usable() {
                new
            } else {
                live.template.start(live.revision).await?
            };
            Ok((new, None))
        }
    }
}

fn nothing(name: &ModuleName, key: Option<&str>) -> StateShown {
    StateShown {
        module: name.to_string(),
        key: key.map(str::to_string),
        version: None,
        digest: None,
        revision: None,
        time_ms: None,
        format: None,
        size: None,
        reason: None,
        content: None,
        keys: Vec::new(),
    }
}

fn shown(saved: &SavedState) -> StateShown {
    let tag: &SavedStateTag = &saved.tag;
    StateShown {
        version: Some(format!("{}@{}", tag.version.name, tag.version.version)),
        digest: Some(tag.version.digest.to_string()),
        revision: Some(tag.revision),
        time_ms: Some(tag.time_ms),
        format: Some(tag.format.clone()),
        size: Some(tag.size),
        reason: Some(word(&tag.reason)),
        content: content(tag, &saved.bytes),
        ..nothing(&tag.module, tag.key.as_deref())
    }
}

/// CBOR and JSON are readable without the module.
fn content(tag: &SavedStateTag, bytes: &[u8]) -> Option<serde_json::Value> {
    if bytes.len() > SHOWN_BYTES_MAX {
        return None;
    }
    match tag.format.as_str() {
        "application/json" => serde_json::from_slice(bytes).ok(),
        "application/cbor" => minicbor_serde::from_slice(bytes).ok(),
        _ => None,
    }
}
