//! A request to the handler of WASI 0.2 (`wasi:http/incoming-handler`): the call writes the response, and ends when that is written.

use super::response::{Client, Sent, Writer, pass_on};
use crate::call::frame::Frame;
use crate::call::invocation::{Broken, Exchange};
use crate::call::lane::CallResult;
use crate::instance::{Instance, enter};
use crate::value::Value;
use http::Response;
use http_body_util::BodyExt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use wasmtime::component::{ComponentExportIndex, Resource, TypedFunc};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{Error as WasiError, WasiBody, WasiHttpView};

type Params = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);
type Set = Result<Response<WasiBody>, ErrorCode>;

impl Instance {
    /// Gives a request to the handler. The value is the status of the response. The future must be polled to its end unless the
    /// instance is given up.
    pub(super) async fn exchange_incoming(
        &mut self,
        place: ComponentExportIndex,
        exchange: Exchange,
        frame: Arc<Frame>,
    ) -> CallResult {
        let Begun {
            params,
            handle,
            taken,
            end,
            left,
        } = match self.begin_incoming(place, exchange) {
            Ok(begun) => begun,
            Err(error) => return Err(Box::new(self.template.not_given(&error))),
        };
        enter(&mut self.store, &mut self.usable, frame);
        let ended = {
            let mut taken = pin!(taken);
            let mut handling = pin!(handle.call_async(&mut self.store, params));
            let mut early = None;
            let ended = loop {
                tokio::select! {
                    biased;
                    ended = &mut handling => break ended,
                    sent = &mut taken, if early.is_none() => early = Some(sent),
                }
            };
            if ended.is_ok() {
                // Dropped without a word it means that the guest has failed.
                let _ = end.send(());
            } else {
                drop(end);
            }
            let sent = match early {
                Some(sent) => sent,
                None => taken.await,
            };
            ended.map(|()| sent)
        };
        self.leave();
        match ended {
            Ok(sent) => {
                self.usable = true;
                match sent {
                    Sent::With(status, _) => Ok(Some(Value::U16(status.as_u16()))),
                    Sent::Not(why) => {
                        // There are runtimes that answer one request and are silent from then on; without state another one is made.
                        self.usable = self.template.version.places.lifecycle.is_some();
                        Err(Box::new(self.template.bad_response(why)))
                    }
                }
            }
            Err(error) => {
                self.usable = self.survives(&error);
                // What a guest makes of a client that leaves in the middle is no error of the release.
                if left.load(Ordering::Acquire) {
                    return Ok(None);
                }
                Err(Box::new(self.template.handler_failed(&error)))
            }
        }
    }

    /// Puts request and response into the store, and looks the handler up. Nothing of the guest runs yet.
    fn begin_incoming(
        &mut self,
        place: ComponentExportIndex,
        exchange: Exchange,
    ) -> wasmtime::Result<Begun<impl Future<Output = Sent> + Send + use<>>> {
        let handle = self.instance.get_typed_func::<Params, ()>(&mut self.store, place)?;
        let Exchange {
            request,
            response,
            response_max,
            ..
        } = exchange;
        let request = request.map(|body| body.map_err(|_| WasiError::HttpProtocolError));
        let (set, head) = oneshot::channel();
        let guest = self.store.data_mut();
        let request = guest.http().new_incoming_request(Scheme::Http, request)?;
        let outparam = guest.http().new_response_outparam(set)?;
        let (end, ended) = oneshot::channel();
        let left = Arc::new(AtomicBool::new(false));
        let client = Client {
            response,
            response_max,
            keeps_state: self.template.config.kind.keeps_state(),
            left: Arc::clone(&left),
        };
        Ok(Begun {
            params: (request, outparam),
            handle,
            taken: take(head, ended, client),
            end,
            left,
        })
    }
}

/// A request that lies ready for the guest.
struct Begun<F> {
    params: Params,
    handle: TypedFunc<Params, ()>,
    /// Takes the response, beside the guest.
    taken: F,
    /// Told when the guest has ended well; dropped when it has not.
    end: oneshot::Sender<()>,
    /// Set when the client leaves in the middle of its response.
    left: Arc<AtomicBool>,
}

/// Takes the response that the guest sets, until it is whole or on its way.
async fn take(mut head: oneshot::Receiver<Set>, mut ended: oneshot::Receiver<()>, client: Client) -> Sent {
    let (set, writer) = tokio::select! {
        biased;
        set = &mut head => (set.ok(), Writer::Call(ended)),
        end = &mut ended => match end {
            // What is set, is set before the guest ends.
            Ok(()) => (head.try_recv().ok(), Writer::Nobody),
            Err(_) => return Sent::Not(Broken::Unfinished.to_string()),
        },
    };
    match set {
        None => Sent::Not("the handler ended without a response".to_string()),
        Some(Err(code)) => Sent::Not(format!("the handler gave an error instead of a response: {code:?}")),
        Some(Ok(response)) => pass_on(response, writer, client).await,
    }
}
