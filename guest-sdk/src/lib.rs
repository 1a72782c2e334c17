//! The Rust SDK for wasmhot modules: a state type and one macro make a module that can be upgraded while it serves.
//!
//! ```ignore
//! // wit/world.wit:  package demo:counter;  world counter { export increment: func(by: s64) -> s64; }
//! use wasmhot_guest::Stateful;
//!
//! #[wasmhot_guest::state]
//! #[derive(Default)]
//! struct State {
//!     count: i64,
//! }
//!
//! struct Counter;
//!
//! wasmhot_guest::module! {
//!     world: "counter",   // binds the world `counter` of `wit/`
//!     exports: Counter,   // ... which this type implements
//!     state: State,       // ... and this is what an upgrade hands over
//! }
//!
//! impl bindings::Guest for Counter {
//!     fn increment(by: i64) -> i64 {
//!         State::with_mut(|state| {
//!             state.count += by;
//!             state.count
//!         })
//!     }
//! }
//! ```
//!
//! The world names only the module's own functions: [`module!`] adds `wasmhot:module/lifecycle` and `health`, and writes name,
//! version and state description into the file. Version 1.1.0 says what it can read and write besides its own format:
//!
//! ```ignore
//! wasmhot_guest::module! {
//!     world: "counter",
//!     exports: Counter,
//!     state: State,
//!     reads: { "~1.0" => v1_0::State },   // State: From<v1_0::State>, or TryFrom, or `via` a function
//!     writes: { "~1.0" => v1_0::State },  // v1_0::State: From<&State>; this is the way back
//!     health: check,                      // fn(&State) -> Result<(), String>
//! }
//! ```
//!
//! A large state is put into [containers], which are handed over in chunks while the module serves.
//!
//! Natively, [`harness`] runs the same save, bytes, migrate as the host, on states that older versions really wrote.

// The macros name this crate by its full path; so they work here too, in tests.
extern crate self as wasmhot_guest;

#[doc(hidden)]
pub mod bindings;
mod change;
mod chunks;
pub mod codec;
pub mod containers;
#[cfg(not(target_family = "wasm"))]
pub mod harness;
mod ranges;
mod sections;
mod stateful;

pub use change::{Change, Direction};
pub use containers::{Cell, Map, Ref, Vector};
pub use stateful::{Reader, Stateful, Writer};

/// Makes the crate a wasmhot module: bindings, exports, state, health, name and version, from one list of `key: value`.
///
/// | key | means | default |
/// |---|---|---|
/// | `world: "counter"` | bind this world of `wit/` in a module `bindings` | none: the author binds by hand |
/// | `exports: Counter` | the type that implements the world's functions | none |
/// | `state: State` | the state; needs serde and `Default` ([`state`] gives the former) | a stateless module |
/// | `reads: { "~1.0" => v1_0::State }` | what older versions wrote | only the own format |
/// | `writes: { "~1.0" => v1_0::State }` | what older versions can take back | only the own format |
/// | `health: check` | `fn(&State) -> Result<(), String>`, without state `fn() -> Result<(), String>` | no health check |
/// | `live: reopen` | `fn(&Change) -> Result<(), String>`, called first when an instance serves, with outside effects | nothing |
/// | `incremental: true` | the state can be handed over in chunks: see [`containers`] | `false`: in one piece |
/// | `format: cbor` | or `postcard`, with that feature | `cbor` |
/// | `schema: "…"` | JSON that describes the state | what [`state`] found |
/// | `name: "counter"`, `version: "1.1.0"` | identity | those of the package |
/// | `kind: single` | or `keyed`, `pool` | left to the release |
///
/// The own format is that of all versions with the same major and minor number: patch releases keep it, or list the others in `reads`.
///
/// An entry of `reads` is `"range" => Old`, where `State: TryFrom<Old>` (which `From` gives), or `"range" => Old via function` with
/// `fn(Old, &Change) -> Result<State, String>`. An entry of `writes` is `"range" => Old`, where `Old: TryFrom<&State>`, or `via` a
/// `fn(&State, &Change) -> Result<Old, String>`. `Old in postcard` reads and writes that entry in another format. A range such as
/// `"shop@^1.4"` speaks of another module: of a predecessor under another name. The first entry that fits is taken.
pub use wasmhot_guest_macros::module;

/// Derives serde's `Serialize` and `Deserialize` for a struct or enum (no dependency on serde needed), and notes its fields for the
/// state description.
///
/// Fields in the bytes that the type does not have are an error (but not where a field is `#[serde(flatten)]`): nothing is lost
/// without a word. Fields that the bytes do not have may be given by `#[serde(default)]`.
pub use wasmhot_guest_macros::state;

/// For types of one's own that serialise.
pub use serde;
/// For [`Change::extra`].
pub use serde_json;
/// For worlds that [`module!`] cannot bind: `wit_bindgen::generate!` with `runtime_path: "wasmhot_guest::wit_bindgen::rt"`.
pub use wit_bindgen;

/// Joins conversions of neighbours: with `From<V1> for V2` and `From<V2> for V3`, `migrate_from!(V1 => V2 => V3)` makes `From<V1> for V3`.
///
/// However long the chain, every older type converts into the last one.
#[macro_export]
macro_rules! migrate_from {
    ($last:ty) => {};
    ($neighbour:ty => $last:ty) => {};
    ($first:ty => $($rest:ty)=>+) => {
        $crate::migrate_from!(@one $first => $($rest)=>+);
        $crate::migrate_from!($($rest)=>+);
    };
    (@one $first:ty => $second:ty => $last:ty) => {
        impl From<$first> for $last {
            fn from(old: $first) -> Self {
                <$last>::from(<$second>::from(old))
            }
        }
    };
    (@one $first:ty => $second:ty => $($rest:ty)=>+) => {
        $crate::migrate_from!(@into $first, $second, $($rest),+);
    };
    (@into $first:ty, $second:ty, $skipped:ty, $($rest:ty),+) => {
        $crate::migrate_from!(@into $first, $second, $($rest),+);
    };
    (@into $first:ty, $second:ty, $last:ty) => {
        impl From<$first> for $last {
            fn from(old: $first) -> Self {
                <$last>::from(<$second>::from(old))
            }
        }
    };
}

/// What a type tells about itself; [`state`] implements it.
pub trait Described {
    /// JSON: the name of the type and its fields or variants, as written in the source.
    const SCHEMA: &'static str;
}

/// For the expansion of the macros only.
#[doc(hidden)]
pub mod __private {
    pub use crate::sections::{join, length};
    pub use crate::stateful::{convert, give, read_into, write_from};

    pub use crate::bindings::Live;
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::{Incremental, Lifecycle, WhenLive};
}
