//! What an error is in HTTP: a status, and a body of JSON with the stable code that the control socket uses too.

use crate::call::invocation::Body;
use crate::error::{CallError, CallErrorCode, Executed};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::Serialize;

/// What goes wrong before a call, or in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The call failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// No route holds the request.
    #[error("no module answers {what}; `wasmhot status` shows the routes")]
    NoRoute { what: String },
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The body is too large.
    #[error("the body of a request may have {max} bytes (body_max of `[host.http]`)")]
    TooLarge { max: u64 },
    /// The body did not come in time.
    #[error("the body of the request did not come within {limit:?} (body_timeout of `[host.http]`)")]
    TooSlow { limit: std::time::Duration },
    /// The path takes another method.
    #[error("this path takes POST")]
    WrongMethod,
    /// The body is no JSON.
    #[error("the body has to be a JSON array, with `content-type: application/json`")]
    NotJson,
    /// There are as many connections as may be.
    #[error("{max} connections are open, and there may be no more (connections_max of `[host.http]`)")]
    TooManyConnections { max: u32 },
}

/// The body of an error.
#[derive(Serialize)]
struct Told<'a> {
    code: String,
    message: &'a str,
    /// Whether the request was executed (R12).
    executed: Executed,
}

/// After so many seconds a client may try again what was not executed.
const RETRY_AFTER_S: u64 = 1;

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Problem::Call(error) => status_of(error),
            Problem::NoRoute { .. } => StatusCode::NOT_FOUND,
            Problem::BadRequest(_) => StatusCode::BAD_REQUEST,
            Problem::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Problem::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Problem::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::TooManyConnections { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> String {
        let code = match self {
            Problem::Call(error) => return error.code.to_string(),
            Problem::NoRoute { .. } => "no-route",
            Problem::BadRequest(_) => "bad-request",
            Problem::TooLarge { .. } => "too-large",
            Problem::TooSlow { .. } => "request-timed-out",
            Problem::WrongMethod => "wrong-method",
            Problem::NotJson => "not-json",
            Problem::TooManyConnections { .. } => "too-many-connections",
        };
        code.to_string()
    }

    /// As a response. The backtrace of a trap stays here: it is in the events.
    pub(super) fn response(&self) -> Response<Body> {
        let status = self.status();
        let (message, executed) = match self {
            Problem::Call(error) => (error.message.clone(), error.executed),
            other => (other.to_string(), Executed::NotExecuted),
        };
        let told = Told {
            code: self.code(),
            message: &message,
            executed,
        };
        let mut response = json(status, &told);
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        match self {
            // Part of the request was not read: what follows it on this connection would be taken for the next one.
            Problem::TooLarge { .. } | Problem::TooSlow { .. } | Problem::TooManyConnections { .. } => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Problem::WrongMethod => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Problem::Call(_) | Problem::NoRoute { .. } | Problem::BadRequest(_) | Problem::NotJson => {}
        }
        response
    }
}

/// A value as JSON, with a newline for those who use curl.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|_| br#"{"code":"internal","message":""}"#.to_vec());
    bytes.push(b'\n');
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    let content = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}

/// By code where one has a status of its own; else what was not executed may be tried again, and what was is the module's failure.
fn status_of(error: &CallError) -> StatusCode {
    match (error.code, error.executed) {
        (CallErrorCode::NoSuchModule | CallErrorCode::NoSuchFunction | CallErrorCode::NoSuchKey, _) => {
            StatusCode::NOT_FOUND
        }
        (CallErrorCode::WrongArgument, _) => StatusCode::BAD_REQUEST,
        (CallErrorCode::NotGranted, _) => StatusCode::FORBIDDEN,
        (CallErrorCode::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Executed::NotExecuted) => StatusCode::SERVICE_UNAVAILABLE,
        (CallErrorCode::TimedOut | CallErrorCode::Stuck | CallErrorCode::Retired, Executed::Unknown) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        (_, Executed::Unknown) => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the documentation, and of the code.
    #[test]
    fn every_problem_has_the_status_that_is_documented() {
        let not = |code| Problem::from(CallError::not_executed(code, "no"));
        let unknown = |code| Problem::from(CallError::unknown(code, "no"));
        let max = 1;
        let table = [
            (Problem::BadRequest("no".into()), 400),
            (not(CallErrorCode::WrongArgument), 400),
            (not(CallErrorCode::NotGranted), 403),
            (Problem::NoRoute { what: "/".into() }, 404),
            (not(CallErrorCode::NoSuchFunction), 404),
            (not(CallErrorCode::NoSuchKey), 404),
            (Problem::WrongMethod, 405),
            (
                Problem::TooSlow {
                    limit: std::time::Duration::ZERO,
                },
                408,
            ),
            (Problem::TooLarge { max }, 413),
            (Problem::NotJson, 415),
            (not(CallErrorCode::Internal), 500),
            (unknown(CallErrorCode::Trapped), 502),
            (unknown(CallErrorCode::BadResponse), 502),
            (not(CallErrorCode::Overloaded), 503),
            (not(CallErrorCode::TimedOut), 503),
            (not(CallErrorCode::Stopping), 503),
            (not(CallErrorCode::StateLost), 503),
            (Problem::TooManyConnections { max: 1 }, 503),
            (unknown(CallErrorCode::TimedOut), 504),
            (unknown(CallErrorCode::Stuck), 504),
            (unknown(CallErrorCode::Retired), 504),
        ];
        let documented = include_str!("../../../docs/http.md");
        for (problem, status) in table {
            let response = problem.response();
            assert_eq!(response.status().as_u16(), status, "{problem:?}");
            assert_eq!(
                response.headers().contains_key(RETRY_AFTER),
                status == 503,
                "{problem:?}"
            );
            let row = format!("| {status} | ");
            let code = format!("`{}`", problem.code());
            let told = documented
                .lines()
                .any(|line| line.starts_with(&row) && line.contains(&code));
            assert!(told, "docs/http.md has no row {row} with {code}");
        }
    }
}
