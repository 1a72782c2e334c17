//! Saved states: what an instance saved, kept with the tag that says who wrote it (R28), and brought back into an instance.
//!
//! Invariants:
//! - A state is only ever read by the version that wrote it, or through `migrate` with the true `from`.
//! - Nothing here replaces a state by an empty one: what cannot be read is an error (R29).

use crate::call::lane::Live;
use crate::instance::{Change, Instance, InstanceError, Template};
use crate::keeper::{Keeper, Kept, Written};
use crate::store::chunks::ChunkFile;
use crate::store::{
    Catalog, Exchange, Form, SaveOrder, SaveReason, SavedState, SavedStateTag, StoreError, Stretch, WrittenFor,
};
use crate::version::Version;
use crate::versions::Versions;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Kind, Known, Limits, ModuleName, ModuleVersion, Saved, is_between};

/// A state on its way from an old instance to a new one.
pub(crate) struct Moved {
    pub(crate) state: SavedState,
    pub(crate) took: Duration,
}

/// Versions between two others, each with the `extra` of the change to it.
pub(crate) type Chain = Vec<(ModuleVersion, serde_json::Value)>;

/// What a rehearsal came to.
pub(crate) struct Rehearsed {
    /// How long `migrate` took.
    pub(crate) there: Duration,
    /// How much of that calls have to wait for.
    pub(crate) behind_the_gate: Duration,
    /// Whether there is a way back.
    pub(crate) back: Result<(), InstanceError>,
}

/// The saved states of this host.
#[derive(Clone)]
pub(crate) struct States {
    catalog: Arc<Catalog>,
    versions: Arc<Versions>,
    guests: tokio::runtime::Handle,
    keeper: Keeper,
}

/// The state that `instance` has just saved, with its tag.
pub(crate) fn tagged(instance: &Instance, key: Option<&str>, reason: SaveReason, bytes: Vec<u8>) -> SavedState {
    let version = &instance.template.version;
    let tag = SavedStateTag {
        module: version.id.name.clone(),
        key: key.map(str::to_string),
        version: version.id.clone(),
        revision: instance.revision,
        time_ms: crate::event::now_ms(),
        format: version
            .state
            .as_ref()
            .map(|state| state.media_type.clone())
            .unwrap_or_default(),
        size: bytes.len() as u64,
        reason,
        order: SaveOrder::next(),
        written_for: None,
        form: Form::Whole,
        ahead: None,
    };
    SavedState {
        tag,
        bytes: bytes.into(),
    }
}

/// The state that `old` has saved for the live version: at once the last saved state (R28), by its true writer.
pub(crate) fn handed_over(old: &Instance, live: &Live, key: Option<&str>, bytes: Vec<u8>) -> SavedState {
    let mut state = tagged(old, key, SaveReason::HandedOver, bytes);
    state.tag.revision = live.revision;
    state.tag.written_for = Some(WrittenFor {
        to: live.template.version.id.clone(),
        extra: live.extra.clone(),
    });
    state
}

impl States {
    pub(crate) fn new(catalog: Arc<Catalog>, versions: Arc<Versions>, guests: tokio::runtime::Handle) -> Self {
        Self {
            keeper: Keeper::start(Arc::clone(&catalog), &guests),
            catalog,
            versions,
            guests,
        }
    }

    /// The newest saved state of a module, or of one of its keys.
    pub(crate) async fn newest(
        &self,
        module: &ModuleName,
        key: Option<&str>,
    ) -> Result<Option<SavedState>, StoreError> {
        let (catalog, module, key) = (Arc::clone(&self.catalog), module.clone(), key.map(str::to_string));
        self.blocking(move || catalog.state(&module, key.as_deref())).await
    }

    /// The saved states of the next keys of a module that another version than the live one holds: see [`Catalog::held_by_others`].
    pub(crate) async fn held_by_others(
        &self,
        module: &ModuleName,
        after: Option<String>,
        live: &Live,
        count: usize,
    ) -> Result<Stretch, StoreError> {
        let (catalog, module) = (Arc::clone(&self.catalog), module.clone());
        let live = live.template.version.id.digest;
        self.blocking(move || catalog.held_by_others(&module, after.as_deref(), &live, count))
            .await
    }

    /// The saved states of these modules, by the version in whose format they are. What is still to be written is among them.
    pub(crate) async fn saved_of(&self, modules: &BTreeSet<ModuleName>) -> Result<Vec<Saved>, StoreError> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        // What cannot be written is told where it was given.
        let _ = self.settled().await;
        let (catalog, modules) = (Arc::clone(&self.catalog), modules.clone());
        let read = move || {
            let mut found = Vec::new();
            for module in &modules {
                found.extend(catalog.saved_of(module)?);
            }
            Ok(found)
        };
        self.blocking(read).await
    }

    /// How many keys of a module have a saved state.
    pub(crate) async fn count_keys(&self, module: &ModuleName) -> Result<u64, StoreError> {
        let (catalog, module) = (Arc::clone(&self.catalog), module.clone());
        self.blocking(move || catalog.count_keys(&module)).await
    }

    /// Keeps these states; `durable` waits until they are on disk. What is not durable is so about a second later.
    pub(crate) async fn put(&self, states: Vec<SavedState>, durable: bool) -> Written {
        self.keeper.give(states, durable).written().await
    }

    /// Keeps states, which are written whether that is waited for or not.
    pub(crate) fn keep(&self, states: Vec<SavedState>, durable: bool) -> Kept {
        self.keeper.give(states, durable)
    }

    /// Keeps states in another form.
    pub(crate) fn exchange(&self, exchanges: Vec<Exchange>) -> Kept {
        self.keeper.exchange(exchanges)
    }

    /// Keeps states of which a part lies in these files.
    pub(crate) fn keep_with(&self, states: Vec<SavedState>, files: Vec<ChunkFile>) {
        let kept = self.keep(states, false);
        self.guests.spawn(async move {
            // What could not be written has been told. Until then the files are nobody's.
            let _ = kept.written().await;
            drop(files);
        });
    }

    /// A file for the chunks of a module's state.
    pub(crate) fn chunk_file(&self, module: &ModuleName) -> Result<ChunkFile, StoreError> {
        self.catalog.chunks().create(module)
    }

    /// Returns when everything that was kept until now is written.
    pub(crate) async fn settled(&self) -> Written {
        self.put(Vec::new(), false).await
    }

    /// Removes the saved state of a key. False if there was none.
    pub(crate) async fn delete(&self, module: &ModuleName, key: &str) -> Result<bool, StoreError> {
        let (catalog, module, key) = (Arc::clone(&self.catalog), module.clone(), key.to_string());
        self.blocking(move || catalog.delete_state(&module, Some(&key))).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.guests.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(StoreError::io(Path::new("catalog"), std::io::Error::other(error))),
        }
    }

    /// Makes an instance of the live version that has this state, each step within `limits`: directly where the version can read it,
    /// else through throw-away instances of the versions in between.
    pub(crate) async fn revive(
        &self,
        live: &Live,
        saved: &SavedState,
        limits: &Limits,
    ) -> Result<Box<Instance>, InstanceError> {
        if saved.tag.form == Form::Chunks && !self.takes_chunks(live, saved).await {
            let whole = self.made_whole(live, saved, limits).await?;
            return Box::pin(self.revive(live, &whole, limits)).await;
        }
        let to = &live.template.version.id;
        let from = &saved.tag.version;
        let is_older = |one: &ModuleVersion| one.name == from.name && one.version < from.version;
        let (change, chain) = match &saved.tag.written_for {
            // Bytes that were handed over, to the version that asks for them now.
            Some(written) if written.to.digest == to.digest => {
                (Change::of_versions(from, to, &written.extra), Vec::new())
            }
            // Bytes that a newer version wrote in the format of an older one: that one has to read them first.
            Some(written) if is_older(&written.to) => {
                let change = Change::between(&from.version, &written.to.version, &written.extra);
                (change, self.way_behind(&written.to, live).await)
            }
            _ if from.digest == to.digest => (Change::restore(&to.version), Vec::new()),
            // R2: the newer code knows both formats, so it is the newer code that writes the older one.
            _ if is_older(to) => (Change::restore(&from.version), self.way_behind(from, live).await),
            _ => {
                let way = self.way(from, live).await;
                let read = self.read_by(live, first_change(from, &way, live), saved.content(), &way, limits);
                return match read.await {
                    Err(error @ InstanceError::Said { .. }) if way.is_empty() => {
                        self.try_all_between(live, saved, error, limits).await
                    }
                    read => read,
                };
            }
        };
        self.read_by(live, change, saved.content(), &chain, limits).await
    }

    /// Whether the live version reads the chunks of this state itself.
    async fn takes_chunks(&self, live: &Live, saved: &SavedState) -> bool {
        let (to, from) = (&live.template.version.id, &saved.tag.version);
        let was_written_for_it = || {
            let written_for = saved.tag.written_for.as_ref();
            written_for.is_some_and(|written| written.to.digest == to.digest)
        };
        live.template.version.places.incremental.is_some()
            && (from.digest == to.digest
                || was_written_for_it()
                || (from.name == to.name && from.version <= to.version && self.way(from, live).await.is_empty()))
    }

    /// The same state as a whole, by a throw-away instance of the version in whose format it is.
    async fn made_whole(&self, live: &Live, saved: &SavedState, limits: &Limits) -> Result<SavedState, InstanceError> {
        let writer = &saved.tag.version;
        let for_older = saved
            .tag
            .written_for
            .as_ref()
            .filter(|written| written.to.version < writer.version);
        let (holder, change) = match for_older {
            Some(written) => (&written.to, Change::of_versions(writer, &written.to, &written.extra)),
            None => (writer, Change::restore(&writer.version)),
        };
        let template = self.throw_away(holder, &live.template).await?;
        let mut copy = template.start_within(live.revision, limits.start_timeout).await?;
        copy.read_state(&change, saved.content(), limits.migrate_timeout)
            .await?;
        let again = copy
            .save(&Change::restore(&holder.version), limits.save_timeout)
            .await?;
        let whole = tagged(&copy, saved.tag.key.as_deref(), saved.tag.reason, again.bytes);
        let tag = SavedStateTag {
            time_ms: saved.tag.time_ms,
            order: saved.tag.order,
            ..whole.tag
        };
        Ok(SavedState { tag, ..whole })
    }

    /// The versions through which a state of this version goes to the live one (R28), each with its `extra`: those that the upgrade has
    /// named, else those that the descriptions lead through. None in it: the live version reads it itself, or tries to.
    pub(crate) async fn way(&self, from: &ModuleVersion, live: &Live) -> Chain {
        let to = &live.template.version.id;
        if from.digest == to.digest {
            return Vec::new();
        }
        if let Some((first, _)) = live.via.first().filter(|(first, _)| is_between(first, from, to)) {
            let known = Known {
                states: self.versions.described(vec![first.clone(), from.clone()]).await,
                ..Known::default()
            };
            if known.reads(first, from) {
                return live.via.clone();
            }
        }
        let way = self.versions.way(from, to).await.unwrap_or_default();
        let extra_of = |id: &ModuleVersion| {
            let named = live.via.iter().find(|(named, _)| named == id);
            named.map_or(&live.extra, |(_, extra)| extra).clone()
        };
        way.into_iter().map(|id| (id.clone(), extra_of(&id))).collect()
    }

    /// The same, where that version has to read the bytes itself first.
    async fn way_behind(&self, holder: &ModuleVersion, live: &Live) -> Chain {
        let mut chain = vec![(holder.clone(), serde_json::Value::Null)];
        chain.extend(self.way(holder, live).await);
        chain
    }

    /// Bytes that were saved with this change, through these versions, to the live one.
    async fn read_by(
        &self,
        live: &Live,
        change: Change,
        (form, bytes): (Form, &[u8]),
        chain: &[(ModuleVersion, serde_json::Value)],
        limits: &Limits,
    ) -> Result<Box<Instance>, InstanceError> {
        if chain.is_empty() {
            return self.read(live, &change, (form, bytes), limits).await;
        }
        let (last, bytes) = self.through(live, change, bytes.to_vec(), chain, limits).await?;
        let change = Change::between(&last.version, &live.template.version.id.version, &live.extra);
        self.read(live, &change, (Form::Whole, &bytes), limits).await
    }

    async fn read(
        &self,
        live: &Live,
        change: &Change,
        content: (Form, &[u8]),
        limits: &Limits,
    ) -> Result<Box<Instance>, InstanceError> {
        let mut instance = live.template.start_within(live.revision, limits.start_timeout).await?;
        instance.read_state(change, content, limits.migrate_timeout).await?;
        instance.health(limits.health_timeout).await?;
        Ok(instance)
    }

    /// Nobody describes his state, and the live version has refused it: by every known version in between, in their order.
    async fn try_all_between(
        &self,
        live: &Live,
        saved: &SavedState,
        refusal: InstanceError,
        limits: &Limits,
    ) -> Result<Box<Instance>, InstanceError> {
        let from = &saved.tag.version;
        let between = self.versions.between(from, &live.template.version.id);
        if between.is_empty() {
            return Err(refusal);
        }
        let names: Vec<_> = between.iter().map(|id| id.version.to_string()).collect();
        let chain: Chain = between.into_iter().map(|id| (id, live.extra.clone())).collect();
        let read = self.read_by(live, first_change(from, &chain, live), saved.content(), &chain, limits);
        // What the version that is to read it has said itself stays what went wrong.
        let failed = |error: InstanceError| refusal.and_also(&format!("by way of {}: {error}", names.join(", ")));
        read.await.map_err(failed)
    }

    /// Passes a state through throw-away instances of these versions; `change` is the one that the bytes were saved with. Gives the
    /// last of them, and what it has saved for the live version.
    pub(crate) async fn through(
        &self,
        live: &Live,
        change: Change,
        bytes: Vec<u8>,
        chain: &[(ModuleVersion, serde_json::Value)],
        limits: &Limits,
    ) -> Result<(ModuleVersion, Vec<u8>), InstanceError> {
        let to = &live.template.version.id;
        let (mut change, mut bytes, mut last) = (change, bytes, to.clone());
        for (place, (step, _)) in chain.iter().enumerate() {
            let template = self.throw_away(step, &live.template).await?;
            let mut instance = template.start_within(live.revision, limits.start_timeout).await?;
            instance.migrate(&change, &bytes, limits.migrate_timeout).await?;
            change = match chain.get(place + 1) {
                Some((next, extra)) => Change::between(&step.version, &next.version, extra),
                None => Change::between(&step.version, &to.version, &live.extra),
            };
            bytes = instance.save(&change, limits.save_timeout).await?.bytes;
            last = step.clone();
        }
        Ok((last, bytes))
    }

    /// A template of another version of the module, with no directories and no network: what it runs must have no effect (R3).
    async fn throw_away(&self, id: &ModuleVersion, like: &Template) -> Result<Arc<Template>, InstanceError> {
        let version = self.versions.get(id).await.map_err(|error| {
            InstanceError::Unreadable(format!(
                "{id}, which has to read the state first, is not to be had: {error}"
            ))
        })?;
        self.effectless(version, like)
    }

    /// A template for throw-away instances, with no directories and no network. Those of keys come by the thousand: it pays to load the
    /// version for the engine that has places for them.
    fn effectless(&self, version: Arc<Version>, like: &Template) -> Result<Arc<Template>, InstanceError> {
        let mut config = like.config.clone();
        config.spec.grants = config.spec.grants.without_effects();
        let template = match config.kind {
            Kind::Keyed => self.versions.short_lived_template(&version, config),
            Kind::Single | Kind::Pool => self.versions.template(version, config),
        };
        template.map(Arc::new).map_err(InstanceError::Contract)
    }

    /// The rehearsal of a migration: a throw-away instance of the live version reads the state and answers `health`; then the state goes back
    /// into a throw-away instance of `old`.
    pub(crate) async fn rehearse(
        &self,
        live: &Live,
        saved: &SavedState,
        limits: &Limits,
        old: &ModuleVersion,
    ) -> Result<Rehearsed, InstanceError> {
        let mut new = self.revive(&self.without_effects(live)?, saved, limits).await?;
        let (there, behind_the_gate) = (new.migrated_in, new.finished_in);
        if saved.tag.form == Form::Chunks {
            // Entries are converted when they are first touched: here all are.
            let own = Change::restore(&live.template.version.id.version);
            let saved = new.save(&own, limits.save_timeout).await;
            saved.map_err(InstanceError::of_migrate)?;
        }
        let back = self.rehearse_back(&mut new, old, limits).await;
        Ok(Rehearsed {
            there,
            behind_the_gate,
            back,
        })
    }

    /// What a throw-away instance of a version, which reads this state, saves of it; and how long that took.
    pub(crate) async fn saved_by_a_copy(
        &self,
        of: &Live,
        saved: &SavedState,
        limits: &Limits,
    ) -> Result<(SavedState, Duration), InstanceError> {
        let mut copy = self.revive(&self.without_effects(of)?, saved, limits).await?;
        let change = Change::restore(&of.template.version.id.version);
        let again = copy.save(&change, limits.save_timeout).await?;
        let key = saved.tag.key.as_deref();
        Ok((tagged(&copy, key, SaveReason::Periodic, again.bytes), again.took))
    }

    /// The same without directories and network: what it runs must have no effect (R3).
    pub(crate) fn without_effects(&self, live: &Live) -> Result<Live, InstanceError> {
        Ok(Live {
            template: self.effectless(Arc::clone(&live.template.version), &live.template)?,
            revision: live.revision,
            extra: live.extra.clone(),
            via: live.via.clone(),
            limits: live.limits.clone(),
        })
    }

    async fn rehearse_back(
        &self,
        new: &mut Instance,
        old: &ModuleVersion,
        limits: &Limits,
    ) -> Result<(), InstanceError> {
        let template = Arc::clone(&new.template);
        let change = Change::between(&template.version.id.version, &old.version, &serde_json::Value::Null);
        let bytes = new.save(&change, limits.save_timeout).await?.bytes;
        let template = self.throw_away(old, &template).await?;
        let mut old = template.start_within(new.revision, limits.start_timeout).await?;
        old.migrate(&change, &bytes, limits.migrate_timeout).await?;
        old.health(limits.health_timeout).await
    }

    /// Takes the state out of `old` and makes an instance of the live version with it. `old` stays as it is, except after a trap.
    pub(crate) async fn move_over(
        &self,
        old: &mut Instance,
        live: &Live,
        key: Option<&str>,
    ) -> Result<(Box<Instance>, Moved), InstanceError> {
        let limits = &live.limits;
        let from = old.template.version.id.clone();
        let way = self.way(&from, live).await;
        let change = first_change(&from, &way, live);
        // R26: a `save` that takes long is not interrupted before `stuck_timeout`: that would cost the state.
        let saved = old.save(&change, limits.stuck_timeout).await?;
        let mut new = self
            .read_by(live, change, (Form::Whole, &saved.bytes), &way, limits)
            .await?;
        // R28 asks for the true writer: these bytes were written by the old version, for this change; or, what has gone through others
        // is saved by the new one at once.
        let state = if way.is_empty() {
            handed_over(old, live, key, saved.bytes)
        } else {
            let own = Change::restore(&live.template.version.id.version);
            let again = new.save(&own, limits.save_timeout).await?;
            tagged(&new, key, SaveReason::HandedOver, again.bytes)
        };
        let took = saved.took;
        Ok((new, Moved { state, took }))
    }
}

/// What the version that reads first is told.
fn first_change(from: &ModuleVersion, chain: &[(ModuleVersion, serde_json::Value)], live: &Live) -> Change {
    match chain.first() {
        Some((first, extra)) => Change::of_versions(from, first, extra),
        None => Change::of_versions(from, &live.template.version.id, &live.extra),
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("States")
    }
}

/// The first line of an exported state: a JSON object with this key, then a newline, then the bytes that `save` gave.
const EXPORT_MARK: &str = "wasmhot-state";

/// A state as a file for `state export`: one line of JSON, then the bytes.
pub(crate) fn write_state_file(saved: &SavedState) -> Result<Vec<u8>, serde_json::Error> {
    let mut file = serde_json::to_vec(&serde_json::json!({ EXPORT_MARK: 1, "tag": saved.tag }))?;
    file.push(b'\n');
    file.extend_from_slice(&saved.bytes);
    Ok(file)
}

/// Reads what [`write_state_file`] wrote.
///
/// # Errors
/// In a sentence: not such a file, of a newer format, or cut short.
pub(crate) fn read_state_file(file: &[u8]) -> Result<SavedState, String> {
    let not_one = "not a state that `wasmhot state export` wrote";
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(not_one)?;
    let (header, bytes) = (&file[..end], &file[end + 1..]);
    let header: serde_json::Value = serde_json::from_slice(header).map_err(|_| not_one)?;
    match header.get(EXPORT_MARK).and_then(serde_json::Value::as_u64) {
        Some(1) => {}
        Some(newer) => return Err(format!("written in format {newer}, which this wasmhot does not know")),
        None => return Err(not_one.to_string()),
    }
    let tag: SavedStateTag = serde_json::from_value(header.get("tag").cloned().unwrap_or_default())
        .map_err(|error| format!("{not_one}: {error}"))?;
    if tag.size != bytes.len() as u64 {
        return Err(format!(
            "cut short: {} bytes of state instead of {}",
            bytes.len(),
            tag.size
        ));
    }
    Ok(SavedState {
        tag,
        bytes: bytes.into(),
    })
}
