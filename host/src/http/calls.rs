//! `POST /call/MODULE/FUNCTION` with a JSON array: for functions that a release lets be called from the network (`http_calls`), and
//! for no others.

use super::body;
use super::problem::{Problem, json};
use super::request::OnGuests;
use crate::call::invocation::Body;
use crate::host::Host;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wasmhot_appup::HttpSettings;

/// Module and function, if the path is one of these.
pub(super) fn target(path: &str) -> Option<(&str, &str)> {
    let (module, function) = path.strip_prefix("/call/")?.split_once('/')?;
    let is_one = !module.is_empty() && !function.is_empty() && !function.contains('/');
    is_one.then_some((module, function))
}

/// True for every path at which no module answers.
pub(super) fn is_reserved(path: &str) -> bool {
    path == "/call" || path.starts_with("/call/")
}

/// Reads the call, and answers with its result as JSON.
pub(super) async fn answer(
    host: &Host,
    settings: &HttpSettings,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (head, incoming) = request.into_parts();
    let Some((module, function)) = target(head.uri.path()) else {
        return Err(Problem::BadRequest("a call goes to /call/MODULE/FUNCTION".to_owned()));
    };
    if head.method != Method::POST {
        return Err(Problem::WrongMethod);
    }
    // What a page of another site can make a browser send has another type: so no page calls in its visitor's name.
    if !is_json(&head.headers) {
        return Err(Problem::NotJson);
    }
    let max = settings.body_max();
    let body = body::limited(incoming, max)?;
    let body = body::whole(body, max, settings.body_timeout()).await?;
    let bytes = body
        .collect()
        .await
        .map_err(|broken| Problem::BadRequest(broken.to_string()))?;
    let args = serde_json::from_slice(&bytes.to_bytes()).map_err(|_| Problem::NotJson)?;
    let (on_guests, module, function) = (host.clone(), module.to_owned(), function.to_owned());
    let work = async move {
        let called = on_guests.call_granted(&module, &function, args);
        called.await.map_err(Problem::from)
    };
    // A client that goes takes a call with it that has not started (R10).
    let value = OnGuests::start(host, work).ended().await?;
    Ok(json(StatusCode::OK, &value))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let kind = |text: &str| text.split(';').next().map(|kind| kind.trim().to_ascii_lowercase());
    matches!(content, Some(Ok(text)) if kind(text).as_deref() == Some("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_a_module_and_a_function() {
        assert_eq!(target("/call/counter/get"), Some(("counter", "get")));
        assert_eq!(target("/call/counter/shop.get"), Some(("counter", "shop.get")));
        for path in [
            "/call/",
            "/call/counter",
            "/call/counter/",
            "/call//get",
            "/call/a/b/c",
            "/x/call/a/b",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
        assert!(is_reserved("/call") && is_reserved("/call/x") && !is_reserved("/calls"));
    }

    #[test]
    fn only_json_is_json() {
        for (content, is) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonx", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content))]);
            assert_eq!(is_json(&headers), is, "{content}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
