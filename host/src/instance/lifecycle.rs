//! The guest contract on a running instance: `health`, `save`, `migrate`, during which outside effects are refused (R3), and `live`.
//!
//! Each of these futures may be dropped at any time; the instance is then lost and must not be used again.

use super::{Instance, InstanceError};
use crate::call::frame::Frame;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmhot_appup::{ModuleVersion, Version as Semver};
use wasmtime::component::{ComponentExportIndex, ComponentType, Lower};

/// Which way state goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lower)]
#[serde(rename_all = "kebab-case")]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Direction {
    /// To a newer version, or to other bytes of the same.
    #[component(name = "upgrade")]
    Upgrade,
    /// To an older version.
    #[component(name = "downgrade")]
    Downgrade,
    /// Back from a saved state.
    #[component(name = "restore")]
    Restore,
}

/// What is about to happen to a state, as `save` and `migrate` are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Change {
    /// The version that wrote the bytes; after a rename `shop@1.4.0`.
    #[component(name = "from")]
    pub(crate) from: String,
    /// The version that reads them.
    #[component(name = "to")]
    pub(crate) to: String,
    /// Which way.
    #[component(name = "direction")]
    pub(crate) direction: Direction,
    /// JSON from the relup; `null` where there is none.
    #[component(name = "extra")]
    pub(crate) extra: String,
}

impl Change {
    /// From one version to another, the direction told by their order.
    #[must_use]
    pub(crate) fn between(from: &Semver, to: &Semver, extra: &serde_json::Value) -> Self {
        let direction = if to < from {
            Direction::Downgrade
        } else {
            Direction::Upgrade
        };
        Self {
            from: from.to_string(),
            to: to.to_string(),
            direction,
            extra: extra.to_string(),
        }
    }

    /// From the version that wrote a state to the one that reads it. After a rename (R31) the writer is told with its name, and the
    /// two versions say nothing about older and newer.
    #[must_use]
    pub(crate) fn of_versions(from: &ModuleVersion, to: &ModuleVersion, extra: &serde_json::Value) -> Self {
        if from.name == to.name {
            return Self::between(&from.version, &to.version, extra);
        }
        Self {
            from: format!("{}@{}", from.name, from.version),
            to: to.version.to_string(),
            direction: Direction::Upgrade,
            extra: extra.to_string(),
        }
    }

    /// Back from a state that the same version saved.
    #[must_use]
    pub(crate) fn restore(version: &Semver) -> Self {
        Self {
            from: version.to_string(),
            to: version.to_string(),
            direction: Direction::Restore,
            extra: "null".to_string(),
        }
    }
}

/// Extra memory that `save` may take: it builds the bytes beside the state (R26).
const SAVE_MEMORY_FACTOR: u64 = 2;

impl Instance {
    /// Asks `health`, where the module has it.
    pub(crate) async fn health(&mut self, limit: Duration) -> Result<(), InstanceError> {
        let Some(index) = self.template.version.places.health else {
            return Ok(());
        };
        let (said,): (Result<(), String>,) = self.lifecycle_call("health", index, (), limit).await?;
        said.map_err(|said| InstanceError::Said { phase: "health", said })
    }

    /// Takes the whole state out as bytes. When `limit` passes the instance is lost: callers that must not lose it give
    /// `stuck_timeout` and stop waiting earlier (R26).
    pub(crate) async fn save(&mut self, change: &Change, limit: Duration) -> Result<Saved, InstanceError> {
        let Some(lifecycle) = &self.template.version.places.lifecycle else {
            return Err(InstanceError::Stateless);
        };
        let index = lifecycle.save;
        let state_max = self.template.config.limits.state_max;
        let room = self.make_room();
        let began = Instant::now();
        let answer = self.lifecycle_call("save", index, (change.clone(),), limit).await;
        self.end_room(room);
        let (said,): (Result<Vec<u8>, String>,) = answer?;
        let bytes = said.map_err(|said| InstanceError::Said { phase: "save", said })?;
        if bytes.len() as u64 > state_max {
            return Err(InstanceError::StateTooLarge {
                bytes: bytes.len() as u64,
                limit: state_max,
            });
        }
        Ok(Saved {
            bytes,
            took: began.elapsed(),
        })
    }

    /// More memory than calls may have, and as many bytes as a state may have, until [`Instance::end_room`].
    pub(super) fn make_room(&mut self) -> Room {
        let limits = &self.template.config.limits;
        let memory = limits.memory_max.saturating_mul(SAVE_MEMORY_FACTOR);
        let bytes = usize::try_from(limits.state_max).unwrap_or(usize::MAX);
        let room = Room {
            memory: self.store.data_mut().set_memory_cap(memory),
            bytes: self.store.hostcall_fuel(),
        };
        self.store.set_hostcall_fuel(bytes);
        room
    }

    pub(super) fn end_room(&mut self, room: Room) {
        self.store.set_hostcall_fuel(room.bytes);
        self.store.data_mut().set_memory_cap(room.memory);
    }

    /// Gives a whole state to a fresh instance.
    pub(crate) async fn migrate(
        &mut self,
        change: &Change,
        state: &[u8],
        limit: Duration,
    ) -> Result<Duration, InstanceError> {
        let Some(lifecycle) = &self.template.version.places.lifecycle else {
            return Err(InstanceError::Stateless);
        };
        let index = lifecycle.migrate;
        let began = Instant::now();
        let (said,): (Result<(), String>,) = self
            .lifecycle_call("migrate", index, (change.clone(), state), limit)
            .await?;
        said.map_err(|said| InstanceError::Said { phase: "migrate", said })?;
        self.brought_by = Some(change.clone());
        self.migrated_in = began.elapsed();
        self.finished_in = self.migrated_in;
        Ok(self.migrated_in)
    }

    /// Tells it that it serves, unless that was done or it does not want to know. Outside effects are allowed: it is a call like any
    /// other, in this frame.
    pub(crate) async fn go_live(&mut self, frame: Arc<Frame>, limit: Duration) -> Result<(), InstanceError> {
        let Some(index) = self.template.version.places.live.filter(|_| self.is_to_go_live()) else {
            return Ok(());
        };
        self.went_live = true;
        let change = self.brought_by.clone();
        let change = change.unwrap_or_else(|| Change::restore(&self.template.version.id.version));
        super::enter(&mut self.store, &mut self.usable, frame);
        let answer = self.typed_call("live", index, (change,), limit).await;
        self.leave();
        let (said,): (Result<(), String>,) = answer?;
        said.map_err(|said| InstanceError::Said { phase: "live", said })
    }

    /// Whether `live` is still to be called.
    pub(crate) fn is_to_go_live(&self) -> bool {
        !self.went_live && self.template.version.places.live.is_some()
    }

    /// It is not to be told: it comes after one that died of that.
    pub(crate) fn skip_live(&mut self) {
        self.went_live = true;
    }

    pub(super) async fn lifecycle_call<P, R>(
        &mut self,
        phase: &'static str,
        index: ComponentExportIndex,
        params: P,
        limit: Duration,
    ) -> Result<R, InstanceError>
    where
        P: wasmtime::component::ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        self.store.data_mut().refuse_effects(Some(phase));
        let answer = self.typed_call(phase, index, params, limit).await;
        self.store.data_mut().refuse_effects(None);
        answer
    }

    async fn typed_call<P, R>(
        &mut self,
        phase: &'static str,
        index: ComponentExportIndex,
        params: P,
        limit: Duration,
    ) -> Result<R, InstanceError>
    where
        P: wasmtime::component::ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, index)
            .map_err(|error| InstanceError::Contract(format!("{phase}: {error}")))?;
        self.store.data_mut().take_values();
        // Until the guest has answered it is unusable: a dropped future or a trap leaves it so.
        self.usable = false;
        match tokio::time::timeout(limit, function.call_async(&mut self.store, params)).await {
            Ok(Ok(answer)) => {
                self.usable = true;
                self.has_tasks |= self.is_concurrent();
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.usable = self.survives(&error);
                Err(InstanceError::trap(phase, &error))
            }
            Err(_) => Err(InstanceError::Timeout { phase, limit }),
        }
    }
}

/// What an instance may take while it serves.
#[derive(Clone, Copy)]
pub(super) struct Room {
    memory: u64,
    bytes: usize,
}

/// What `save` gave.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// The state.
    pub(crate) bytes: Vec<u8>,
    /// How long the guest took.
    pub(crate) took: Duration,
}
