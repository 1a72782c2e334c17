//! What every store carries: the guest's WASI context, its memory cap, the call it is running, and whether outside effects
//! are refused at the moment (R3).

use crate::call::frame::Frame;
use crate::instance::outgoing::Outgoing;
use crate::instance::output::GuestOutput;
use std::sync::Arc;
use wasmhot_appup::{Grants, ModuleVersion};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Elements that all tables of an instance may have together: SpiderMonkey asks for 7,688.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// The data of a store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
    memory: MemoryCap,
    /// The call that runs now; none during start, `save`, `migrate` and `health`.
    pub(crate) frame: Option<Arc<Frame>>,
    /// Why outside effects are refused at the moment, if they are.
    pub(crate) effects_refused: Option<&'static str>,
}

/// Counts the bytes of all linear memories of one store against a cap. A growth past it is refused (`memory.grow` gives -1).
#[derive(Debug)]
pub(crate) struct MemoryCap {
    bytes: usize,
    cap: usize,
    elements: usize,
}

impl Guest {
    /// A guest with what `grants` gives it, and nothing else.
    ///
    /// # Errors
    /// A granted directory that cannot be opened, by name.
    pub(crate) fn new(id: &ModuleVersion, instance: u64, grants: &Grants, memory_max: u64) -> Result<Self, String> {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(GuestOutput::new(id, instance, false));
        wasi.stderr(GuestOutput::new(id, instance, true));
        wasi.arg(id.name.as_ref());
        for (name, value) in &grants.env {
            wasi.env(name, value);
        }
        for grant in &grants.dirs {
            let perms = if grant.write {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            wasi.preopened_dir(&grant.host, &grant.guest, perms).map_err(|error| {
                format!(
                    "the granted directory {:?} of {} cannot be opened: {error}",
                    grant.host, id.name
                )
            })?;
        }
        // No network: `socket_addr_check` refuses every address unless one is granted, and names are not looked up.
        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::default(),
            table: ResourceTable::new(),
            memory: MemoryCap {
                bytes: 0,
                cap: usize::try_from(memory_max).unwrap_or(usize::MAX),
                elements: 0,
            },
            frame: None,
            effects_refused: None,
        })
    }

    pub(crate) fn memory(&mut self) -> &mut MemoryCap {
        &mut self.memory
    }

    /// Bytes of linear memory in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.bytes as u64
    }

    /// Sets another cap, for the time of a `save` (R26); returns the old one.
    pub(crate) fn set_memory_cap(&mut self, cap: u64) -> u64 {
        let old = self.memory.cap as u64;
        self.memory.cap = usize::try_from(cap).unwrap_or(usize::MAX);
        old
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl wasmtime::ResourceLimiter for MemoryCap {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_sub(current).saturating_add(desired);
        let fits = total <= self.cap;
        if fits {
            self.bytes = total;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_sub(current).saturating_add(desired);
        let fits = total <= TABLE_ELEMENTS_MAX;
        if fits {
            self.elements = total;
        }
        Ok(fits)
    }
}
