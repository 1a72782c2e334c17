//! A request to a module's HTTP handler (`wasi:http/incoming-handler` 0.2), and the response as the guest writes it.
//!
//! A module that keeps state never waits for a client (R19): its response is taken as fast as it is written, and sent when it is whole.
//! That of a pool is sent while it is written; `response_max` bytes of it are kept for a slow client, then the guest waits.
//!
//! Invariants:
//! - A response that is cut off never looks whole: it ends with an error, which the client sees as a broken connection.
//! - A response that is too large is read to its end and thrown away: the guest is not hurt by it, least of all its state.

use super::guest::Guest;
use super::{Instance, describe, enter};
use crate::call::frame::Frame;
use crate::call::invocation::{Body, Broken, Exchange};
use crate::error::{CallError, CallErrorCode};
use crate::value::Value;
use crate::version::HttpHandler;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Frame as BodyFrame, SizeHint};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use wasmtime::component::{Resource, TypedFunc};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{Error as WasiError, WasiBody, WasiHttpView};

type Params = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);
type Set = Result<Response<WasiBody>, ErrorCode>;

/// What became of a response.
enum Sent {
    /// It has been given to the client's side, whole or as a stream. With this status.
    With(StatusCode),
    /// There is none that could be sent, in words.
    Not(String),
}

impl Instance {
    /// Gives a request to the handler. The value is the status of the response. The future must be polled to its end unless the
    /// instance is given up.
    pub(super) async fn exchange(&mut self, exchange: Exchange, frame: Arc<Frame>) -> Result<Option<Value>, CallError> {
        let id = self.template.version.id.clone();
        let bad = |message: String| CallError::unknown(CallErrorCode::BadResponse, message).in_version(&id);
        let Begun {
            params,
            handle,
            taken,
            end,
            left,
        } = match self.begin(exchange) {
            Ok(begun) => begun,
            Err(error) => {
                let message = format!("the request cannot be given to the handler: {error:#}");
                return Err(CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_version(&id));
            }
        };
        let tree = enter(&mut self.store, &mut self.usable, frame);
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
        self.leave(&tree);
        match ended {
            Ok(sent) => {
                self.usable = true;
                match sent {
                    Sent::With(status) => Ok(Some(Value::U16(status.as_u16()))),
                    Sent::Not(why) => Err(bad(why)),
                }
            }
            Err(error) => {
                self.usable = self.survives(&error);
                // What a guest makes of a client that leaves in the middle is no error of the release.
                if left.load(Ordering::Acquire) {
                    return Ok(None);
                }
                let (message, backtrace) = describe(&error);
                let mut failed = CallError::unknown(CallErrorCode::Trapped, format!("the HTTP handler {message}"));
                failed.backtrace = backtrace;
                Err(failed.in_version(&id))
            }
        }
    }

    /// Puts request and response into the store, and looks the handler up. Nothing of the guest runs yet.
    fn begin(&mut self, exchange: Exchange) -> wasmtime::Result<Begun<impl Future<Output = Sent> + Send + use<>>> {
        let Some(HttpHandler::Incoming(place)) = &self.template.version.http else {
            wasmtime::bail!("the module has no HTTP handler");
        };
        let handle = self.instance.get_typed_func::<Params, ()>(&mut self.store, *place)?;
        let Exchange {
            request,
            response,
            response_max,
            ..
        } = exchange;
        let request = request.map(|body| body.map_err(|_| WasiError::HttpProtocolError));
        let (set, head) = oneshot::channel();
        let guest: &mut Guest = self.store.data_mut();
        let request = guest.http().new_incoming_request(Scheme::Http, request)?;
        let outparam = guest.http().new_response_outparam(set)?;
        let (end, ended) = oneshot::channel();
        let left = Arc::new(AtomicBool::new(false));
        let keeps_state = self.template.config.kind.keeps_state();
        let client = Client {
            response,
            response_max,
            left: Arc::clone(&left),
        };
        Ok(Begun {
            params: (request, outparam),
            handle,
            taken: take(head, ended, client, keeps_state),
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

/// Where the response goes.
struct Client {
    response: oneshot::Sender<Response<Body>>,
    response_max: usize,
    left: Arc<AtomicBool>,
}

/// Takes the response that the guest sets, until it is whole or on its way.
async fn take(
    mut head: oneshot::Receiver<Set>,
    mut ended: oneshot::Receiver<()>,
    client: Client,
    keeps_state: bool,
) -> Sent {
    let (set, ended) = tokio::select! {
        biased;
        set = &mut head => (set.ok(), Some(ended)),
        end = &mut ended => match end {
            // What is set, is set before the guest ends.
            Ok(()) => (head.try_recv().ok(), None),
            Err(_) => return Sent::Not(Broken::Unfinished.to_string()),
        },
    };
    let response = match set {
        None => return Sent::Not("the handler ended without a response".to_string()),
        Some(Err(code)) => return Sent::Not(format!("the handler gave an error instead of a response: {code:?}")),
        Some(Ok(response)) => response,
    };
    let (head, body) = response.into_parts();
    let status = head.status;
    if status.is_informational() {
        return Sent::Not(format!(
            "the handler gave the status {status}, which is none to end with"
        ));
    }
    let mut written = Written { body, ended };
    if keeps_state {
        match written.whole(client.response_max).await {
            // Nobody may wait for it any more.
            Ok(body) => drop(client.response.send(Response::from_parts(head, body))),
            Err(why) => return Sent::Not(why),
        }
    } else {
        let (room, frames) = (Arc::new(Semaphore::new(client.response_max)), mpsc::unbounded_channel());
        let (sender, receiver) = frames;
        let body = Buffered {
            frames: receiver,
            room: Arc::clone(&room),
            max: client.response_max,
            size: written.body.size_hint(),
        };
        if client.response.send(Response::from_parts(head, body.boxed())).is_err() {
            client.left.store(true, Ordering::Release);
        } else {
            // A task of its own: the guest need not wait for its client, nor its client for the guest.
            tokio::spawn(written.stream(sender, room, client.response_max, client.left));
        }
    }
    Sent::With(status)
}

/// The body as the guest writes it.
struct Written {
    body: WasiBody,
    /// None once the guest has ended: all that will come is there then.
    ended: Option<oneshot::Receiver<()>>,
}

impl Written {
    /// The next part. It is an error if the guest ends before its body does.
    async fn frame(&mut self) -> Option<Result<BodyFrame<Bytes>, Broken>> {
        let Some(ended) = &mut self.ended else {
            return match self.body.frame().now_or_never() {
                Some(frame) => frame.map(|frame| frame.map_err(|_| Broken::Unfinished)),
                None => Some(Err(Broken::Unfinished)),
            };
        };
        let well = tokio::select! {
            biased;
            frame = self.body.frame() => return match frame {
                Some(frame) => Some(frame.map_err(|_| Broken::Unfinished)),
                None => match ended.try_recv() {
                    Err(TryRecvError::Empty) => None,
                    Ok(()) => {
                        self.ended = None;
                        None
                    }
                    // A store that dies drops the body, which then looks as if it had ended.
                    Err(TryRecvError::Closed) => Some(Err(Broken::Unfinished)),
                },
            },
            end = &mut *ended => end.is_ok(),
        };
        self.ended = None;
        if well {
            Box::pin(self.frame()).await
        } else {
            Some(Err(Broken::Unfinished))
        }
    }

    /// All of it, or why that cannot be sent.
    async fn whole(&mut self, max: usize) -> Result<Body, String> {
        let (mut bytes, mut size) = (BytesMut::new(), 0_usize);
        let mut trailers: Option<HeaderMap> = None;
        while let Some(frame) = self.frame().await {
            match frame.map_err(|error| error.to_string())?.into_data() {
                Ok(data) => {
                    size = size.saturating_add(data.len());
                    if size <= max {
                        bytes.extend_from_slice(&data);
                    } else {
                        bytes = BytesMut::new();
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        // What the guest does after its response is part of the call too: if its state is lost there, the client is not told otherwise.
        if let Some(ended) = self.ended.take()
            && ended.await.is_err()
        {
            return Err(Broken::Unfinished.to_string());
        }
        if size > max {
            return Err(format!(
                "the response has {size} bytes, and that of a module that keeps state may have {max} (response_max of `[host.http]`)"
            ));
        }
        let body = Full::new(bytes.freeze());
        let body = match trailers {
            Some(trailers) => body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed(),
            None => body.boxed(),
        };
        Ok(body.map_err(|never| match never {}).boxed())
    }

    /// Passes it on as long as somebody takes it, `max` bytes ahead of him.
    async fn stream(
        mut self,
        to: mpsc::UnboundedSender<Result<BodyFrame<Bytes>, Broken>>,
        room: Arc<Semaphore>,
        max: usize,
        left: Arc<AtomicBool>,
    ) {
        while let Some(frame) = self.frame().await {
            let size = frame.as_ref().ok().and_then(BodyFrame::data_ref).map_or(0, Bytes::len);
            let size = u32::try_from(size.min(max)).unwrap_or(u32::MAX);
            match room.acquire_many(size).await {
                Ok(taken) => taken.forget(),
                Err(_closed) => break,
            }
            let is_end = frame.is_err();
            if to.send(frame).is_err() || is_end {
                break;
            }
        }
        if to.is_closed() {
            left.store(true, Ordering::Release);
        }
    }
}

/// What is kept of a response for its client.
struct Buffered {
    frames: mpsc::UnboundedReceiver<Result<BodyFrame<Bytes>, Broken>>,
    room: Arc<Semaphore>,
    max: usize,
    size: SizeHint,
}

impl hyper::body::Body for Buffered {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Broken>>> {
        let frame = self.frames.poll_recv(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.room.add_permits(data.len().min(self.max));
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.room.close();
    }
}
