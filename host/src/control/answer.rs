//! What goes back over the socket: the body of an answer, and the HTTP status that fits a failure.

use super::protocol::{Exit, Failure};
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::convert::Infallible;

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A finished operation.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// A value.
    Json(Vec<u8>),
    /// A file.
    File(Vec<u8>),
}

impl Answer {
    /// This value as JSON, with a newline for those who use curl.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Failure> {
        let mut bytes =
            serde_json::to_vec(value).map_err(|error| Failure::new("internal", Exit::Bug, error.to_string()))?;
        bytes.push(b'\n');
        Ok(Self::Json(bytes))
    }

    /// As a response.
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Answer::Json(bytes) => response(StatusCode::OK, "application/json", full(bytes)),
            Answer::File(bytes) => response(StatusCode::OK, "application/octet-stream", full(bytes)),
        }
    }
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).boxed_unsync()
}

fn response(status: StatusCode, content: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}

/// Lines of JSON, one chunk after the other.
pub(super) fn lines(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures_util::StreamExt;
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    response(
        StatusCode::OK,
        "application/x-ndjson",
        StreamBody::new(frames).boxed_unsync(),
    )
}

/// A failure as a response.
pub(super) fn failed(failure: &Failure) -> Response<Body> {
    let status = status_of(failure);
    let mut bytes =
        serde_json::to_vec(failure).unwrap_or_else(|_| br#"{"code":"internal","message":"","exit":70}"#.to_vec());
    bytes.push(b'\n');
    let mut response = response(status, "application/json", full(bytes));
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        // Part of the request was not read: what follows it on this connection would be taken for the next one.
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The HTTP status that fits: by code where one has a status of its own, else by exit code.
pub(super) fn status_of(failure: &Failure) -> StatusCode {
    match failure.code.as_str() {
        "no-such-path" | "no-such-module" | "no-such-function" | "no-such-key" => StatusCode::NOT_FOUND,
        "wrong-method" => StatusCode::METHOD_NOT_ALLOWED,
        "wrong-argument" => StatusCode::BAD_REQUEST,
        "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
        "request-timed-out" => StatusCode::REQUEST_TIMEOUT,
        "stopping" | "overloaded" | "no-capacity" => StatusCode::SERVICE_UNAVAILABLE,
        "timed-out" => StatusCode::GATEWAY_TIMEOUT,
        _ => match failure.exit {
            Exit::Usage => StatusCode::BAD_REQUEST,
            Exit::Busy => StatusCode::CONFLICT,
            Exit::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
            Exit::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Exit::Done | Exit::Bug | Exit::Interrupted | Exit::Terminated => StatusCode::INTERNAL_SERVER_ERROR,
            Exit::Failed | Exit::Refused | Exit::CalledOff | Exit::Degraded => StatusCode::UNPROCESSABLE_ENTITY,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CallError, CallErrorCode, Executed};

    #[test]
    fn failures_have_a_fitting_status() {
        let call = |code| Failure::from(CallError::not_executed(code, "no"));
        let unknown = CallError {
            executed: Executed::Unknown,
            ..CallError::not_executed(CallErrorCode::TimedOut, "no")
        };
        let table = [
            (Failure::new("bad-request", Exit::Usage, "no"), 400),
            (call(CallErrorCode::WrongArgument), 400),
            (call(CallErrorCode::NoSuchModule), 404),
            (call(CallErrorCode::NoSuchFunction), 404),
            (Failure::new("busy", Exit::Busy, "no"), 409),
            (Failure::new("lossy", Exit::Refused, "no"), 422),
            (Failure::new("too-much-traffic", Exit::CalledOff, "no"), 422),
            (call(CallErrorCode::Trapped), 422),
            (call(CallErrorCode::Internal), 500),
            (call(CallErrorCode::Stopping), 503),
            (call(CallErrorCode::Overloaded), 503),
            (call(CallErrorCode::TimedOut), 504),
            (Failure::from(unknown), 504),
        ];
        for (failure, status) in table {
            assert_eq!(status_of(&failure).as_u16(), status, "{failure:?}");
        }
    }
}
