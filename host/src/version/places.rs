//! Where the functions of a version are in its code.

use super::Exports;
use super::contract::{HEALTH, INCREMENTAL, LIFECYCLE, LIVE};
use wasmhot_appup::interface::{FunctionName, ModuleInterface};
use wasmtime::component::{Component, ComponentExportIndex};

/// Where the functions of a component are: they are places in this one, and in no other that was made of the same bytes.
#[derive(Clone)]
pub struct Places {
    /// The functions that can be called.
    pub exports: Exports,
    /// Where `save` and `migrate` are, if it is stateful.
    pub lifecycle: Option<Lifecycle>,
    /// Where `health.check` is, if it has one.
    pub health: Option<ComponentExportIndex>,
    /// Where `live.live` is, if it has one.
    pub live: Option<ComponentExportIndex>,
    /// Where the functions are by which it hands a large state over, if it has them.
    pub incremental: Option<Incremental>,
    /// By what it answers HTTP requests, if it does.
    pub http: Option<HttpHandler>,
}

impl Places {
    pub(super) fn of(component: &Component, interface: &ModuleInterface) -> Self {
        let place = |name: &FunctionName| index_of(component, name.interface.as_deref(), &name.name);
        let ours = |interface, function| index_of(component, Some(interface), function);
        let lifecycle = match (ours(LIFECYCLE, "save"), ours(LIFECYCLE, "migrate")) {
            (Some(save), Some(migrate)) => Some(Lifecycle { save, migrate }),
            _ => None,
        };
        Self {
            exports: Exports::new(interface, place),
            lifecycle,
            health: ours(HEALTH, "check"),
            live: ours(LIVE, "live"),
            incremental: incremental_of(component),
            http: handler_of(component, interface),
        }
    }
}

/// The function by which a module answers HTTP requests.
#[derive(Clone, Copy)]
pub enum HttpHandler {
    /// `wasi:http/incoming-handler` 0.2: place of `handle`.
    Incoming(ComponentExportIndex),
    /// `wasi:http/handler` 0.3: place of `handle`, which is async.
    Handler(ComponentExportIndex),
}

/// The functions of `wasmhot:module/lifecycle`.
#[derive(Clone)]
pub struct Lifecycle {
    /// Place of `save`.
    pub save: ComponentExportIndex,
    /// Place of `migrate`.
    pub migrate: ComponentExportIndex,
}

/// The functions of `wasmhot:module/incremental`.
#[derive(Clone, Copy)]
pub struct Incremental {
    /// Place of `begin`.
    pub begin: ComponentExportIndex,
    /// Place of `next`.
    pub next: ComponentExportIndex,
    /// Place of `pending`.
    pub pending: ComponentExportIndex,
    /// Place of `rest`.
    pub rest: ComponentExportIndex,
    /// Place of `cancel`.
    pub cancel: ComponentExportIndex,
    /// Place of `accept`.
    pub accept: ComponentExportIndex,
    /// Place of `finish`.
    pub finish: ComponentExportIndex,
}

fn incremental_of(component: &Component) -> Option<Incremental> {
    let place = |function| index_of(component, Some(INCREMENTAL), function);
    Some(Incremental {
        begin: place("begin")?,
        next: place("next")?,
        pending: place("pending")?,
        rest: place("rest")?,
        cancel: place("cancel")?,
        accept: place("accept")?,
        finish: place("finish")?,
    })
}

fn handler_of(component: &Component, interface: &ModuleInterface) -> Option<HttpHandler> {
    let name = interface.http_handler()?;
    let interface = name.interface.as_deref()?;
    let place = index_of(component, Some(interface), &name.name)?;
    Some(match interface.starts_with("wasi:http/incoming-handler@") {
        true => HttpHandler::Incoming(place),
        false => HttpHandler::Handler(place),
    })
}

fn index_of(component: &Component, interface: Option<&str>, function: &str) -> Option<ComponentExportIndex> {
    let Some(interface) = interface else {
        return component.get_export_index(None, function);
    };
    let instance = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&instance), function)
}
