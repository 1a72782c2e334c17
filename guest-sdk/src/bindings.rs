//! Ties the contract (`wit/module.wit`) to [`Stateful`]: what the host calls, the state answers.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::chunks::accepted::Accepted;
use crate::chunks::session::Session;
use crate::{Change, Stateful};

/// The world of a stateful module. [`crate::module!`] calls its `export!`.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    reason = "written by wit-bindgen"
)]
pub mod stateful {
    wit_bindgen::generate!({
        path: "wit",
        world: "stateful",
        pub_export_macro: true,
        default_bindings_module: "wasmhot_guest::bindings::stateful",
        export_macro_name: "export_stateful",
        runtime_path: "wasmhot_guest::wit_bindgen::rt",
    });
}

/// The world of `live`, beside that of a stateful module.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    reason = "written by wit-bindgen"
)]
pub mod live {
    wit_bindgen::generate!({
        path: "wit",
        world: "live-alone",
        pub_export_macro: true,
        default_bindings_module: "wasmhot_guest::bindings::live",
        export_macro_name: "export_live",
        runtime_path: "wasmhot_guest::wit_bindgen::rt",
    });
}

/// The world of `incremental`, beside that of a stateful module.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    reason = "written by wit-bindgen"
)]
pub mod incremental {
    wit_bindgen::generate!({
        path: "wit",
        world: "incremental-alone",
        pub_export_macro: true,
        default_bindings_module: "wasmhot_guest::bindings::incremental",
        export_macro_name: "export_incremental",
        runtime_path: "wasmhot_guest::wit_bindgen::rt",
    });
}

/// The world of a health check, for stateful modules too: worlds of one module are joined when it is linked.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    reason = "written by wit-bindgen"
)]
pub mod health {
    wit_bindgen::generate!({
        path: "wit",
        world: "stateless-with-health",
        pub_export_macro: true,
        default_bindings_module: "wasmhot_guest::bindings::health",
        export_macro_name: "export_health",
        runtime_path: "wasmhot_guest::wit_bindgen::rt",
    });
}

use stateful::exports::wasmhot::module::lifecycle;

/// The lifecycle of the one state of type `S`.
pub struct Lifecycle<S>(PhantomData<S>);

impl<S: Stateful> lifecycle::Guest for Lifecycle<S> {
    fn save(change: lifecycle::Change) -> Result<Vec<u8>, String> {
        let change = Change::try_from(change)?;
        S::with(|state| state.save(&change))
    }

    fn migrate(change: lifecycle::Change, state: Vec<u8>) -> Result<(), String> {
        // The conversion runs outside of `with_mut`: it may read the state so far, to merge several predecessors.
        let state = S::read(&Change::try_from(change)?, &state)?;
        S::with_mut(|current| *current = state);
        Ok(())
    }
}

use incremental::exports::wasmhot::module::incremental as in_chunks;

/// The hand-over in chunks of the one state of type `S`.
pub struct Incremental<S>(PhantomData<S>);

thread_local! {
    /// What this instance gives.
    static GIVEN: RefCell<Option<Session>> = const { RefCell::new(None) };
    /// What this instance takes, and for which change.
    static TAKEN: RefCell<Option<(Change, Accepted)>> = const { RefCell::new(None) };
}

impl<S: Stateful> in_chunks::Guest for Incremental<S> {
    fn begin(change: in_chunks::Change) -> Result<u64, String> {
        GIVEN.take();
        let (session, bytes) = S::with(|state| Session::begin(state, &Change::try_from(change)?))?;
        GIVEN.set(Some(session));
        Ok(bytes)
    }

    fn next(bytes_max: u32) -> Result<Option<Vec<u8>>, String> {
        let mut session = GIVEN.take().ok_or(NOT_BEGUN)?;
        let chunk = S::with(|state| session.next(state, bytes_max))?;
        // After an error it stays ended.
        GIVEN.set(Some(session));
        Ok(chunk)
    }

    fn pending() -> u64 {
        GIVEN
            .with_borrow_mut(|session| {
                let session = session.as_mut()?;
                S::with(|state| session.pending(state)).ok()
            })
            // What cannot be given is not small: `rest` says why.
            .unwrap_or(u64::MAX)
    }

    fn rest() -> Result<Vec<u8>, String> {
        let session = GIVEN.take().ok_or(NOT_BEGUN)?;
        S::with(|state| session.rest(state))
    }

    fn cancel() {
        GIVEN.take();
    }

    fn accept(change: in_chunks::Change, chunk: Vec<u8>) -> Result<(), String> {
        let mut accepted = taken(&Change::try_from(change)?);
        let result = accepted.1.accept(chunk);
        TAKEN.set(Some(accepted));
        result
    }

    fn finish(change: in_chunks::Change, rest: Vec<u8>) -> Result<(), String> {
        let (change, accepted) = taken(&Change::try_from(change)?);
        // As in `migrate`: the conversion may read the state so far.
        let state = accepted.finish::<S>(&change, rest)?;
        S::with_mut(|current| *current = state);
        Ok(())
    }
}

const NOT_BEGUN: &str = "nothing was begun, or it has ended";

/// What has come for this change; what came for another is of no use any more.
fn taken(change: &Change) -> (Change, Accepted) {
    match TAKEN.take() {
        Some((known, accepted)) if known == *change => (known, accepted),
        _ => (change.clone(), Accepted::default()),
    }
}

/// What a module does first when it has begun to serve. [`crate::module!`] implements it for `live: …`.
pub trait Live {
    /// With outside effects.
    ///
    /// # Errors
    /// If something could not be done; the module serves all the same.
    fn live(change: &Change) -> Result<(), String>;
}

/// What `L` does when it serves, as the world has it.
pub struct WhenLive<L>(PhantomData<L>);

impl<L: Live + 'static> live::exports::wasmhot::module::live::Guest for WhenLive<L> {
    fn live(change: live::exports::wasmhot::module::live::Change) -> Result<(), String> {
        L::live(&Change::try_from(change)?)
    }
}
