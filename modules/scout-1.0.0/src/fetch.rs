//! A request by `wasi:http/client`.

use crate::said;
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Response, Scheme};
use wasip3::wit_future;

pub(crate) async fn fetch(scheme: &str, authority: &str, path: &str) -> Result<String, String> {
    let (_end, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, ended, None);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request.set_scheme(Some(&scheme));
    set.and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| "this is no URL".to_owned())?;
    let response = client::send(request).await.map_err(said)?;
    let status = response.get_status_code();
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(response, taken);
    let text = body.collect().await;
    end.await.map_err(said)?;
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}
