//! wasmhot keeps a service running while its code changes: modules run as WebAssembly instances, a new version is started beside the
//! old one, takes over its state, and answers the next call.
//!
//! This library is the host: start one, call its modules, upgrade them, listen to what happens. The command line is a program
//! around it (feature `cli`). The README says what it is for; this says where things are.
//!
//! ```
//! use wasmhot::Host;
//! use wasmhot::control::protocol::{ApplyRequest, UndoRequest};
//! use wasmhot::event::EventKind;
//! use wasmhot::value::Value;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A directory with one module in it. `env!` names the folder of the modules that were built with this crate.
//!     let guests = std::path::Path::new(env!("WASMHOT_GUESTS"));
//!     let app = tempfile::tempdir()?;
//!     std::fs::copy(guests.join("counter-1.0.0.wasm"), app.path().join("counter.wasm"))?;
//!     let host = Host::builder().source(app.path()).start().await?;
//!
//!     // A call with the types of Rust, and one with values that are known at run time only.
//!     let count: i64 = host.call("counter", "increment", (5_i64,)).await?;
//!     assert_eq!(count, 5);
//!     let count = host.call_values("counter", "increment", vec![Value::S64(2)], None).await?;
//!     assert_eq!(count, Some(Value::S64(7)));
//!
//!     // A wrong call says what would be right, and that nothing was executed.
//!     let error = host.call::<_, i64>("counter", "incremnt", (1_i64,)).await.unwrap_err();
//!     assert!(error.message.contains("increment: func(by: s64) -> s64"));
//!
//!     // Version 2 keeps its value in another form; `migrate` brings it over. Events tell of it, in order.
//!     let (_before, mut events) = host.events().since(0);
//!     let request = ApplyRequest { path: guests.join("counter-2.0.0.wasm"), ..ApplyRequest::default() };
//!     let report = host.apply(request).await?;
//!     assert_eq!(report.revision, Some(2));
//!     while events.recv().await?.kind != EventKind::Switched {}
//!     let described: String = host.call("counter", "describe", ()).await?;
//!     assert_eq!(described, "count = 7");
//!
//!     // Back, with the state of now.
//!     let _: i64 = host.call("counter", "increment", (3_i64,)).await?;
//!     host.undo(UndoRequest::default()).await?;
//!     let count: i64 = host.call("counter", "get", ()).await?;
//!     assert_eq!(count, 10);
//!
//!     // Started calls end, states are saved.
//!     host.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! Limits and settings ([`appup::LimitsSpec`], [`appup::HostSettings`]) go to the [`HostBuilder`]. A [`Host`] keeps its guests on
//! a runtime of its own ([`Host::guests`]); it can be used from any Tokio runtime with timers, and cloned freely.
//!
//! # Where things are
//!
//! In the order in which a file becomes a running version, and goes again:
//!
//! | folder or file | what it does |
//! |---|---|
//! | [`intake`] | a file arrives: `watch` hears of it, `settle` says when it is at rest, `take` reads it once |
//! | [`version`] | bytes become a version: named, checked, wrapped if it is a core module (`wrap`), compiled, or taken from the `cache` of what was compiled before |
//! | `versions.rs` | the versions that this host knows, compiled or in the store, and linked with the host |
//! | `instance` | a running version: `template` makes it, `guest` is what its store carries, `lifecycle` is `save`, `migrate`, `health` |
//! | `call` | `router` and `routes` find the module; `lane` and `runner` serve one owner of state, `keyed` many, `pool` stateless ones; `gate` makes calls wait; keys `sleep` and `wake`; `turn` runs them, on their caller's thread as far as that goes; `frame` and `import` are for calls between modules |
//! | `upgrade` | one upgrade: `plan`, `check`, `prepare`, `ahead`, `gated` with `transfer` and `switch`, `retire` and `sweep`, each a step of it; `journal` is what a crash finds |
//! | `state` | saved states: `revive` puts one into an instance, by `way` of other versions if need be; `rehearse` tries it; `keeper` writes them, many in one transaction |
//! | [`store`] | what survives: `catalog` (revisions, states, files seen), `objects` (bytes by digest), `compiled` (machine code of these), `lock`; `backup` copies it |
//! | [`http`] | requests from the network: `server` takes connections, `request` finds the route; `instance/http` runs the handler, of WASI 0.2 or 0.3 |
//! | `host` | calls from outside (`calls`), who may change the release and when (`lock`), and the verbs: `start`, `boot`, `apply` (with undo and remove), `drops`, `saver`, `state`, `status`, `backup`, `stop` |
//! | [`control`] | the socket: its [protocol](control::protocol), server and client |
//! | `offline` | what needs no host: releases read from disk, planned, checked, packed, installed, tested |
//! | [`value`] | values as WAVE, JSON and Rust types, and their way into and out of a guest |
//! | [`event`], [`error`] | what is told: events, and what becomes of calls |
//! | `cli` | the command line |
//!
//! Two ways through it, file by file. *A dropped file*: `intake/watch` hears of it, `settle` waits until it rests, `take` reads it;
//! `host/drops` notes it, `host/load` and `version/prepare` make a version of it, `drops/consider` decides what fits together, `host/plans`
//! makes a plan; `upgrade/mod` carries it out by `check`, `prepare` (with `state/rehearse`), `journal`, `steps`, `ahead`, `gated` (which
//! closes `call/gates`), `transfer`, `switch`, and `retire` frees what is replaced. *A call over the socket*: `control/server`, `target`,
//! `operation`, `host/calls`; then, as every call does, `call/router`, `routes`, `named` (the function), `frame`, `lane/at_once` or
//! `pool`, `turn`, `instance/mod`, `value/call` with `lower` and `lift` around the guest, and back the same way.
//!
//! A folder names only folders that lie below it; `tests/it/layers.rs` has the order, and checks it. From the bottom: what is told, values and
//! clocks; the types of the control protocol; `store` and `intake`; `version`; then `instance` and `call`, which know each other (a guest
//! calls others through the router, and calls run in guests), with `state` and `versions.rs`; `upgrade`; `host`; `control`, `http` and
//! `offline`; `cli`. Only `version`, `versions.rs`, `instance`, `call` and `value` name Wasmtime, only `store` names redb.
//!
//! [`appup`] is a crate of its own, without Wasmtime and without I/O: formats (`release.toml`, `relup.toml`), the graph of modules, the
//! checks before an upgrade, which drops fit together. Tests of the whole lie in `tests/it`.

mod accept;
mod call;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
pub mod control;
pub mod error;
pub mod event;
mod fault;
mod guarded;
mod host;
pub mod http;
mod instance;
pub mod intake;
#[cfg(feature = "cli")]
mod offline;
mod state;
pub mod store;
mod upgrade;
pub mod value;
pub mod version;
mod versions;

pub use host::{Host, HostBuilder, ModuleFunction};
/// Formats and checks: what a release, a relup and a limit are.
pub use wasmhot_appup as appup;

/// The Rust of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
