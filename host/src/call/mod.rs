//! A call's way: routed by the table of its revision, queued in a lane or given a place in a pool, run by an instance.
//!
//! Calls do not know that upgrades exist: an upgrade closes gates, puts instances into seats and tables into place.

pub(crate) mod beside;
pub(crate) mod chunks;
pub(crate) mod crowd;
pub(crate) mod durable;
pub(crate) mod frame;
pub(crate) mod gate;
pub(crate) mod gates;
pub(crate) mod import;
pub(crate) mod invocation;
pub(crate) mod keyed;
pub(crate) mod lane;
pub(crate) mod loss;
pub(crate) mod named;
pub(crate) mod pool;
pub(crate) mod rates;
pub(crate) mod router;
pub(crate) mod routes;
pub(crate) mod runner;
pub(crate) mod services;
pub(crate) mod sleep;
pub(crate) mod ticket;
pub(crate) mod turn;
pub(crate) mod wake;
