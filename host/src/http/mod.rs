//! HTTP from the network: `wasmhot run --listen ADDR`. HTTP/1.1, and HTTP/2 without TLS for those who begin with it (h2c); TLS is for
//! a reverse proxy in front.
//!
//! A request goes to the module whose route holds it (`appup::http`), as a call like any other: `request` finds the route and puts it
//! into the module's lane or pool; `instance/http.rs` runs it there. `calls` is `POST /call/MODULE/FUNCTION`. `server` and
//! `connection` bound what clients can take; `problem` says what an error is in HTTP; `body` reads requests.
//!
//! Invariants:
//! - Guest code never runs on the threads that serve (R17).
//! - A client that is slow, silent or gone never holds the instance of a module that keeps state (R19), nor ends its call (R10).
//! - Connections outlive upgrades: nothing of a connection belongs to a revision.

mod body;
mod calls;
mod connection;
mod problem;
mod request;
mod server;
mod stall;

pub use server::{Listener, serve};
