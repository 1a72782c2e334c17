//! A state goes into an instance: one that was saved, or that of an old instance.

use super::way::first_change;
use super::{Chain, States, handed_over, tagged};
use crate::call::lane::Live;
use crate::instance::{Change, Instance, InstanceError};
use crate::store::{Form, SaveReason, SavedState, SavedStateTag};
use std::time::Duration;
use wasmhot_appup::{Limits, ModuleVersion};

/// A state on its way from an old instance to a new one.
pub(crate) struct Moved {
    pub(crate) state: SavedState,
    pub(crate) took: Duration,
}

impl States {
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

    /// Bytes that were saved with this change, through these versions, to the live one.
    pub(super) async fn read_by(
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
