//! `wasi:logging`: a line in the log of the host, with the module, version and instance that wrote it.

use super::super::guest::Guest;
use super::versions;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

/// `enum level` of the interface.
#[expect(dead_code, reason = "only guests make them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in versions("wasi:logging/logging") {
        linker.instance(&name)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, Guest>, (level, context, message): (Level, String, String)| {
                store.data().log(level, &context, &message);
                Ok(())
            },
        )?;
    }
    Ok(())
}
