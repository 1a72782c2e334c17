//! Throw-away instances: of versions that a state goes through, and of those that are to come.

use super::{States, tagged};
use crate::call::lane::Live;
use crate::instance::{Change, Instance, InstanceError, Template};
use crate::store::{Form, SaveReason, SavedState};
use crate::version::Version;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Kind, Limits, ModuleVersion};

/// What a rehearsal came to.
pub(crate) struct Rehearsed {
    /// How long `migrate` took.
    pub(crate) there: Duration,
    /// How much of that calls have to wait for.
    pub(crate) behind_the_gate: Duration,
    /// Whether there is a way back.
    pub(crate) back: Result<(), InstanceError>,
}

impl States {
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

    /// A template of another version of the module, with no directories and no network: what it runs must have no effect (R3).
    pub(super) async fn throw_away(&self, id: &ModuleVersion, like: &Template) -> Result<Arc<Template>, InstanceError> {
        let version = self.versions.get(id).await.map_err(|error| {
            InstanceError::Unreadable(format!(
                "{id}, which has to read the state first, cannot be loaded: {error}"
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
}
