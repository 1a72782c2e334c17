//! What instances of a module are made from: a compiled version, its configuration in the release, and everything linked ahead.

use super::capability::config::{SharedValues, Values};
use super::guest::{Given, Guest};
use super::outside::Outside;
use super::{Instance, InstanceError};
use crate::version::Version;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmhot_appup::{Grants, Kind, Limits, ModuleSpec};
use wasmtime::component::InstancePre;
use wasmtime::{PoolConcurrencyLimitError, Store};

/// A module's part of the release, with every default filled in.
#[derive(Clone, Debug)]
pub(crate) struct ModuleConfig {
    /// As written in the release, for the catalog and for `undo`.
    pub(crate) spec: ModuleSpec,
    /// `pool`, `single` or `keyed`.
    pub(crate) kind: Kind,
    /// Limits and timeouts.
    pub(crate) limits: Limits,
}

impl ModuleConfig {
    /// What the module is granted.
    #[must_use]
    pub(crate) fn grants(&self) -> &Grants {
        &self.spec.grants
    }
}

/// A version of a module, configured and linked: making an instance of it is all that is left.
pub(crate) struct Template {
    /// The compiled version.
    pub(crate) version: Arc<Version>,
    /// Its configuration.
    pub(crate) config: ModuleConfig,
    values: Arc<SharedValues>,
    outside: Arc<Outside>,
    pre: InstancePre<Guest>,
    /// The same on the engine for instances that live for a moment only, where all of this template do.
    short_lived: Option<Arc<Template>>,
}

/// Instances are numbered through the life of the process, for logs and `status`.
static NEXT_INSTANCE: AtomicU64 = AtomicU64::new(1);

impl Template {
    /// Reads the values of its configuration, secrets included.
    pub(crate) fn new(
        version: Arc<Version>,
        config: ModuleConfig,
        outside: Arc<Outside>,
        pre: InstancePre<Guest>,
    ) -> Self {
        Self {
            values: SharedValues::new(Values::read(&config.spec.config)),
            version,
            config,
            outside,
            pre,
            short_lived: None,
        }
    }

    /// The same for instances that live for a moment only: `version` is the same one on the engine that has places for them.
    pub(crate) fn with_short_lived(mut self, version: Arc<Version>, pre: InstancePre<Guest>) -> Self {
        self.short_lived = Some(Arc::new(Self {
            version,
            config: self.config.clone(),
            values: Arc::clone(&self.values),
            outside: Arc::clone(&self.outside),
            pre,
            short_lived: None,
        }));
        self
    }

    /// The values of its configuration now.
    pub(crate) fn values(&self) -> Arc<Values> {
        self.values.get()
    }

    /// Gives all instances of this template, and of those that share its values, other ones.
    pub(crate) fn set_values(&self, values: Arc<Values>) {
        self.values.set(values);
    }

    /// The same version with other settings, none of which needs a new instance: what runs goes on, and sees the new values from its
    /// next call.
    pub(crate) fn configured(&self, config: ModuleConfig, values: Arc<Values>) -> Self {
        self.set_values(values);
        let like = |template: &Self, config: ModuleConfig| Self {
            version: Arc::clone(&template.version),
            config,
            values: Arc::clone(&self.values),
            outside: Arc::clone(&self.outside),
            pre: template.pre.clone(),
            short_lived: None,
        };
        let short_lived = self.short_lived.as_ref();
        Self {
            short_lived: short_lived.map(|template| Arc::new(like(template, config.clone()))),
            ..like(self, config)
        }
    }

    /// Makes an instance and runs its start code, within the module's `start_timeout`. `revision` is the one in which it is made
    /// (R20).
    ///
    /// # Errors
    /// As [`Template::start_within`].
    pub(crate) async fn start(self: &Arc<Self>, revision: u64) -> Result<Box<Instance>, InstanceError> {
        self.start_within(revision, self.config.limits.start_timeout).await
    }

    /// Makes an instance and runs its start code, within `limit`. Of a template for short-lived ones it takes a place of those that are
    /// used again and again; where none is free, it is an instance like any other.
    ///
    /// # Errors
    /// The guest trapped, took too long, asked for more memory than it may have, or a grant cannot be given.
    pub(crate) async fn start_within(
        self: &Arc<Self>,
        revision: u64,
        limit: Duration,
    ) -> Result<Box<Instance>, InstanceError> {
        if let Some(template) = &self.short_lived
            && let Made::Whole(instance) = template.make(revision, limit).await?
        {
            return Ok(instance);
        }
        match self.make(revision, limit).await? {
            Made::Whole(instance) => Ok(instance),
            Made::NoPlace(error) => Err(InstanceError::trap("start", &error)),
        }
    }

    async fn make(self: &Arc<Self>, revision: u64, limit: Duration) -> Result<Made, InstanceError> {
        let id = NEXT_INSTANCE.fetch_add(1, Ordering::Relaxed);
        let limits = &self.config.limits;
        let given = Given {
            id: &self.version.id,
            instance: id,
            grants: self.config.grants(),
            memory_max: limits.memory_max,
            values: &self.values,
            outside: &self.outside,
        };
        let guest = Guest::new(&given).map_err(InstanceError::Grant)?;
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| guest.memory());
        // Armed before instantiation: start code is guest code too, and a deadline of 0 traps at once.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.data_mut().refuse_effects(Some("start"));
        let made = tokio::time::timeout(limit, self.pre.instantiate_async(&mut store)).await;
        let instance = match made {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) if error.is::<PoolConcurrencyLimitError>() => return Ok(Made::NoPlace(error)),
            Ok(Err(error)) => return Err(InstanceError::trap("start", &error)),
            Err(_) => return Err(InstanceError::Timeout { phase: "start", limit }),
        };
        store.data_mut().refuse_effects(None);
        let instance = Instance::new(id, Arc::clone(self), revision, store, instance);
        Ok(Made::Whole(Box::new(instance)))
    }
}

/// What came of making an instance.
enum Made {
    Whole(Box<Instance>),
    /// All places of its engine are taken.
    NoPlace(wasmtime::Error),
}

impl std::fmt::Debug for Template {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Template({})", self.version.id)
    }
}
