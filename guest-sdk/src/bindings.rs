//! Ties the contract (`wit/module.wit`) to [`Stateful`]: what the host calls, the state answers.

use std::marker::PhantomData;

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
