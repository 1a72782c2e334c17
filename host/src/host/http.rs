//! What [`http`](crate::http) needs of the host: its settings, where it listens, and which functions may be called from the network.

use super::Host;
use crate::call::named::find_in;
use crate::call::routes::{Route, Routes};
use crate::control::protocol::{CallReply, CallRequest, HttpStatus, RouteStatus};
use crate::error::{CallError, CallErrorCode};
use std::net::SocketAddr;
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
    pub(crate) async fn call_granted(&self, request: CallRequest) -> Result<CallReply, CallError> {
        let typed = request.function.clone().unwrap_or_default();
        let refused = || {
            let message = format!(
                "calls of `{typed}` of `{}` from the network are not granted (`http_calls` of the module)",
                request.module
            );
            CallError::not_executed(CallErrorCode::NotGranted, message)
        };
        let all = self.module(&request.module).ok().and_then(|name| {
            let routes = self.router().routes();
            let route = routes.modules.get(&name)?;
            Some(granted(route).iter().any(|one| one == ALL))
        });
        let called = self.call_text_if(request.clone(), |route, name| match may_be_called(route, name) {
            true => Ok(()),
            false => Err(refused()),
        });
        match called.await {
            Err(error) if all != Some(true) && is_about_what_there_is(&error) => Err(refused()),
            other => other,
        }
    }
}

fn granted(route: &Route) -> &[String] {
    route.template.config.spec.http_calls.as_deref().unwrap_or_default()
}

fn may_be_called(route: &Route, name: &FunctionName) -> bool {
    let version = &route.template.version;
    let means = |typed: &String| find_in(&version.id, &version.interface, typed).is_ok_and(|(found, _)| found == name);
    granted(route).iter().any(|typed| typed == ALL || means(typed))
}

/// True for the errors that name modules and functions, or types of functions that are not granted.
fn is_about_what_there_is(error: &CallError) -> bool {
    matches!(error.code, CallErrorCode::NoSuchModule | CallErrorCode::NoSuchFunction)
}
