//! What every store carries: the guest's WASI context, its memory cap, the call it is running, and whether outside effects
//! are refused at the moment (R3).

use super::capability::config::{SharedValues, Values};
use super::capability::logging::Level;
use super::capability::network::{self, Lookup};
use super::capability::outgoing::Outgoing;
use super::output::{GuestLog, GuestOutput};
use super::outside::{Outside, Reach};
use crate::call::frame::Frame;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use wasmhot_appup::{Grants, ModuleVersion};
use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Elements that all tables of an instance may have together: SpiderMonkey asks for 7,688.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Calls of one concurrent instance whose frames are kept. A guest task that runs on after so many later calls cannot call other
/// modules any more.
const FRAMES_MAX: usize = 4096;

/// The data of a store.
pub(crate) struct Guest {
    /// Made when it is first asked for: few need it to take or give their state, and keys come by the thousand.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    table: ResourceTable,
    memory: MemoryCap,
    /// The call that runs now; none during start, `save`, `migrate` and `health`.
    pub(crate) frame: Option<Arc<Frame>>,
    /// How many calls there were, but for those that run beside each other.
    pub(super) calls_begun: u64,
    /// The calls that run beside each other, by guest task, oldest first: also those that have answered, since tasks of theirs may
    /// still run.
    frames: VecDeque<(GuestTaskId, Arc<Frame>)>,
    reach: Arc<Reach>,
    /// As they are now, and as the running call sees them.
    shared_values: Arc<SharedValues>,
    values: Arc<Values>,
    /// [`SharedValues::changes`] from before these were read.
    values_known: u64,
    log: GuestLog,
    /// Names that are being looked up, by the streams that give their addresses.
    names: HashMap<u32, String>,
}

/// Who a guest is, and what it is given.
pub(crate) struct Given<'a> {
    pub(crate) id: &'a ModuleVersion,
    pub(crate) instance: u64,
    pub(crate) grants: &'a Grants,
    pub(crate) memory_max: u64,
    pub(crate) values: &'a Arc<SharedValues>,
    pub(crate) outside: &'a Arc<Outside>,
}

/// Counts the bytes of all linear memories of one store against a cap. A growth past it is refused (`memory.grow` gives -1).
#[derive(Debug)]
pub(crate) struct MemoryCap {
    bytes: usize,
    cap: usize,
    elements: usize,
}

impl Guest {
    /// A guest with what it is given, and nothing else.
    ///
    /// # Errors
    /// A granted directory that cannot be opened or is the host's own, by name.
    pub(crate) fn new(given: &Given<'_>) -> Result<Self, String> {
        let Given {
            id, instance, grants, ..
        } = *given;
        let reach = Reach::new(id, grants, given.outside);
        // Directories may turn out not to be there: that is told here.
        let wasi = match grants.dirs.is_empty() {
            true => None,
            false => Some(wasi(&reach, instance)?),
        };
        Ok(Self {
            wasi,
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(&reach),
            table: ResourceTable::new(),
            memory: MemoryCap {
                bytes: 0,
                cap: usize::try_from(given.memory_max).unwrap_or(usize::MAX),
                elements: 0,
            },
            frame: None,
            calls_begun: 0,
            frames: VecDeque::new(),
            reach,
            shared_values: Arc::clone(given.values),
            values_known: given.values.changes(),
            values: given.values.get(),
            log: GuestLog::new(id, instance),
            names: HashMap::new(),
        })
    }

    /// A call begins, beside others.
    pub(super) fn begin_call(&mut self, task: GuestTaskId, frame: Arc<Frame>) {
        self.take_values();
        // Wasmtime gives the numbers of tasks that have ended to others.
        self.frames.retain(|(known, _)| *known != task);
        if self.frames.len() >= FRAMES_MAX {
            let answered = self.frames.iter().position(|(_, frame)| frame.has_answered());
            if let Some(answered) = answered {
                self.frames.remove(answered);
            }
        }
        self.frames.push_back((task, frame));
    }

    /// No guest task runs any more.
    pub(crate) fn forget_frames(&mut self) {
        self.frames.clear();
    }

    /// What it may reach.
    pub(crate) fn reach(&self) -> &Arc<Reach> {
        &self.reach
    }

    /// Refuses outside effects from now on (R3), or no longer.
    pub(crate) fn refuse_effects(&mut self, phase: Option<&'static str>) {
        self.reach.refuse_effects(phase);
    }

    /// A call begins: it sees the values of now, and only these.
    pub(super) fn take_values(&mut self) {
        let changes = self.shared_values.changes();
        if changes != self.values_known {
            self.values_known = changes;
            self.values = self.shared_values.get();
        }
    }

    /// The values that the running call sees.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// A line for the log of the host.
    pub(super) fn log(&self, level: Level, context: &str, message: &str) {
        self.log.line(level, context, message);
    }

    pub(super) fn resources(&self) -> &ResourceTable {
        &self.table
    }

    pub(super) fn resources_mut(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(super) fn lookup(&mut self) -> Lookup<'_> {
        Lookup {
            reach: &self.reach,
            names: &mut self.names,
            sockets: wasmtime_wasi::sockets::WasiSocketsCtxView {
                ctx: wasi_of(&mut self.wasi, &self.reach, self.log.instance()).sockets(),
                table: &mut self.table,
            },
        }
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

fn wasi_of<'a>(wasi: &'a mut Option<WasiCtx>, reach: &Arc<Reach>, instance: u64) -> &'a mut WasiCtx {
    wasi.get_or_insert_with(|| outline(reach, instance).build())
}

/// What WASI gives to every guest, as it is granted; but for directories.
fn outline(reach: &Arc<Reach>, instance: u64) -> WasiCtxBuilder {
    let (id, grants) = (reach.id(), &reach.grants);
    let mut wasi = WasiCtx::builder();
    wasi.stdout(GuestOutput::new(id, instance, false));
    wasi.stderr(GuestOutput::new(id, instance, true));
    wasi.arg(id.name.as_ref());
    wasi.args(&grants.args);
    for (name, value) in &grants.env {
        wasi.env(name, value);
    }
    network::configure(&mut wasi, reach);
    wasi
}

/// The same with the directories.
fn wasi(reach: &Arc<Reach>, instance: u64) -> Result<WasiCtx, String> {
    let id = reach.id();
    let mut wasi = outline(reach, instance);
    for grant in &reach.grants.dirs {
        // All that the host keeps lies there, machine code included: whoever writes it, is the host.
        if reach.is_untouchable(Path::new(&grant.host)) {
            return Err(format!(
                "the directory {:?}, granted to {}, holds the state directory of the host or lies in it: grant another, or choose another state \
                 directory",
                grant.host, id.name
            ));
        }
        let perms = if grant.write {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        let opened = wasi.preopened_dir(&grant.host, &grant.guest, perms);
        opened.map_err(|error| {
            format!(
                "the granted directory {:?} of {} cannot be opened: {error}",
                grant.host, id.name
            )
        })?;
    }
    Ok(wasi.build())
}

/// The call for which a guest's import is being called.
pub(crate) fn calling_frame(mut store: StoreContextMut<'_, Guest>) -> Option<Arc<Frame>> {
    if store.data().frames.is_empty() {
        return store.data().frame.clone();
    }
    // Youngest first; the last is the task that the host began.
    let tasks: Vec<_> = store.async_call_stack().ok()?.collect();
    let guest = store.data();
    let of = |task: &GuestTaskId| guest.frames.iter().find(|(known, _)| known == task);
    let found = tasks.iter().find_map(of).map(|(_, frame)| Arc::clone(frame));
    found.or_else(|| guest.frame.clone())
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: wasi_of(&mut self.wasi, &self.reach, self.log.instance()),
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
