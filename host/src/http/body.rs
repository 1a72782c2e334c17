//! The body of a request: as it comes, or read before the call.

use super::problem::Problem;
use crate::call::invocation::{Body, Broken};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::time::Duration;

/// The body as it comes, up to `max` bytes. What says itself that it has more is refused at once.
pub(super) fn limited(body: Incoming, max: u64) -> Result<Body, Problem> {
    if body.size_hint().lower() > max {
        return Err(Problem::TooLarge { max });
    }
    let limited = Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX));
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| match error.is::<LengthLimitError>() {
        true => Broken::TooLarge,
        false => Broken::Unread,
    };
    Ok(limited.map_err(broken).boxed())
}

/// The whole of it, within `limit`.
pub(super) async fn whole(body: Body, max: u64, limit: Duration) -> Result<Body, Problem> {
    // Nothing to wait for, and no timer: so are most requests.
    if body.is_end_stream() {
        return Ok(body);
    }
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.map_err(|never| match never {}).boxed()),
        Ok(Err(Broken::TooLarge)) => Err(Problem::TooLarge { max }),
        Ok(Err(broken)) => Err(Problem::BadRequest(broken.to_string())),
        Err(_) => Err(Problem::TooSlow { limit }),
    }
}
