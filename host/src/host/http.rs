//! What [`http`](crate::http) needs of the host: its settings, where it listens, and which functions may be called from the network.

use super::Host;
use crate::call::named::{find, find_in, wrong_argument};
use crate::call::routes::{Route, Routes};
use crate::control::protocol::{HttpStatus, RouteStatus};
use crate::error::{CallError, CallErrorCode};
use crate::value::json;
use crate::version::Export;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmhot_appup::HttpSettings;
use wasmhot_appup::interface::FunctionName;

/// Lets every function be called.
const ALL: &str = "*";

impl Host {
    pub(crate) fn http_settings(&self) -> &HttpSettings {
        &self.inner.http
    }

    /// Where it is served from now on; for `status`.
    pub(crate) fn note_listening(&self, address: Option<SocketAddr>) {
        *self.inner.listening.lock().expect("no panic under this lock") = address;
    }

    pub(super) fn http_status(&self, routes: &Routes) -> Option<HttpStatus> {
        let address = (*self.inner.listening.lock().expect("no panic under this lock"))?;
        let routes = routes.http.iter().map(|(route, module)| RouteStatus {
            route: route.to_string(),
            module: module.to_string(),
        });
        Some(HttpStatus {
            address: address.to_string(),
            connections: self.inner.connections.load(Ordering::Relaxed),
            routes: routes.collect(),
        })
    }

    pub(crate) fn note_connection(&self) {
        self.inner.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when the host has begun to stop.
    pub(crate) async fn stops(&self) {
        let mut stops = self.inner.stops.subscribe();
        // The sender lives in the host that is asked.
        let _ = stops.wait_for(|stops| *stops).await;
    }

    /// A call from the network: only what the release grants. Whoever is refused does not learn what there is.
    pub(crate) async fn call_granted(&self, module: &str, typed: &str, args: Vec<Json>) -> Result<Json, CallError> {
        let args = Json::Array(args);
        let mut called = None;
        let answer = self.begin(module, None, |routes, _| {
            let route = routes.modules.get(module).ok_or_else(|| refused(module, typed))?;
            let export = granted_export(route, module, typed)?;
            let values = json::args_from_json(&args, &export.ty)
                .map_err(|error| wrong_argument(&route.template.version.id, &export.name, &export.ty, &error))?;
            called = Some(Arc::clone(&export.ty));
            Ok((route, (Arc::clone(export), values)))
        });
        let answer = answer.answer().await.map_err(|error| *error)?;
        let of = called.as_ref().and_then(|ty| ty.result.as_ref());
        let shown = answer.as_ref().zip(of);
        Ok(shown.map(|(value, of)| json::to_json(value, of)).unwrap_or_default())
    }
}

fn refused(module: &str, typed: &str) -> CallError {
    let message =
        format!("calls of `{typed}` of `{module}` from the network are not granted (`http_calls` of the module)");
    CallError::not_executed(CallErrorCode::NotGranted, message)
}

/// The function that is meant, if it is granted. What there is, is told only where all is granted.
fn granted_export<'r>(route: &'r Route, module: &str, typed: &str) -> Result<&'r Arc<Export>, CallError> {
    let all = granted(route).iter().any(|one| one == ALL);
    match find(&route.template.version, typed) {
        Ok(export) if all || may_be_called(route, typed, &export.name) => Ok(export),
        Err(error) if all => Err(error),
        Ok(_) | Err(_) => Err(refused(module, typed)),
    }
}

fn granted(route: &Route) -> &[String] {
    route.template.config.spec.http_calls.as_deref().unwrap_or_default()
}

fn may_be_called(route: &Route, typed: &str, name: &FunctionName) -> bool {
    let version = &route.template.version;
    let means = |one: &String| find_in(&version.id, &version.interface, one).is_ok_and(|(found, _)| found == name);
    granted(route).iter().any(|one| one == typed || means(one))
}
