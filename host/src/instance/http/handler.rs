//! A request to the handler of WASI 0.3 (`wasi:http/handler`): the call gives a response whose body guest tasks may still write, so
//! it lasts until they have. Requests of one instance run beside each other.

use super::response::{Client, Sent, Writer, pass_on};
use crate::call::frame::Frame;
use crate::call::invocation::{Body, Exchange};
use crate::call::lane::CallResult;
use crate::error::CallError;
use crate::instance::Instance;
use crate::instance::concurrent::Calls;
use crate::value::Value;
use crate::version::HttpHandler;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types::{ErrorCode, Response};
use wasmtime_wasi_http::{Error as WasiError, FieldMap, WasiHttpHooks, WasiHttpView};

type Params = (Resource<Request>,);
type Results = (Result<Resource<Response>, ErrorCode>,);

impl Instance {
    /// Gives a request to the handler of an instance that does nothing else meanwhile.
    pub(super) async fn exchange_alone(&mut self, exchange: Exchange, frame: Arc<Frame>) -> CallResult {
        let (left, tree) = (Arc::<AtomicBool>::default(), Arc::clone(&frame.tree));
        let of_client = Arc::clone(&left);
        let ran = self.run_concurrent(
            async move |calls| match calls.begin_exchange(exchange, frame, of_client) {
                Ok(end) => end.await,
                Err(error) => Ok(Err(Box::new(error))),
            },
        );
        let answer = ran.await.flatten();
        // Its tasks may run on, and call other modules.
        self.has_tasks = true;
        if self.store.data().reach().take_denied() {
            tree.note_denied();
        }
        match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.give_up();
                // What a guest makes of a client that leaves in the middle is no error of the release.
                if left.load(Ordering::Acquire) {
                    return Ok(None);
                }
                Err(Box::new(self.template.handler_failed(&error)))
            }
        }
    }
}

impl<'a> Calls<'a> {
    /// Gives a request to the handler.
    ///
    /// # Errors
    /// Nothing was executed.
    pub(in crate::instance) fn begin_exchange(
        &self,
        exchange: Exchange,
        frame: Arc<Frame>,
        left: Arc<AtomicBool>,
    ) -> Result<impl Future<Output = wasmtime::Result<CallResult>> + Send + use<'a>, CallError> {
        let (template, accessor) = (Arc::clone(self.template()), self.accessor);
        let Exchange {
            request,
            response,
            response_max,
            ..
        } = exchange;
        let begun = accessor.with(|mut store| {
            let Some(HttpHandler::Handler(place)) = template.version.places.http else {
                wasmtime::bail!("the module has no handler of WASI 0.3");
            };
            let handle = self.instance.get_typed_func::<Params, Results>(&mut store, place)?;
            let view = store.data_mut().http();
            let request = incoming(view.hooks, request)?;
            let request = view.table.push(request)?;
            let call = handle.start_call_concurrent(&mut store, (request,))?;
            store.data_mut().begin_call(call.task(), frame);
            Ok((handle, call))
        });
        let (handle, call) = begun.map_err(|error| template.not_given(&error))?;
        let client = Client {
            response,
            response_max,
            keeps_state: template.config.kind.keeps_state(),
            left,
        };
        Ok(async move {
            // Dropped with the run, and so before the store: what has not ended by then is not whole.
            let (_alive, ended) = oneshot::channel();
            let (answer,) = handle.finish_call_concurrent(accessor, call).await?;
            let response = match answer {
                Ok(response) => accessor.with(|mut store| {
                    let response = store.data_mut().http().table.delete(response)?;
                    response.into_http(&mut store, async { Ok(()) })
                }),
                Err(code) => {
                    let why = format!("the handler gave an error instead of a response: {code:?}");
                    return Ok(Err(Box::new(template.bad_response(why))));
                }
            };
            let response = match response {
                Ok(response) => response,
                Err(error) => {
                    let why = format!("the response cannot be sent: {error:#}");
                    return Ok(Err(Box::new(template.bad_response(why))));
                }
            };
            Ok(match pass_on(response, Writer::Task(ended), client).await {
                Sent::With(status, stream) => {
                    if let Some(stream) = stream {
                        let _ = stream.await;
                    }
                    Ok(Some(Value::U16(status.as_u16())))
                }
                Sent::Not(why) => Err(Box::new(template.bad_response(why))),
            })
        })
    }
}

/// A request from the network, as the guest sees it.
fn incoming(hooks: &mut dyn WasiHttpHooks, request: http::Request<Body>) -> wasmtime::Result<Request> {
    let (head, body) = request.into_parts();
    let uri = head.uri.into_parts();
    let authority = match (uri.authority, head.headers.get(HOST)) {
        (Some(authority), _) => Some(authority),
        (None, Some(host)) => Some(Authority::try_from(host.as_bytes())?),
        (None, None) => None,
    };
    let headers = FieldMap::new_immutable(hooks, head.headers);
    let body = body.map_err(|_| WasiError::HttpProtocolError);
    let (request, _read) = Request::new(
        head.method,
        Some(Scheme::HTTP),
        authority,
        uri.path_and_query,
        headers,
        None,
        body,
    );
    Ok(request)
}
