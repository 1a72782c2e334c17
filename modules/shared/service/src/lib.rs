//! The site of `shared_http` by `wasi:http/handler` (WASI 0.3). Requests run beside each other, and bodies flow in guest tasks.

use shared_http::{Site, Target};
use std::cell::Cell;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_bindgen::StreamResult, wit_future, wit_stream};

const MILLISECOND: u64 = 1_000_000;

thread_local! {
    /// Requests that have come to meet others.
    static MET: Cell<u64> = const { Cell::new(0) };
}

/// Answers a request by the last word of its path:
///
/// `count`, `describe`, `version`, `record?client=C&n=N`, `pass-on?by=N`: the site. `echo`, `size`: the body, streamed or its length.
/// `parts?count=N&bytes=B&ms=M`: a slow response. `sleep?ms=N` counts after a while. `meet?n=N` waits until so many have come.
/// `after?ms=N` counts when the response is long written. `where`: the request. `trap`, `refuse`, `unfinished`, `torn`: bad handlers.
///
/// # Errors
/// As asked.
pub async fn answer<S: Site + 'static>(
    request: Request,
    site: impl FnOnce(&mut dyn FnMut(&mut S)) + Copy + 'static,
) -> Result<Response, ErrorCode> {
    let asked = Target::new(&request.get_path_with_query().unwrap_or_default());
    let told = |text: String| Ok(whole(200, text.into_bytes()));
    let of_site = |work: fn(&mut S) -> String| {
        let mut text = String::new();
        site(&mut |site| text = work(site));
        text
    };
    match asked.last() {
        "count" => told(of_site(|site| site.count().to_string())),
        "describe" => told(of_site(|site| site.describe())),
        "version" => told(of_site(|site| site.version())),
        "record" => {
            let mut answer = Err(String::new());
            site(&mut |site| answer = site.record(asked.text("client"), asked.number("n")));
            match answer {
                Ok(total) => told(total.to_string()),
                Err(why) => Ok(whole(409, why.into_bytes())),
            }
        }
        "pass-on" => {
            let mut text = String::new();
            site(&mut |site| text = site.pass_on(asked.number("by").cast_signed()));
            told(text)
        }
        "where" => {
            let authority = request.get_authority().unwrap_or_default();
            let target = request.get_path_with_query().unwrap_or_default();
            told(format!("{:?} {authority} {target}", request.get_method()))
        }
        "size" => told(body_of(request).await.len().to_string()),
        "echo" => Ok(echo(request)),
        "parts" => {
            let (count, bytes) = (asked.number("count"), asked.number("bytes"));
            Ok(parts(count, usize::try_from(bytes).unwrap_or(0), asked.number("ms")))
        }
        "sleep" => {
            wait_for(asked.number("ms") * MILLISECOND).await;
            told(of_site(|site| site.count().to_string()))
        }
        "meet" => {
            MET.set(MET.get() + 1);
            while MET.get() < asked.number("n") {
                wait_for(MILLISECOND).await;
            }
            told(MET.get().to_string())
        }
        "after" => {
            let rest = asked.number("ms") * MILLISECOND;
            spawn_local(async move {
                wait_for(rest).await;
                site(&mut |site| {
                    site.count();
                });
            });
            told("later".into())
        }
        "trap" => {
            of_site(|site| site.count().to_string());
            std::process::abort()
        }
        "refuse" => Err(ErrorCode::InternalError(Some("as asked".into()))),
        "unfinished" => Ok(begun(|| {})),
        "torn" => Ok(begun(|| std::process::abort())),
        _ => Ok(whole(404, b"no such page".to_vec())),
    }
}

/// All of the body of a request; of one that breaks what came of it, and a note.
async fn body_of(request: Request) -> Vec<u8> {
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (body, end) = Request::consume_body(request, taken);
    let mut bytes = body.collect().await;
    if end.await.is_err() {
        bytes.extend_from_slice(b" (broken)");
    }
    bytes
}

fn whole(status: u16, body: Vec<u8>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (_end, end) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), end);
    // Any number of three digits is a status.
    let _ = response.set_status_code(status);
    spawn_local(async move {
        // Nobody may read it.
        let _ = writer.write_all(body).await;
    });
    response
}

/// So many parts of so many bytes, with a rest before each.
fn parts(count: u64, bytes: usize, ms: u64) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (_end, end) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), end);
    spawn_local(async move {
        for _ in 0..count {
            wait_for(ms * MILLISECOND).await;
            if !writer.write_all(vec![b'x'; bytes]).await.is_empty() {
                break;
            }
        }
    });
    response
}

/// The body as it comes.
fn echo(request: Request) -> Response {
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (mut body, broken) = Request::consume_body(request, taken);
    let (mut writer, reader) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), ended);
    spawn_local(async move {
        loop {
            let (read, bytes) = body.read(Vec::with_capacity(1 << 16)).await;
            let is_end = matches!(read, StreamResult::Dropped);
            if !writer.write_all(bytes).await.is_empty() || is_end {
                break;
            }
        }
        drop(writer);
        // A body that breaks off does not become one that looks whole.
        let _ = end.write(broken.await).await;
    });
    response
}

/// The beginning of a body, which ends with an error after this.
fn begun(last: fn()) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), ended);
    spawn_local(async move {
        let _ = writer.write_all(b"begun".to_vec()).await;
        last();
        drop(writer);
        let _ = end.write(Err(ErrorCode::InternalError(Some("as asked".into())))).await;
    });
    response
}
