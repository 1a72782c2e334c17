//! A request to a module's HTTP handler, of WASI 0.2 or 0.3, and the response that comes of it.

mod handler;
mod incoming;
mod response;

use super::{Instance, Template, describe};
use crate::call::frame::Frame;
use crate::call::invocation::Exchange;
use crate::call::lane::CallResult;
use crate::error::{CallError, CallErrorCode};
use crate::version::HttpHandler;
use std::sync::Arc;

impl Instance {
    /// Gives a request to the handler. The value is the status of the response. The future must be polled to its end unless the
    /// instance is given up.
    pub(super) async fn exchange(&mut self, exchange: Exchange, frame: Arc<Frame>) -> CallResult {
        match self.template.version.places.http {
            Some(HttpHandler::Incoming(place)) => self.exchange_incoming(place, exchange, frame).await,
            Some(HttpHandler::Handler(_)) => self.exchange_alone(exchange, frame).await,
            None => Err(Box::new(
                self.template
                    .not_given(&wasmtime::format_err!("the module has no HTTP handler")),
            )),
        }
    }
}

impl Template {
    /// Nothing was executed.
    fn not_given(&self, error: &wasmtime::Error) -> CallError {
        let message = format!("the request cannot be given to the handler: {error:#}");
        CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_version(&self.version.id)
    }

    /// The handler has run, and what it gave cannot be sent.
    fn bad_response(&self, why: String) -> CallError {
        CallError::unknown(CallErrorCode::BadResponse, why).in_version(&self.version.id)
    }

    fn handler_failed(&self, error: &wasmtime::Error) -> CallError {
        let (message, backtrace) = describe(error);
        let failed = CallError::unknown(CallErrorCode::Trapped, format!("the HTTP handler {message}"));
        CallError {
            backtrace,
            ..failed.in_version(&self.version.id)
        }
    }
}
