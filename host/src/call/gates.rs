//! Gates of several modules, closed and opened together: by an upgrade, by a change of a state by hand, and by a host that stops.

use super::gate::Gate;
use super::routes::Target;
use std::sync::Arc;

/// Gates that are closed until this is dropped: after the switch, when the upgrade is called off, or by a panic.
pub(crate) struct ClosedGates {
    gate: Arc<Gate>,
    pub(crate) members: Vec<Target>,
}

impl ClosedGates {
    /// Closes the gate on every module of its set.
    pub(crate) fn close(gate: Arc<Gate>, members: Vec<Target>) -> Self {
        for member in &members {
            match member {
                Target::Pool(pool) => pool.close(&gate),
                Target::Single(lane) => lane.close(&gate),
                Target::Keyed(keyed) => keyed.close(&gate),
            }
        }
        Self { gate, members }
    }
}

impl Drop for ClosedGates {
    fn drop(&mut self) {
        for member in &self.members {
            match member {
                Target::Pool(pool) => pool.open(),
                Target::Single(lane) => lane.open(),
                Target::Keyed(keyed) => keyed.open(),
            }
        }
        self.gate.open();
    }
}
