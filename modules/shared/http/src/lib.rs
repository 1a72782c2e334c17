//! What the HTTP modules have in common: a site that counts, and answers in every way that a test wants, good and bad.
//!
//! The last word of the path says what is asked for; see [`answer`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;
use wasip2::http::types::{ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// What differs from site to site.
pub trait Site {
    /// Its version.
    fn version(&self) -> String;
    /// Counts a visit, and gives their number.
    fn count(&mut self) -> u64;
    /// The number of visits, in words.
    fn describe(&self) -> String;
    /// Takes the next number of a client, and gives the total.
    ///
    /// # Errors
    /// If it is not the next one.
    fn record(&mut self, client: &str, number: u64) -> Result<u64, String>;
    /// Asks another module to count.
    fn pass_on(&self, _by: i64) -> String {
        "nobody".into()
    }
}

/// The target of a request, taken apart.
pub struct Target {
    words: Vec<String>,
    query: BTreeMap<String, String>,
}

impl Target {
    /// Of a path with its query.
    #[must_use]
    pub fn new(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let words = path.split('/').filter(|word| !word.is_empty());
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self {
            words: words.map(str::to_owned).collect(),
            query: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// The last word of the path.
    #[must_use]
    pub fn last(&self) -> &str {
        self.words.last().map(String::as_str).unwrap_or_default()
    }

    /// A value of the query.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A number of the query; 0 for none.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

/// A request, and its target.
struct Asked {
    target: Target,
    request: IncomingRequest,
}

impl Asked {
    fn new(request: IncomingRequest) -> Self {
        Self {
            target: Target::new(&request.path_with_query().unwrap_or_default()),
            request,
        }
    }

    /// The body; of one that breaks what came of it, and a note.
    fn body(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(body) = self.request.consume()
            && let Ok(mut stream) = body.stream()
            && stream.read_to_end(&mut bytes).is_err()
        {
            bytes.extend_from_slice(b" (broken)");
        }
        bytes
    }

    fn target(&self) -> String {
        let authority = self.request.authority().unwrap_or_default();
        let target = self.request.path_with_query().unwrap_or_default();
        format!("{:?} {authority} {target}", self.request.method())
    }
}

/// What is made of a request before it is answered.
enum Made {
    /// A status and a body.
    Whole(u16, Vec<u8>),
    /// So many parts of so many bytes, with a rest before each.
    Parts(u64, usize, Duration),
    /// The body as it comes.
    Echo,
    /// No response at all.
    Nothing,
    /// An error instead of a response.
    Refused,
    /// The beginning of a body.
    Unfinished,
    /// The beginning of a body, then a trap.
    Torn,
    /// A response, then a trap.
    Late,
}

/// Answers a request by its last word:
///
/// `count`, `describe`, `version`, `record?client=C&n=N`, `pass-on?by=N`: the site. `echo`, `size`: the body, streamed or its length.
/// `big?bytes=N`, `parts?count=N&bytes=B&ms=M`: large and slow responses. `sleep?ms=N`, `status?code=N`, `where`: the request.
/// `trap`, `nothing`, `refuse`, `unfinished`, `torn`, `late`: bad handlers.
pub fn answer(request: IncomingRequest, out: ResponseOutparam, site: impl FnOnce(&mut dyn FnMut(&mut dyn Site))) {
    let asked = Asked::new(request);
    let mut made = Made::Nothing;
    // The state is let go of before the response is written.
    site(&mut |site| made = make(&asked, site));
    match made {
        Made::Whole(status, body) => drop(send(out, status, [body])),
        Made::Parts(count, bytes, rest) => {
            let parts = (0..count).map(|_| {
                std::thread::sleep(rest);
                vec![b'x'; bytes]
            });
            let _ = send(out, 200, parts);
        }
        Made::Echo => echo(&asked, out),
        Made::Nothing => {}
        Made::Refused => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("as asked".into())))),
        Made::Unfinished => drop(begin(out)),
        Made::Torn => {
            let _kept = begin(out);
            std::process::abort();
        }
        Made::Late => {
            let _ = send(out, 200, [b"late".to_vec()]);
            std::process::abort();
        }
    }
}

fn make(asked: &Asked, site: &mut dyn Site) -> Made {
    let text = |text: String| Made::Whole(200, text.into_bytes());
    let target = &asked.target;
    match target.last() {
        "count" => text(site.count().to_string()),
        "describe" => text(site.describe()),
        "version" => text(site.version()),
        "record" => match site.record(target.text("client"), target.number("n")) {
            Ok(total) => text(total.to_string()),
            Err(why) => Made::Whole(409, why.into_bytes()),
        },
        "pass-on" => text(site.pass_on(target.number("by").cast_signed())),
        "echo" => Made::Echo,
        "size" => text(asked.body().len().to_string()),
        "body" => Made::Whole(200, asked.body()),
        "big" => Made::Whole(200, vec![b'x'; usize::try_from(target.number("bytes")).unwrap_or(0)]),
        "parts" => {
            let bytes = usize::try_from(target.number("bytes")).unwrap_or(0);
            Made::Parts(
                target.number("count"),
                bytes,
                Duration::from_millis(target.number("ms")),
            )
        }
        "sleep" => {
            std::thread::sleep(Duration::from_millis(target.number("ms")));
            text(site.count().to_string())
        }
        "status" => Made::Whole(u16::try_from(target.number("code")).unwrap_or(200), Vec::new()),
        "where" => text(asked.target()),
        "trap" => {
            // The visit is counted, and lost.
            site.count();
            std::process::abort()
        }
        "nothing" => Made::Nothing,
        "refuse" => Made::Refused,
        "unfinished" => Made::Unfinished,
        "torn" => Made::Torn,
        "late" => Made::Late,
        _ => Made::Whole(404, b"no such page".to_vec()),
    }
}

/// Sends a response. None if nobody takes it any more.
fn send(out: ResponseOutparam, status: u16, parts: impl IntoIterator<Item = Vec<u8>>) -> Option<()> {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().ok()?;
    for part in parts {
        stream.write_all(&part).ok()?;
        stream.flush().ok()?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

fn echo(asked: &Asked, out: ResponseOutparam) {
    let Ok(incoming) = asked.request.consume() else { return };
    let Ok(stream) = incoming.stream() else { return };
    let parts = std::iter::from_fn(|| stream.blocking_read(1 << 16).ok());
    let _ = send(out, 200, parts);
}

/// A response whose body is not finished.
fn begin(out: ResponseOutparam) -> Option<OutgoingBody> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().ok()?;
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().ok()?;
    stream.write_all(b"begun").ok()?;
    stream.flush().ok()?;
    drop(stream);
    Some(body)
}
