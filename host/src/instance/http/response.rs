//! The response of a module's HTTP handler as the guest writes it: kept until it is whole, or passed on as it comes.
//!
//! A module that keeps state never waits for a client (R19): its response is taken as fast as it is written, and sent when it is whole.
//! That of a pool is sent while it is written; `response_max` bytes of it are kept for a slow client, then the guest waits.
//!
//! Invariants:
//! - A response that is cut off never looks whole: it ends with an error, which the client sees as a broken connection.
//! - A response that is too large is read to its end and thrown away: the guest is not hurt by it, least of all its state.

use crate::call::invocation::{Body, Broken};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Frame as BodyFrame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use wasmtime_wasi_http::WasiBody;

/// What became of a response.
pub(super) enum Sent {
    /// It has been given to the client's side, with this status: whole, or as a stream, whose task ends when the guest has nothing
    /// more to write or nobody takes it.
    With(StatusCode, Option<JoinHandle<()>>),
    /// There is none that could be sent, in words.
    Not(String),
}

/// Where the response goes.
pub(super) struct Client {
    pub(super) response: oneshot::Sender<Response<Body>>,
    pub(super) response_max: usize,
    /// Whether the response has to be whole before it is sent.
    pub(super) keeps_state: bool,
    /// Set when the client leaves in the middle of its response.
    pub(super) left: Arc<AtomicBool>,
}

/// Who writes the body.
pub(super) enum Writer {
    /// The call, until this tells that it has ended well, or is dropped: then it has not.
    Call(oneshot::Receiver<()>),
    /// A guest task, also when the call has ended, as long as this is not dropped (WASI 0.3).
    Task(oneshot::Receiver<()>),
    /// Nobody: all that will come is there.
    Nobody,
}

/// Takes a response until it is whole or on its way.
pub(super) async fn pass_on(response: Response<WasiBody>, writer: Writer, client: Client) -> Sent {
    let (head, body) = response.into_parts();
    let status = head.status;
    if status.is_informational() {
        return Sent::Not(format!(
            "the handler gave the status {status}, which is none to end with"
        ));
    }
    let mut written = Written { body, writer };
    if client.keeps_state {
        return match written.whole(client.response_max).await {
            Ok(body) => {
                // Nobody may wait for it any more.
                drop(client.response.send(Response::from_parts(head, body)));
                Sent::With(status, None)
            }
            Err(why) => Sent::Not(why),
        };
    }
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
        return Sent::With(status, None);
    }
    // A task of its own: the guest need not wait for its client, nor its client for the guest.
    let stream = tokio::spawn(written.stream(sender, room, client.response_max, client.left));
    Sent::With(status, Some(stream))
}

/// The body as the guest writes it.
struct Written {
    body: WasiBody,
    writer: Writer,
}

impl Written {
    /// The next part. It is an error if the guest ends before its body does.
    async fn frame(&mut self) -> Option<Result<BodyFrame<Bytes>, Broken>> {
        let alive = match &mut self.writer {
            Writer::Call(ended) | Writer::Task(ended) => ended,
            Writer::Nobody => {
                return match self.body.frame().now_or_never() {
                    Some(frame) => frame.map(|frame| frame.map_err(|_| Broken::Unfinished)),
                    None => Some(Err(Broken::Unfinished)),
                };
            }
        };
        let well = tokio::select! {
            biased;
            frame = self.body.frame() => return match frame {
                Some(frame) => Some(frame.map_err(|_| Broken::Unfinished)),
                None => match alive.try_recv() {
                    Err(TryRecvError::Empty) => None,
                    Ok(()) => {
                        self.writer = Writer::Nobody;
                        None
                    }
                    // A store that dies drops the body, which then looks as if it had ended.
                    Err(TryRecvError::Closed) => Some(Err(Broken::Unfinished)),
                },
            },
            end = &mut *alive => end.is_ok(),
        };
        self.writer = Writer::Nobody;
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
        if let Writer::Call(ended) = std::mem::replace(&mut self.writer, Writer::Nobody)
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
