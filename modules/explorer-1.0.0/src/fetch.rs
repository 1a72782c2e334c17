//! A request by `wasi:http`.

use crate::said;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingRequest, Scheme};

pub(crate) fn fetch(scheme: &str, authority: &str, path: &str) -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request.set_scheme(Some(&scheme));
    set.and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| "this is no URL".to_owned())?;
    let body = request.body().map_err(said)?;
    let coming = outgoing_handler::handle(request, None).map_err(said)?;
    OutgoingBody::finish(body, None).map_err(said)?;
    coming.subscribe().block();
    let response = match coming.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(said(error)),
        _ => return Err("no answer".to_owned()),
    };
    let status = response.status();
    let body = response.consume().map_err(said)?;
    let stream = body.stream().map_err(said)?;
    let mut text = Vec::new();
    while let Ok(more) = stream.blocking_read(64 * 1024) {
        text.extend(more);
    }
    drop(stream);
    IncomingBody::finish(body);
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}
