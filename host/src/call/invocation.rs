//! What a call does in the instance that runs it: a function with values, or an HTTP request to the module's handler. All else of a
//! call (its queue, gate, ticket, deadline, tree) is the same for both.

use crate::error::{CallError, CallErrorCode};
use crate::value::Value;
use crate::version::{EngineKind, Export, HttpHandler, Version};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The body of a request or response.
pub(crate) type Body = BoxBody<Bytes, Broken>;

/// Why a body does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The client went, or what it sent was no HTTP.
    #[error("the body of the request could not be read to its end")]
    Unread,
    /// More than `body_max`.
    #[error("the body of the request has more than body_max bytes")]
    TooLarge,
    /// The handler ended, or was ended, before its body did.
    #[error("the handler did not finish its response")]
    Unfinished,
}

/// What a call does.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Calls a function; its arguments were checked against the type (R25).
    Function { export: Arc<Export>, args: Vec<Value> },
    /// Gives a request to the HTTP handler. The value of such a call is the status of the response.
    Exchange(Box<Exchange>),
}

/// What an [`Invocation`] is without what is called, which stands in the frame of the call.
#[derive(Debug)]
pub(crate) enum Input {
    /// Of a function: its arguments.
    Args(Vec<Value>),
    Exchange(Box<Exchange>),
}

/// A request on its way to a module, and the way back for the response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: http::Request<Body>,
    /// What stands in the path where the route has `{key}`.
    pub(crate) key: Option<String>,
    /// Nobody waits there any more once the client has gone, or has been told something else.
    pub(crate) response: oneshot::Sender<http::Response<Body>>,
    /// So many bytes of the response are kept for a slow client.
    pub(crate) response_max: usize,
}

/// What was called, for messages.
#[derive(Clone, Debug)]
pub(crate) enum Called {
    Function(Arc<Export>),
    /// Method and path.
    Request(Arc<str>),
    /// `live`: the host tells an instance that it serves.
    Live,
}

/// A longer path is cut in messages.
const PATH_SHOWN: usize = 100;

impl Invocation {
    /// What is called.
    pub(crate) fn called(&self) -> Called {
        match self {
            Invocation::Function { export, .. } => Called::Function(Arc::clone(export)),
            Invocation::Exchange(exchange) => exchange.called(),
        }
    }

    /// What is called, and the rest.
    pub(crate) fn split(self) -> (Called, Input) {
        match self {
            Invocation::Function { export, args } => (Called::Function(export), Input::Args(args)),
            Invocation::Exchange(exchange) => (exchange.called(), Input::Exchange(exchange)),
        }
    }

    /// The key that a keyed module is called with.
    pub(crate) fn key(&self) -> Result<&str, CallError> {
        let (key, message) = match self {
            Invocation::Function { args, .. } => {
                let key = match args.first() {
                    Some(Value::String(key)) => Some(&**key),
                    _ => None,
                };
                (
                    key,
                    "the first argument of a keyed module's function is its key, a string",
                )
            }
            Invocation::Exchange(exchange) => (
                exchange.key.as_deref(),
                "the route of a keyed module has `{key}` in its path",
            ),
        };
        key.ok_or_else(|| CallError::not_executed(CallErrorCode::WrongArgument, message))
    }

    /// True if it can run beside others in one instance of this version. A handler of WASI 0.2 cannot: its request has the instance
    /// for itself.
    pub(crate) fn runs_beside(&self, version: &Version) -> bool {
        match self {
            Invocation::Function { .. } => version.engine == EngineKind::Concurrent,
            Invocation::Exchange(_) => matches!(version.places.http, Some(HttpHandler::Handler(_))),
        }
    }

    /// Why this version can no longer run it, if it cannot (R25).
    pub(crate) fn misfit(&self, version: &Version) -> Option<String> {
        match self {
            Invocation::Function { export: called, .. } => {
                let export = version.places.exports.like(called);
                if export.is_some_and(|export| Arc::ptr_eq(export, called) || export.ty.same_as(&called.ty)) {
                    return None;
                }
                let now = export.map_or("is gone".to_string(), |export| format!("is now {}", export.ty));
                Some(format!(
                    "`{}` was {} when the call was made and {now}",
                    called.name, called.ty
                ))
            }
            Invocation::Exchange(_) if version.places.http.is_some() => None,
            Invocation::Exchange(_) => Some("the HTTP handler of the module is gone".to_string()),
        }
    }
}

impl Exchange {
    fn called(&self) -> Called {
        // Without the query: secrets stand there.
        let path: String = self.request.uri().path().chars().take(PATH_SHOWN).collect();
        Called::Request(format!("{} {path}", self.request.method()).into())
    }
}

impl fmt::Display for Called {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Called::Function(export) => write!(out, "{}", export.name),
            Called::Request(request) => out.write_str(request),
            Called::Live => out.write_str("live"),
        }
    }
}
